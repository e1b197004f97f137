"""The DDL is loaded by a real PostgreSQL 18, and the queries are prepared there."""

from __future__ import annotations

import psycopg
import pytest
from tests.designs import marketplace
from datetime import date
from dbprompt.render.postgres import ddl_statements, schema_sql
from dbprompt.render.queries import queries_sql, query_statements

TODAY = date(2026, 7, 19)


@pytest.mark.parametrize("version", [15, 18])
def test_loads(database: psycopg.Connection, version: int) -> None:
    """The file of a whole design loads, and every query is prepared."""
    design = marketplace()
    database.execute(schema_sql(design, as_of=TODAY, version=version))
    database.execute(queries_sql(design))
    prepared = database.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == (4,)
