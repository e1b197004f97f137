"""The DDL is loaded by a real PostgreSQL 18, and the queries are prepared there."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from typing import Any

import psycopg
import pytest
from designs import HOSTILE, MARKETPLACE, marketplace
from psycopg import sql

from dbprompt.render.postgres import (
    Statement,
    UnsafeSqlError,
    ddl_statements,
    identifier,
    literal,
    outline,
    schema_sql,
    unsafe_expressions,
)
from dbprompt.render.postgres.partitions import periods
from dbprompt.render.queries import queries_sql, query_statements
from dbprompt.sections import DatabaseDesign

TODAY = date(2026, 7, 19)


def _changed(section: str, **values: Any) -> DatabaseDesign:
    data: Any = deepcopy(MARKETPLACE)
    data[section].update(values)
    return DatabaseDesign.model_validate(data)


def _tables(*tables: dict[str, Any], **schema: Any) -> DatabaseDesign:
    return DatabaseDesign.model_validate({"schema": {"tables": tables, **schema}})


def _table(name: str, *columns: dict[str, Any], **more: Any) -> dict[str, Any]:
    identity = {"name": "id", "type": "bigint", "identity": True}
    return {"name": name, "columns": [identity, *columns], "primary_key": ["id"], **more}


def _ddl(design: DatabaseDesign, version: int = 18) -> tuple[Statement, ...]:
    return ddl_statements(design, as_of=TODAY, version=version)


def _load(database: psycopg.Connection[Any], design: DatabaseDesign) -> None:
    for statement in _ddl(design):
        database.execute(statement.sql)


@pytest.mark.parametrize("version", [15, 18])
def test_whole_design_loads(database: psycopg.Connection[Any], version: int) -> None:
    """The file of a whole design loads, cycles and partitions included, and every query is prepared."""
    design = marketplace()
    database.execute(schema_sql(design, as_of=TODAY, version=version, title=HOSTILE))
    database.execute(queries_sql(design, title=HOSTILE))
    keys = database.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 ORDER BY 1"
    ).fetchall()
    assert [name for (name,) in keys] == [
        "buyers_last_order_id_fkey",
        "order_buyer_id_fkey",
        "order_lines_order_id_fkey",
        "order_lines_product_id_fkey",
        "pickup_slots_order_id_fkey",
        "products_replaced_by_fkey",
    ]
    assert database.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (4,)


def test_uuid_of_older_majors(database: psycopg.Connection[Any]) -> None:
    """Before 18 the design brings a uuidv7() of its own, whose values carry version, variant and today's time."""
    function = next(statement for statement in _ddl(marketplace(), 15) if statement.kind == "function")
    database.execute(function.sql)
    made = database.execute(
        "SELECT uuid_extract_version(u), abs(extract(epoch FROM uuid_extract_timestamp(u) - clock_timestamp())) < 5 "
        "FROM (SELECT public.uuidv7() AS u)"
    ).fetchone()
    assert made == (7, True)
    assert all(statement.kind != "function" for statement in _ddl(marketplace(), 18))


def test_hostile_values_stay_values(database: psycopg.Connection[Any]) -> None:
    """Comments, enum values, text and number defaults that look like SQL come back from the catalogue as they were."""
    note = {"name": "note", "type": "text", "default": {"kind": "literal", "value": HOSTILE}, "comment": HOSTILE}
    design = _tables(_table("notes", note, comment=HOSTILE), enums=[{"name": "kind", "values": [HOSTILE[:60]]}])
    _load(database, design)
    database.execute("INSERT INTO notes DEFAULT VALUES")
    assert database.execute("SELECT note FROM notes").fetchone() == (HOSTILE,)
    assert database.execute("SELECT obj_description('notes'::regclass)").fetchone() == (HOSTILE,)
    assert database.execute("SELECT enumlabel FROM pg_enum").fetchone() == (HOSTILE[:60],)


@pytest.mark.parametrize("kind", ["integer", "decimal", "boolean", "double"])
def test_hostile_number_is_refused(database: psycopg.Connection[Any], kind: str) -> None:
    """A number or a boolean that is none reaches the engine as a literal, and the engine refuses the literal."""
    default = {"kind": "literal", "value": "0); DROP TABLE x; --"}
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        _load(database, _tables(_table("t", {"name": "n", "type": kind, "default": default})))


@pytest.mark.parametrize("text", [HOSTILE, "\\", "\\'; --", "''", "$$", "a\nb\rc", "é\u2028", ""])
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_literal_comes_back(database: psycopg.Connection[Any], text: str, conforming: str) -> None:
    """A literal is read back as the text that it was written from, under either string setting."""
    database.execute(sql.SQL("SET standard_conforming_strings = {}").format(sql.SQL(conforming)))  # type: ignore[arg-type]
    assert database.execute("SELECT " + literal(text)).fetchone() == (text,)  # type: ignore[arg-type]


