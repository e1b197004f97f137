"""What the terminal shows of a result: figures, tables, evidence, what is left, what it cost."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dbprompt.evidence import Evidence, Severity, Status, Tier
from dbprompt.messages import Usage
from dbprompt.render.evidence import TIER_WORDS, EvidenceRow, evidence_rows, evidence_summary, status_words
from dbprompt.render.plans import plan_rows
from dbprompt.result import Result

__all__ = ["print_evidence", "print_result"]

MOST_ROWS = 40
_PROVING = (Tier.ENGINE, Tier.VENDOR, Tier.PARSER, Tier.RULE)
_STYLES = {Status.PASSED: "green", Status.FAILED: "red", Status.INCONCLUSIVE: "yellow", Status.NOT_CHECKED: "yellow"}
_SEVERITIES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.ADVICE: "dim"}


def print_result(screen: Console, result: Result) -> None:
    """The evidence, and what the answers cost."""
    screen.print()
    _print_plans(screen, result.evidence)
    print_evidence(screen, result.evidence)
    _print_usage(screen, result)


def print_evidence(screen: Console, evidence: Evidence) -> None:
    """One row an artefact, or one a section and what is open where there are many; the findings; one sentence."""
    rows = evidence_rows(evidence)
    if len(rows) <= MOST_ROWS:
        _print_rows(screen, rows)
    else:
        _print_sections(screen, rows)
        _print_rows(screen, tuple(row for row in rows if row.status is not Status.PASSED), title="Not proven")
    for finding in sorted(evidence.findings, key=lambda finding: list(Severity).index(finding.severity)):
        style = _SEVERITIES[finding.severity]
        screen.print(f"[{style}]{finding.severity}[/] {finding.code} [dim]{escape(finding.where)}[/]", highlight=False)
        screen.print(f"  {escape(finding.message)}", highlight=False)
    screen.print(evidence_summary(evidence), highlight=False)


def _print_sections(screen: Console, rows: tuple[EvidenceRow, ...]) -> None:
    """How much of each section was proven, and by what."""
    table = Table("section", title="Evidence", title_justify="left")
    heads = ("artefacts", *(TIER_WORDS[tier] for tier in _PROVING), "failed", "open")
    for head in heads:
        table.add_column(head, justify="right")
    sections: dict[str, list[EvidenceRow]] = {}
    for row in rows:
        sections.setdefault(row.where.split("/")[1] if "/" in row.where else "", []).append(row)
    for name, group in sections.items():
        passed = Counter(row.tier for row in group if row.status is Status.PASSED)
        failed = sum(row.status is Status.FAILED for row in group)
        rest = len(group) - sum(passed.values()) - failed
        figures = (len(group), *(passed[tier] for tier in _PROVING), failed, rest)
        table.add_row(name, *(f"{figure:,}" if figure else "" for figure in figures))
    screen.print(table)


def _print_rows(screen: Console, rows: tuple[EvidenceRow, ...], *, title: str = "Evidence") -> None:
    table = Table("artefact", "verdict", "by", "what that does not say", title=title, title_justify="left")
    for row in rows:
        table.add_row(
            escape(row.artefact),
            f"[{_STYLES[row.status]}]{status_words(row)}[/]",
            escape(_checkers(row)),
            escape("; ".join(row.uncovered)),
        )
    if rows:
        screen.print(table)


def _print_plans(screen: Console, evidence: Evidence) -> None:
    rows = plan_rows(evidence.exhibits)
    table = Table("query", "volume", "served by", title="Plans", title_justify="left")
    table.add_column("cost", justify="right")
    table.add_column("without it", justify="right")
    for row in rows:
        table.add_row(*map(escape, (row.query, row.volume, row.served, row.cost, row.without)))
    if rows:
        screen.print(table)


def _checkers(row: EvidenceRow) -> str:
    more = f" +{len(row.also)}" if row.also else ""
    return f"{row.checker}{more}"


def _print_usage(screen: Console, result: Result) -> None:
    columns = ("section", "turn", "input tokens", "cached", "output tokens", "USD")
    table = Table(*columns, title="Cost", title_justify="left")
    for turn in result.usage_by_turn:
        table.add_row(turn.section, turn.kind, *_figures(turn.usage))
    table.add_section()
    table.add_row("all", f"{result.usage.requests} requests", *_figures(result.usage))
    screen.print(table)
    for turn in result.usage_by_turn:
        if turn.instead_of:
            told = f"{turn.section}: answered by {turn.model}, because {'; '.join(turn.instead_of)}"
            screen.print(escape(told))


def _figures(usage: Usage) -> tuple[str, ...]:
    return *usage.token_texts, usage.cost_text
