"""Migrations for Flyway: versioned and undo scripts, and a script configuration where there may be no transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbprompt.render.migrations.steps import Versioned
from dbprompt.render.postgres import comment_line

__all__ = ["flyway_files"]

_PROJECT = """\
# Written by dbprompt. Give the connection in the environment: FLYWAY_URL, FLYWAY_USER, FLYWAY_PASSWORD.
flyway.locations=filesystem:.
flyway.validateMigrationNaming=true
# Flyway holds its own lock in the session and not in a transaction: CREATE INDEX CONCURRENTLY would wait for that one.
flyway.postgresql.transactional.lock=false
"""


def flyway_files(steps: Sequence[Versioned]) -> Mapping[str, str]:
    """`V0001__initial.sql`, `U0001__initial.sql` and, for a step outside transactions, `V....sql.conf` beside them.

    A step whose way back does nothing has an undo script too, else Flyway's undo would stop there.
    """
    files = {"flyway.conf": _PROJECT}
    for one in steps:
        for letter, statements in (("V", one.step.up), ("U", one.step.down)):
            name = f"{letter}{one.version}__{one.step.name}.sql"
            files[name] = _file(one, statements)
            if not one.step.transactional:
                files[f"{name}.conf"] = "executeInTransaction=false\n"
    return files


def _file(one: Versioned, statements: Sequence[str]) -> str:
    notes = [comment_line(one.step.note)]
    if one.step.after:
        notes.append(comment_line(f"Up only when {one.step.after}."))
    body = [f"{sql};" for sql in statements or ("SELECT 1 AS nothing_to_do",)]
    return "\n\n".join(("\n".join(notes), *body)) + "\n"
