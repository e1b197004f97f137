"""A server that the user names: sandboxes come and go on it, and nothing else of it is touched."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest

from dbprompt.engines.base import Limits
from dbprompt.engines.postgres import DSN_VARIABLE, PostgresEngine
from dbprompt.engines.postgres.binaries import nearest
from dbprompt.engines.postgres.server import Server
from dbprompt.engines.postgres.template import ADMIN
from dbprompt.errors import EngineError
from dbprompt.evidence import Evidence, Status, Tier
from dbprompt.ladder import verify


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that stands in for the user's own."""
    server = Server(nearest(None))
    yield server
    server.stop()


@pytest.fixture(params=["CREATEDB CREATEROLE", "SUPERUSER"])
def dsn(server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A DSN whose role may create databases and roles."""
    with psycopg.connect(host=str(server.directory), user=ADMIN, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE ROLE postgres_user LOGIN {request.param}")
        admin.execute("CREATE DATABASE postgres_user OWNER postgres_user")
        hba = server.data / "pg_hba.conf"
        hba.write_text("local all all trust\n")
        admin.execute("SELECT pg_reload_conf()")
        value = f"host={server.directory} user=postgres_user dbname=postgres_user password='it''s'".replace("''", "\\'")
        monkeypatch.setenv(DSN_VARIABLE, value)
        yield value
        PostgresEngine.of().stop()
        admin.execute("DROP DATABASE postgres_user WITH (FORCE)")
        admin.execute("DROP ROLE postgres_user")


def facts(server: Server) -> list[tuple[object, ...]]:
    """Databases, roles and settings."""
    with psycopg.connect(host=str(server.directory), user=ADMIN, dbname="postgres") as admin:
        names = "SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles ORDER BY 1"
        settings = "SELECT name, setting FROM pg_file_settings ORDER BY 1"
        return [*admin.execute(names).fetchall(), *admin.execute(settings).fetchall()]


def engine(evidence: Evidence) -> list[Status]:
    """What the engine said, statement by statement."""
    return [verdict.status for verdict in evidence.verdicts if verdict.tier is Tier.ENGINE]


def test_statements_run_in_a_database_that_comes_and_goes(server: Server, dsn: str) -> None:
    """DDL and queries are judged on the named server, slow ones end, and nothing is left on it."""
    before = facts(server)

    good = verify("CREATE TABLE t (id bigint PRIMARY KEY); CREATE EXTENSION pg_trgm; SELECT id FROM t WHERE id = $1")
    bad = verify("CREATE TABLE t (id FOO)")
    slow = verify("SELECT pg_sleep(100)", limits=Limits(statement_seconds=0.5))

    assert engine(good) == [Status.PASSED] * 3
    assert good.verdicts[-1].checker == f"postgresql {server.installation.version}"
    assert [finding.code for finding in bad.errors] == ["engine.undefined_object"]
    assert engine(slow) == [Status.INCONCLUSIVE]
    assert facts(server) == before


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE ROLE shop",
        "ALTER SYSTEM SET work_mem = '64MB'",
        "CREATE EXTENSION vector",
        "CREATE EXTENSION timescaledb",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
        "SET ROLE postgres_user",
        "ALTER TABLE t OWNER TO postgres_user",
    ],
)
def test_nothing_is_tried_with_more_rights_than_a_sandbox_has(server: Server, dsn: str, sql: str) -> None:
    """What needs a superuser, another role or a setting is undecided there, though the DSN's role may do it."""
    before = facts(server)

    evidence = verify(sql, setup="CREATE TABLE t (id bigint PRIMARY KEY)")

    assert engine(evidence) == [Status.INCONCLUSIVE]
    assert facts(server) == before


def test_a_role_without_rights_and_a_dead_server_are_errors(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what the role needs, or why there is no connection; no other server is taken instead."""
    with psycopg.connect(host=str(server.directory), user=ADMIN, dbname="postgres", autocommit=True) as admin:
        admin.execute("CREATE ROLE dbprompt_plain LOGIN")
        admin.execute("CREATE DATABASE dbprompt_plain")
        (server.data / "pg_hba.conf").write_text("local all all trust\n")
        admin.execute("SELECT pg_reload_conf()")
    monkeypatch.setenv(DSN_VARIABLE, f"host={server.directory} user=dbprompt_plain dbname=dbprompt_plain")
    with pytest.raises(EngineError, match="CREATEDB CREATEROLE"):
        verify("SELECT 1")

    for wrong in (f"host=/tmp/nowhere-{os.getpid()} user=x password=hidden", "not a dsn"):
        monkeypatch.setenv(DSN_VARIABLE, wrong)
        with pytest.raises(EngineError, match="given DSN") as raised:
            verify("SELECT 1")
        assert "hidden" not in str(raised.value)
