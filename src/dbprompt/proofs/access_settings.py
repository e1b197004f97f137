"""Settings that encryption in transit and the server's log ask for: each name and value is put to the server program.

Poor: `ssl_min_protocol_version = '1.2'`, `log_statement = 'write'`: the server would not start.
Better: `TLSv1.2`, `mod`: taken by the program of the target's major version.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from dbprompt.checks.base_design import error
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer, Outcome
from dbprompt.evidence import Finding, Report, Status, Tier, Verdict
from dbprompt.machines.access_settings import Setting, access_settings
from dbprompt.machines.postgres_settings import slow_statement
from dbprompt.proofs.base import NoStageError, stage
from dbprompt.sections.security import AuditEvent, Security

__all__ = ["access_settings_hold"]

_CHECKER = "postgresql, settings"
_UNCOVERED = "that the real server has these settings, and a certificate for TLS"
_STATUS = {Answer.ACCEPTED: Status.PASSED, Answer.REFUSED: Status.FAILED, Answer.UNDECIDED: Status.INCONCLUSIVE}
_WORST = (Status.FAILED, Status.INCONCLUSIVE, Status.PASSED)


def access_settings_hold(subject: Subject, as_of: date) -> Report:
    """What the server program says to the settings of each item; what the application records, nobody can see here."""
    security = subject.design.security
    if subject.section != "security" or security is None:
        return Report()
    wanted = (*access_settings(security), *_slow(subject, security))
    try:
        with stage(subject, as_of=as_of, sections=()) as ready:
            said = [(one, ready.sandbox.check_setting(one.name, one.value)) for one in wanted if one.name != "ssl"]
            checker, uncovered = ready.label, ready.uncovered
    except NoStageError as stopped:
        return Report(verdicts=tuple(_unseen(security, str(stopped))))
    findings = tuple(_findings(said))
    return Report(findings, (*_verdicts(security, said, checker, uncovered), *_by_application(security)))


def _slow(subject: Subject, security: Security) -> Iterator[Setting]:
    """What counts as slow follows from the brief, and stands with the other settings of the server."""
    where = tuple(
        f"/audit/{at}"
        for at, event in enumerate(security.audit)
        if event.event == "slow_queries" and event.means == "server_log"
    )
    if where:
        name = "log_min_duration_statement"
        yield Setting(name, slow_statement(subject.brief), "statements that took longer are logged", where)


def _findings(said: list[tuple[Setting, Outcome]]) -> Iterator[Finding]:
    for one, outcome in said:
        if outcome.answer is Answer.REFUSED:
            message = f"setting {one.name} = {one.value} is refused: {outcome.message}"
            yield error("obligations.setting_refused", one.where[0], message)


def _verdicts(
    security: Security, said: list[tuple[Setting, Outcome]], checker: str, uncovered: str
) -> Iterator[Verdict]:
    for where, label in _places(security):
        of_item = [(one, outcome) for one, outcome in said if where in one.where]
        if not of_item:
            why = "no setting of the server asks for it"
            yield Verdict(label, where, Status.NOT_CHECKED, Tier.NOTHING, _CHECKER, why)
            continue
        statuses = [_STATUS[outcome.answer] for _, outcome in of_item]
        worst = min(statuses, key=_WORST.index)
        open_ones = [outcome.message for _, outcome in of_item if outcome.answer is Answer.UNDECIDED]
        noted = "; ".join(filter(None, (*open_ones, _UNCOVERED, uncovered)))
        yield Verdict(label, where, worst, Tier.ENGINE, checker, noted)


def _by_application(security: Security) -> Iterator[Verdict]:
    for at, event in enumerate(security.audit):
        if event.means == "application":
            why = "the application records it, out of the database's sight"
            yield Verdict(_label(event), f"/audit/{at}", Status.NOT_CHECKED, Tier.NOTHING, _CHECKER, why)


def _unseen(security: Security, why: str) -> Iterator[Verdict]:
    for where, label in _places(security):
        yield Verdict(label, where, Status.NOT_CHECKED, Tier.NOTHING, _CHECKER, why)


def _places(security: Security) -> Iterator[tuple[str, str]]:
    yield "/in_transit", "encryption in transit"
    for at, event in enumerate(security.audit):
        if event.means in {"server_log", "pgaudit"}:
            yield f"/audit/{at}", _label(event)


def _label(event: AuditEvent) -> str:
    return f"audit of {event.event}"
