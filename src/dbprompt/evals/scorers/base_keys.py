"""What is unique in a table: keys, unique constraints and unique indexes that PostgreSQL would take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from dbprompt.checks.base_access import Access, accesses
from dbprompt.checks.base_trees import Broken, expression, find, words
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.schema import Table

__all__ = ["is_just_not_null", "key_over", "key_within", "unique_ways"]


def unique_ways(table: Table, indexes: Indexes | None) -> Iterator[Access]:
    """Every way into a table that refuses a second row.

    PostgreSQL refuses a unique key of a partitioned table that leaves the partition key out: it is none.
    """
    split = table.partitioning.column if table.partitioning else None
    for way in accesses(table, indexes):
        plain = {column for key in way.keys if key.plain for column in key.columns}
        if way.unique and (split is None or split in plain):
            yield way


def _columns(way: Access) -> frozenset[str]:
    return frozenset(column for key in way.keys for column in key.columns)


def key_over(table: Table, indexes: Indexes | None, attributes: Sequence[frozenset[str]]) -> Access | None:
    """A unique key over just these attributes, each held by one of its columns; a partial one counts."""
    for way in unique_ways(table, indexes):
        if len(way.keys) == len(attributes) and _is_choice(_columns(way), attributes):
            return way
    return None


def key_within(table: Table, indexes: Indexes | None, attributes: Sequence[frozenset[str]]) -> Access | None:
    """A unique key over some or all of these attributes and nothing else: rows that are equal in all are refused."""
    allowed = frozenset[str]().union(*attributes)
    for way in unique_ways(table, indexes):
        whole = way.predicate is None or is_just_not_null(way.predicate, allowed)
        if way.keys and whole and _columns(way) <= allowed:
            return way
    return None


def _is_choice(columns: frozenset[str], attributes: Sequence[frozenset[str]]) -> bool:
    return any(frozenset(choice) == columns for choice in product(*attributes))


def is_just_not_null(predicate: str, columns: frozenset[str]) -> bool:
    """Whether a predicate only leaves out rows in which one of these columns is null."""
    tree = expression(predicate)
    if isinstance(tree, Broken):
        return False
    parts = tree.nodes("args") if tree.kind == "BoolExpr" and tree.text("boolop") == "AND_EXPR" else (tree,)
    for part in parts:
        names = [words(ref.nodes("fields"))[-1] for ref in find(part, "ColumnRef")]
        is_test = part.kind == "NullTest" and part.text("nulltesttype") == "IS_NOT_NULL"
        if not is_test or not set(names) <= columns:
            return False
    return True
