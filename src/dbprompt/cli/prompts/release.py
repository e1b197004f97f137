"""`dbprompt prompts release`: a new version, its number told from what changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from dbprompt.cli.base import console
from dbprompt.cli.prompts.base import Root
from dbprompt.cli.prompts.diff import print_differences
from dbprompt.library import plan_prompt_release
from dbprompt.prompts.changes import Level
from dbprompt.prompts.release import release

__all__ = ["command"]

_LEVELS = {level.word: level for level in Level}


def command(
    name: Annotated[str, typer.Argument(help="a family (its folder draft is released), or the path of a folder")],
    level: Annotated[str, typer.Option(help="auto, major, minor or patch")] = "auto",
    note: Annotated[str, typer.Option(help="a line for the changelog, in the users' words")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")] = False,
    root: Root = None,
) -> None:
    """Makes a new version: its folder, its lock entry and its line in the changelog, or none of them."""
    if level not in {"auto", *_LEVELS}:
        raise typer.BadParameter(f"{level!r}: write auto, major, minor or patch", param_hint="--level")
    plan = plan_prompt_release(name, root=root, level=_LEVELS.get(level))
    out = console()
    print_differences(out, plan.differences)
    told = f"{plan.level.word}, after {plan.base}" if plan.level else "the first version"
    if dry_run:
        out.print(f"would release {escape(str(plan))} ({told})", highlight=False)
        return
    folder, entry = release(plan, note, on=datetime.now(UTC).date())
    out.print(f"released {escape(str(plan))} ({told}) in {escape(str(folder))}", highlight=False)
    out.print(f"sha256 {entry.sha256}", highlight=False)
