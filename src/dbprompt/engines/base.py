"""What an engine is: a real database that lends out throw-away databases to try SQL in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["Answer", "Engine", "Limits", "Needs", "Outcome", "Sandbox"]


class Answer(StrEnum):
    """What the engine said to a statement."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNDECIDED = "undecided"  # it ran out of time, memory or rights: nothing is known about the statement


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one statement.

    Args:
        answer: accepted, refused or undecided.
        code: the engine's own error code, `42703`; empty if accepted.
        condition: the code's name, `undefined_column`.
        message: the engine's words, without position.
        detail: more of its words.
        hint: its advice.
        position: 1-based character of the statement that the error points at; 0 if it points nowhere.
        seconds: how long the engine took.
        note: what was done instead of plainly running it, as a person would add it to a verdict.
    """

    answer: Answer
    code: str = ""
    condition: str = ""
    message: str = ""
    detail: str = ""
    hint: str = ""
    position: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the engine accepted the statement."""
        return self.answer is Answer.ACCEPTED


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandbox may use.

    Args:
        statement_seconds: after that, a statement is ended and counts as undecided.
        total_seconds: after that, no further statement of the sandbox is tried.
        disk_bytes: size of its database at which a running statement is ended.
    """

    statement_seconds: float = 5.0
    total_seconds: float = 60.0
    disk_bytes: int = 512 << 20


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be arranged before the first statement, read from the syntax tree of all of them.

    Args:
        extensions: names that the script creates.
        roles: whether it creates, alters or drops roles. They belong to the whole server, so such a sandbox has
            a server to itself while it lives.
    """

    extensions: frozenset[str] = frozenset()
    roles: bool = False


class Sandbox(Protocol):
    """A throw-away database. Statements run one by one; a refused one does not undo those before it."""

    def run(self, sql: str) -> Outcome:
        """Runs one statement."""

    def prepare(self, sql: str, parameter_types: Sequence[str] = ()) -> Outcome:
        """Has the engine resolve every name and type of one statement, without running it."""


class Engine(Protocol):
    """A database of one version."""

    @property
    def name(self) -> str:
        """`postgresql`."""

    @property
    def version(self) -> str:
        """`18.6`."""

    def sandbox(self, needs: Needs = ..., limits: Limits = ...) -> AbstractContextManager[Sandbox]:
        """Lends out an empty database and throws it away afterwards."""
