"""The chapter on migrations: how they are run, a recipe a kind of change, and the steps of each planned one."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, count, table, text
from dbprompt.render.migrations.backfill import backfill_seconds
from dbprompt.render.migrations.plan import Planned, planned_changes
from dbprompt.render.migrations.recipes import STRATEGIES
from dbprompt.render.migrations.steps import version_of
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.migrations import Migrations
from dbprompt.sections.names import entity_matches

__all__ = ["migrations_chapter"]

_TOOLS = {"plain_sql": "plain SQL", "alembic": "Alembic", "flyway": "Flyway", "liquibase": "Liquibase"}
_FOLDERS = {"plain_sql": "plain", "alembic": "alembic", "flyway": "flyway", "liquibase": "liquibase"}
_VERSIONING = {"timestamp": "the day and a minute each", "sequence": "counted from 0001"}


def migrations_chapter(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """Paragraphs; none without the section."""
    section = design.migrations
    if section is None:
        return
    yield "## Migrations"
    yield table(("What", "Decision"), _strategy(section))
    yield (
        f"The files lie in {code(f'migrations/{_FOLDERS[section.tool]}/')}. The other forms beside it are written from "
        "the same list of steps: a team that changes its tool changes no step."
    )
    yield "### How a table in use is changed"
    yield table(("Change", "Steps"), ((cell(name), cell(steps)) for name, steps in STRATEGIES.values()))
    planned = planned_changes(design, as_of=about.as_of, version=about.version)
    if planned:
        yield "### Planned changes"
        yield f"Every lock is waited for {section.lock_timeout_ms:,} ms at most; a step that timed out is run again."
    number = 1
    for one in planned:
        yield from _change(design, about, one, section, number)
        number += len(one.steps)


def _strategy(section: Migrations) -> Iterator[tuple[str, str]]:
    yield "Tool", cell(_TOOLS[section.tool])
    yield "Versions", cell(_VERSIONING[section.versioning])
    yield "Longest wait for a lock", cell(f"{section.lock_timeout_ms:,} ms")
    yield "Testing", cell(section.testing)
    yield "Rollback", cell(section.rollback)


def _change(design: DatabaseDesign, about: Background, one: Planned, section: Migrations, before: int) -> Iterator[str]:
    change = one.change
    target = code(change.table) if change.table else code(change.enum or "")
    title = STRATEGIES[change.kind][0].lower()
    yield f"**{code(change.name)}**: {title} on {target}. {text(change.reason)}".rstrip()
    if one.obstacles:
        yield "No step was written: " + "; ".join(text(obstacle.message) for obstacle in one.obstacles) + "."
        return
    heads = ("Version", "Step", "Transaction", "Only when", "What it does")
    rows = (
        (
            code(version_of(number, section.versioning, about.as_of)),
            cell(step.name.removeprefix(f"{change.name}_").replace("_", " ")),
            "yes" if step.transactional else "no",
            cell(step.after),
            cell(step.note),
        )
        for number, step in enumerate(one.steps, start=before + 1)
    )
    yield table(heads, rows)
    if duration := _duration(design, about, one):
        yield duration


def _duration(design: DatabaseDesign, about: Background, one: Planned) -> str:
    """How long the backfill takes, with its formula; empty if there is none or the rows are not known."""
    backfill, rows = one.change.backfill, _rows(design, about, one.change.table or "")
    if backfill is None or rows is None:
        return ""
    seconds = backfill_seconds(rows, backfill)
    took = f"{seconds / 60:.0f} minutes" if seconds < 5_400 else f"{seconds / 3_600:.1f} hours"
    batches = -(-rows // backfill.batch_rows)
    return (
        f"The backfill takes about {took}: {rows:,} rows at 100,000 a second, and {count(batches, 'batch', 'batches')} "
        f"with {backfill.pause_ms} ms after each. Computed; expect a factor of three either way."
    )


def _rows(design: DatabaseDesign, about: Background, name: str) -> int | None:
    found = design.schema.table(name) if design.schema else None
    if found is None or about.brief is None or about.capacity is None:
        return None
    for entity in about.brief.entities:
        if entity_matches(found.entity or found.name, entity.name, entity.aliases):
            figures = about.capacity.of(entity.name)
            return figures.rows_now if figures else None
    return None
