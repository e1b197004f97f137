"""The first migration: the whole design, and its exact reverse.

Roles and their rights are no part of it: they belong to the server, and the role that migrates may not make them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date

from dbprompt.render.migrations.portable import portable
from dbprompt.render.migrations.steps import Step, in_transaction
from dbprompt.render.postgres import ddl_statements
from dbprompt.sections import DatabaseDesign

__all__ = ["initial_step", "reverse"]

_LOCK_TIMEOUT_MS = 2_000
_NAME = r'(?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))?'
_WITH_ITS_TABLE = re.compile(rf"COMMENT ON |CREATE (UNIQUE )?INDEX |CREATE TABLE {_NAME} PARTITION OF ")
_MADE = re.compile(rf"CREATE (?P<kind>EXTENSION|TYPE|TABLE|MATERIALIZED VIEW|VIEW) (IF NOT EXISTS )?(?P<name>{_NAME})")
_ROUTINE = re.compile(rf"CREATE (OR REPLACE )?(?P<kind>FUNCTION|PROCEDURE) (?P<name>{_NAME})\s*\(")
_TRIGGER = re.compile(
    rf"CREATE (OR REPLACE )?(CONSTRAINT )?TRIGGER (?P<name>{_NAME})\s.*?\sON (?P<table>{_NAME})", re.DOTALL
)
_CONSTRAINT = re.compile(rf"ALTER TABLE (ONLY )?(?P<table>{_NAME})\s+ADD CONSTRAINT (?P<name>{_NAME}) ")


def initial_step(design: DatabaseDesign, *, as_of: date, version: int) -> Step:
    """Everything that the design's DDL makes, in one transaction.

    Raises:
        UnsafeSqlError: a free expression could leave its parentheses.
    """
    up = tuple(portable(one.sql) for one in ddl_statements(design, as_of=as_of, version=version))
    back = tuple(sql for one in reversed(up) if (sql := reverse(one)))
    return Step(
        name="initial",
        phase="initial",
        up=in_transaction(_LOCK_TIMEOUT_MS, up),
        down=in_transaction(_LOCK_TIMEOUT_MS, back),
        transactional=True,
        note="The whole schema. Its way back drops every table with its rows: for a database that holds none yet.",
    )


def reverse(sql: str) -> str | None:
    """The statement that takes a DDL statement of ours back; empty for what goes with its table.

    None for one that this module does not know: the proof of the way back then finds what is left.

    >>> reverse("CREATE TYPE mood AS ENUM ('good')"), reverse("CREATE INDEX a ON b (c)")
    ('DROP TYPE mood', '')
    >>> reverse("CREATE FUNCTION f(days integer DEFAULT (1 + 2), at date) RETURNS integer LANGUAGE sql AS ''")
    'DROP FUNCTION f(integer, date)'
    """
    if _WITH_ITS_TABLE.match(sql):
        return ""
    if found := _MADE.match(sql):
        return f"DROP {found['kind']} {found['name']}"
    if found := _CONSTRAINT.match(sql):
        return f"ALTER TABLE {found['table']} DROP CONSTRAINT {found['name']}"
    if found := _TRIGGER.match(sql):  # it uses a function, which goes before the table does
        return f"DROP TRIGGER {found['name']} ON {found['table']}"
    if found := _ROUTINE.match(sql):
        types = (_type_of(argument) for argument in _arguments(sql[found.end() :]))
        return f"DROP {found['kind']} {found['name']}({', '.join(types)})"
    return None


def _type_of(argument: str) -> str:
    """`days integer DEFAULT 3` without its name and default: every argument of ours has a name."""
    return argument.partition(" DEFAULT ")[0].split(None, 1)[1].strip()


def _arguments(rest: Iterable[str]) -> Iterator[str]:
    """The arguments up to the closing parenthesis, cut at the commas that stand in no other."""
    depth, current = 1, ""
    for letter in rest:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 or (depth == 1 and letter == ","):
            if current.strip():
                yield current.strip()
            current = ""
            if depth == 0:
                return
        else:
            current += letter
