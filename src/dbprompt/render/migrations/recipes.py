"""The recipe of each kind of change: none stops reads or writes for longer than a lock may be waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dbprompt.render.migrations.fill import add_required_column, optional, set_not_null
from dbprompt.render.migrations.portable import portable
from dbprompt.render.migrations.recipe import (
    Recipe,
    column_line,
    comment,
    default_clause,
    expression,
    given,
    is_volatile,
)
from dbprompt.render.migrations.replace_column import change_column
from dbprompt.render.migrations.steps import Step
from dbprompt.render.postgres import identifier, literal
from dbprompt.render.postgres.base import names, short_name
from dbprompt.render.postgres.indexes import index_statements
from dbprompt.sections.indexes import Index, Indexes
from dbprompt.sections.migrations import ChangeKind
from dbprompt.sections.schema import ForeignKey

__all__ = ["RECIPES", "STRATEGIES", "foreign_key_name"]

STRATEGIES: Mapping[ChangeKind, tuple[str, str]] = {
    "add_column": ("Add column", "nullable, or with a constant default, which the catalogue keeps: no row is written"),
    "add_required_column": (
        "Add required column",
        "add it empty with a trigger that fills new rows; backfill in batches; CHECK NOT VALID, VALIDATE, SET NOT "
        "NULL; drop check and trigger once the application writes it",
    ),
    "rename_column": (
        "Rename column",
        "add the new one beside it; a trigger keeps both in step; backfill; switch the application; drop the old one",
    ),
    "change_type": (
        "Change type",
        "add a column of the new type; a trigger keeps both in step; backfill; switch the application; drop the old",
    ),
    "drop_column": (
        "Drop column",
        "deprecate it first, so that no release has to write it; drop it in a later release",
    ),
    "set_not_null": ("Set NOT NULL", "CHECK NOT VALID, VALIDATE while others write, SET NOT NULL, drop the check"),
    "add_check": ("Add check", "NOT VALID, which counts for new rows; then VALIDATE while others write"),
    "add_foreign_key": ("Add foreign key", "NOT VALID, which counts for new rows; then VALIDATE while others write"),
    "add_index": (
        "Add index",
        "CREATE INDEX CONCURRENTLY, outside a transaction; a left-over of a failed try is dropped",
    ),
    "drop_index": ("Drop index", "DROP INDEX CONCURRENTLY, outside a transaction"),
    "add_enum_value": (
        "Add enum value",
        "in a step of its own, committed before anything uses it; there is no way back",
    ),
}
"""What each kind is called, and how it is done without stopping."""


def add_column(recipe: Recipe) -> Iterator[Step]:
    """A column whose value for old rows is null or one constant."""
    new = given(recipe.change.new_column)
    name = identifier(new.name)
    volatile = is_volatile(new)
    up = [f"{recipe.alter} ADD COLUMN {column_line(new, required=not new.nullable, default=not volatile)}"]
    if volatile:  # for new rows only: with the column it would write every row
        up.append(f"{recipe.alter} ALTER COLUMN {name} SET {default_clause(new)}")
    note = f"Adds {recipe.table.name}.{new.name}; no row is written. The way back takes it with its values."
    yield recipe.step(
        "expand", "add", (*up, *comment(recipe.table, new)), (f"{recipe.alter} DROP COLUMN {name}",), note
    )


def drop_column(recipe: Recipe) -> Iterator[Step]:
    """Deprecated first; gone in a later release."""
    old, table = recipe.column, recipe.table
    name = identifier(old.name)
    place = f"{identifier(table.name)}.{name}"
    words = portable(literal(old.comment)) if old.comment else "NULL"
    loosened, tightened = optional(recipe, old)
    yield recipe.lone(
        "expand",
        "deprecate",
        (*loosened, f"COMMENT ON COLUMN {place} IS 'Deprecated: will be dropped; do not read or write it.'"),
        (*tightened, f"COMMENT ON COLUMN {place} IS {words}"),
        f"From now on a row may be written without {old.name}. The way back fails if one was.",
    )
    yield recipe.step(
        "contract",
        "drop",
        (f"{recipe.alter} DROP COLUMN {name}",),
        (f"{recipe.alter} ADD COLUMN {column_line(old)}",),
        f"Drops {table.name}.{old.name} with its values. The way back brings an empty column: keep a backup.",
        after=f"no running release of the application names {table.name}.{old.name}",
        way_back="without_values",
    )


def add_check(recipe: Recipe) -> Iterator[Step]:
    """A rule for new rows at once, for old ones after they were read."""
    check = given(recipe.change.check)
    yield from _constraint(recipe, check.name, f"CHECK {expression(check.expression)}")


def add_foreign_key(recipe: Recipe) -> Iterator[Step]:
    """A reference for new rows at once, for old ones after they were read."""
    key = given(recipe.change.foreign_key)
    yield from _constraint(recipe, foreign_key_name(recipe.table.name, key), _reference(key))


def foreign_key_name(table: str, key: ForeignKey) -> str:
    """`orders_buyer_id_fkey`, as PostgreSQL itself would call it."""
    return short_name("_".join((table, *key.columns)), "_fkey")


def _reference(key: ForeignKey) -> str:
    rule = "" if key.on_delete == "no_action" else f" ON DELETE {key.on_delete.replace('_', ' ').upper()}"
    target = f"{identifier(key.references)} ({names(key.referenced_columns)})"
    return f"FOREIGN KEY ({names(key.columns)}) REFERENCES {target}{rule}"


def _constraint(recipe: Recipe, called: str, rule: str) -> Iterator[Step]:
    name = identifier(called)
    yield recipe.step(
        "expand",
        "not_valid",
        (f"{recipe.alter} ADD CONSTRAINT {name} {rule} NOT VALID",),
        (f"{recipe.alter} DROP CONSTRAINT {name}",),
        f"{called} holds for every row that is written from now on; old rows are not read.",
    )
    yield recipe.step(
        "contract",
        "validate",
        (f"{recipe.alter} VALIDATE CONSTRAINT {name}",),
        (),
        "Reads the old rows while others read and write. It fails if one breaks the rule: mend it, then run it again.",
    )


def add_index(recipe: Recipe) -> Iterator[Step]:
    """Built while others write; on a partitioned table part by part."""
    index = given(recipe.change.index)
    if recipe.table.partitioning is not None:
        yield from _index_of_parts(recipe, index)
        return
    name = identifier(index.name)
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
    yield recipe.lone(
        "expand",
        "build",
        (drop, *_create(index, "CREATE INDEX CONCURRENTLY")),
        (drop,),
        f"Builds {index.name} while others write; it waits for transactions that already run, and nobody waits for it. "
        "If it fails it leaves an invalid index, which the next try drops." + _over_duplicates(index),
        patient=True,
    )


def _index_of_parts(recipe: Recipe, index: Index) -> Iterator[Step]:
    """CONCURRENTLY does not work on a partitioned table: its parts are indexed one by one and then attached."""
    name, only = identifier(index.name), "CREATE INDEX"
    head, *rest = _create(index, only)
    table = identifier(index.table)
    yield recipe.step(
        "expand",
        "build",
        (head.replace(f"ON {table}", f"ON ONLY {table}", 1), *rest),
        (f"DROP INDEX {name}",),
        f"The index of the whole, still without its parts. Partitions that are made from now on bring theirs along. "
        f"Steps follow for the {len(recipe.partitions)} partitions that are known here; older ones need the same.",
    )
    for part in recipe.partitions:
        own = short_name(part, f"_{index.name}")
        there = index.model_copy(update={"name": own, "table": part, "purpose": "", "serves": ()})
        yield recipe.lone(
            "expand",
            f"build_{part}",
            (
                f"DROP INDEX CONCURRENTLY IF EXISTS {identifier(own)}",
                *_create(there, "CREATE INDEX CONCURRENTLY"),
                f"ALTER INDEX {name} ATTACH PARTITION {identifier(own)}",
            ),
            (),
            f"Builds the part for {part} while others write, and attaches it. It goes with the index of the whole.",
            patient=True,
        )


def _over_duplicates(index: Index) -> str:
    return " It fails over rows that are equal: look for them first." if index.unique else ""


def _create(index: Index, words: str) -> tuple[str, ...]:
    plain, *rest = (portable(one.sql) for one in index_statements(Indexes(indexes=(index,))))
    unique = words.replace("INDEX", "UNIQUE INDEX", 1) if index.unique else words
    return (plain.replace("CREATE UNIQUE INDEX" if index.unique else "CREATE INDEX", unique, 1), *rest)


def drop_index(recipe: Recipe) -> Iterator[Step]:
    """Gone without stopping anybody."""
    wanted = recipe.change.index_name
    found = next((one for one in (recipe.design.indexes or Indexes()).indexes if one.name == wanted), None)
    index, name = given(found), identifier(given(wanted))
    note = f"Drops {wanted}. Look at its use in pg_stat_user_indexes on every replica first."
    if recipe.table.partitioning is not None:
        yield recipe.step("contract", "drop", (f"DROP INDEX {name}",), _create(index, "CREATE INDEX"), note)
        return
    up = (f"DROP INDEX CONCURRENTLY IF EXISTS {name}",)
    yield recipe.lone("contract", "drop", up, _create(index, "CREATE INDEX CONCURRENTLY"), note, patient=True)


def add_enum_value(recipe: Recipe) -> Iterator[Step]:
    """Committed by itself: the transaction that adds a value cannot use it."""
    enum, value = identifier(given(recipe.change.enum)), portable(literal(given(recipe.change.value)))
    yield recipe.lone(
        "expand",
        "add",
        (f"ALTER TYPE {enum} ADD VALUE IF NOT EXISTS {value}",),
        (),
        "Adds the value, and nothing that uses it: that comes in a later step. PostgreSQL cannot take a value back.",
        way_back="none",
    )


RECIPES: Mapping[ChangeKind, Callable[[Recipe], Iterator[Step]]] = {
    "add_column": add_column,
    "add_required_column": add_required_column,
    "rename_column": change_column,
    "drop_column": drop_column,
    "change_type": change_column,
    "set_not_null": set_not_null,
    "add_check": add_check,
    "add_foreign_key": add_foreign_key,
    "add_index": add_index,
    "drop_index": drop_index,
    "add_enum_value": add_enum_value,
}
"""One recipe a kind."""
