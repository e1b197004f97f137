"""`dbprompt prompts lock | label`: published versions stay as they are; labels move."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from dbprompt.cli.base import console
from dbprompt.cli.prompts.base import Root
from dbprompt.library import check_prompts, label_prompt, lock_prompts

__all__ = ["label", "lock"]


def lock(
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit 1 if a published version differs")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="accept changes of versions that were never released")] = False,
    root: Root = None,
) -> None:
    """Locks new prompt versions, or checks that locked ones are as they were."""
    out = console()
    if check:
        changes = check_prompts(root=root)
        for change in changes:
            out.print(f"[red]changed[/] {escape(str(change))}", highlight=False)
        if changes:
            out.print("A published version never changes: put the old text back, or make a new version.")
            raise typer.Exit(1)
        out.print("prompts.lock fits: every published version is as it was.")
        return
    locked = lock_prompts(root=root, force=force)
    out.print(f"{len(locked.versions)} versions locked.")


def label(
    name: Annotated[str, typer.Argument(help="the family")],
    version: Annotated[str, typer.Argument(help="a locked version of it")],
    to: Annotated[str, typer.Argument(help="production", metavar="LABEL")],
    root: Root = None,
) -> None:
    """Points a label at a locked version. Evals and replays name an exact version: a label moves."""
    label_prompt(name, version, to, root=root)
    console().print(f"{escape(name)}@{escape(to)} is {escape(version)} now.", highlight=False)
