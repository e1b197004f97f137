"""The backup scripts on a real server: what they dump comes back, and what they lose is found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from answers import answer, design

import dbprompt.proofs.backup as proof
from dbprompt import Brief
from dbprompt.capacity import capacity_of
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres.scripts import ScriptRun, Workplace, workplace
from dbprompt.evidence import Status, Tier
from dbprompt.proofs.base import Stage, stage
from dbprompt.render.backup import backup_script, restore_script
from dbprompt.sections.backup import Backup

DAY = date(2026, 3, 1)
BRIEF = Brief.load(Path(__file__).parents[1] / "briefs/pg_marketplace_orders.yaml")
BACKUP = Backup.model_validate(answer("marketplace", "backup"))
DUMP = next(at for at, plan in enumerate(BACKUP.plans) if plan.tool == "pg_dump")
SETTINGS = {"BACKUP_UPLOAD": "/bin/true", "BACKUP_AT_REST": "storage"}


def subject() -> Subject:
    """The reference design."""
    made = design("marketplace", "selection", "schema", "indexes", "backup")
    return Subject(made, "backup", BRIEF, capacity_of(BRIEF))


def test_what_the_script_dumps_comes_back() -> None:
    """Catalogue, rows and sequences of the restored database are those of the dumped one; services are not judged."""
    report = proof.backup_comes_back(subject(), DAY)
    assert report.findings == ()
    by_plan = {verdict.where: verdict for verdict in report.verdicts}
    assert by_plan[f"/plans/{DUMP}"].status is Status.PASSED
    assert by_plan[f"/plans/{DUMP}"].tier is Tier.ENGINE
    assert "encryption" in by_plan[f"/plans/{DUMP}"].uncovered
    others = [verdict for where, verdict in by_plan.items() if where != f"/plans/{DUMP}"]
    assert others and all(verdict.status is Status.NOT_CHECKED for verdict in others)
    assert "damaged" in report.exhibits[0].text or "one byte changed" in report.exhibits[0].text


@pytest.mark.parametrize(
    ("option", "code", "says"),
    [
        ("--exclude-table=payments", "backup.comes_back_changed", "table payments is gone"),
        ("--exclude-table-data=payments", "backup.comes_back_changed", "rows of payments are others"),
        ("--schema-only", "backup.dump_failed", "the dump holds no table"),
        ("--no-such-option", "backup.dump_failed", "no-such-option"),
    ],
)
def test_a_dump_that_loses_something_is_found(
    option: str, code: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that leaves a table, its rows or all rows out does not pass."""
    worse = backup_script(BACKUP).replace("pg_dump --format=custom", f"pg_dump --format=custom {option}")
    monkeypatch.setattr(proof, "backup_script", lambda _: worse)
    report = proof.backup_comes_back(subject(), DAY)
    (finding,) = report.findings
    assert (finding.code, finding.where) == (code, f"/plans/{DUMP}")
    assert says in finding.message
    assert report.verdicts[-1].status is Status.FAILED


