"""Types and names that only free SQL can have: a model's typed schema has no place for them.

Poor: `price money`, `opens timetz`, `seen_at timestamp(0)`, `id serial`, `CREATE TABLE "OrderItems"`, a table without a
primary key.
Better: `price numeric(12,2)`, `opens time` with the zone beside it, `seen_at timestamptz`, `id bigint GENERATED ALWAYS
AS IDENTITY`, `order_items`.

Why: money is a locale's; timetz has an offset and no day, so it cannot know summer time; (0) rounds, so 23:59:59.7
falls into the next day; a serial's sequence keeps its own grants and its default can be written over; a name with
capitals has to be quoted for ever (wiki.postgresql.org/wiki/Don't_Do_This).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.checks.base_design import listing
from dbprompt.checks.base_trees import Node, find
from dbprompt.checks.sql.base_script import Seen, said, strings_in, tokens
from dbprompt.checks.sql.outline import Outline, type_name
from dbprompt.evidence import Finding, Severity

__all__ = ["rules_types"]

_SERIALS = {"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"}
_LONGEST_NAME = 63
_LONG = re.compile(r'[^\W\d]\w{31,}|"[^"]{32,}"')  # a character can take two bytes


def rules_types(script: tuple[Seen, ...], outline: Outline) -> Iterator[Finding]:
    """Types and names of a script."""
    for one in script:
        if not one.where:
            continue
        if one.kind in {"CreateStmt", "AlterTableStmt", "CompositeTypeStmt"}:
            for definition in find(one.tree, "ColumnDef"):
                yield from _type(one, definition)
        yield from _names(one)
        yield from _long_names(one)
    for made in outline.tables.values():
        if made.where and not made.temporary and not made.table.primary_key:
            message = (
                f"table {made.table.name} has no primary key: nothing tells its rows apart, nothing can refer to them, "
                "and logical replication cannot follow its updates; add one"
            )
            yield Finding("references.no_primary_key", Severity.WARNING, made.where, message)


def _type(one: Seen, definition: Node) -> Iterator[Finding]:
    kind = definition.node("typeName")
    name, called = type_name(kind), definition.text("colname")
    column = f"column {called}" if called else "it"
    match name:
        case "money":
            message = f"{column} is money, whose currency and digits are the server's locale; use numeric(12,2)"
            yield from said(Severity.WARNING, "types.money", one, message)
        case "timetz":
            message = f"{column} is timetz, an offset without a day; use timestamptz, or time beside a zone's name"
            yield from said(Severity.WARNING, "types.timetz", one, message)
        case "timestamp" | "timestamptz" if kind and _precision(kind) == 0:
            message = (
                f"{column} is {name}(0), which rounds, even into the next day; use {name} and date_trunc to show it"
            )
            yield from said(Severity.WARNING, "types.rounded_timestamp", one, message)
        case _ if name in _SERIALS:
            message = (
                f"{column} is {name}; use bigint GENERATED ALWAYS AS IDENTITY, whose sequence is part of the column"
            )
            yield from said(Severity.ADVICE, "types.serial", one, message)


def _precision(kind: Node) -> int | None:
    sizes = [number.number("ival") for modifier in kind.nodes("typmods") if (number := modifier.node("ival"))]
    bare = any(modifier.has("ival") for modifier in kind.nodes("typmods"))
    return sizes[0] if sizes else 0 if bare else None


_NAMED = {
    "CreateStmt": ("relation", "relname"), "ViewStmt": ("view", "relname"), "CreateSeqStmt": ("sequence", "relname"),
}  # fmt: skip


def _names(one: Seen) -> Iterator[Finding]:
    """Capital letters, which the grammar only leaves in names that were quoted."""
    field, attribute = _NAMED.get(one.kind, ("", ""))
    holder = one.tree.node(field) if field else None
    names = [holder.text(attribute)] if holder else []
    if one.kind in {"CreateStmt", "AlterTableStmt"} and '"' in one.sql:
        names += [definition.text("colname") for definition in find(one.tree, "ColumnDef")]
    names += [one.tree.text("idxname")] if one.kind == "IndexStmt" else []
    if mixed := [name for name in names if name != name.lower()]:
        message = (
            f"{listing(mixed)} {'has' if len(mixed) == 1 else 'have'} capital letters, so every query has to quote "
            "them; use lower_snake_case"
        )
        yield from said(Severity.WARNING, "names.mixed_case", one, message)


def _long_names(one: Seen) -> Iterator[Finding]:
    """Names that the engine cuts off, with no more than a notice."""
    if not _LONG.search(one.sql):
        return
    constants = set(strings_in(one.tree))
    for token in tokens(one.sql):
        name = token[1:-1] if token.startswith('"') else token
        is_name = token.startswith('"') or (name.isidentifier() and name.lower() not in constants)
        if is_name and len(name.encode()) > _LONGEST_NAME:
            message = (
                f"the name {name} has {len(name.encode())} bytes and is cut to {_LONGEST_NAME}, where it can meet "
                "another that begins alike; shorten it"
            )
            yield from said(Severity.WARNING, "names.too_long", one, message)
