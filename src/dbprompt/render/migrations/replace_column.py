"""Another name or another type for a column: a new column beside the old one until no release uses the old one.

Where the new value is the old one, cast at most, a trigger copies both ways and releases may write either. Where it is
computed (`price_cents / 100.0`), the way back is not known: the new column follows the old one, releases write both
before the old one goes, and a write of the new one alone is refused rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dbprompt.render.migrations.backfill import backfill_step, batch_of, made, removed
from dbprompt.render.migrations.fill import optional, required
from dbprompt.render.migrations.portable import portable
from dbprompt.render.migrations.recipe import Recipe, column_line, comment, default_clause, given
from dbprompt.render.migrations.row_trigger import of_new, row_trigger, without_trigger
from dbprompt.render.migrations.steps import Batch, Step
from dbprompt.render.postgres import identifier, literal
from dbprompt.sections.migrations import Backfill
from dbprompt.sections.schema import Column

__all__ = ["change_column"]


def change_column(recipe: Recipe) -> Iterator[Step]:
    """Expand, backfill, contract."""
    old, change = recipe.column, recipe.change
    if change.kind == "rename_column":
        new = old.model_copy(update={"name": given(change.new_name)})
        backfill = Backfill(expression=identifier(old.name))
    else:
        new, backfill = given(change.new_column), given(change.backfill)
    batch, same = batch_of(recipe, backfill, new.name), _is_same(backfill.expression, old.name)
    sync = _both_ways(recipe, old, new, batch) if same else _follows(recipe, old, new, batch)
    yield _expand(recipe, new, batch, sync, same=same)
    yield backfill_step(recipe, batch)
    if not new.nullable:
        yield from required(recipe, new.name)
    if not same:
        yield from _release(recipe, old, new, sync)
    yield _finish(recipe, new, batch, sync if same else ())


def _expand(recipe: Recipe, new: Column, batch: Batch, sync: Sequence[str], *, same: bool) -> Step:
    old, table = recipe.column, recipe.table.name
    told = (
        "a trigger keeps both in step, so old and new releases of the application can run side by side. A value that "
        "does not fit the old type is refused until the last step."
        if same
        else f"a trigger computes it from {old.name}. A release may read it, and writes {old.name} or both: another "
        f"value than the computed one is refused, because nobody knows its {old.name}."
    )
    return recipe.step(
        "expand",
        "expand",
        (
            f"{recipe.alter} ADD COLUMN {column_line(new, default=False)}",
            *comment(recipe.table, new),
            *sync,
            *made(batch),
        ),
        (*removed(batch), *without_trigger(recipe), f"{recipe.alter} DROP COLUMN {identifier(new.name)}"),
        f"Adds {table}.{new.name} beside {old.name}; {told}",
    )


def _release(recipe: Recipe, old: Column, new: Column, sync: Sequence[str]) -> Iterator[Step]:
    """The application keeps both in step from here on, until it writes only the new one."""
    both = f"every running release of the application writes {old.name} and {new.name}"
    loosened, tightened = optional(recipe, old)
    if loosened:
        note = f"From now on a row may be written without {old.name}. The way back fails if one was."
        yield recipe.lone("contract", "loosen", loosened, tightened, note, after=both)
    yield recipe.step(
        "contract",
        "release",
        without_trigger(recipe),
        sync,
        f"Ends the trigger: releases that write {new.name} alone can be rolled out now.",
        after=both,
    )


def _finish(recipe: Recipe, new: Column, batch: Batch, sync: Sequence[str]) -> Step:
    """What is left of the old column goes; `sync` is the trigger if it is still there."""
    old, table = recipe.column, recipe.table.name
    default = (f"{recipe.alter} ALTER COLUMN {identifier(new.name)} SET {default_clause(new)}",) if new.default else ()
    drop_default = (f"{recipe.alter} ALTER COLUMN {identifier(new.name)} DROP DEFAULT",) if new.default else ()
    gone = without_trigger(recipe) if sync else ()
    return recipe.step(
        "contract",
        "finish",
        (*gone, *removed(batch), f"{recipe.alter} DROP COLUMN {identifier(old.name)}", *default),
        (*drop_default, f"{recipe.alter} ADD COLUMN {column_line(old, default=False)}", *sync, *made(batch)),
        f"Takes {old.name} away, with the backfill. Its way back brings an empty {old.name}: the values live in "
        f"{new.name}.",
        after=f"no running release of the application names {table}.{old.name}",
        way_back="without_values",
    )


def _is_same(written: str, column: str) -> bool:
    """Whether an expression is the column itself, bare or cast.

    >>> [_is_same(one, "code") for one in ("code", "(code)::numeric(12, 2)", "CAST(code AS text)", "code / 100")]
    [True, True, True, False]
    """
    name = rf"\(?\s*\"?{re.escape(column)}\"?\s*\)?"
    kind = r"[a-z_][a-z0-9_ ]*(\(\s*\d+\s*(,\s*\d+\s*)?\))?"
    form = rf"{name}(\s*::\s*{kind})?|cast\s*\(\s*{name}\s+as\s+{kind}\s*\)"
    return re.fullmatch(form, written.strip(), re.IGNORECASE) is not None


def _both_ways(recipe: Recipe, old: Column, new: Column, batch: Batch) -> tuple[str, str]:
    """Both columns say the same. The backfill, which writes what the old one says, does not write back."""
    was, now = f"NEW.{identifier(old.name)}", f"NEW.{identifier(new.name)}"
    unchanged = f"{now} IS NOT DISTINCT FROM OLD.{identifier(new.name)}"
    body = [
        "    IF TG_OP = 'INSERT' THEN",
        f"        IF {now} IS NULL THEN",
        f"            {now} := told;",
        "        ELSE",
        f"            {was} := {now};",
        "        END IF;",
        f"    ELSIF {unchanged} THEN",
        f"        IF {now} IS NULL OR {was} IS DISTINCT FROM OLD.{identifier(old.name)} THEN",
        f"            {now} := told;",
        "        END IF;",
        f"    ELSIF {now} IS DISTINCT FROM told THEN",
        f"        {was} := {now};",
        "    END IF;",
    ]
    return row_trigger(recipe, body, _told(recipe, new, batch))


def _follows(recipe: Recipe, old: Column, new: Column, batch: Batch) -> tuple[str, str]:
    """The new column says what the old one says; a write that says something else is refused."""
    now = f"NEW.{identifier(new.name)}"
    changed = f"(TG_OP = 'INSERT' OR {now} IS DISTINCT FROM OLD.{identifier(new.name)})"
    message = f"{recipe.table.name}.{new.name} follows {old.name} until the migration ends: write {old.name} as well"
    body = [
        f"    IF {now} IS NOT NULL AND {now} IS DISTINCT FROM told AND {changed} THEN",
        f"        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = {portable(literal(message))};",
        "    END IF;",
        f"    {now} := told;",
    ]
    return row_trigger(recipe, body, _told(recipe, new, batch))


def _told(recipe: Recipe, new: Column, batch: Batch) -> str:
    """What the old column says, in the new one's type: compared in another one, a rounded value would seem changed."""
    kind = f"{identifier(recipe.table.name)}.{identifier(new.name)}%TYPE"
    return f"told {kind} := {of_new(recipe, batch.expression)}"