@pytest.mark.parametrize(("script", "code"), [("exit 0", "backup.damage_unseen"), ("exit 3", "backup.restore_failed")])
def test_a_restore_that_does_nothing_is_found(script: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore has to refuse what is damaged, and to bring back what is not."""
    monkeypatch.setattr(proof, "restore_script", lambda _: script)
    assert [finding.code for finding in proof.backup_comes_back(subject(), DAY).findings] == [code]


def test_without_pg_dump_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing program is named with a way to get it."""
    monkeypatch.setattr(proof, "_PROGRAMS", ("pg_dump_that_is_not_here",))
    report = proof.backup_comes_back(subject(), DAY)
    assert report.findings == ()
    assert report.verdicts[-1].status is Status.NOT_CHECKED
    assert "pip install" in report.verdicts[-1].uncovered


def test_a_system_without_flock_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that is missing here is no fault of the script."""
    monkeypatch.setattr(proof, "_TOOLS", ("flock_that_is_not_here",))
    report = proof.backup_comes_back(subject(), DAY)
    assert report.findings == ()
    assert "flock_that_is_not_here" in report.verdicts[-1].uncovered


def test_shellcheck_speaks_or_is_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without shellcheck nothing is claimed; what it says is a finding."""
    monkeypatch.setattr(proof, "_shellcheck", lambda: None)
    (verdict,) = proof.scripts_are_sound(subject(), DAY).verdicts
    assert verdict.status is Status.NOT_CHECKED and "dbprompt[bash]" in verdict.uncovered
    strict = tmp_path / "shellcheck"
    strict.write_text("#!/bin/sh\necho '-:1:1: error: something'; exit 1\n")
    strict.chmod(0o755)
    monkeypatch.setattr(proof, "_shellcheck", lambda: str(strict))
    report = proof.scripts_are_sound(subject(), DAY)
    assert [finding.code for finding in report.findings] == ["backup.script_unsound"]
    assert report.verdicts[0].status is Status.FAILED


def test_shellcheck_has_no_word_against_the_scripts() -> None:
    """The real one, where it is installed."""
    if proof._shellcheck() is None:
        pytest.skip("shellcheck is not installed")
    report = proof.scripts_are_sound(subject(), DAY)
    assert report.findings == () and report.verdicts[0].status is Status.PASSED


@contextmanager
def scene() -> Iterator[tuple[Stage, Workplace, Path]]:
    """A database with one table, and a place to keep its dumps."""
    with stage(subject(), as_of=DAY, sections=()) as ready:
        ready.run("CREATE TABLE t (id int PRIMARY KEY)")
        ready.run("INSERT INTO t VALUES (1), (2)")
        with workplace(ready.sandbox, ("pg_dump", "pg_restore", "psql")) as place:
            yield ready, place, place.folder("kept")


def dumped(ready: Stage, place: Workplace, kept: Path, **settings: str) -> ScriptRun:
    """One run of the script."""
    script = place.directory / "make"
    if not script.exists():
        place.put("make", backup_script(BACKUP))
    told = {"BACKUP_DIRECTORY": str(kept), **SETTINGS, **settings}
    return place.run(ready.sandbox, script, BACKUP.plans[DUMP].name, settings=told)


def test_old_backups_go_after_a_new_one_is_there() -> None:
    """What is older than keep_days goes, what is younger or another plan's stays; nothing half done is left."""
    plan = BACKUP.plans[DUMP]
    with scene() as (ready, place, kept):
        for name, days in ((f"{plan.name}-old.dump", 2000), (f"{plan.name}-new.dump", 3), ("other-old.dump", 2000)):
            file = kept / name
            file.write_text("")
            place.account.take(file)
            past = file.stat().st_mtime - days * 86_400
            os.utime(file, (past, past))
        run = dumped(ready, place, kept, TEXTFILE_DIRECTORY=str(kept))
        assert run.ok, run.complained
        left = {path.name for path in kept.iterdir() if not path.name.endswith((".lock", ".prom"))}
        metric = (kept / f"dbprompt_backup_{plan.name}.prom").read_text()
    assert f"{plan.name}-old.dump" not in left
    assert {f"{plan.name}-new.dump", "other-old.dump"} < left
    assert len(left) == 4  # and the new one with its checksum
    assert metric.startswith(f'dbprompt_backup_last_success_timestamp_seconds{{plan="{plan.name}"}} 1')


def test_two_at_once_are_one_too_many() -> None:
    """A second run of a plan ends at once while the first holds its lock."""
    with scene() as (ready, place, kept):
        holder = place.put("hold", f'exec 9>"{kept}/.{BACKUP.plans[DUMP].name}.lock"; flock 9; bash "$1" "$2"')
        script = place.put("make", backup_script(BACKUP))
        told = {"BACKUP_DIRECTORY": str(kept), **SETTINGS}
        run = place.run(ready.sandbox, holder, str(script), BACKUP.plans[DUMP].name, settings=told)
    assert not run.ok and "is running already" in run.complained


def test_an_encrypted_backup_is_restored_by_the_one_who_can() -> None:
    """An encrypted plan does not run in the open; its dump comes back through the program that decrypts it."""
    with scene() as (ready, place, kept), stage(subject(), as_of=DAY, sections=()) as empty:
        refused = dumped(ready, place, kept, BACKUP_AT_REST="")
        assert not refused.ok and "is encrypted" in refused.complained
        encrypt = place.put("encrypt", "#!/bin/bash\nexec base64\n")
        decrypt = place.put("decrypt", "#!/bin/bash\nexec base64 --decode\n")
        assert dumped(ready, place, kept, BACKUP_AT_REST="", BACKUP_ENCRYPT=str(encrypt)).ok
        (file,) = kept.glob("*.encrypted")
        restore = place.put("restore", restore_script(BACKUP))
        told = {"RESTORE_DECRYPT": str(decrypt), "RESTORE_RIGHTS": "no"}
        first = place.run(empty.sandbox, restore, str(file), settings=told)
        assert first.ok, first.complained
        assert empty.fetch("SELECT count(*) FROM t")[1] == [("2",)]
        again = place.run(empty.sandbox, restore, str(file), settings=told)
    assert not again.ok and "is not empty" in again.complained
