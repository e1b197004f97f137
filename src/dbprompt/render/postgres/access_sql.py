"""The two scripts that follow schema.sql: who may do what, and the record of changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby

from dbprompt.brief import Brief
from dbprompt.render.postgres.audit import APP_USER, RECORD, audit_statements
from dbprompt.render.postgres.base import Statement, comment_line
from dbprompt.render.postgres.security import OWNER, RECORD_OWNER, security_statements
from dbprompt.sections import DatabaseDesign

__all__ = ["audit_sql", "security_sql"]

_TITLES = {"role": "Roles", "owner": "Ownership", "grant": "Grants", "policy": "Row security"}
_LOAD = "-- Load it after {after}, all or not at all: psql -1 -v ON_ERROR_STOP=1 -f {file}"


def security_sql(design: DatabaseDesign, *, as_of: date, version: int, title: str, brief: Brief | None = None) -> str:
    """Roles, ownership, grants and policies as one file; empty if the design has none.

    Raises:
        UnsafeSqlError: a policy's expression could leave its parentheses.
    """
    statements = security_statements(design, as_of=as_of, version=version, brief=brief)
    if not statements:
        return ""
    header = (
        comment_line(title),
        f"-- PostgreSQL {version}, written by dbprompt from design.json.",
        _LOAD.format(after="schema.sql", file="security.sql"),
        "-- Load it as a superuser; from 16 on also as an administrator who owns the tables, with CREATEROLE,",
        "-- BYPASSRLS and ADMIN OPTION on pg_monitor and pg_read_all_data.",
        "-- Roles belong to the whole server: a second database on it shares them.",
        "-- No password stands here. Set one in psql with \\password ROLE, or let certificates or the cloud identify.",
        f"-- {OWNER} owns everything and never logs in. A role for migrations is its member: it changes tables without",
        "-- becoming it, and BYPASSRLS lets its backfills see every row.",
        "-- Time-outs belong to the roles that serve requests: jobs, migrations and restores are not stopped by them.",
        "-- A partition has no grants of its own. One that is made later inherits the default privileges below, and is",
        "-- closed to direct reading by: ALTER TABLE partition ENABLE ROW LEVEL SECURITY",
    )
    return _file(header, statements)


def audit_sql(design: DatabaseDesign, *, version: int, title: str) -> str:
    """The record of changes as one file; empty if no trigger records any."""
    statements = audit_statements(design)
    if not statements or design.security is None:
        return ""
    kept = ", ".join(f"{table} {days} days" for table, days in design.security.recorded.items())
    header = (
        comment_line(title),
        f"-- PostgreSQL {version}, written by dbprompt from design.json.",
        _LOAD.format(after="schema.sql and security.sql", file="audit.sql"),
        comment_line(f"Kept: {kept}. Once a day, as {OWNER} or its member: CALL audit.purge_all()."),
        f"-- The application says whom it speaks for: SET LOCAL {APP_USER} = '...' in its transaction.",
        f"-- {RECORD} belongs to {RECORD_OWNER}, whom nobody but a superuser can become.",
        "-- A hash, token or ciphertext is recorded as the SHA-256 of its value.",
    )
    return _file(header, statements)


def _file(header: Iterable[str], statements: Iterable[Statement]) -> str:
    return "\n\n".join(["\n".join(header), *_blocks(statements)]) + "\n"


def _blocks(statements: Iterable[Statement]) -> Iterator[str]:
    """Each kind under its title; statements of one line stand together, others alone."""
    for kind, group in groupby(statements, key=lambda statement: statement.kind):
        if title := _TITLES.get(kind):
            yield f"-- {title} {'-' * (76 - len(title))}"
        for long, run in groupby((one.sql for one in group), key=lambda sql: "\n" in sql):
            texts = [f"{sql};" for sql in run]
            yield from texts if long else ["\n".join(texts)]
