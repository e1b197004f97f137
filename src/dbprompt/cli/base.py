"""What the commands share: a console, and the exit code of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbprompt.errors import (
    AnswerError,
    AskError,
    DbpromptError,
    EngineError,
    MissingExtraError,
    PromptLockError,
)

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "exit_code"]


def console(*, stderr: bool = False) -> Console:
    """A console that wraps nothing to death where there is no terminal."""
    from rich.console import Console

    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=140)


def exit_code(error: DbpromptError) -> int:
    """The exit code that an error ends with; see the module `dbprompt.cli`."""
    match error:
        case AnswerError() | PromptLockError():
            return 1
        case AskError():
            return 3
        case EngineError() | MissingExtraError():
            return 4
        case _:
            return 2
