"""README.md of a result: the design as a document, from the decision down to what nobody checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbprompt.brief import Brief
from dbprompt.evidence import Evidence, Severity, Status
from dbprompt.messages import TurnUsage, Usage
from dbprompt.render.background import Background
from dbprompt.render.capacity import capacity_markdown
from dbprompt.render.chapters import CHAPTERS
from dbprompt.render.evidence import evidence_markdown, evidence_rows, evidence_summary, findings_markdown
from dbprompt.render.markdown import cell, code, count, fenced, table, text
from dbprompt.render.mermaid import er_diagram
from dbprompt.render.plans import plan_markdown
from dbprompt.render.postgres import type_name
from dbprompt.render.selection import selection_markdown
from dbprompt.sections import DatabaseDesign, SectionName
from dbprompt.sections.queries import Query

__all__ = ["made_markdown", "report_markdown", "report_parts"]


def report_parts(
    design: DatabaseDesign, evidence: Evidence, about: Background
) -> tuple[tuple[SectionName, tuple[str, ...]], ...]:
    """The report as Markdown paragraphs, part by part, each with the section that it is about; empty for the rest."""
    parts = (
        ("", _asked(about)),
        ("selection", _decision(design)),
        ("", _volumes(about)),
        ("schema", _tables(design)),
        ("indexes", _indexes(design)),
        ("queries", _queries(design, about.brief)),
        ("queries", _plans(evidence)),
        *((name, chapter(design, about)) for name, chapter in CHAPTERS.items()),
    )
    return tuple((name, found) for name, part in parts if (found := tuple(each for each in part if each)))


def report_markdown(design: DatabaseDesign, evidence: Evidence, about: Background) -> str:
    """The whole report."""
    parts = [
        *_opening(evidence, about),
        *(each for _, part in report_parts(design, evidence, about) for each in part),
        *_evidence(evidence),
        *made_markdown(about),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(evidence: Evidence, about: Background) -> Iterator[str]:
    yield f"# {text(about.brief.app_name) if about.brief else 'Database'}: database design"
    errors = [finding for finding in evidence.findings if finding.severity is Severity.ERROR]
    if errors:
        number = count(len(errors), "error is", "errors are")
        yield f"> **Not finished: {number} left**, listed under [Findings](#findings). Do not build on it as it stands."
    yield evidence_summary(evidence)
    yield (
        "Files: [schema.sql](schema/schema.sql), [queries.sql](queries/queries.sql), "
        "[dictionary.md](schema/dictionary.md), [erd.mmd](schema/erd.mmd), [design.json](design.json), "
        "[evidence.json](evidence.json)."
    )


def _asked(about: Background) -> Iterator[str]:
    brief = about.brief
    if brief is None:
        return
    yield "## What was asked"
    yield text(brief.description)
    load = brief.workload
    peaks = f"{load.reads_per_s_peak:,g} reads/s and {load.writes_per_s_peak:,g} writes/s at peak"
    promised = brief.availability
    facts = [
        ("Workload", f"{load.pattern.replace('_', ' ')}, {load.read_write_ratio}, {peaks}"),
        ("Users at once", f"{load.concurrent_users:,}"),
        ("95 of 100 answers within", f"{load.p95_read_ms:g} ms reading, {load.p95_write_ms:g} ms writing"),
        (
            "Availability",
            f"{promised.uptime_pct:g} %, RPO {promised.rpo_s:g} s, RTO {promised.rto_s:g} s",
        ),
        ("Deployment", text(brief.constraints.deployment)),
        ("Compliance", text(", ".join(brief.compliance.regimes))),
        ("Notes", text("; ".join(brief.constraints.notes))),
    ]
    yield "\n".join(f"- **{name}:** {value}" for name, value in facts if value)


def _decision(design: DatabaseDesign) -> Iterator[str]:
    if design.selection is not None:
        yield "## Decision"
        yield from selection_markdown(design.selection)


def _volumes(about: Background) -> Iterator[str]:
    if about.capacity is not None:
        yield "## Volumes"
        yield from capacity_markdown(about.capacity)


def _tables(design: DatabaseDesign) -> Iterator[str]:
    schema = design.schema
    if schema is None:
        return
    yield "## Tables"
    yield f"{schema.normal_form}. Every column is in the [data dictionary](schema/dictionary.md)."
    yield fenced(er_diagram(design), "mermaid")
    rows = []
    for item in schema.tables:
        split = item.partitioning
        grain = f" each {split.granularity}" if split and split.granularity else ""
        parted = f"by {split.strategy} of {code(split.column)}{grain}" if split else ""
        rows.append((code(item.name), cell(item.comment), code(", ".join(item.primary_key)), parted))
    yield table(("Table", "Holds", "Key", "Partitions"), rows)
    if schema.denormalized:
        yield "### Stored copies"
        yield table(
            ("Column", "Copy of", "Why", "Kept in step by"),
            (
                (
                    code(f"{copy.table}.{copy.column}"),
                    cell(copy.source),
                    cell(copy.reason),
                    copy.sync.replace("_", " ") + (f": {cell(copy.detail)}" if copy.detail else ""),
                )
                for copy in schema.denormalized
            ),
        )


def _indexes(design: DatabaseDesign) -> Iterator[str]:
    if design.indexes is None:
        return
    yield "## Indexes"
    yield "Beside those that keys and unique constraints bring along."
    rows = []
    for index in design.indexes.indexes:
        keys = ", ".join((key.column or key.expression or "") + (" desc" * (key.order == "desc")) for key in index.keys)
        extra = ["unique"] * index.unique + [str(index.method)] * (index.method != "btree")
        extra += [f"includes {', '.join(index.include)}"] if index.include else []
        on = f"{code(f'{index.table} ({keys})')}" + (f" where {code(index.where)}" if index.where else "")
        rows.append(
            (
                code(index.name),
                on + (f", {', '.join(extra)}" if extra else ""),
                cell(index.purpose),
                ", ".join(map(code, index.serves)),
            )
        )
    yield table(("Index", "On", "For", "Queries"), rows)


def _queries(design: DatabaseDesign, brief: Brief | None) -> Iterator[str]:
    if design.queries is None:
        return
    yield "## Queries"
    for query in design.queries.queries:
        yield f"### {code(query.id)}"
        yield from _query(query, brief)


def _query(query: Query, brief: Brief | None) -> Iterator[str]:
    need = brief.query(query.id) if brief else None
    if need is not None:
        rate = f"{need.per_s:,g} a second" if need.per_s is not None else ""
        rate = rate or (f"{need.per_day:,g} a day" if need.per_day is not None else "")
        target = f"within {need.p95_ms:g} ms" if need.p95_ms is not None else ""
        asked = ", ".join(part for part in (rate, target) if part)
        yield f"{text(need.text)}{'' if need.text.endswith('.') else '.'}" + (f" ({asked})" if asked else "")
    given = [code(f"${at} {p.name} {type_name(p)}") for at, p in enumerate(query.parameters, start=1)]
    facts = [f"Parameters: {', '.join(given)}." if given else ""]
    facts += [f"Index: {code(query.uses_index)}." if query.uses_index else ""]
    facts += [f"Pages: {query.pagination}." if query.pagination != "none" else ""]
    yield " ".join(fact for fact in facts if fact)
    yield fenced(query.sql, "sql")
    if query.next_page_sql is not None:
        yield "Later pages:"
        yield fenced(query.next_page_sql, "sql")


def _plans(evidence: Evidence) -> Iterator[str]:
    parts = tuple(plan_markdown(evidence.exhibits))
    if parts:
        yield "## Plans"
        yield (
            "What PostgreSQL's planner does at the brief's volumes, told by statistics; nothing was loaded. A cost "
            "compares plans of one query, with an index and without it. It is no time."
        )
        yield from parts


def _evidence(evidence: Evidence) -> Iterator[str]:
    findings = findings_markdown(evidence)
    yield "## Findings"
    yield findings or "None are left."
    yield "## Evidence"
    yield (
        "Engine: a real server ran it. Vendor's analyser and parser: it reads as this language. Rule: a rule of "
        "dbprompt's looked at it. Where nobody looked, that is said too."
    )
    yield evidence_markdown(evidence) if evidence.verdicts else "Nothing was checked."
    open_ones = [row for row in evidence_rows(evidence) if row.status in (Status.INCONCLUSIVE, Status.NOT_CHECKED)]
    if open_ones:
        yield "### Not proven"
        yield "\n".join(
            f"- {text(row.artefact)}: {text('; '.join(row.uncovered)) or 'no reason given'}" for row in open_ones
        )


def made_markdown(about: Background) -> Iterator[str]:
    """Where the answers come from, and what they cost."""
    yield "## How this was made"
    prompt = f" with {code(about.prompt)}" if about.prompt else ""
    yield f"Answers: {text(about.provenance) or 'unknown'}{prompt}."
    yield "Every text in this folder is written by dbprompt from design.json."
    yield f"For PostgreSQL {about.version}; partitions are counted from {about.as_of.isoformat()}."
    if about.usage_by_turn:
        rows = [_turn(turn.section, turn.kind, turn.usage) for turn in about.usage_by_turn]
        total = sum((turn.usage for turn in about.usage_by_turn), Usage())
        rows.append(_turn("**all**", "", total))
        head = ("Section", "Request", "Input tokens", "of them cached", "Output tokens", "Cost (USD)")
        yield table(head, rows, align="llrrrr")
        yield from _other_models(about.usage_by_turn)


def _turn(section: str, kind: str, usage: Usage) -> tuple[str, ...]:
    return section, kind, *usage.token_texts, usage.cost_text


def _other_models(turns: Sequence[TurnUsage]) -> Iterator[str]:
    """Who answered, where it was not always the first one of the list."""
    told = [
        f"- {text(turn.section)}, {turn.kind}: {code(turn.model)}, because {text('; '.join(turn.instead_of))}"
        for turn in turns
        if turn.instead_of
    ]
    if told:
        yield "Answered by another model than the one that was wanted:"
        yield "\n".join(told)
