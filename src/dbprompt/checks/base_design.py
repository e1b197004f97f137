"""What the design checks share: findings in one line, the artefacts of a section, and a verdict for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version

from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.sections import SectionName
from dbprompt.sections.schema import Schema

__all__ = [
    "ITEMS",
    "Artefact",
    "advice",
    "artefacts",
    "error",
    "item_of",
    "joined",
    "judged",
    "listing",
    "not_checked",
    "rules",
    "tables_with",
    "warning",
]


def error(code: str, where: str, message: str, *, may_drop: bool = False) -> Finding:
    """Wrong for sure, or against the brief: it is sent back for repair."""
    return Finding(code, Severity.ERROR, where, message, may_drop)


def warning(code: str, where: str, message: str) -> Finding:
    """Most likely wrong; a person decides."""
    return Finding(code, Severity.WARNING, where, message)


def advice(code: str, where: str, message: str) -> Finding:
    """Could be better."""
    return Finding(code, Severity.ADVICE, where, message)


def listing(names: Iterable[str], *, most: int = 40) -> str:
    """Names in a row, cut where it would drown the message.

    >>> listing(["id", "email", "name"], most=2)
    'id, email, ... (1 more)'
    """
    given = list(names)
    shown = ", ".join(given[:most]) or "none"
    return f"{shown}, ... ({len(given) - most} more)" if len(given) > most else shown


def tables_with(schema: Schema) -> str:
    """The tables that exist, for a message about one that does not."""
    return f"tables: {listing(table.name for table in schema.tables)}"


@dataclass(frozen=True, slots=True)
class Artefact:
    """Something that gets a verdict: its kind and name as a person would say it, and where it stands."""

    label: str
    where: str


OURS = "dbprompt rules"


def joined(report: Report) -> Report:
    """The same report, with one passed verdict for all rule families that an artefact passed."""
    kept: dict[object, Verdict] = {}
    for verdict in report.verdicts:
        ours = verdict.status is Status.PASSED and verdict.tier is Tier.RULE and verdict.checker.startswith(OURS)
        key = (verdict.where, OURS) if ours else (verdict.where, len(kept), verdict.checker)
        before = kept.get(key)
        kept[key] = verdict if before is None else _with_family(before, verdict)
    return replace(report, verdicts=tuple(kept.values()))


def _with_family(before: Verdict, verdict: Verdict) -> Verdict:
    family = verdict.checker.partition(": ")[2]
    return replace(before, checker=f"{before.checker}, {family}", uncovered="that it runs: rules only read")


ITEMS: Mapping[SectionName, Mapping[str, str]] = {
    "selection": {"decision": "technology decision", "supporting": "store"},
    "schema": {"enums": "enum", "tables": "table"},
    "indexes": {"indexes": "index"},
    "views": {"views": "materialized view"},
    "queries": {"queries": "query"},
    "caching": {"entries": "cache entry"},
    "lifecycle": {"tables": "lifecycle of", "erasures": "erasure in"},
    "security": {
        "roles": "role",
        "policies": "row policy",
        "at_rest": "encryption at rest",
        "in_transit": "encryption in transit",
        "fields": "protection of",
        "audit": "audit of",
        "compliance": "compliance",
    },
    "infrastructure": {
        "tiers": "tier",
        "nodes": "node",
        "failover": "failover",
        "pool": "connection pool",
        "other_costs": "cost",
    },
    "scaling": {"triggers": "scale trigger", "routes": "read route", "sharding": "sharding", "phases": "phase"},
    "backup": {"plans": "backup", "restore_test": "restore test"},
    "upkeep": {"jobs": "job", "sync_triggers": "sync trigger"},
    "monitoring": {"thresholds": "threshold", "alerts": "alert", "tools": "tool for"},
    "migrations": {"tool": "migration files", "changes": "planned change"},
    "runbooks": {"slow_queries": "slow query case", "runbooks": "runbook"},
    "rationale": {
        "type_choices": "type choice",
        "constraint_choices": "constraint choice on",
        "assumptions": "assumption",
        "risks": "risk",
        "open_questions": "question",
    },
}
"""What gets a verdict, by section and field: lists item by item, single parts as a whole; and the word for it."""


def artefacts(subject: Subject) -> tuple[Artefact, ...]:
    """Everything in the section under check that gets a verdict, in its order."""
    section = subject.design.section(subject.section)
    if section is None:
        return ()
    return tuple(
        artefact
        for name, word in ITEMS[subject.section].items()
        for artefact in _artefacts(f"/{name}", word, getattr(section, name))
    )


def _artefacts(where: str, word: str, value: object) -> Iterator[Artefact]:
    if isinstance(value, tuple):
        for at, item in enumerate(value):
            yield Artefact(f"{word} {_name_of(item) or at + 1}", f"{where}/{at}")
    elif value is not None:
        yield Artefact(word, where)


def _name_of(item: object) -> str:
    """What a person would call an item: its name, its id, or what it is about; empty if nothing of it is short."""
    table, column = getattr(item, "table", None), getattr(item, "column", None)
    if table and column:
        return f"{table}.{column}"
    keys = ("name", "id", "engine", "table", "metric", "event", "part", "data", "item")
    found = (getattr(item, key, None) for key in keys)
    return next((str(name) for name in found if name), "")


@cache
def rules(family: str) -> str:
    """The checker's name in a verdict for a rule family of ours."""
    return f"{OURS} {version('dbprompt')}: {family}"


def judged(subject: Subject, findings: Iterable[Finding], *, checker: str, uncovered: str = "") -> Report:
    """Findings, and a verdict of each artefact of the section: failed if an error lies in it, else passed."""
    found = tuple(findings)
    failed = {item_of(finding.where) for finding in found if finding.severity is Severity.ERROR}
    verdicts = tuple(
        Verdict(
            artefact.label,
            artefact.where,
            Status.FAILED if artefact.where in failed else Status.PASSED,
            Tier.RULE,
            checker,
            uncovered,
        )
        for artefact in artefacts(subject)
    )
    return Report(found, verdicts)


def not_checked(subject: Subject, *, checker: str, why: str) -> Report:
    """The report of a check that did not run."""
    verdicts = (
        Verdict(artefact.label, artefact.where, Status.NOT_CHECKED, Tier.NOTHING, checker, why)
        for artefact in artefacts(subject)
    )
    return Report(verdicts=tuple(verdicts))


def item_of(where: str) -> str:
    """The item that a pointer lies in.

    >>> item_of("/tables/3/columns/2"), item_of("/decision/engine")
    ('/tables/3', '/decision')
    """
    parts = where.split("/")[1:]
    whole = 2 if len(parts) > 1 and parts[1].isdigit() else 1
    return "/" + "/".join(parts[:whole])