def test_reserved_words_are_quoted(database: psycopg.Connection[Any]) -> None:
    """Every keyword of the server works as the name of a table and of a column, and no other name is quoted."""
    words = [word for (word,) in database.execute("SELECT word FROM pg_get_keywords()").fetchall()]
    for word in words:
        design = _tables({"name": word, "columns": [{"name": word, "type": "integer"}], "primary_key": [word]})
        _load(database, design)
    quoted = database.execute("SELECT w FROM unnest(%s::text[]) w WHERE quote_ident(w) <> w", [words]).fetchall()
    assert {word for (word,) in quoted} == {word for word in words if identifier(word) != word}


def test_every_type_loads(database: psycopg.Connection[Any]) -> None:
    """Every logical type that needs no extension beyond the wheel's has a PostgreSQL type, alone and as an array."""
    from dbprompt.sections.schema import ColumnType

    absent = {"geometry", "geography", "enum"}  # postgis is not in the wheel; enums are named
    columns = []
    for kind in [kind for kind in ColumnType if kind not in absent]:
        size = {"length": 3} if kind in {"char", "vector", "varchar"} else {}
        columns += [
            {"name": f"a_{kind}", "type": kind, **size},
            {"name": f"b_{kind}", "type": kind, "array": True, **size},
        ]
    _load(database, _tables(_table("everything", *columns)))


def test_partitions_take_the_next_rows(database: psycopg.Connection[Any]) -> None:
    """Each granularity has a partition for yesterday's period, today and the next period, and none that overlap."""
    for granularity in ("day", "week", "month", "quarter", "year"):
        split = {"strategy": "range", "column": "at", "granularity": granularity}
        name = f"by_{granularity}"
        at = {"name": "at", "type": "timestamptz"}
        _load(database, _tables({"name": name, "columns": [at], "partitioning": split}))
        known = list(periods(granularity, TODAY))
        assert [first for _, first, _ in known[1:]] == [after for _, _, after in known[:-1]]
        assert known[1][1] <= TODAY < known[1][2]
        for _, first, _ in known:
            database.execute(f"INSERT INTO {name} VALUES (%s)", [first])  # type: ignore[arg-type]


def test_hash_and_list_partitions(database: psycopg.Connection[Any]) -> None:
    """Hash partitions take every row; a list takes its values, quotes in them too, and refuses others."""
    hashed = {"strategy": "hash", "column": "id", "count": 3}
    listed = {"strategy": "list", "column": "region", "lists": [["eu", "uk"], ["it's"]]}
    region = {"name": "region", "type": "text"}
    _load(
        database,
        _tables(_table("h", partitioning=hashed), {"name": "l", "columns": [region], "partitioning": listed}),
    )
    database.execute("INSERT INTO h SELECT FROM generate_series(1, 50)")
    database.execute("INSERT INTO l VALUES ('uk'), ('it''s')")
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute("INSERT INTO l VALUES ('us')")


def test_long_names_stay_apart(database: psycopg.Connection[Any]) -> None:
    """Derived names that would be cut at 63 characters, or that the model gave already, are all different."""
    long = "a" * 63
    other = {"columns": ["x"], "references": long, "referenced_columns": ["id"]}
    columns = [
        {"name": "x", "type": "bigint"},
        {"name": "b" * 63, "type": "bigint"},
        {"name": "b" * 62, "type": "bigint"},
    ]
    uniques = [{"columns": ["b" * 63]}, {"columns": ["b" * 62]}]
    twice = [other, other]
    design = _tables(
        _table(long, *columns, uniques=uniques, foreign_keys=twice),
        _table("t", *columns, checks=[{"name": "t_pkey", "expression": "x > 0"}]),
    )
    with_index = design.model_copy(
        update={
            "indexes": marketplace().indexes.model_validate(  # type: ignore[union-attr]
                {"indexes": [{"name": "t_pkey1", "table": "t", "keys": [{"column": "x"}]}]}
            )
        }
    )
    _load(database, with_index)


