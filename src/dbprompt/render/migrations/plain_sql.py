"""Migrations as plain SQL files for psql: one up and one down a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dbprompt.render.migrations.steps import Versioned
from dbprompt.render.postgres import comment_line

__all__ = ["plain_files", "script"]


def plain_files(steps: Sequence[Versioned]) -> Mapping[str, str]:
    """`0001_initial.up.sql`, `0001_initial.down.sql`, ..."""
    files: dict[str, str] = {}
    for one in steps:
        files[f"{one.stem}.up.sql"] = _file(one, one.step.up, "up")
        files[f"{one.stem}.down.sql"] = _file(one, one.step.down, "down")
    return files


def script(statements: Sequence[str], *, transactional: bool) -> str:
    """Statements as a script; nothing to do is an empty one."""
    if not statements:
        return ""
    lines = [f"{sql};" for sql in statements]
    return "\n\n".join(["BEGIN;", *lines, "COMMIT;"] if transactional else lines) + "\n"


def _file(one: Versioned, statements: Sequence[str], way: str) -> str:
    return "\n".join(
        (*_header(one, way, empty=not statements), "", script(statements, transactional=one.step.transactional))
    )


def _header(one: Versioned, way: str, *, empty: bool) -> Iterator[str]:
    step = one.step
    yield comment_line(f"{one.version} {step.title}: {way}. Written by dbprompt from design.json.")
    yield comment_line(step.note)
    if step.after and way == "up":
        yield comment_line(f"Only when {step.after}.")
    if empty:
        yield "-- Nothing has to be done."
    elif step.transactional:
        yield "-- One transaction: psql -v ON_ERROR_STOP=1 -f THIS FILE"
    else:
        yield "-- Not in a transaction: psql -v ON_ERROR_STOP=1 -f THIS FILE, never with -1."
