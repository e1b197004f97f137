"""Hostile SQL has no effect outside its sandbox, ends by the deadline, and the next check works.

Each statement meets both walls: the whole ladder, and, as dynamic SQL that hides from the syntax tree would, the
sandbox alone.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dbprompt.checks.sql.tree import split
from dbprompt.engines.base import Answer, Limits
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.ladder import verify

LIMITS = Limits(statement_seconds=0.6)
DEADLINE = 6.0  # two walls at 0.6 s, leniency, ending and cleaning up, on a busy machine
QUICK_NEXT = 3.0

# {canary} is a path, {port} a listening port. `hidden` wraps a statement so that the allow-list cannot see it.
REACHING_OUT = {
    "write a file": "COPY (SELECT 'x') TO '{canary}'",
    "read a file": "COPY t FROM '/etc/passwd'",
    "run a program": "COPY (SELECT 'x') TO PROGRAM 'touch {canary}'",
    "run a program on read": "COPY t FROM PROGRAM 'touch {canary}; echo x'",
    "read by function": "SELECT pg_read_file('/etc/passwd')",
    "list a directory": "SELECT pg_ls_dir('/')",
    "import a large object": "SELECT lo_import('/etc/passwd')",
    "export a large object": "SELECT lo_export(lo_from_bytea(0, 'x'), '{canary}')",
    "load a library": "LOAD '$libdir/dblink'",
    "C function": "CREATE FUNCTION f(cstring) RETURNS int AS 'libc.so.6', 'system' LANGUAGE c",
    "internal function": "CREATE FUNCTION f() RETURNS bool LANGUAGE internal AS 'pg_reload_conf'",
    "untrusted language": "CREATE EXTENSION plpython3u",
    "network by dblink": "CREATE EXTENSION dblink;"
    " SELECT dblink_connect('host=127.0.0.1 port={port} user=x password=x')",
    "network by wrapper": "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
    "network by subscription": "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port={port}' PUBLICATION p",
    "files by wrapper": "CREATE EXTENSION file_fdw",
    "tablespace": "CREATE TABLESPACE x LOCATION '/tmp'",
    "another database": "CREATE DATABASE evil",
    "configuration": "ALTER SYSTEM SET archive_command = 'touch {canary}'",
    "reload": "SELECT pg_reload_conf()",
    "new superuser": "CREATE ROLE evil SUPERUSER LOGIN",
    "new role": "CREATE ROLE evil_plain",
    "become superuser": "ALTER ROLE CURRENT_USER SUPERUSER",
    "become the administrator": "SET SESSION AUTHORIZATION dbprompt_admin",
    "take the administrator's role": "SELECT set_config('role', 'dbprompt_admin', false)",
    "grant programs": "GRANT pg_execute_server_program TO CURRENT_USER",
    "definer as administrator": "CREATE FUNCTION f() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';"
    "ALTER FUNCTION f() OWNER TO dbprompt_admin",
    "tamper with roles": "UPDATE pg_catalog.pg_authid SET rolsuper = true",
    "tamper with classes": "DELETE FROM pg_catalog.pg_class",
    "end the others": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "cancel the others": "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "become a template": "ALTER DATABASE current_database_name IS_TEMPLATE true",
    "poison the role's next session": "ALTER ROLE CURRENT_USER SET local_preload_libraries = 'evil'",
    "poison the database's next session": "ALTER DATABASE current_database_name SET local_preload_libraries = 'evil'",
    "close the door": "ALTER DATABASE current_database_name CONNECTION LIMIT 0",
    "read bytes by function": "SELECT pg_read_binary_file('/etc/passwd')",
    "look at a file": "SELECT pg_stat_file('/etc/passwd')",
    "read the server's log": "SELECT pg_ls_logdir()",
    "grant files": "GRANT pg_read_server_files, pg_write_server_files TO CURRENT_USER",
    "read others' password hashes": "CREATE TABLE stolen AS SELECT rolname, rolpassword FROM pg_authid;"
    "COPY stolen TO '{canary}'",
    "tamper with functions": "UPDATE pg_catalog.pg_proc SET prosrc = 'evil' WHERE proname = 'now'",
    "tamper with settings": "UPDATE pg_settings SET setting = '{canary}' WHERE name = 'log_directory'",
    "plant in the catalogue's schema": "CREATE FUNCTION pg_catalog.now(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "event trigger": "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    "CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION e()",
    "function as the administrator at plan time": "CREATE FUNCTION f() RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    " 'BEGIN EXECUTE ''CREATE ROLE evil_planned''; RETURN 1; END'; CREATE TABLE p (a int CHECK (a > f()));"
    "EXPLAIN SELECT f()",
    "index function as the administrator": "CREATE TABLE i (a int); CREATE FUNCTION f(int) RETURNS int IMMUTABLE"
    " LANGUAGE plpgsql AS 'BEGIN EXECUTE ''CREATE ROLE evil_indexed''; RETURN 1; END';"
    "INSERT INTO i VALUES (1); CREATE INDEX ON i (f(a)); REINDEX TABLE i; ANALYZE i",
    "stand-in for a wrapper": "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS"
    " (host '127.0.0.1', port '{port}'); CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (password 'x');"
    "CREATE FOREIGN TABLE ft (a int) SERVER s; SELECT * FROM ft;"
    "IMPORT FOREIGN SCHEMA public FROM SERVER s INTO public",
    "take a trap into the administrator's search_path": "CREATE SCHEMA dbprompt_admin; CREATE FUNCTION"
    " dbprompt_admin.to_regtype(text) RETURNS regtype LANGUAGE plpgsql AS 'BEGIN EXECUTE ''CREATE ROLE evil_trap'';"
    " RETURN NULL; END'; SELECT $1::int",
    "foreign body in a probe": "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN PERFORM 1"
    " $dbprompt$; COPY t TO '{canary}'; SELECT $dbprompt$; END $f$",
}
USING_UP = {
    "sleep for long": "SELECT pg_sleep(1000)",
    "backtracking": "SELECT repeat('a', 40) ~ '^(a+)+$' FROM generate_series(1, 100000000)",
    "nested views": "WITH RECURSIVE r(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM r) SELECT sum(length(s)) FROM r",
    "large objects": "DO $$ BEGIN LOOP PERFORM lo_from_bytea(0, convert_to(repeat('x', 1000000), 'UTF8'));"
    " END LOOP; END $$",
    "endless trigger": "CREATE TABLE l (n int); CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN INSERT INTO l VALUES (NEW.n + 1); RETURN NULL; END'; CREATE TRIGGER g AFTER INSERT ON l FOR EACH ROW"
    " EXECUTE FUNCTION g(); INSERT INTO l VALUES (1)",
    "temporary files": "CREATE TEMP TABLE x AS SELECT repeat(md5(i::text), 100) FROM generate_series(1, 100000000) i",
    "sleep": "SELECT pg_sleep(100)",
    "sleep without time-out": "DO $$ BEGIN PERFORM set_config('statement_timeout', '0', false);"
    " PERFORM pg_sleep(100); END $$",
    "catch the time-out": "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(100);"
    " EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
    "spin": "DO $$ BEGIN LOOP END LOOP; END $$",
    "count": "SELECT count(*) FROM generate_series(1, 100000000000)",
    "stream": "SELECT generate_series(1, 100000000000), repeat('x', 1000)",
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "sleep in a plan": "CREATE FUNCTION f() RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_sleep(100); RETURN 1; END'; PREPARE p AS SELECT f(); EXECUTE p",
    "one large value": "SELECT repeat('x', 1000000000)",
    "large memory": "DO $$ BEGIN SET work_mem = '8GB';"
    " PERFORM array_agg(i) FROM generate_series(1, 1000000000) i; END $$",
    "growing memory": "DO $$ DECLARE a text[]; BEGIN LOOP a := a || repeat('x', 1000000); END LOOP; END $$",
    "one large table": "CREATE TABLE b AS SELECT repeat('x', 1000) FROM generate_series(1, 100000000000)",
    "many large tables": "DO $$ DECLARE n int := 0; BEGIN LOOP n := n + 1; EXECUTE format('CREATE TABLE b%s AS SELECT"
    " repeat(md5(i::text), 30) FROM generate_series(1, 50000) i', n); END LOOP; END $$",
    "large sort": "SELECT * FROM generate_series(1, 1000000000) i ORDER BY md5(i::text)",
    "lock flood": "DO $$ BEGIN FOR i IN 1..10000000 LOOP PERFORM pg_advisory_lock(i); END LOOP; END $$",
    "table flood": "DO $$ BEGIN FOR i IN 1..1000000 LOOP"
    " EXECUTE format('CREATE TABLE t%s (id int)', i); END LOOP; END $$",
    "notice flood": "DO $$ BEGIN LOOP RAISE NOTICE '%', repeat('x', 100000); END LOOP; END $$",
    "log flood": "DO $$ BEGIN LOOP RAISE LOG '%', repeat('x', 100000); END LOOP; END $$",
    "deep recursion": "CREATE FUNCTION r() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN r(); END'; SELECT r()",
}


@dataclass(slots=True)
class World:
    """What must not change."""

    engine: PostgresEngine
    canary: Path
    port: int
    contacts: list[object] = field(default_factory=list)

    def facts(self) -> tuple[object, ...]:
        """Roles, databases, settings and extensions of the server, seen from a fresh sandbox."""
        with self.engine.sandbox() as sandbox:
            numbered = "'^dbprompt_[0-9]+$'"
            return (
                sandbox.rows(f"SELECT rolname, rolsuper FROM pg_roles WHERE rolname !~ {numbered} ORDER BY 1"),
                sandbox.rows(f"SELECT datname FROM pg_database WHERE datname !~ {numbered} ORDER BY 1"),
                sandbox.rows("SELECT name, setting FROM pg_file_settings ORDER BY 1, 2"),
                sandbox.rows("SELECT roleid, member FROM pg_auth_members ORDER BY 1, 2"),
                sandbox.run("CREATE TABLE t (id int PRIMARY KEY)").answer,
            )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A canary that the server's account could write, and a listener that it could call."""
    folder = Path("/tmp") / f"dbprompt-canary-{os.getpid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        world = World(PostgresEngine.of(), folder / "canary", listener.getsockname()[1])
        listener.settimeout(0.2)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    world.contacts.append(listener.accept()[1])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        yield world
        done.set()
        thread.join()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def aimed(world: World, sql: str) -> str:
    """An attack with its targets filled in."""
    return sql.replace("{canary}", str(world.canary)).replace("{port}", str(world.port))


