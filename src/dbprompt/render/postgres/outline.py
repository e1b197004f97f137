"""A design in few words, for a model that goes on from it: one line a table, no comments, no reasons."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.postgres.types import column_type
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.indexes import Index
from dbprompt.sections.schema import Column, Schema, Table

__all__ = ["outline"]


def outline(design: DatabaseDesign) -> str:
    """What is decided so far: engines, enums, tables with keys and references, indexes. Empty if nothing is.

    It is text for a reader, never SQL to run: free expressions stand in it as they were written.
    """
    return "\n".join((*_selection(design), *_schema(design.schema), *_indexes(design)))


def _selection(design: DatabaseDesign) -> Iterator[str]:
    if design.selection is not None:
        stores = "".join(f"; {store.engine} as {store.role}" for store in design.selection.supporting)
        yield f"engine: {design.selection.decision.engine}{stores}"


def _schema(schema: Schema | None) -> Iterator[str]:
    if schema is None:
        return
    yield "(a ? behind a type: may be null)"
    for enum in schema.enums:
        yield f"enum {enum.name}: {', '.join(_line(value) for value in enum.values)}"
    for table in schema.tables:
        yield _table(table)


def _table(table: Table) -> str:
    """`order(id bigint, buyer_id bigint -> buyers.id, note text?, pk(id), unique(public_number))`."""
    single = {key.columns[0]: key for key in table.foreign_keys if len(key.columns) == 1}
    parts = []
    for column in table.columns:
        key = single.get(column.name)
        target = f" -> {key.references}.{key.referenced_columns[0]}" if key else ""
        parts.append(_column(column) + target)
    parts += [f"pk({', '.join(table.primary_key)})"] if table.primary_key else []
    parts += [f"unique({', '.join(unique.columns)})" for unique in table.uniques]
    parts += [
        f"({', '.join(key.columns)}) -> {key.references}({', '.join(key.referenced_columns)})"
        for key in table.foreign_keys
        if len(key.columns) > 1
    ]
    parts += [f"check({_line(check.expression)})" for check in table.checks]
    split = table.partitioning
    after = f" partitioned by {split.strategy}({split.column})" if split else ""
    return f"table {table.name}({', '.join(parts)}){after}"


def _column(column: Column) -> str:
    kind = "identity" if column.identity else "generated" if column.generated is not None else ""
    return f"{column.name} {column_type(column)}{'?' if column.nullable else ''}" + (f" {kind}" if kind else "")


def _indexes(design: DatabaseDesign) -> Iterator[str]:
    for index in design.indexes.indexes if design.indexes else ():
        yield _index(index)


def _index(index: Index) -> str:
    keys = ", ".join(
        _line(key.column or key.expression or "") + (" desc" if key.order == "desc" else "") for key in index.keys
    )
    method = "" if index.method == "btree" else f" {index.method}"
    include = f" include({', '.join(index.include)})" if index.include else ""
    where = f" where {_line(index.where)}" if index.where else ""
    serves = f" serves {', '.join(index.serves)}" if index.serves else ""
    unique = "unique " if index.unique else ""
    return f"{unique}index {index.name} on {index.table}{method}({keys}){include}{where}{serves}"


def _line(text: str) -> str:
    return " ".join(text.split())
