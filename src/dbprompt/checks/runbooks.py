"""Whoever is called finds a page that fits the design, and every page is one that somebody opens.

Poor: an alert that names `disk_full` where the runbook is `disk_filling`; a restore by Barman of backups that
pgBackRest made; `SELECT pg_promote()` where a managed service promotes by itself, and two primaries after that.
Better: one runbook for each alert and each event, in the words and with the tools of this design, and after each
critical step a sentence on how to see that it worked.

Monitoring and backup are asked for before; what they do not agree on is told here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.base_matching import is_misshapen
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.machines.recovery import WHOLE, gap_h
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.monitoring import Metric
from dbprompt.sections.runbooks import Runbook, Runbooks

__all__ = ["runbooks"]

_RESTORE_TOOLS = {
    "pgbackrest": r"pg_?backrest", "wal_g": r"\bwal[-_]?g\b", "barman": r"\bbarman", "pg_basebackup": r"pg_basebackup",
    "pg_dump": r"pg_dump|pg_restore|restore\.sh|logical dump",
    "managed_service": r"managed|provider|console|point in time",
}  # fmt: skip
_FAILOVER_TOOLS = {"patroni": r"patroni", "repmgr": r"\brepmgr", "pg_auto_failover": r"pg_auto_?failover|pg_autoctl"}
_BY_HAND = re.compile(r"pg_promote|pg_ctl\s+promote|promote_trigger|standby\.signal", re.IGNORECASE)


def runbooks(subject: Subject) -> Report:
    """The section `runbooks`."""
    section = subject.design.runbooks
    if subject.section != "runbooks" or section is None:
        return Report()
    design = subject.design
    findings = [*_names(section), *_kinds(section, subject), *_alerts(section, subject), *_steps(section)]
    findings += [*_restore(section, design), *_failover(section, design), *_backup_age(design)]
    uncovered = "that the steps lead where they should: walk through them once"
    return judged(subject, findings, checker=rules("runbooks"), uncovered=uncovered)


def _names(section: Runbooks) -> Iterator[Finding]:
    names = [runbook.name for runbook in section.runbooks]
    for at, name in enumerate(names):
        if name in names[:at]:
            yield error("runbooks.duplicate", f"/runbooks/{at}", f"two runbooks are named {name}; rename one")
    if not section.slow_queries:
        message = "there is no case of a slow query; add three or more to slow_queries: what is seen, why, what helps"
        yield error("runbooks.no_cases", "/slow_queries", message)


def _kinds(section: Runbooks, subject: Subject) -> Iterator[Finding]:
    """A runbook for each kind of event that this design can have."""
    if subject.misshapen:
        return
    machines = subject.design.infrastructure
    standby = machines is not None and any(node.role.endswith("standby") for node in machines.nodes)
    wanted = {"incident": "alerts call people", "restore": "there are backups", "migration": "the schema will change"}
    wanted |= {"failover": "there is a standby"} if standby else {}
    there = {runbook.kind for runbook in section.runbooks}
    for kind, why in wanted.items():
        if kind not in there:
            yield error("runbooks.kind_missing", "/runbooks", f"no runbook of kind {kind}, and {why}; add one")


def _alerts(section: Runbooks, subject: Subject) -> Iterator[Finding]:
    monitoring = subject.design.monitoring
    if monitoring is None:
        return
    names = {runbook.name for runbook in section.runbooks}
    named: dict[str, list[str]] = {}
    for at, alert in enumerate(monitoring.alerts):
        if alert.runbook is not None:
            named.setdefault(alert.runbook, []).append(f"{alert.name} (/monitoring/alerts/{at})")
    for name, alerts in named.items():
        if name not in names and not is_misshapen(subject, name):
            message = f"alert {listing(alerts, most=3)} opens runbook {name}, which is not there; add a runbook {name}"
            yield error("runbooks.missing", "/runbooks", message)
    for at, runbook in enumerate(section.runbooks):
        if runbook.kind == "incident" and runbook.name not in named:
            message = f"no alert opens {runbook.name}, and an incident is nothing that is planned; name it in an alert"
            yield warning("runbooks.unreachable", f"/runbooks/{at}", message)


def _steps(section: Runbooks) -> Iterator[Finding]:
    for at, runbook in enumerate(section.runbooks):
        if not any(step.expect for step in runbook.steps):
            message = f"no step of {runbook.name} says in expect how to see that it worked; say it, at the end at least"
            yield warning("runbooks.nothing_expected", f"/runbooks/{at}", message)


def _restore(section: Runbooks, design: DatabaseDesign) -> Iterator[Finding]:
    if design.backup is None:
        return
    used = {plan.tool for plan in design.backup.plans}
    for at, runbook in enumerate(section.runbooks):
        if runbook.kind != "restore":
            continue
        words = _words(runbook)
        named = {tool for tool, pattern in _RESTORE_TOOLS.items() if re.search(pattern, words, re.IGNORECASE)}
        if strangers := sorted(named - used - {"pg_dump", "managed_service"}):
            message = (
                f"{runbook.name} restores by {listing(strangers)}, and the backups are made by {listing(sorted(used))} "
                "(/backup/plans); write the steps for these"
            )
            yield error("runbooks.other_tool", f"/runbooks/{at}", message)
        elif not named & used:
            message = f"{runbook.name} names none of the tools that made the backups: {listing(sorted(used))}; name it"
            yield warning("runbooks.no_tool", f"/runbooks/{at}", message)


def _failover(section: Runbooks, design: DatabaseDesign) -> Iterator[Finding]:
    machines = design.infrastructure
    if machines is None:
        return
    standbys = [node.name for node in machines.nodes if node.role.endswith("standby")]
    by = machines.failover.by if machines.failover else "by_hand"
    for at, runbook in enumerate(section.runbooks):
        if runbook.kind != "failover":
            continue
        where, words = f"/runbooks/{at}", _words(runbook)
        strangers = [
            tool for tool, pattern in _FAILOVER_TOOLS.items() if tool != by and re.search(pattern, words, re.I)
        ]
        if strangers:
            message = f"{runbook.name} uses {listing(strangers)}, and failover is by {by} (/infrastructure/failover)"
            yield error("runbooks.other_tool", where, f"{message}; write the steps for {by}")
        if by != "by_hand" and (found := _BY_HAND.search(words)):
            message = (
                f"{runbook.name} promotes by hand ({found.group()}), and {by} promotes by itself "
                "(/infrastructure/failover): together they make two primaries; let the step check what it did"
            )
            yield error("runbooks.two_primaries", where, message)
        if not standbys:
            message = f"{runbook.name} is there, and no standby (/infrastructure/nodes); write how to restore instead"
            yield error("runbooks.no_standby", where, message)
        elif not any(re.search(rf"\b{re.escape(name)}\b", words) for name in standbys):
            message = f"{runbook.name} names no standby; say which takes over: {listing(standbys)}"
            yield warning("runbooks.no_standby", where, message)


def _words(runbook: Runbook) -> str:
    return " ".join(f"{step.action} {step.sql or ''} {step.expect}" for step in runbook.steps)


def _backup_age(design: DatabaseDesign) -> Iterator[Finding]:
    """The age of backups that is alarming has to be more than the time between two of them."""
    if design.backup is None or design.monitoring is None:
        return
    gaps = [gap for plan in design.backup.plans if plan.method in WHOLE and (gap := gap_h(plan.schedule)) is not None]
    for at, one in enumerate(design.monitoring.thresholds):
        if one.metric is Metric.BACKUP_AGE_H and gaps and one.critical <= min(gaps):
            message = (
                f"backup_age_h is critical above {one.critical:g} h, and the most frequent whole backup comes every "
                f"{min(gaps):g} h (/backup/plans): it would fire with every backup in order; raise it, or back up more"
            )
            yield warning("runbooks.backup_age", f"/../monitoring/thresholds/{at}", message)
