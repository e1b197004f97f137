"""What the prompt commands share: their arguments, and values from a brief and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from dbprompt.brief import Brief
from dbprompt.prompts.from_brief import fill_from_brief
from dbprompt.prompts.prompt import Prompt

__all__ = ["BriefFile", "Name", "Pairs", "Root", "values_of"]

Name: TypeAlias = Annotated[
    str, typer.Argument(help="name, name@version, name@label, or the path of a folder of your own")
]
BriefFile: TypeAlias = Annotated[Path | None, typer.Option("--brief", help="fill the variables from this brief")]
Pairs: TypeAlias = Annotated[list[str] | None, typer.Option("--var", help="NAME=VALUE; may be given often")]
Root: TypeAlias = Annotated[Path | None, typer.Option("--root", help="a folder of prompts of your own")]


def values_of(prompt: Prompt, brief: Path | None, pairs: list[str] | None) -> dict[str, object]:
    """The values of a brief, and over them those of the command line."""
    bare = [pair for pair in pairs or () if "=" not in pair]
    if bare:
        raise typer.BadParameter(f"{bare[0]!r}: write NAME=VALUE", param_hint="--var")
    values = fill_from_brief(prompt.variables, Brief.load(brief)) if brief else {}
    return values | {name: value for name, _, value in (pair.partition("=") for pair in pairs or ())}