def at_the_sandbox(sandbox: PostgresSandbox, statement: str) -> None:
    """Runs a statement past the allow-list, plainly and as dynamic SQL."""
    named = statement.replace("current_database_name", sandbox.name)
    quoted = named.replace("'", "''")
    sandbox.run(named)
    sandbox.run(f"DO LANGUAGE plpgsql 'BEGIN EXECUTE ''{quoted.replace(chr(39), chr(39) * 2)}''; END'")


@pytest.mark.parametrize("name", REACHING_OUT)
def test_nothing_reaches_out(world: World, name: str) -> None:
    """No statement touches a file, program, network, role, setting or neighbour, through either wall."""
    before = world.facts()
    sql = aimed(world, REACHING_OUT[name])

    verify(sql, setup="CREATE TABLE t (line text)", limits=LIMITS)
    with world.engine.sandbox(limits=LIMITS) as neighbour:
        neighbour.run("CREATE TABLE mine (id int)")
        with world.engine.sandbox(limits=LIMITS) as sandbox:
            sandbox.run("CREATE TABLE t (line text)")
            for piece in split(sql):
                at_the_sandbox(sandbox, piece.sql)
        assert neighbour.run("SELECT * FROM mine").ok

    assert not world.canary.exists()
    assert not world.contacts
    assert world.facts() == before


@pytest.mark.parametrize("name", USING_UP)
def test_nothing_is_used_up(world: World, name: str) -> None:
    """Bombs of time, memory, disk and locks end by the deadline, count as undecided, and hurt nobody after them."""
    began = time.monotonic()
    evidence = verify(USING_UP[name], limits=LIMITS)
    with world.engine.sandbox(limits=LIMITS) as sandbox:
        outcomes = [sandbox.run(piece.sql) for piece in split(USING_UP[name])]
    took = time.monotonic() - began
    began = time.monotonic()

    assert took < DEADLINE
    assert outcomes[-1].answer is not Answer.ACCEPTED
    assert evidence.findings
    assert verify("CREATE TABLE t (id int PRIMARY KEY)").ok
    assert time.monotonic() - began < QUICK_NEXT