@pytest.mark.parametrize(
    "text",
    [
        "x > 0); DROP TABLE t; --",
        "x > 0) OR (true",
        "x > 0 -- )",
        "x > 0 /* ) */",
        "'unfinished",
        "E'it\\'s",
        "1e'\\'; DROP TABLE t; --'",
        "1$a$ ' $a$ ; DROP TABLE t; --'",
        "x > 0 \\! id",
        "$$ unfinished",
        "a[1",
        "  ",
        "\0",
    ],
)
def test_expression_cannot_leave(text: str) -> None:
    """An expression that could close its parenthesis is refused with its place, and nothing is rendered from it."""
    design = _tables(_table("t", {"name": "x", "type": "integer"}, checks=[{"name": "c", "expression": "true"}]))
    table = design.schema.tables[0]  # type: ignore[union-attr]
    broken = table.model_copy(update={"checks": (table.checks[0].model_copy(update={"expression": text}),)})
    design = design.model_copy(update={"schema": design.schema.model_copy(update={"tables": (broken,)})})  # type: ignore[union-attr]
    with pytest.raises(UnsafeSqlError) as caught:
        _ddl(design)
    assert (caught.value.section, caught.value.where) == ("schema", "/tables/0/checks/0/expression")
    assert [error.where for error in unsafe_expressions(design)] == ["/tables/0/checks/0/expression"]


def test_harmless_expressions_stay(database: psycopg.Connection[Any]) -> None:
    """Semicolons, comments and brackets inside literals and names do not make an expression unsafe."""
    harmless = [
        "x <> '); --'",
        r"x <> E'it\'s ('",
        "x <> $q$ ; ( /* $q$",
        '"odd" <> 1',
        "x ~ '^\\d+$'",
        "('{a,b}'::text[])[1] = x",
    ]
    checks = [{"name": f"c{at}", "expression": text} for at, text in enumerate(harmless)]
    columns = ({"name": "x", "type": "text"}, {"name": "odd", "type": "integer"})
    _load(database, _tables(_table("t", *columns, checks=checks)))


@pytest.mark.parametrize("text", ["SELECT 1; DROP TABLE t", "SELECT 1;;", "-- nothing", "SELECT 'x", "SELECT (1"])
def test_query_is_one_statement(text: str) -> None:
    """A text that is no single statement is refused with the query's place."""
    design = _changed("queries", queries=[{"id": "q", "sql": "SELECT 1"}, {"id": "bad", "sql": text}])
    with pytest.raises(UnsafeSqlError) as caught:
        queries_sql(design)
    assert (caught.value.section, caught.value.where) == ("queries", "/queries/1")


def test_query_statements_name_types() -> None:
    """Statements carry PostgreSQL's type names and their place, next pages included."""
    found = query_statements(marketplace())
    assert [(q.name, q.parameter_types, q.where) for q in found] == [
        ("latest_orders_of_buyer", ("bigint",), "/queries/0"),
        ("latest_orders_of_buyer_next_page", ("bigint", "timestamptz", "bigint"), "/queries/0/next_page_sql"),
        ("order_by_number", ("varchar", "order_status[]"), "/queries/1"),
        ("Analyze", ("text",), "/queries/2"),
    ]


def test_statements_know_their_place() -> None:
    """Each statement points at what it was written from, in the section that holds it."""
    data = marketplace().model_dump()
    for statement in _ddl(marketplace(), 15):
        node: Any = data
        for step in statement.pointer.split("/")[1:]:
            node = node[int(step)] if isinstance(node, tuple | list) else node[step]
        assert node
    pointers = {statement.artefact: statement.pointer for statement in _ddl(marketplace())}
    assert pointers["extension pg_trgm"] == "/indexes/indexes/1"
    assert pointers["index products_title_trgm"] == "/indexes/indexes/1"


def test_broken_references_are_rendered() -> None:
    """A design whose references lead nowhere is still written: the engine says what is wrong."""
    away = {"columns": ["x"], "references": "nowhere", "referenced_columns": ["id"]}
    typed = {"name": "x", "type": "enum", "enum": "no_such"}
    index = {"indexes": [{"name": "i", "table": "gone", "keys": [{"column": "y"}]}]}
    design = DatabaseDesign.model_validate(
        {"schema": {"tables": [_table("t", typed, foreign_keys=[away])]}, "indexes": index}
    )
    assert [statement.kind for statement in _ddl(design)] == ["table", "index"]


def test_order_of_long_chain() -> None:
    """Two thousand tables, each referring to the next, are ordered without recursion and need no later key."""
    chain = [
        _table(f"t{at}", foreign_keys=[{"columns": ["id"], "references": f"t{at + 1}", "referenced_columns": ["id"]}])
        for at in range(2000)
    ]
    kinds = [statement.kind for statement in _ddl(_tables(*chain))]
    assert kinds == ["table"] * 2000


def test_outline_is_one_line_a_thing() -> None:
    """The outline says keys, references and nullability of a table in one line, and breaks no line inside."""
    lines = outline(marketplace()).splitlines()
    assert len(lines) == 1 + 1 + 1 + 5 + 5 + 3
    assert "buyers.id" in lines[3]
    assert "last_order_id bigint? -> order.id" in lines[4]
