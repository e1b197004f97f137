"""Evidence as rows that a person reads: one an artefact, with the verdict that decides and what it does not say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dbprompt.evidence import Evidence, Finding, Severity, Status, Tier, Verdict
from dbprompt.render.markdown import cell, code, count, table

__all__ = [
    "TIER_WORDS",
    "EvidenceRow",
    "evidence_markdown",
    "evidence_rows",
    "evidence_summary",
    "findings_markdown",
    "status_words",
]

TIER_WORDS = {
    Tier.ENGINE: "engine",
    Tier.VENDOR: "vendor's analyser",
    Tier.PARSER: "parser",
    Tier.RULE: "rule",
    Tier.NOTHING: "nothing",
}
_RANK = {tier: rank for rank, tier in enumerate(reversed(list(TIER_WORDS)))}
_ORDER = (Status.FAILED, Status.PASSED, Status.INCONCLUSIVE, Status.NOT_CHECKED)


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One artefact.

    Args:
        artefact: its kind and name, `table orders`.
        where: JSON pointer into the design.
        status: failed if anything failed, else passed if anything passed, else what is left.
        tier: how much the deciding verdict is worth.
        checker: who said so.
        also: the other checkers that passed it.
        uncovered: what nobody says about it.
        findings: errors, warnings and advice that point at it or into it.
    """

    artefact: str
    where: str
    status: Status
    tier: Tier
    checker: str
    also: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def evidence_rows(evidence: Evidence) -> tuple[EvidenceRow, ...]:
    """A row for each artefact, in the order in which they were first seen."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in evidence.verdicts:
        section = verdict.where.split("/")[1] if "/" in verdict.where else ""
        groups.setdefault((section, verdict.artefact), []).append(verdict)
    return tuple(_row(verdicts, evidence) for verdicts in groups.values())


def _row(verdicts: list[Verdict], evidence: Evidence) -> EvidenceRow:
    best = min(verdicts, key=lambda verdict: (_ORDER.index(verdict.status), -_RANK[verdict.tier]))
    where = min((verdict.where for verdict in verdicts), key=len)
    others = (verdict.checker for verdict in verdicts if verdict.status is Status.PASSED and verdict is not best)
    open_points = [best.uncovered] + [
        f"{verdict.checker}: {verdict.uncovered or 'could not decide'}"
        for verdict in verdicts
        if verdict is not best and verdict.status in (Status.INCONCLUSIVE, Status.NOT_CHECKED)
    ]
    return EvidenceRow(
        artefact=best.artefact,
        where=where,
        status=best.status,
        tier=best.tier,
        checker=best.checker,
        also=tuple(checker for checker in dict.fromkeys(others) if checker != best.checker),
        uncovered=tuple(dict.fromkeys(point for point in open_points if point)),
        findings=tuple(f for f in evidence.findings if where and (f.where + "/").startswith(where + "/")),
    )


def status_words(row: EvidenceRow) -> str:
    """The status as a person says it: `passed on an engine`, `failed`, `not checked`."""
    match row.status:
        case Status.PASSED:
            return f"passed ({TIER_WORDS[row.tier]})"
        case Status.FAILED:
            return "failed"
        case Status.INCONCLUSIVE:
            return "undecided"
        case Status.NOT_CHECKED:
            return "not checked"


def evidence_summary(evidence: Evidence) -> str:
    """One sentence: how many artefacts were proven by what, how many failed, how many nobody looked at."""
    rows = evidence_rows(evidence)
    if not rows:
        return "Nothing was checked."
    worst_last = sorted(rows, key=lambda row: (row.status is not Status.PASSED, -_RANK[row.tier]))
    parts = [f"{number:,} {what}" for what, number in Counter(map(_what, worst_last)).items()]
    findings = Counter(finding.severity for finding in evidence.findings)
    left = [count(findings[s], str(s)) for s in (Severity.ERROR, Severity.WARNING) if findings[s]]
    ignored = Counter(finding.code for finding in evidence.ignored)
    unheard = [f"{number:,} {code}" for code, number in ignored.items()]
    return (
        f"{count(len(rows), 'artefact')}: {', '.join(parts)}."
        + (f" Left: {', '.join(left)}." if left else "")
        + (f" Ignored by the settings: {', '.join(unheard)}." if unheard else "")
    )


def _what(row: EvidenceRow) -> str:
    if row.status is Status.PASSED:
        return {Tier.ENGINE: "proven on an engine", Tier.RULE: "passed by rules only"}.get(
            row.tier, f"passed by a {TIER_WORDS[row.tier]}"
        )
    return status_words(row)


def evidence_markdown(evidence: Evidence) -> str:
    """The rows as a table."""
    rows = (
        (
            cell(row.artefact),
            f"**{status_words(row)}**" if row.status is Status.FAILED else status_words(row),
            cell(", ".join((row.checker, *row.also))),
            cell("; ".join(row.uncovered)),
        )
        for row in evidence_rows(evidence)
    )
    return table(("What", "Verdict", "By", "What that does not say"), rows)


def findings_markdown(evidence: Evidence) -> str:
    """The findings that are left, worst first; empty if there are none."""
    order = list(Severity)
    left = sorted(evidence.findings, key=lambda finding: order.index(finding.severity))
    if not left:
        return ""
    rows = ((str(finding.severity), cell(finding.message), code(finding.code), code(finding.where)) for finding in left)
    return table(("Severity", "Finding", "Rule", "Where"), rows)
