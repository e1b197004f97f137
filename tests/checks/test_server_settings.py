"""The server's settings on PostgreSQL itself, and the pooler's on PgBouncer where it is."""

from __future__ import annotations

from datetime import date

import pytest
from design_cases import Plain, subject

from dbprompt.engines.base import Answer
from dbprompt.engines.postgres import installations, pooler
from dbprompt.engines.postgres.settings_file import read_settings
from dbprompt.evidence import Report, Status, Tier
from dbprompt.proofs import machines
from dbprompt.proofs.machines import archive_settings, pooler_starts, server_settings
from dbprompt.render.pgbouncer import PoolerSetting
from dbprompt.sections.backup import Backup

DAY = date(2026, 1, 15)


def _engine(report: Report) -> dict[str, Status]:
    return {verdict.artefact: verdict.status for verdict in report.verdicts if verdict.tier is Tier.ENGINE}


def test_each_setting_is_taken_by_the_server() -> None:
    """Every computed key and value is asked of the program; a module's is inconclusive and never a pass."""
    report = server_settings(subject("infrastructure"), DAY)
    assert report.findings == ()
    verdicts = _engine(report)
    passed = next(label for label, status in verdicts.items() if status is Status.PASSED)
    total = len(report.exhibits[0].text.splitlines())
    open_ones = [label for label, status in verdicts.items() if status is Status.INCONCLUSIVE]
    assert "setting pg_stat_statements.track" in open_ones
    assert passed == f"server settings of db_primary ({total - len(open_ones)} of {total})"
    assert total > 45 and len(open_ones) <= 2


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"tiers/large": {"memory_gb": 65_536}}, "shared_buffers"),
        ({"tiers/large": {"cpus": 1024, "memory_gb": 65_536}, "pool": None}, "effective_cache_size"),
    ],
)
def test_a_value_that_no_server_takes(change: dict[str, Plain], setting: str) -> None:
    """A size beyond PostgreSQL's own limits is the server's refusal, at the node, with the formula."""
    report = server_settings(subject("infrastructure", change), DAY)
    assert Status.FAILED in _engine(report).values()
    told = [finding for finding in report.findings if f"{setting} =" in finding.message]
    assert told and {finding.where for finding in told} == {"/nodes/0"}
    assert {finding.code for finding in report.findings} == {"infrastructure.setting_refused"}


def test_settings_of_the_archive_are_tried_when_backups_are_decided() -> None:
    """What a backup adds to the settings is tried in its section."""
    plan = {
        "name": "log", "method": "wal_archive", "tool": "pgbackrest", "archive_every_s": 60, "keep_days": 35,
        "storage": "object_store", "region": "eu-west-1",
    }  # fmt: skip
    backup = Backup.model_validate({"plans": [plan], "restore_mb_per_s": 100})
    of = subject("backup")
    design = of.design.model_copy(
        update={"backup": backup, "infrastructure": subject("infrastructure").design.infrastructure}
    )
    report = archive_settings(type(of)(design, "backup", of.brief, of.capacity), DAY)
    assert report.findings == ()
    (verdict,) = report.verdicts
    assert (verdict.where, verdict.status) == ("/plans/0", Status.PASSED)
    assert (
        "archive_command = pgbackrest" in report.exhibits[0].text and "archive_timeout = 60s" in report.exhibits[0].text
    )


def test_the_file_is_read_as_a_whole() -> None:
    """The program takes the file as it is written, and names each wrong line of a poor one."""
    managed = server_settings(subject("infrastructure"), DAY)
    own = server_settings(subject("infrastructure", {"deployment": "self_hosted_cloud"}), DAY)
    for report in (managed, own):
        status = _engine(report)["postgresql.conf"]
        assert status is Status.PASSED or "SSL is not supported by this build" in str(report.verdicts)
    installation = installations()[0]
    good = read_settings(installation, "shared_buffers = 1GB\nsynchronous_standby_names = 'FIRST 1 (\"a\")'\n")
    assert good.answer is Answer.ACCEPTED
    poor = ("shared_bufers = 1GB", "jit = offf", "shared_buffers = 25% of RAM")
    said = [read_settings(installation, f"{line}\n") for line in poor]
    assert {outcome.answer for outcome in said} == {Answer.REFUSED}
    assert all(
        words in outcome.message for words, outcome in zip(("shared_bufers", "jit", "syntax"), said, strict=True)
    )


real = pytest.mark.skipif(pooler.pgbouncer() is None, reason="PgBouncer is not on this machine")


@real
def test_the_pooler_starts_with_its_file() -> None:
    """PgBouncer itself comes up with the sizes, and what was not tried is said."""
    report = pooler_starts(subject("infrastructure"), DAY)
    (verdict,) = report.verdicts
    assert (verdict.where, verdict.status, verdict.tier) == ("/pool", Status.PASSED, Tier.ENGINE)
    assert "TLS" in verdict.uncovered and report.findings == ()


@real
@pytest.mark.parametrize("wrong", ["pool_mode = transactional", "pool_size = 20", "max_client_conn = many"])
def test_a_file_that_the_pooler_refuses(wrong: str) -> None:
    """A wrong value or an invented key keeps PgBouncer from starting, in its own words."""
    program = pooler.pgbouncer()
    assert program is not None
    outcome = program.start(
        lambda place: f"[databases]\n* = host=db\n[pgbouncer]\nunix_socket_dir = {place}\n{wrong}\n"
    )
    assert not outcome.ok and wrong.partition(" ")[0] in outcome.message


def test_without_the_pooler_its_keys_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known keys pass by rule, an unknown one fails, and the evidence says that nothing was started."""
    monkeypatch.setattr(machines, "pgbouncer", lambda: None)
    (verdict,) = pooler_starts(subject("infrastructure"), DAY).verdicts
    assert (verdict.status, verdict.tier) == (Status.PASSED, Tier.RULE) and "not started" in verdict.uncovered
    monkeypatch.setattr(machines, "pgbouncer_settings", lambda *_, **__: (PoolerSetting("pool_size", "20", ""),))
    report = pooler_starts(subject("infrastructure"), DAY)
    assert report.verdicts[0].status is Status.FAILED
    assert [finding.code for finding in report.findings] == ["pool.refused"] and "pool_size" in report.findings[
        0
    ].message


def test_another_tool_has_no_file() -> None:
    """A pool of the application's own gets no verdict from PgBouncer."""
    change: dict[str, Plain] = {"pool/tool": "application", "pool/instances": 12, "pool/pool_size": 10}
    assert pooler_starts(subject("infrastructure", change), DAY) == Report()
