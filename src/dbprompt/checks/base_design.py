"""What the design checks share: findings in one line, the artefacts of a section, and a verdict for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version

from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.sections.schema import Schema

__all__ = [
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


def artefacts(subject: Subject) -> tuple[Artefact, ...]:
    """Everything in the section under check that gets a verdict, in its order."""
    design = subject.design
    if subject.section == "selection" and design.selection:
        stores = enumerate(design.selection.supporting)
        return (
            Artefact("technology decision", "/decision"),
            *(Artefact(f"store {store.engine}", f"/supporting/{at}") for at, store in stores),
        )
    if subject.section == "schema" and design.schema:
        enums = _of("enum", "/enums", [enum.name for enum in design.schema.enums])
        return enums + _of("table", "/tables", [table.name for table in design.schema.tables])
    if subject.section == "indexes" and design.indexes:
        return _of("index", "/indexes", [index.name for index in design.indexes.indexes])
    if subject.section == "queries" and design.queries:
        return _of("query", "/queries", [query.id for query in design.queries.queries])
    return ()


def _of(kind: str, where: str, names: Sequence[str]) -> tuple[Artefact, ...]:
    return tuple(Artefact(f"{kind} {name}", f"{where}/{at}") for at, name in enumerate(names))


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
