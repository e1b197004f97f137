"""Planned changes fit the design, wait briefly for locks, and answer what the brief says of a table that is in use.

Poor: `add_column` of a required column without a value for the 58 million rows that are there; a column dropped that an
index uses, which goes along without a word; a lock timeout of a minute, in which every request queues behind ours;
batches of a million rows, whose locks last ten seconds.
Better: `add_required_column` with a backfill of 5,000 rows at a time, a lock timeout of two seconds.

What a change locks, rewrites and reads is not judged here but seen on the engine (`dbprompt.proofs.migrations`). How
long a batch keeps its rows is arithmetic: rows / 100,000 a second, as measured for `dbprompt.checks.base_migration`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from dbprompt.brief import Brief
from dbprompt.checks.base_design import advice, error, judged, listing, rules, warning
from dbprompt.checks.base_matching import entity_of
from dbprompt.checks.base_migration import HARMLESS_SECONDS, Sizes, Task, Work, duration
from dbprompt.checks.engine import target_major
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.migrations.backfill import backfill_seconds
from dbprompt.render.migrations.plan import planned_changes
from dbprompt.sections.migrations import Backfill, Migrations, PlannedChange

__all__ = ["changes", "rows_now"]

_LONGEST_LOCK_TIMEOUT_MS = 10_000
_LONGEST_BACKFILL_SECONDS = 7 * 86_400
_LIVE = re.compile(
    r"\b(no|without|zero|not) (a )?(stop|downtime|interruption|outage)|\bmade (mandatory|required|not null)"
    r"|\bhas to be (added|renamed|dropped|changed)|\bwhile (sales|it|they) (go|goes|run|runs) on|\bmigrat(e|ed|ion)\b",
    re.IGNORECASE,
)
_TOOLS = ("alembic", "flyway", "liquibase")
_ANY_DAY = date(2026, 1, 1)


def changes(subject: Subject) -> Report:
    """The section `migrations` against the schema, the indexes and the brief."""
    section = subject.design.migrations
    if subject.section != "migrations" or section is None or subject.design.schema is None:
        return Report()
    uncovered = "what the steps lock, rewrite and read: that is seen on the engine"
    return judged(subject, _findings(subject, section), checker=rules("changes"), uncovered=uncovered)


def _findings(subject: Subject, section: Migrations) -> Iterator[Finding]:
    yield from _lock_timeout(section)
    yield from _brief(subject.brief, section)
    names: set[str] = set()
    # The day only counts partitions, which no rule here is about.
    planned = planned_changes(subject.design, as_of=_ANY_DAY, version=target_major(subject.brief))
    for one in planned:
        change = one.change
        if change.name in names:
            yield error("changes.duplicate", one.where, f"change {change.name} is there twice; rename or drop one")
        names.add(change.name)
        for obstacle in one.obstacles:
            if obstacle.code == "changes.unknown_table" and (change.table or "") in subject.misshapen:
                continue
            where = f"{one.where}/{obstacle.field}" if obstacle.field else one.where
            yield error(obstacle.code, where, f"{change.name} ({change.kind}): {obstacle.message}")
        yield from _serves(subject.brief, change, one.where)
        if change.backfill is not None:
            yield from _batches(subject, section, change, change.backfill, one.where)


def _serves(brief: Brief | None, change: PlannedChange, where: str) -> Iterator[Finding]:
    known = [query.id for query in brief.queries] if brief else []
    for name in change.index.serves if change.index and brief else ():
        if name not in known:
            message = f"{change.name}: its index serves {name}, which is no query of the brief; it has {listing(known)}"
            yield error("references.unknown_query", f"{where}/index", message)


def _lock_timeout(section: Migrations) -> Iterator[Finding]:
    given = section.lock_timeout_ms
    if given > _LONGEST_LOCK_TIMEOUT_MS:
        message = (
            f"lock_timeout_ms is {given:,}: while a step waits that long behind one slow query, every request to the "
            f"table waits behind the step. Write some seconds, such as 2000, and repeat a step that timed out"
        )
        yield error("changes.lock_timeout_long", "/lock_timeout_ms", message)


def _brief(brief: Brief | None, section: Migrations) -> Iterator[Finding]:
    """What the notes of the brief say of changes and tools: read by words, so never more than a hint."""
    notes = (*brief.constraints.notes, brief.description) if brief else ()
    for note in notes[:-1]:
        if not section.changes and _LIVE.search(note):
            message = (
                f'the brief says "{" ".join(note.split())[:160]}", and no change is planned; plan it, or say in '
                "testing or rollback why not"
            )
            yield advice("changes.note_unanswered", "/changes", message)
    named = [tool for tool in _TOOLS if any(re.search(rf"\b{tool}\b", note, re.IGNORECASE) for note in notes)]
    if named and section.tool not in named:
        message = f"the brief names {' and '.join(named)}, and the tool is {section.tool}; take the one that is in use"
        yield warning("changes.other_tool", "/tool", message)


def _batches(
    subject: Subject, section: Migrations, change: PlannedChange, backfill: Backfill, where: str
) -> Iterator[Finding]:
    table = change.table or ""
    held = Sizes({table: backfill.batch_rows}, {}).seconds(Work(Task.CHANGE, table)) or 0.0
    if held > HARMLESS_SECONDS:
        longer = held * 1000 > section.lock_timeout_ms
        message = (
            f"a batch of {backfill.batch_rows:,} rows keeps them locked for {duration(held)} (rows / 100,000 a "
            f"second), and who writes one of them waits; take {int(HARMLESS_SECONDS * 20_000):,} rows or fewer"
        )
        found = error if longer else warning
        yield found("changes.batch_large", f"{where}/backfill", message)
    rows = rows_now(subject).get(table)
    if rows is not None and (seconds := backfill_seconds(rows, backfill)) > _LONGEST_BACKFILL_SECONDS:
        message = (
            f"{rows:,} rows in batches of {backfill.batch_rows:,} with {backfill.pause_ms} ms between them take "
            f"{duration(seconds)}; take larger batches or a shorter pause"
        )
        yield warning("changes.backfill_long", f"{where}/backfill", message)


def rows_now(subject: Subject) -> dict[str, int]:
    """Rows of each table today, as far as the brief says."""
    schema, capacity = subject.design.schema, subject.capacity
    found: dict[str, int] = {}
    for table in schema.tables if schema and capacity else ():
        entity = entity_of(subject.brief, table)
        figures = capacity.of(entity.name) if capacity and entity else None
        if figures is not None:
            found[table.name] = figures.rows_now
    return found
