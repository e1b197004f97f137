"""A result as an HTML fragment for notebooks: short, self-contained, readable on light and dark."""

from __future__ import annotations

from html import escape

from dbprompt.evidence import Evidence, Severity, Status
from dbprompt.render.evidence import EvidenceRow, evidence_rows, evidence_summary, status_words
from dbprompt.sections import SECTIONS, DatabaseDesign

__all__ = ["result_html"]

MOST_ROWS = 60

# Mid tones that can be told apart on white and on black alike; the word stands beside the colour in any case.
_COLOURS = {
    Status.PASSED: "#2e9e5b",
    Status.FAILED: "#d9534f",
    Status.INCONCLUSIVE: "#c98a1b",
    Status.NOT_CHECKED: "#8a8f98",
}
_EDGE = "border-bottom:1px solid rgba(128,128,128,.3);padding:.25em .9em .25em 0;text-align:left;vertical-align:top"


def result_html(design: DatabaseDesign, evidence: Evidence, *, title: str, cost: str) -> str:
    """The fragment: title, one sentence of evidence, errors if any, a row for each artefact, and what it cost."""
    have = [name for name in SECTIONS if design.section(name) is not None]
    errors = [finding for finding in evidence.findings if finding.severity is Severity.ERROR]
    rows = evidence_rows(evidence)
    more = f"<p>and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    wrong = "".join(f"<li><code>{escape(f.where)}</code> {escape(f.message)}</li>" for f in errors[:MOST_ROWS])
    return (
        '<div style="color:inherit;background:transparent;line-height:1.4;max-width:70em">'
        f"<p><strong>{escape(title)}</strong> · {escape(', '.join(have) or 'no section')}</p>"
        f"<p>{escape(evidence_summary(evidence))}</p>"
        + (f"<ul>{wrong}</ul>" if wrong else "")
        + (f"<details><summary>Evidence</summary>{_table(rows[:MOST_ROWS])}{more}</details>" if rows else "")
        + f"<p><small>{escape(cost)}</small></p></div>"
    )


def _table(rows: tuple[EvidenceRow, ...]) -> str:
    heads = "".join(f'<th style="{_EDGE}">{head}</th>' for head in ("What", "Verdict", "By", "What that does not say"))
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    return (
        f'<table style="border-collapse:collapse;color:inherit"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _row(row: EvidenceRow) -> str:
    dot = f'<span style="color:{_COLOURS[row.status]}">●</span>'
    cells = (
        escape(row.artefact),
        f"{dot} {escape(status_words(row))}",
        escape(", ".join((row.checker, *row.also))),
        escape("; ".join(row.uncovered)),
    )
    return "".join(f'<td style="{_EDGE}">{content}</td>' for content in cells)
