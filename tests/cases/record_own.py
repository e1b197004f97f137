"""Records what a real PostgreSQL says to each case of own.yaml: `python tests/cases/record_own.py`.

Each case gets a database of its own on a temporary server, and meets it through the bare driver: no allow-list, no
sandbox, no dbprompt.verify. A plain owner runs it; what that role has no right to is run again by a superuser.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
import yaml
from psycopg import pq

from dbprompt.checks.sql.tree import Broken, split
from dbprompt.engines.postgres.binaries import nearest
from dbprompt.engines.postgres.server import Server
from dbprompt.engines.postgres.template import ADMIN

HERE = Path(__file__).parent
OWNER = "recorder"
ROLES = ("app_read", "app_write", "shop")


def first_error(connection: psycopg.Connection[tuple[object, ...]], sql: str) -> str:
    """`SQLSTATE: message` of the first statement that is refused; empty if there is none."""
    for piece in split(sql):
        wire = connection.pgconn
        wire.send_query(piece.sql.encode())
        error = ""
        while (result := wire.get_result()) is not None:
            if result.status == pq.ExecStatus.COPY_OUT:
                while wire.get_copy_data(0)[0] >= 0:
                    pass
            elif result.status == pq.ExecStatus.COPY_IN:
                wire.put_copy_end()
            elif result.status == pq.ExecStatus.FATAL_ERROR:
                code, words = (
                    result.error_field(field) or b""
                    for field in (pq.DiagnosticField.SQLSTATE, pq.DiagnosticField.MESSAGE_PRIMARY)
                )
                error = f"{code.decode()}: {words.decode()}"
        if error:
            return error
        if isinstance(piece, Broken):
            raise AssertionError(f"the parser refuses what the server accepts: {piece.sql}")
    return ""


def verdict(server: Server, setup: str, sql: str, *, superuser: bool) -> str:
    """The first error of a case in a fresh database, as its owner or as a superuser."""
    admin = psycopg.connect(host=str(server.directory), user=ADMIN, dbname="postgres", autocommit=True)
    attributes = "SUPERUSER" if superuser else "CREATEROLE CREATEDB"
    admin.execute(f"CREATE ROLE {OWNER} LOGIN {attributes}")
    admin.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
    try:
        with psycopg.connect(host=str(server.directory), user=OWNER, dbname=OWNER, autocommit=True) as owner:
            assert not first_error(owner, setup)
            return first_error(owner, sql)
    finally:
        admin.execute(f"DROP DATABASE {OWNER} WITH (FORCE)")
        for role in (*ROLES, OWNER):
            admin.execute(f"DROP ROLE IF EXISTS {role}")
        admin.execute("ALTER SYSTEM RESET ALL")
        admin.execute("ALTER DATABASE postgres RESET ALL")
        admin.close()


def main() -> int:
    """Rewrites own.yaml with the verdicts."""
    file = HERE / "own.yaml"
    text = file.read_text(encoding="utf-8")
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    cases = yaml.safe_load(text)["cases"]
    setup = yaml.safe_load((HERE / "sql.yaml").read_text(encoding="utf-8"))["setup"]["postgres"]
    server = Server(nearest(int(sys.argv[1]) if len(sys.argv) > 1 else None))
    try:
        for case in cases:
            error = verdict(server, setup, case["sql"], superuser=False)
            only_superuser = error.startswith("42501")
            if only_superuser:
                error = verdict(server, setup, case["sql"], superuser=True)
            lacking = "in this build" in error
            error = "" if lacking else error
            case |= {"valid": not error, "engine": f"postgresql {server.installation.version}"}
            for key, value in (("superuser", only_superuser), ("unbuilt", lacking), ("error", error)):
                case.pop(key, None)
                if value:
                    case[key] = value
            print(case["id"], error)
    finally:
        server.stop()
    file.write_text(head + yaml.safe_dump({"cases": cases}, sort_keys=False, width=160, allow_unicode=True))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
