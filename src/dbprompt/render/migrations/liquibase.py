"""Migrations for Liquibase: one changelog in formatted SQL, a changeset a step, each with its rollback.

A changeset in a transaction goes to the driver as one text, so that a function's body is not cut at its semicolons; one
outside is cut at them, and holds no body.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbprompt.render.migrations.steps import Versioned
from dbprompt.render.postgres import comment_line

__all__ = ["liquibase_changelog"]


def liquibase_changelog(steps: Sequence[Versioned]) -> str:
    """The whole changelog."""
    about = "-- Written by dbprompt from design.json; run: liquibase update, liquibase rollback-count 1"
    head = f"--liquibase formatted sql\n\n{about}"
    return "\n\n".join((head, *("\n".join(_changeset(one)) for one in steps))) + "\n"


def _changeset(one: Versioned) -> Iterator[str]:
    step = one.step
    whole = "true" if step.transactional else "false"
    split = "false" if step.transactional else "true"
    yield (
        f"--changeset dbprompt:{one.stem} runInTransaction:{whole} splitStatements:{split} "
        f"rollbackSplitStatements:{split} stripComments:false"
    )
    notes = f"{step.note} Up only when {step.after}." if step.after else step.note
    yield f"--comment: {comment_line(notes).removeprefix('-- ')}"
    yield from (f"{sql};" for sql in step.up)
    if not step.down:
        yield "--rollback empty"
    for sql in step.down:
        yield from (f"--rollback {line}" for line in f"{sql};".split("\n"))
