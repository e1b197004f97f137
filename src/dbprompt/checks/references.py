"""Every name in a design means something: the design's own symbol table (tier 3 of the ladder).

Poor: `orders.customer_id` refers to `customers (id)`, and there is only a table `buyers`; an index on `orders
(placed_at)` where the column is `created_at`. Models invent such names more often than they make any other mistake
(facts/mistakes_and_rules.md, 1).
Better: every foreign key names a table of this schema and the columns of a key of it, with the same types; every index
names columns of its own table.

PostgreSQL finds the same when the DDL runs; this check says it earlier, all at once, and with the names that exist.
Unqualified names of tables, indexes and keys share one name space there, those of tables and types another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbprompt.checks.base_design import advice, error, judged, listing, rules, tables_with, warning
from dbprompt.checks.base_matching import is_misshapen
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres.naming import view_key
from dbprompt.sections.indexes import Index
from dbprompt.sections.schema import Column, ColumnType, ForeignKey, Schema, Table

__all__ = ["references"]


def references(subject: Subject) -> Report:
    """References of the section under check."""
    sections = {"schema": _of_schema, "indexes": _of_indexes, "queries": _of_queries}
    find = sections.get(subject.section)
    if find is None:
        return Report()
    uncovered = "names inside SQL expressions" if subject.section != "queries" else "names inside the statement"
    return judged(subject, find(subject), checker=rules("references"), uncovered=uncovered)


def _twice(names: Iterable[str], where: str, code: str, kind: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name.lower() in seen:
            message = f"there is another {kind} named {name}; names are unique, rename or drop it"
            yield error(code, f"{where}/{at}", message, may_drop=True)
        seen.add(name.lower())


def _of_schema(subject: Subject) -> Iterator[Finding]:
    schema = subject.design.schema
    if schema is None:
        return
    yield from _twice((t.name for t in schema.tables), "/tables", "references.duplicate_table", "table")
    yield from _twice((e.name for e in schema.enums), "/enums", "references.duplicate_enum", "enum")
    tables = {table.name for table in schema.tables}
    for at, enum in enumerate(schema.enums):
        if enum.name in tables:
            message = f"enum {enum.name} has the name of a table, and a table's name is a type too; rename the enum"
            yield error("references.enum_named_as_table", f"/enums/{at}", message)
        if repeated := sorted({value for value in enum.values if enum.values.count(value) > 1}):
            message = f"enum {enum.name} has {listing(repeated)} twice; give each value once"
            yield error("references.duplicate_enum_value", f"/enums/{at}/values", message)
    for at, table in enumerate(schema.tables):
        yield from _of_table(subject, schema, table, f"/tables/{at}")
    yield from _of_notes(schema, subject)


def _of_table(subject: Subject, schema: Schema, table: Table, where: str) -> Iterator[Finding]:
    yield from _twice(
        (column.name for column in table.columns),
        f"{where}/columns",
        "references.duplicate_column",
        f"column of {table.name}",
    )
    yield from _twice(
        [check.name for check in table.checks] + [exclusion.name for exclusion in table.exclusions],
        f"{where}/checks",
        "references.duplicate_constraint",
        f"constraint of {table.name}",
    )
    for at, column in enumerate(table.columns):
        yield from _enum_exists(subject, schema, column, f"{where}/columns/{at}")
    if not table.primary_key:
        message = f"table {table.name} has no primary key; name the columns that identify a row in primary_key"
        yield error("references.no_primary_key", f"{where}/primary_key", message)
    yield from _columns_exist(table, table.primary_key, f"{where}/primary_key", "primary key")
    if nullable := [column.name for column in table.columns if column.nullable and column.name in table.primary_key]:
        message = f"primary key columns are never null; set nullable to false for {listing(nullable)} of {table.name}"
        yield warning("references.nullable_key", f"{where}/primary_key", message)
    for at, unique in enumerate(table.uniques):
        yield from _columns_exist(table, unique.columns, f"{where}/uniques/{at}", "unique constraint")
        if set(unique.columns) == set(table.primary_key):
            message = (
                f"({listing(unique.columns)}) is the primary key of {table.name} and unique already; drop this "
                "constraint"
            )
            yield warning("references.unique_repeats_key", f"{where}/uniques/{at}", message)
    for at, key in enumerate(table.foreign_keys):
        yield from _foreign_key(subject, schema, table, key, f"{where}/foreign_keys/{at}")
    yield from _partitioning(table, where)


def _enum_exists(subject: Subject, schema: Schema, column: Column, where: str) -> Iterator[Finding]:
    enums = {enum.name: enum for enum in schema.enums}
    if column.enum is None or is_misshapen(subject, column.enum):
        return
    if column.enum not in enums:
        holder = next((enum.name for enum in schema.enums if column.enum in enum.values), "")
        hint = f'{column.enum} is a value of enum {holder}: write "enum": "{holder}"' if holder else ""
        known = f'write "enum" with one of these names: {listing(enums)}' if enums else "change the type to text"
        message = f'column {column.name} has "enum": "{column.enum}", and no enum is called so; {hint or known}'
        yield error("references.unknown_enum", where, message)
    elif column.default and column.default.kind == "literal" and column.default.value not in enums[column.enum].values:
        values = listing(enums[column.enum].values)
        message = (
            f"the default {column.default.value!r} of {column.name} is no value of enum {column.enum} ({values}); use "
            "one of these"
        )
        yield error("references.unknown_enum_value", where, message)


def _columns_exist(table: Table, names: Iterable[str], where: str, what: str) -> Iterator[Finding]:
    given = tuple(names)
    have = [column.name for column in table.columns]
    for name in dict.fromkeys(given):
        if name not in have:
            message = f"the {what} names column {name}, which table {table.name} does not have; it has {listing(have)}"
            yield error("references.unknown_column", where, message)
        elif given.count(name) > 1:
            message = f"the {what} of {table.name} names column {name} twice; name it once"
            yield error("references.repeated_column", where, message)


def _foreign_key(subject: Subject, schema: Schema, table: Table, key: ForeignKey, where: str) -> Iterator[Finding]:
    yield from _columns_exist(table, key.columns, where, "foreign key")
    columns = [column for name in key.columns if (column := table.column(name))]
    if key.on_delete == "set_null" and columns and not any(column.nullable for column in columns):
        message = (
            f"on_delete set_null would put null into {listing(key.columns)} of {table.name}, and none is nullable: "
            "the delete would fail. Make the referring column nullable, or use restrict or cascade"
        )
        yield error("references.set_null_on_not_null", where, message)
    if is_misshapen(subject, key.references):
        return
    target = schema.table(key.references)
    if target is None:
        message = (
            f"the foreign key ({listing(key.columns)}) of {table.name} refers to table {key.references}, which is not "
            "in "
            f"the schema; {tables_with(schema)}"
        )
        yield error("references.unknown_table", where, message)
        return
    yield from _columns_exist(target, key.referenced_columns, where, "foreign key's referenced_columns")
    if any(target.column(name) is None for name in key.referenced_columns):
        return
    keys = [target.primary_key, *(unique.columns for unique in target.uniques)]
    if set(key.referenced_columns) not in [set(columns) for columns in keys]:
        have = "; ".join(f"({listing(columns)})" for columns in keys if columns) or "none"
        message = (
            f"({listing(key.referenced_columns)}) is no key of {target.name}, so nothing can refer to it; keys of "
            f"{target.name}: {have}. Refer to one of these, or add a unique constraint to {target.name}"
        )
        yield error("references.no_such_key", where, message)
    for ours, theirs in zip(key.columns, key.referenced_columns, strict=True):
        ours_column, theirs_column = table.column(ours), target.column(theirs)
        if ours_column and theirs_column:
            yield from _compatible(table, ours_column, target, theirs_column, where)


_KINDS: dict[ColumnType, str] = {
    **dict.fromkeys((ColumnType.SMALLINT, ColumnType.INTEGER, ColumnType.BIGINT), "integer"),
    **dict.fromkeys((ColumnType.TEXT, ColumnType.VARCHAR, ColumnType.CHAR), "text"),
    **dict.fromkeys((ColumnType.REAL, ColumnType.DOUBLE), "float"),
    **dict.fromkeys((ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ), "time"),
    **{one: one.value for one in (ColumnType.UUID, ColumnType.BOOLEAN, ColumnType.JSON, ColumnType.BINARY)},
    **{one: one.value for one in (ColumnType.DECIMAL, ColumnType.INET, ColumnType.MACADDR, ColumnType.ENUM)},
}
# PostgreSQL converts the referring value to the key's type only where that loses nothing.
_WIDENED = {("integer", "decimal"), ("integer", "float"), ("decimal", "float")}


def _compatible(table: Table, ours: Column, target: Table, theirs: Column, where: str) -> Iterator[Finding]:
    """Types of a foreign key and its key. Pairs that this table does not know are left to the engine."""
    shown = f"{table.name}.{ours.name} is {_type(ours)} but {target.name}.{theirs.name} is {_type(theirs)}"
    pair = _KINDS.get(ours.type), _KINDS.get(theirs.type)
    clash = None not in pair and pair[0] != pair[1] and pair not in _WIDENED
    if clash or ours.array != theirs.array or (ours.enum != theirs.enum and ours.enum and theirs.enum):
        message = f"{shown}; a foreign key has the type of the key that it refers to: use {_type(theirs)}"
        yield error("references.type_clash", where, message)
    elif ours.type is not theirs.type:
        yield warning("references.type_differs", where, f"{shown}; use {_type(theirs)}, so that every value fits")


def _type(column: Column) -> str:
    return (f"enum {column.enum}" if column.enum else column.type.value) + "[]" * column.array


def _partitioning(table: Table, where: str) -> Iterator[Finding]:
    if table.partitioning is None:
        return
    by = table.partitioning.column
    yield from _columns_exist(table, [by], f"{where}/partitioning", "partitioning")
    if table.column(by) is None:
        return
    for at, columns in enumerate([table.primary_key, *(unique.columns for unique in table.uniques)]):
        if columns and by not in columns:
            what, place = ("primary key", "primary_key") if at == 0 else ("unique constraint", f"uniques/{at - 1}")
            message = (
                f"table {table.name} is partitioned by {by}, so its {what} ({listing(columns)}) has to contain {by} "
                "too: "
                f"uniqueness is only kept within a partition. Add {by} to it, partition by a column of it, or do not "
                "partition"
            )
            yield error("references.key_lacks_partition_column", f"{where}/{place}", message)


def _of_notes(schema: Schema, subject: Subject) -> Iterator[Finding]:
    """What the schema says about its own columns: dependencies and stored copies."""
    for at, dependency in enumerate(schema.functional_dependencies):
        where = f"/functional_dependencies/{at}"
        names = (*dependency.determinant, *dependency.dependents)
        if not is_misshapen(subject, dependency.table):
            yield from _named(schema, dependency.table, names, where, "functional dependency")
        if both := sorted(set(dependency.determinant) & set(dependency.dependents)):
            message = (
                f"{listing(both)} stands on both sides of the dependency; a column always fixes itself, leave it out "
                "of dependents"
            )
            yield advice("references.trivial_dependency", where, message)
    for at, copied in enumerate(schema.denormalized):
        if not is_misshapen(subject, copied.table):
            yield from _named(schema, copied.table, [copied.column], f"/denormalized/{at}", "denormalized field")


def _named(schema: Schema, table_name: str, columns: Iterable[str], where: str, what: str) -> Iterator[Finding]:
    table = schema.table(table_name)
    if table is None:
        message = f"the {what} names table {table_name}, which is not in the schema; {tables_with(schema)}"
        yield error("references.unknown_table", where, message)
        return
    yield from _columns_exist(table, dict.fromkeys(columns), where, what)


def _of_indexes(subject: Subject) -> Iterator[Finding]:
    indexes, schema = subject.design.indexes, subject.design.schema
    if indexes is None or schema is None:
        return
    yield from _twice((i.name for i in indexes.indexes), "/indexes", "references.duplicate_index", "index")
    taken = {name for table in schema.tables for name in (table.name, f"{table.name}_pkey")}
    for at, index in enumerate(indexes.indexes):
        where = f"/indexes/{at}"
        if index.name in taken:
            message = (
                f"index {index.name} has the name of a table or of its key, and they share one name space; rename the "
                "index"
            )
            yield error("references.index_named_as_table", where, message)
        yield from _index(subject, schema, index, where)


def _index(subject: Subject, schema: Schema, index: Index, where: str) -> Iterator[Finding]:
    table = schema.table(index.table)
    if table is None:
        message = f"index {index.name} is on table {index.table}, which is not in the schema; {tables_with(schema)}"
        yield error("references.unknown_table", where, message)
        return
    keys = [key.column for key in index.keys if key.column is not None]
    yield from _columns_exist(table, keys, where, f"index {index.name}")
    yield from _columns_exist(table, index.include, where, f"include of index {index.name}")
    if both := sorted(set(keys) & set(index.include)):
        message = f"index {index.name} has {listing(both)} as a key and in include; leave it out of include"
        yield warning("references.included_key", where, message)
    by = table.partitioning.column if table.partitioning else None
    if index.unique and by and by not in keys:
        message = (
            f"table {table.name} is partitioned by {by}, so a unique index on it has to have {by} as a key too; add "
            f"{by}, "
            "or make the index not unique"
        )
        yield error("references.key_lacks_partition_column", where, message)
    known = [query.id for query in subject.brief.queries] if subject.brief else []
    for query in index.serves:
        if known and query not in known:
            message = f"index {index.name} serves {query}, which is no query of the brief; it has {listing(known)}"
            yield error("references.unknown_query", where, message)


def _of_queries(subject: Subject) -> Iterator[Finding]:
    queries, indexes, schema = subject.design.queries, subject.design.indexes, subject.design.schema
    if queries is None:
        return
    yield from _twice((query.id for query in queries.queries), "/queries", "references.duplicate_query", "query")
    known = [query.id for query in subject.brief.queries] if subject.brief else []
    names = [index.name for index in indexes.indexes] if indexes else []
    keys = {f"{table.name}_pkey" for table in schema.tables} if schema else set()
    keys |= {view_key(view.name) for view in subject.design.views.views} if subject.design.views else set()
    enums = [enum.name for enum in schema.enums] if schema else []
    for at, query in enumerate(queries.queries):
        if known and query.id not in known:
            message = f"{query.id} is no query of the brief; drop it, or answer one of these: {listing(known)}"
            yield error("references.unknown_query", f"/queries/{at}", message, may_drop=True)
        if indexes is not None and query.uses_index is not None and query.uses_index not in {*names, *keys}:
            message = (
                f"uses_index {query.uses_index} is no index of the design ({listing(names)}); name one of these, or "
                "null if a key serves the query"
            )
            yield error("references.unknown_index", f"/queries/{at}/uses_index", message)
        for parameter in (*query.parameters, *query.next_page_parameters):
            if parameter.enum is not None and parameter.enum not in enums:
                message = (
                    f"parameter {parameter.name} has enum {parameter.enum}, which is not in the schema; enums: "
                    f"{listing(enums)}"
                )
                yield error("references.unknown_enum", f"/queries/{at}", message)
