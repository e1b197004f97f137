"""DuckDB's cell: hostile SQL reaches nothing, ends by the deadline, and the next check works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import LIMITS, attack, canary

from dbprompt.engines import duckdb
from dbprompt.engines.base import Answer

ATTACKS = {
    "read a file": "SELECT * FROM read_csv('{folder}/read.csv')",
    "read a file by name": "SELECT * FROM '{folder}/read.csv'",
    "read text": "SELECT content FROM read_text('{folder}/read.csv')",
    "read bytes": "SELECT content FROM read_blob('/etc/shadow')",
    "list a directory": "SELECT file FROM glob('/etc/*')",
    "write a file": "COPY (SELECT 1) TO '{folder}/evil.csv'",
    "write a parquet file": "CREATE TABLE t (a INTEGER);;COPY t TO '{folder}/evil.parquet' (FORMAT parquet)",
    "export": "EXPORT DATABASE '{folder}/evil'",
    "import": "IMPORT DATABASE '{folder}'",
    "attach": "ATTACH '{folder}/evil.db'",
    "attach another format": "ATTACH '{folder}/evil.db' AS e (TYPE sqlite)",
    "install": "INSTALL httpfs",
    "install from elsewhere": "INSTALL evil FROM 'http://127.0.0.1:9'",
    "load": "LOAD '{folder}/evil.duckdb_extension'",
    "network": "SELECT * FROM read_parquet('http://127.0.0.1:9/x.parquet')",
    "cloud": "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "environment": "SELECT getenv('HOME')",
    "secret": "CREATE PERSISTENT SECRET s (TYPE s3)",
    "open the door": "SET enable_external_access = true",
    "open the door by pragma": "PRAGMA enable_external_access = true",
    "unlock": "SET lock_configuration = false",
    "log to a file": "SET log_query_path = '{folder}/evil.log'",
    "profile to a file": "SET profiling_output = '{folder}/evil.json'",
    "spill to a directory": "SET temp_directory = '{folder}/evil'",
    "our own variables": "SELECT * FROM Database",
    "sleep": "SELECT sleep_ms(100000)",
    "count for ever": "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range + b.range = -1",
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    "large memory": "SELECT list(range) FROM range(1000000000)",
    "large sort": "SELECT * FROM range(1000000000) ORDER BY hash(range)",
    "large table": "CREATE TABLE b AS SELECT repeat('x', 1000) || range AS x FROM range(1000000000)",
    "one large value": "SELECT length(repeat(repeat('x', 1000000), 100000))",
    "a macro that calls itself": "CREATE MACRO m(a) AS m(a + 1);;SELECT m(1)",
    "deep expression": "SELECT " + "(" * 20000 + "1" + ")" * 20000,
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where an attack could be seen."""
    with canary() as path:
        yield path


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_gets_out_or_goes_on(folder: Path, name: str) -> None:
    """Nothing is read, written, loaded or used up, through the ladder and at the sandbox alone."""
    attack(duckdb.engine(), "duckdb", ATTACKS[name], folder)


def test_settings_are_tried_and_never_applied() -> None:
    """A setting that exists and takes its value passes; the sandbox keeps its own."""
    with duckdb.engine().sandbox(limits=LIMITS) as sandbox:
        good = sandbox.run("SET memory_limit = '10GB'")
        assert good.ok
        assert "not applied" in good.note
        assert sandbox.run("SET memory_limit = 'much'").answer is Answer.REFUSED
        assert sandbox.run("SET threads TO 64").ok
        (still,) = (sandbox.run(f"SELECT 1 / (current_setting('threads') = {n})::INT::DOUBLE") for n in (1,))
        assert still.ok


def test_an_interrupted_statement_leaves_its_database() -> None:
    """DuckDB is asked to stop first, so the statements after a slow one are still checked."""
    with duckdb.engine().sandbox(limits=LIMITS) as sandbox:
        sandbox.run("CREATE TABLE t (id INTEGER)")
        assert sandbox.run("SELECT sleep_ms(100000)").answer is Answer.UNDECIDED
        assert sandbox.run("SELECT id FROM t").ok
