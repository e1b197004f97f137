"""Which extensions a design needs, and where the need comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from dbprompt.render.postgres.base import Statement, UnsafeSqlError, identifier, without_literals
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.indexes import Index, IndexKey
from dbprompt.sections.queries import Parameter
from dbprompt.sections.schema import ColumnType, Exclusion, Table

__all__ = ["Need", "extension_statements", "needs"]


class Need(NamedTuple):
    """An extension, and the place that asks for it."""

    extension: str
    section: str
    where: str


_BY_TYPE = {
    ColumnType.CITEXT: "citext",
    ColumnType.HSTORE: "hstore",
    ColumnType.LTREE: "ltree",
    ColumnType.VECTOR: "vector",
    ColumnType.GEOMETRY: "postgis",
    ColumnType.GEOGRAPHY: "postgis",
}
_BY_OPERATOR_CLASS = {"trigram": "pg_trgm", "vector_cosine": "vector", "vector_l2": "vector"}
_BY_WORD = {
    "pg_trgm": r"\b(word_|strict_word_)?similarity\s*\(|\bshow_trgm\s*\(|<%|%>",
    "unaccent": r"\bunaccent\s*\(",
    "pgcrypto": r"\b(crypt|gen_salt|hmac|digest|pgp_sym_\w+|gen_random_bytes)\s*\(",
    "fuzzystrmatch": r"\b(levenshtein\w*|soundex|metaphone|dmetaphone\w*)\s*\(",
    "postgis": r"\bst_\w+\s*\(",
    "cube": r"\b(earth_distance|ll_to_earth|earth_box)\s*\(",
    "earthdistance": r"\b(earth_distance|ll_to_earth|earth_box)\s*\(",
    "uuid-ossp": r"\buuid_generate_v\w+\s*\(",
}
_WORDS = {extension: re.compile(pattern, re.IGNORECASE) for extension, pattern in _BY_WORD.items()}
_SIMILAR_TO_PARAMETER = re.compile(r"(?<![<%])%\s*\$([0-9]{1,4})")
_TEXTS = {ColumnType.TEXT, ColumnType.VARCHAR, ColumnType.CHAR, ColumnType.CITEXT}
_RANGES = {
    ColumnType.INT4RANGE,
    ColumnType.INT8RANGE,
    ColumnType.NUMRANGE,
    ColumnType.DATERANGE,
    ColumnType.TSRANGE,
    ColumnType.TSTZRANGE,
}
# Types that GiST and GIN index by themselves or through an extension that their own type brings along.
_GIST = _RANGES | {ColumnType.POINT, ColumnType.GEOMETRY, ColumnType.GEOGRAPHY, ColumnType.TSVECTOR}
_GIST |= {ColumnType.LTREE, ColumnType.HSTORE}
_GIN = {ColumnType.JSON, ColumnType.TSVECTOR, ColumnType.HSTORE}


def extension_statements(design: DatabaseDesign) -> tuple[Statement, ...]:
    """CREATE EXTENSION for each extension once, pointing at the first place that needs it."""
    first: dict[str, Need] = {}
    for need in needs(design):
        first.setdefault(need.extension, need)
    return tuple(
        Statement(
            f"CREATE EXTENSION IF NOT EXISTS {identifier(name)}",
            need.section,
            need.where,
            f"extension {name}",
            "extension",
        )
        for name, need in first.items()
    )


def needs(design: DatabaseDesign) -> Iterator[Need]:
    """Every need of an extension, in the order of the document."""
    for at, table in enumerate(design.schema.tables if design.schema else ()):
        for extension in _of_table(table):
            yield Need(extension, "schema", f"/tables/{at}")
    for at, index in enumerate(design.indexes.indexes if design.indexes else ()):
        indexed = design.schema.table(index.table) if design.schema else None
        for extension in _of_index(index, indexed):
            yield Need(extension, "indexes", f"/indexes/{at}")
    for at, view in enumerate(design.views.views if design.views else ()):
        for extension in _of_text(view.sql):
            yield Need(extension, "views", f"/views/{at}")
    for at, query in enumerate(design.queries.queries if design.queries else ()):
        for sql, parameters in ((query.sql, query.parameters), (query.next_page_sql, query.next_page_parameters)):
            for extension in _of_query(sql or "", parameters):
                yield Need(extension, "queries", f"/queries/{at}")


def _of_table(table: Table) -> Iterator[str]:
    for column in table.columns:
        if column.type in _BY_TYPE:
            yield _BY_TYPE[column.type]
        yield from _of_text(column.generated or "")
        if column.default is not None and column.default.kind == "expression":
            yield from _of_text(column.default.value or "")
    for check in table.checks:
        yield from _of_text(check.expression)
    for exclusion in table.exclusions:
        yield from _of_exclusion(exclusion, table)


def _of_exclusion(exclusion: Exclusion, table: Table) -> Iterator[str]:
    """GiST compares ranges by itself, and plain values through btree_gist."""
    for element in exclusion.elements:
        yield from _of_text(element.expression)
        column = table.column(element.expression)
        if element.operator in {"=", "<>"} and not (column is not None and column.type in _RANGES):
            yield "btree_gist"


def _of_index(index: Index, table: Table | None) -> Iterator[str]:
    if index.method in {"hnsw", "ivfflat"}:
        yield "vector"
    yield from _of_text(index.where or "")
    for key in index.keys:
        yield from _of_key(key, index, table)


def _of_key(key: IndexKey, index: Index, table: Table | None) -> Iterator[str]:
    if key.operator_class in _BY_OPERATOR_CLASS:
        yield _BY_OPERATOR_CLASS[key.operator_class]
    yield from _of_text(key.expression or "")
    column = table.column(key.column) if table is not None and key.column is not None else None
    if column is None or key.operator_class is not None or column.array:
        return
    if index.method == "gist" and column.type not in _GIST:
        yield "btree_gist"
    if index.method == "gin" and column.type not in _GIN:
        yield "btree_gin"


def _of_query(sql: str, parameters: tuple[Parameter, ...]) -> Iterator[str]:
    yield from _of_text(sql)
    for parameter in parameters:
        if parameter.type in _BY_TYPE:
            yield _BY_TYPE[parameter.type]
    for match in _SIMILAR_TO_PARAMETER.finditer(_bare(sql)):
        number = int(match.group(1))
        if 1 <= number <= len(parameters) and parameters[number - 1].type in _TEXTS:
            yield "pg_trgm"


def _of_text(sql: str) -> Iterator[str]:
    bare = _bare(sql)
    yield from (extension for extension, pattern in _WORDS.items() if pattern.search(bare))


def _bare(sql: str) -> str:
    """The text without literals; a text that cannot be read has no needs, its own statement is refused later."""
    try:
        return without_literals(sql)
    except UnsafeSqlError:
        return ""
