"""The server's settings on PostgreSQL itself, and the pooler's on PgBouncer.

Poor: `shared_buffers = 25% of RAM`, `checkpoint_segments = 32`, `pool_mode = transactional`: files that look right.
Better: each key and value is given to the program of the target's major version, which takes it or does not.

Nothing is applied, and a machine here is smaller than the design's: that the memory is there is arithmetic, not proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from dbprompt.checks.base_design import error, rules
from dbprompt.checks.engine import target_engine, target_major
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.engines.postgres.pooler import PgBouncer, pgbouncer
from dbprompt.engines.postgres.settings_file import read_settings
from dbprompt.errors import EngineUnavailableError, MissingExtraError
from dbprompt.evidence import Exhibit, Finding, Report, Status, Tier, Verdict
from dbprompt.machines.postgres_settings import ServerSetting, postgres_settings
from dbprompt.render.pgbouncer import KNOWN, PLACES, SINCE, PoolerSetting, pgbouncer_ini, pgbouncer_settings, userlist
from dbprompt.render.postgres.settings import settings_conf
from dbprompt.sections.infrastructure import Infrastructure

__all__ = ["archive_settings", "pooler_starts", "server_settings"]

_FAMILY = {"postgresql", "timescaledb"}


def server_settings(subject: Subject, as_of: date) -> Report:
    """Each computed setting on the engine of the target major: a verdict at the primary."""
    section = subject.design.infrastructure
    if section is None or section.primary is None or target_engine(subject) not in _FAMILY:
        return Report()
    settings = postgres_settings(subject.design, major=target_major(subject.brief), brief=subject.brief)
    where = f"/nodes/{section.nodes.index(section.primary)}"
    each = _on_engine(subject, settings, where, f"server settings of {section.primary.name}")
    return each + _file_read(subject, settings, where)


def archive_settings(subject: Subject, as_of: date) -> Report:
    """The settings that archiving the log adds, once backups are decided: a verdict at the backup that asks for it."""
    backup, section = subject.design.backup, subject.design.infrastructure
    at = next((at for at, plan in enumerate(backup.plans) if plan.method == "wal_archive"), None) if backup else None
    if section is None or at is None or target_engine(subject) not in _FAMILY:
        return Report()
    settings = postgres_settings(subject.design, major=target_major(subject.brief), brief=subject.brief)
    archiving = tuple(one for one in settings if one.name.startswith("archive_") or one.name == "wal_level")
    return _on_engine(subject, archiving, f"/plans/{at}", "server settings for archiving the log")


def _on_engine(subject: Subject, settings: tuple[ServerSetting, ...], where: str, artefact: str) -> Report:
    """A verdict for the settings that passed, one for those refused, and one for each that could not be decided."""
    major = target_major(subject.brief)
    try:
        engine = PostgresEngine.of(major)
    except (EngineUnavailableError, MissingExtraError) as missing:
        unseen = Verdict(artefact, where, Status.NOT_CHECKED, Tier.NOTHING, "postgresql", str(missing))
        return Report(verdicts=(unseen,))
    outcomes = [*_outcomes(engine, settings, major)]
    label = f"postgresql {engine.version}"
    here = engine.installation.major
    other = "" if here == major else f"on {here} instead of {major}"
    verdicts = _of_settings(artefact, where, label, outcomes, other)
    refused = [_refused(setting, outcome, where) for setting, outcome in outcomes if outcome.answer is Answer.REFUSED]
    return Report(tuple(refused), tuple(verdicts), (_exhibit(where, label, outcomes),))


def _outcomes(
    engine: PostgresEngine, settings: tuple[ServerSetting, ...], major: int
) -> Iterator[tuple[ServerSetting, Outcome]]:
    """What the program says to each setting.

    A file that it reads without complaint needs no second question: it knows each name and took each value. Otherwise
    each is asked alone. So are those of modules, and of what a build may lack.
    """
    together = [one for one in settings if "." not in one.name and not one.name.startswith("ssl")]
    plain = tuple(replace(one, by_service=False) for one in together)
    taken = read_settings(engine.installation, settings_conf(plain, version=major))
    with engine.sandbox() as sandbox:
        for setting in settings:
            if taken.ok and setting in together:
                yield setting, taken
            else:
                yield setting, _asked(sandbox.check_setting(setting.name, setting.value))


def _file_read(subject: Subject, settings: tuple[ServerSetting, ...], where: str) -> Report:
    """The file as it is written, read by the server program."""
    major = target_major(subject.brief)
    try:
        installation = PostgresEngine.of(major).installation
    except (EngineUnavailableError, MissingExtraError):
        return Report()  # said at each setting already
    label = f"postgresql {installation.version}"
    outcome = read_settings(installation, settings_conf(settings, version=major))
    status = {Answer.ACCEPTED: Status.PASSED, Answer.REFUSED: Status.FAILED}.get(outcome.answer, Status.INCONCLUSIVE)
    limits = "read by the program, not started with; a module's settings are believed"
    told = "; ".join(filter(None, (outcome.message, limits)))
    return Report(verdicts=(Verdict("postgresql.conf", where, status, Tier.ENGINE, label, told),))


def _asked(outcome: Outcome) -> Outcome:
    """What a build here lacks says nothing about the setting."""
    lacks = outcome.answer is Answer.REFUSED and "by this build" in outcome.message
    return replace(outcome, answer=Answer.UNDECIDED) if lacks else outcome


def _of_settings(
    artefact: str, where: str, label: str, outcomes: list[tuple[ServerSetting, Outcome]], other: str
) -> Iterator[Verdict]:
    limits = "compared with the server program, not applied: whether the machine has the memory is arithmetic"
    uncovered = "; ".join(filter(None, (limits, other)))
    for answer, status in ((Answer.REFUSED, Status.FAILED), (Answer.ACCEPTED, Status.PASSED)):
        count = sum(outcome.answer is answer for _, outcome in outcomes)
        if count:
            yield Verdict(f"{artefact} ({count} of {len(outcomes)})", where, status, Tier.ENGINE, label, uncovered)
    for setting, outcome in outcomes:
        if outcome.answer is Answer.UNDECIDED:
            name = f"setting {setting.name}"
            yield Verdict(name, where, Status.INCONCLUSIVE, Tier.ENGINE, label, outcome.message)


def _refused(setting: ServerSetting, outcome: Outcome, where: str) -> Finding:
    message = (
        f"{setting.name} = {setting.value} ({setting.why}) is refused: {outcome.message}; the value is computed from "
        "the tier and the pool: take sizes that a server can have"
    )
    return error("infrastructure.setting_refused", where, message)


def _exhibit(where: str, label: str, outcomes: list[tuple[ServerSetting, Outcome]]) -> Exhibit:
    lines = [f"{setting.name} = {setting.value}: {outcome.answer}" for setting, outcome in outcomes]
    return Exhibit(where, f"{len(outcomes)} server settings on {label}", "\n".join(lines))


def pooler_starts(subject: Subject, as_of: date) -> Report:
    """PgBouncer starts with its file; without the program, its keys are looked up in its documentation."""
    section = subject.design.infrastructure
    if section is None or section.primary is None:
        return Report()
    settings = pgbouncer_settings(section, brief=subject.brief, security=subject.design.security)
    if not settings:
        return Report()
    program = pgbouncer()
    if program is None:
        return _looked_up(settings)
    newer = [one.key for one in settings if SINCE.get(one.key, (0,)) > program.version]
    kept = tuple(one for one in settings if one.key not in newer)
    outcome = program.start(lambda place: _ini(kept, section, place), users=userlist(subject.design.security))
    return _started(program, outcome, newer)


def _ini(settings: tuple[PoolerSetting, ...], section: Infrastructure, directory: Path) -> str:
    """The file with places in a directory of the trial: no port is opened, and no certificate is read."""
    moved = {"listen_addr": "", "unix_socket_dir": str(directory), "auth_file": str(directory / "userlist.txt")}
    tried = [
        replace(one, value=moved.get(one.key, one.value))
        for one in settings
        if one.key in moved or (one.key not in PLACES and not one.key.endswith("_tls_sslmode"))
    ]
    return pgbouncer_ini(tuple(tried), section)


def _started(program: PgBouncer, outcome: Outcome, newer: list[str]) -> Report:
    untried = [*sorted(PLACES), "TLS", *(f"{key}, which is newer than {program.label}" for key in newer)]
    uncovered = f"not tried here: {', '.join(untried)}; no server stood behind it"
    status = {Answer.ACCEPTED: Status.PASSED, Answer.REFUSED: Status.FAILED}.get(outcome.answer, Status.INCONCLUSIVE)
    verdict = Verdict("pgbouncer.ini", "/pool", status, Tier.ENGINE, program.label, uncovered)
    if outcome.answer is not Answer.REFUSED:
        return Report(
            verdicts=(replace(verdict, uncovered=f"{outcome.message}; {uncovered}" if outcome.message else uncovered),)
        )
    message = f"PgBouncer does not start with these sizes: {outcome.message}"
    return Report((error("pool.refused", "/pool", message),), (verdict,))


def _looked_up(settings: tuple[PoolerSetting, ...]) -> Report:
    """Keys against the documentation: all that can be said without the program."""
    unknown = [one.key for one in settings if one.key not in KNOWN]
    findings = [error("pool.refused", "/pool", f"PgBouncer has no setting {key}") for key in unknown]
    why = "the keys are known; PgBouncer is not on this machine, so it was not started with them"
    passed = Status.FAILED if unknown else Status.PASSED
    return Report(tuple(findings), (Verdict("pgbouncer.ini", "/pool", passed, Tier.RULE, rules("pool keys"), why),))
