"""Tables hold one kind of thing each, a value a column, and what changes as rows.

Poor: `attributes (product_id, name, value)`, where nothing has a type and every question is a self-join;
`orders_2024` beside `orders_2025`; `phone1, phone2, phone3`; CHECK (category IN ('books', 'tea', ...)) with twenty
names, each new one a change of the schema.
Better: a column for each known attribute and one jsonb for the rest; one table, partitioned if it is large; a table
of phones with one row each; a table of categories with a foreign key.

Warnings and advice, since each can be meant (facts/mistakes_and_rules.md 21; Karwin, SQL Antipatterns, 2010, chapters
6, 8, 9 and 11).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from dbprompt.checks.base_design import advice, judged, listing, rules, warning
from dbprompt.checks.base_trees import Broken, Node, expression, find, grammar, words
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.schema import ColumnType, Schema, Table

__all__ = ["tables"]

_NAME = re.compile(r"^(attribute|attr|property|prop|field|param|parameter|option|meta)(_?(name|key|id|code))?$|^key$")
_VALUE = re.compile(r"^(\w+_)?(value|val)(_(text|string|num|number|json))?$")
_LOOSE = {ColumnType.TEXT, ColumnType.VARCHAR, ColumnType.CITEXT, ColumnType.JSON}
_NUMBERED = re.compile(r"^(?P<stem>\w*?[a-z])_?(?P<number>\d+)$")
_NOT_A_LIST = re.compile(r"(line|address|street|sha|md|utf|iso|base|int|x|y|z|lat|lon|v|p|crc|level|quarter|q)$")
_MONTHS = re.compile(r"^(?P<stem>\w*?[a-z])_?(?P<number>(19|20)\d\d(_?\d\d?){0,2}|q[1-4]|[a-z]?\d{1,3})$")
_SMALL = 7
_SERIES = 3
_MANY_VALUES = 8
_MANY_LABELS = 25


def tables(subject: Subject) -> Report:
    """The shape of the tables of the section `schema`."""
    schema = subject.design.schema
    if subject.section != "schema" or schema is None:
        return Report()
    uncovered = "what the tables are meant for"
    return judged(subject, _findings(schema), checker=rules("table"), uncovered=uncovered)


def _findings(schema: Schema) -> Iterator[Finding]:
    for at, table in enumerate(schema.tables):
        yield from _attribute_value(table, f"/tables/{at}")
        yield from _series(table, f"/tables/{at}")
        yield from _values(table, f"/tables/{at}")
    yield from _clones(schema)
    for at, enum in enumerate(schema.enums):
        if len(enum.values) > _MANY_LABELS:
            message = (
                f"enum {enum.name} has {len(enum.values)} values; one cannot be taken away again, so what grows "
                "belongs in a table with a foreign key"
            )
            yield advice("tables.values_in_definition", f"/enums/{at}", message)


def _attribute_value(table: Table, where: str) -> Iterator[Finding]:
    """A row for each attribute of each thing."""
    names = [column.name for column in table.columns if _NAME.search(column.name)]
    values = [column.name for column in table.columns if _VALUE.search(column.name) and column.type in _LOOSE]
    owners = {name for key in table.foreign_keys for name in key.columns} - set(names)
    if names and values and owners and len(table.columns) <= _SMALL:
        message = (
            f"{table.name} keeps one row for each attribute of a thing ({names[0]}, {values[0]}), so no value has a "
            f"type, a check or a foreign key, and reading a thing joins it once an attribute; give the known "
            "attributes columns of their own, and the rest one json column"
        )
        yield warning("tables.attribute_value", where, message)


def _series(table: Table, where: str) -> Iterator[Finding]:
    """`phone1, phone2, phone3`: a list laid out as columns."""
    numbered: dict[str, list[str]] = defaultdict(list)
    for column in table.columns:
        found = _NUMBERED.match(column.name)
        if found and not _NOT_A_LIST.search(found["stem"]):
            numbered[found["stem"]].append(column.name)
    for stem, names in numbered.items():
        if len(names) >= _SERIES:
            message = (
                f"{table.name} has the columns {listing(names)}, which are one list: every search has to name them "
                f"all, and the next one changes the table; use a table with one row for each {stem}, or an array"
            )
            yield warning("tables.column_series", where, message)


def _clones(schema: Schema) -> Iterator[Finding]:
    """Tables with the same columns, told apart by a number or a year in their name."""
    alike: dict[tuple[str, frozenset[str]], list[tuple[int, str]]] = defaultdict(list)
    for at, table in enumerate(schema.tables):
        if found := _MONTHS.match(table.name):
            columns = frozenset(column.name for column in table.columns)
            alike[found["stem"], columns].append((at, table.name))
    for (stem, _), clones in alike.items():
        if len(clones) > 1:
            message = (
                f"{listing(name for _, name in clones)} have the same columns, and what tells them apart stands in "
                f"their names; make it a column of one table {stem}, partitioned by it if the table is large"
            )
            yield warning("tables.cloned", f"/tables/{clones[1][0]}", message)


def _values(table: Table, where: str) -> Iterator[Finding]:
    """A check that lists the values of a column that grows."""
    for at, check in enumerate(table.checks if grammar() else ()):
        tree = expression(check.expression)
        for node in () if isinstance(tree, Broken) else find(tree, "A_Expr"):
            column, count = _listed(node)
            if count > _MANY_VALUES:
                message = (
                    f"check {check.name} of {table.name} lists {count} values of {column}; each new one changes the "
                    "table and reads it whole, so what grows belongs in a table with a foreign key"
                )
                yield advice("tables.values_in_definition", f"{where}/checks/{at}", message)


def _listed(node: Node) -> tuple[str, int]:
    """The column and the number of texts of `column IN ('a', 'b', ...)`; also as `= ANY (ARRAY[...])`."""
    left, right = node.node("lexpr"), node.node("rexpr")
    column = words(left.nodes("fields"))[-1] if left and left.kind == "ColumnRef" else ""
    if not column or right is None or node.text("kind") not in {"AEXPR_IN", "AEXPR_OP_ANY"}:
        return "", 0
    return column, sum(constant.has("sval") for constant in find(right, "A_Const")) or _items(node)


def _items(node: Node) -> int:
    """The constants in a list that the grammar gives as a bare list."""
    return sum(constant.has("sval") for item in node.nodes("rexpr") for constant in find(item, "A_Const"))
