"""`dbprompt prompts diff A B`: what a model reads in each, section by section, and what else changed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dbprompt.cli.base import console
from dbprompt.cli.prompts.base import Name, Root
from dbprompt.library import compare_prompts
from dbprompt.prompts.changes import Difference

__all__ = ["command", "print_differences"]

_LEVELS = {"major": "red", "minor": "yellow", "patch": "green", "minor or patch": "magenta"}


def command(
    old: Name,
    new: Name,
    summary: Annotated[bool, typer.Option("--summary", help="leave out the texts")] = False,
    root: Root = None,
) -> None:
    """Compares two prompts, filled with the same examples. Exit code 0, whether or not they differ."""
    found = compare_prompts(old, new, root=root)
    out = console()
    if not found.differences and not found.texts:
        out.print(f"{escape(found.old)} and {escape(found.new)} say the same.", highlight=False)
        return
    out.print(f"from {escape(found.old)} to {escape(found.new)}", highlight=False)
    print_differences(out, found.differences)
    for text in [] if summary else found.texts:
        out.print(f"\n[bold]{escape(text.part)}[/]  [green]+{text.added}[/] [red]-{text.removed}[/]", highlight=False)
        for line in text.lines[2:]:
            out.print(Text(line, style=_style(line)), soft_wrap=True)
    level = found.level
    out.print(f"\nA release of this is {level.word if level else 'minor or patch: only a person can tell'}.")


def print_differences(out: Console, differences: tuple[Difference, ...]) -> None:
    """A table of what changed and what it breaks."""
    table = Table("what", "how it changed", "level")
    for difference in differences:
        level = difference.level.word if difference.level else "minor or patch"
        table.add_row(escape(difference.part), escape(difference.what), f"[{_LEVELS[level]}]{level}[/]")
    if differences:
        out.print(table)


def _style(line: str) -> str:
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
