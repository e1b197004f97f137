"""Every way into a table that an index gives, declared or brought along by a key, and which query it serves.

The rule is `index_for_query` of `briefs/FORMAT.md`: an index starts with the `eq` attributes in any order (one that a
partial index's predicate fixes may be left out), followed by the `sort` attributes in their order or all reversed, else
by a `range` attribute; further columns may follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.brief import AttributeRole, Brief, Entity, QueryKind, QueryNeed
from dbprompt.checks.base_matching import columns_of
from dbprompt.checks.base_trees import Broken, column_names, expression, grammar
from dbprompt.sections.indexes import Index, Indexes, IndexKey
from dbprompt.sections.schema import Table

__all__ = ["Access", "Key", "Want", "accesses", "serves", "want_of"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an index: the columns that it reads (one, unless it is an expression) and its direction."""

    columns: frozenset[str]
    text: str
    descending: bool = False
    nulls: str | None = None
    operator_class: str | None = None
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """An index of a table.

    Args:
        name: as a message calls it: `index orders_buyer`, `primary key`.
        keys: in order.
        fixed: columns that the predicate of a partial index names.
        at: place of the index in its section; None for one that a key or constraint brings along.
    """

    name: str
    table: str
    method: str
    keys: tuple[Key, ...]
    unique: bool = False
    predicate: str | None = None
    fixed: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    at: int | None = None

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(key.text for key in self.keys)})"


@dataclass(frozen=True, slots=True)
class Want:
    """What a query of the brief needs of a table: each attribute as the names of the columns that hold it."""

    eq: tuple[frozenset[str], ...]
    ranges: tuple[frozenset[str], ...]
    sort: tuple[tuple[frozenset[str], bool], ...]
    special: frozenset[str]

    @property
    def suggestion(self) -> str:
        """The keys of an index that would serve it."""
        keys = [min(names) for names in self.eq]
        if self.sort:
            keys += [f"{min(names)} desc" if down and len(self.sort) > 1 else min(names) for names, down in self.sort]
        elif self.ranges:
            keys.append(min(self.ranges[0]))
        return ", ".join(dict.fromkeys(keys))


def accesses(table: Table, indexes: Indexes | None) -> tuple[Access, ...]:
    """All ways into a table, keys and constraints first."""
    return tuple(_accesses(table, indexes))


def _accesses(table: Table, indexes: Indexes | None) -> Iterator[Access]:
    if table.primary_key:
        yield Access("primary key", table.name, "btree", _plain(table.primary_key), unique=True)
    for unique in table.uniques:
        yield Access("unique constraint", table.name, "btree", _plain(unique.columns), unique=True)
    for exclusion in table.exclusions:
        keys = tuple(_expression_key(element.expression) for element in exclusion.elements)
        yield Access(f"exclusion {exclusion.name}", table.name, "gist", keys, predicate=exclusion.where)
    for at, index in enumerate(indexes.indexes if indexes else ()):
        if index.table == table.name:
            yield _of_index(index, at)


def _plain(columns: tuple[str, ...]) -> tuple[Key, ...]:
    return tuple(Key(frozenset({name}), name) for name in columns)


def _of_index(index: Index, at: int) -> Access:
    keys = tuple(_key(key) for key in index.keys)
    fixed = _columns_in(index.where) if index.where else frozenset()
    include = frozenset(index.include)
    name = f"index {index.name}"
    return Access(name, index.table, index.method, keys, index.unique, index.where, fixed, include, at)


def _key(key: IndexKey) -> Key:
    down = key.order == "desc"
    if key.column is not None:
        text = f"{key.column} desc" if down else key.column
        return Key(frozenset({key.column}), text, down, key.nulls, key.operator_class)
    known = _expression_key(key.expression or "")
    return Key(known.columns, known.text, down, key.nulls, key.operator_class, plain=False)


def _expression_key(text: str) -> Key:
    return Key(_columns_in(text), f"({text})" if not text.isidentifier() else text, plain=text.isidentifier())


def _columns_in(text: str) -> frozenset[str]:
    """The columns that an expression names; none if it cannot be read."""
    if text.isidentifier():
        return frozenset({text})
    tree = expression(text) if grammar() else Broken("")
    return frozenset() if isinstance(tree, Broken) else frozenset(names[-1] for names in column_names(tree))


_OTHER_METHODS = {AttributeRole.JSON, AttributeRole.GEO, AttributeRole.VECTOR}
_OTHER_KINDS = {QueryKind.SEARCH, QueryKind.GEO, QueryKind.VECTOR, QueryKind.GRAPH}


def want_of(brief: Brief, query: QueryNeed, table: Table, entity: Entity) -> Want | str:
    """What a query needs of a table, or the attribute that the table has no column for."""
    named: dict[str, frozenset[str]] = {}
    special: set[str] = set()
    for name in (*query.eq, *query.range, *(name for name, _ in query.sort_keys)):
        columns = columns_of(table, entity, name)
        if not columns:
            return name
        named[name] = frozenset(column.name for column in columns)
        attribute = entity.attribute(name)
        if any(column.type.value.endswith("range") for column in columns) or (
            attribute is not None and attribute.role in _OTHER_METHODS
        ):
            special |= named[name]
    if query.kind in _OTHER_KINDS:
        special |= {column for name in (*query.eq, *query.range) for column in named[name]}
    return Want(
        tuple(named[name] for name in query.eq),
        tuple(named[name] for name in query.range),
        tuple((named[name], down) for name, down in query.sort_keys),
        frozenset(special),
    )


def serves(access: Access, want: Want) -> bool:
    """Whether an index serves a query."""
    if want.special:
        return _serves_special(access, want)
    if access.method not in {"btree", "hash"}:
        return access.method == "brin" and not want.eq and any(access.keys[0].columns & names for names in want.ranges)
    keys = list(access.keys)
    missing = list(want.eq)
    while keys and (match := next((names for names in missing if keys[0].columns <= names and keys[0].columns), None)):
        missing.remove(match)
        keys.pop(0)
    missing = [names for names in missing if not names & access.fixed]
    if access.unique and access.predicate is None and not keys:
        return True  # at most one row, whatever else is compared
    if missing:
        return False
    if access.method == "hash":
        return not (keys or want.sort or want.ranges)
    if want.sort and _sorted_by(keys, want.sort):
        return True
    if want.ranges:
        return bool(keys) and any(keys[0].columns <= names for names in want.ranges)
    return not want.sort


def _sorted_by(keys: list[Key], sort: tuple[tuple[frozenset[str], bool], ...]) -> bool:
    pairs = list(zip(keys, sort, strict=False))
    if len(pairs) < len(sort) or not all(key.plain and key.columns <= names for key, (names, _) in pairs):
        return False
    turned = {key.descending != down for key, (_, down) in pairs}
    return len(turned) == 1


def _serves_special(access: Access, want: Want) -> bool:
    """JSON, ranges, text search, places and vectors: an index of such a method that reads the column."""
    reads = frozenset(column for key in access.keys for column in key.columns)
    by_expression = any(not key.plain and key.columns & want.special for key in access.keys)
    return bool(reads & want.special) and (access.method not in {"btree", "hash"} or by_expression)
