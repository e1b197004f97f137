"""Changes that fill a column while the application goes on writing: expand, backfill, contract.

A trigger fills the column in every row that is written from the first moment on, whichever release of the application
writes it; the backfill does the rows that were there; then the rule is added without reading the table under a lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbprompt.render.migrations.backfill import backfill_step, batch_of, made, removed
from dbprompt.render.migrations.portable import portable
from dbprompt.render.migrations.recipe import Recipe, column_line, comment, expression, given
from dbprompt.render.migrations.steps import Batch, Step
from dbprompt.render.postgres import default_sql, identifier
from dbprompt.sections.migrations import Backfill
from dbprompt.sections.schema import Column

__all__ = ["add_required_column", "change_column", "required", "set_not_null"]


def add_required_column(recipe: Recipe) -> Iterator[Step]:
    """A column that may not be null, on a table that is in use."""
    new, backfill = given(recipe.change.new_column), given(recipe.change.backfill)
    batch = batch_of(recipe, backfill, new.name)
    default = (f"{recipe.alter} ALTER COLUMN {identifier(new.name)} SET {_default(new)}",) if new.default else ()
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
        (*removed(batch), *_without_trigger(recipe), f"{recipe.alter} DROP COLUMN {identifier(new.name)}"),
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
        (*removed(batch), *_without_trigger(recipe)),
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
        (*_without_trigger(recipe), *removed(batch)),
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


def change_column(recipe: Recipe) -> Iterator[Step]:
    """Another name or another type: a new column, kept in step both ways until no release uses the old one."""
    old, change = recipe.column, recipe.change
    if change.kind == "rename_column":
        new = old.model_copy(update={"name": given(change.new_name)})
        backfill = Backfill(expression=identifier(old.name))
    else:
        new, backfill = given(change.new_column), given(change.backfill)
    batch, sync = batch_of(recipe, backfill, new.name), _sync_trigger(recipe, old, new, backfill)
    table = recipe.table.name
    yield recipe.step(
        "expand",
        "expand",
        (
            f"{recipe.alter} ADD COLUMN {column_line(new, default=False)}",
            *comment(recipe.table, new),
            *sync,
            *made(batch),
        ),
        (*removed(batch), *_without_trigger(recipe), f"{recipe.alter} DROP COLUMN {identifier(new.name)}"),
        f"Adds {table}.{new.name} beside {old.name}; a trigger keeps both in step, so old and new releases of the "
        "application can run side by side. A value that does not fit the old type is refused until the last step.",
    )
    yield backfill_step(recipe, batch)
    if not new.nullable:
        yield from required(recipe, new.name)
    default = (f"{recipe.alter} ALTER COLUMN {identifier(new.name)} SET {_default(new)}",) if new.default else ()
    drop_default = (f"{recipe.alter} ALTER COLUMN {identifier(new.name)} DROP DEFAULT",) if new.default else ()
    yield recipe.step(
        "contract",
        "finish",
        (*_without_trigger(recipe), *removed(batch), f"{recipe.alter} DROP COLUMN {identifier(old.name)}", *default),
        (*drop_default, f"{recipe.alter} ADD COLUMN {column_line(old, default=False)}", *sync, *made(batch)),
        f"Takes {old.name} away, with the trigger and the backfill. Its way back brings an empty {old.name}: the "
        f"values live in {new.name}.",
        after=f"no running release of the application names {table}.{old.name}",
        way_back="without_values",
    )


def _default(column: Column) -> str:
    return f"DEFAULT {portable(default_sql(column, given(column.default)))}"


def _without_trigger(recipe: Recipe) -> tuple[str, str]:
    name = identifier(recipe.name("sync"))
    return f"DROP TRIGGER {name} ON {identifier(recipe.table.name)}", f"DROP FUNCTION {name}()"


def _fill_trigger(recipe: Recipe, batch: Batch) -> tuple[str, str]:
    column = f"NEW.{identifier(batch.column)}"
    body = [f"    IF {column} IS NULL THEN", f"        {column} := {_of_new(recipe, batch.expression)};", "    END IF;"]
    return _trigger(recipe, body)


def _sync_trigger(recipe: Recipe, old: Column, new: Column, backfill: Backfill) -> tuple[str, str]:
    """Both columns say the same. The backfill, which writes what the old one says, does not write back."""
    was, now = f"NEW.{identifier(old.name)}", f"NEW.{identifier(new.name)}"
    told = _of_new(recipe, expression(backfill.expression))
    unchanged = f"{now} IS NOT DISTINCT FROM OLD.{identifier(new.name)}"
    body = [
        "    IF TG_OP = 'INSERT' THEN",
        f"        IF {now} IS NULL THEN",
        f"            {now} := {told};",
        "        ELSE",
        f"            {was} := {now};",
        "        END IF;",
        f"    ELSIF {unchanged} THEN",
        f"        IF {now} IS NULL OR {was} IS DISTINCT FROM OLD.{identifier(old.name)} THEN",
        f"            {now} := {told};",
        "        END IF;",
        f"    ELSIF {now} IS DISTINCT FROM {told} THEN",
        f"        {was} := {now};",
        "    END IF;",
    ]
    return _trigger(recipe, body)


def _of_new(recipe: Recipe, wrapped: str) -> str:
    """An expression over the row that is being written, whose columns it names as the table's own."""
    return f"(SELECT {wrapped} FROM (SELECT NEW.*) AS {identifier(recipe.table.name)})"  # noqa: S608


def _trigger(recipe: Recipe, lines: Sequence[str]) -> tuple[str, str]:
    body = "\n".join(("#variable_conflict use_column", "BEGIN", *lines, "    RETURN NEW;", "END"))
    tag = "fill"
    while f"${tag}$" in body:
        tag += "_"
    name = identifier(recipe.name("sync"))
    function = f"CREATE FUNCTION {name}() RETURNS trigger\n    LANGUAGE plpgsql\n    AS ${tag}$\n{body}\n${tag}$"
    trigger = (
        f"CREATE TRIGGER {name}\n    BEFORE INSERT OR UPDATE ON {identifier(recipe.table.name)}"
        f"\n    FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    return function, trigger
