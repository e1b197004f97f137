"""Changes that fill a column while the application goes on writing: expand, backfill, contract.

A trigger fills the column in every row that is written from the first moment on, whichever release of the application
writes it; the backfill does the rows that were there; then the rule is added without reading the table under a lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.migrations.backfill import backfill_step, batch_of, made, removed
from dbprompt.render.migrations.recipe import Recipe, column_line, comment, default_clause, given
from dbprompt.render.migrations.row_trigger import of_new, row_trigger, without_trigger
from dbprompt.render.migrations.steps import Batch, Step
from dbprompt.render.postgres import identifier
from dbprompt.sections.schema import Column

__all__ = ["add_required_column", "optional", "required", "set_not_null"]


def add_required_column(recipe: Recipe) -> Iterator[Step]:
    """A column that may not be null, on a table that is in use."""
    new, backfill = given(recipe.change.new_column), given(recipe.change.backfill)
    batch = batch_of(recipe, backfill, new.name)
    default = (f"{recipe.alter} ALTER COLUMN {identifier(new.name)} SET {default_clause(new)}",) if new.default else ()
    yield recipe.step(
        "expand",
        "expand",
        (
            f"{recipe.alter} ADD COLUMN {column_line(new, default=False)}",
            *default,
            *comment(recipe.table, new),
            *_fill_trigger(recipe, batch),
            *made(batch),
        ),
        (*removed(batch), *without_trigger(recipe), f"{recipe.alter} DROP COLUMN {identifier(new.name)}"),
        f"Adds {recipe.table.name}.{new.name}, empty, and a trigger that fills it in every row that is written from "
        "now on. Running releases do not notice. The way back takes the column with its values.",
    )
    yield from _filled(recipe, batch)


def set_not_null(recipe: Recipe) -> Iterator[Step]:
    """A column that is there and may not be null any more; filled first if a backfill is given."""
    column, backfill = recipe.column, recipe.change.backfill
    if backfill is None:
        yield from required(recipe, column.name)
        return
    batch = batch_of(recipe, backfill, column.name)
    yield recipe.step(
        "expand",
        "expand",
        (*_fill_trigger(recipe, batch), *made(batch)),
        (*removed(batch), *without_trigger(recipe)),
        f"A trigger fills {recipe.table.name}.{column.name} in every row that is written from now on.",
    )
    yield from _filled(recipe, batch)


def _filled(recipe: Recipe, batch: Batch) -> Iterator[Step]:
    """Old rows are filled, then NOT NULL holds, then the trigger has done its work."""
    yield backfill_step(recipe, batch)
    yield from required(recipe, batch.column)
    yield recipe.step(
        "contract",
        "finish",
        (*without_trigger(recipe), *removed(batch)),
        (*_fill_trigger(recipe, batch), *made(batch)),
        f"Takes away the trigger on {identifier(recipe.table.name)} and the backfill.",
        after=f"every running release of the application writes {recipe.table.name}.{batch.column} itself",
    )


def required(recipe: Recipe, column: str) -> Iterator[Step]:
    """NOT NULL in three steps, none of which reads the table under a lock that stops others."""
    check, name = identifier(recipe.name("given")), identifier(column)
    constraint = f"{recipe.alter} ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) NOT VALID"
    drop = f"{recipe.alter} DROP CONSTRAINT {check}"
    yield recipe.step(
        "contract",
        "check",
        (constraint,),
        (drop,),
        f"From now on no row is written without {column}; old rows are not read.",
    )
    yield recipe.step(
        "contract",
        "validate",
        (f"{recipe.alter} VALIDATE CONSTRAINT {check}",),
        (),
        f"Reads all rows while others read and write. It fails if one has no {column}: fill it, then run it again.",
    )
    yield recipe.step(
        "contract",
        "not_null",
        (f"{recipe.alter} ALTER COLUMN {name} SET NOT NULL", drop),
        (constraint, f"{recipe.alter} ALTER COLUMN {name} DROP NOT NULL"),
        "NOT NULL trusts the validated check and reads nothing; the check has done its work.",
    )


def _fill_trigger(recipe: Recipe, batch: Batch) -> tuple[str, str]:
    column = f"NEW.{identifier(batch.column)}"
    body = [f"    IF {column} IS NULL THEN", f"        {column} := {of_new(recipe, batch.expression)};", "    END IF;"]
    return row_trigger(recipe, body)


def optional(recipe: Recipe, column: Column) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A column that no row needs any more, up and down; down fails if a row was written without it meanwhile."""
    if column.nullable:
        return (), ()
    check, name = identifier(recipe.name("given")), identifier(column.name)
    again = (
        f"{recipe.alter} ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) NOT VALID",
        f"{recipe.alter} VALIDATE CONSTRAINT {check}",
        f"{recipe.alter} ALTER COLUMN {name} SET NOT NULL",
        f"{recipe.alter} DROP CONSTRAINT {check}",
    )
    return (f"{recipe.alter} ALTER COLUMN {name} DROP NOT NULL",), again
