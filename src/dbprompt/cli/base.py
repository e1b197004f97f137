"""What the commands share: a console, and the exit code of an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

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

    from dbprompt.calls.prices import Price

__all__ = [
    "Ignored",
    "Prices",
    "Sections",
    "Severities",
    "console",
    "exit_code",
    "levels",
    "listed",
    "prices",
    "read_sql",
]

Ignored: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--ignore", help="a rule that does not count: types.char or types.*; may be repeated"),
]
Severities: TypeAlias = Annotated[
    list[str] | None, typer.Option("--severity", help="RULE=error, warning or advice; may be repeated")
]

Prices: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--price", help="MODEL=INPUT,OUTPUT in US dollars a million tokens, before the shipped list; may be given often"
    ),
]

Sections: TypeAlias = Annotated[
    list[str] | None, typer.Option("--section", "--sections", help="only these, with commas or given often")
]


def listed(given: list[str] | None) -> list[str] | None:
    """The names that an option holds, which may be given with commas or often; None if it was not given.

    >>> listed(["schema, indexes", "queries"])
    ['schema', 'indexes', 'queries']
    """
    return [name.strip() for one in given for name in one.split(",") if name.strip()] if given else None


def prices(given: list[str] | None) -> dict[str, Price]:
    """`MODEL=INPUT,OUTPUT` pairs as a mapping."""
    from dbprompt.calls.prices import Price

    told: dict[str, Price] = {}
    for one in given or ():
        model, _, figures = one.rpartition("=")
        try:
            read, written = (float(figure) for figure in figures.split(","))
        except ValueError:
            raise typer.BadParameter(f"{one!r}: write MODEL=INPUT,OUTPUT", param_hint="--price") from None
        try:
            told[model] = Price(read, written)
        except ValueError as error:
            raise typer.BadParameter(f"{one!r}: {error}", param_hint="--price") from None
    return told


def levels(given: list[str] | None) -> dict[str, str]:
    """`RULE=LEVEL` pairs as a mapping."""
    for pair in given or ():
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r}: write RULE=LEVEL", param_hint="--severity")
    return {name: level for name, _, level in (pair.partition("=") for pair in given or ())}


def read_sql(path: Path) -> str:
    """A file of SQL; a byte order mark, as Windows tools write one, is no part of it.

    Raises:
        DbpromptError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DbpromptError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise DbpromptError(f"{path} cannot be read: {error.strerror or error}") from error


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
