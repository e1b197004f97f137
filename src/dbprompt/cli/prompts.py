"""`dbprompt prompts list | show | render | lock`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dbprompt.brief import Brief
from dbprompt.cli.base import console
from dbprompt.library import check_prompts, list_prompts, load_prompt, lock_prompts
from dbprompt.prompts.from_brief import fill_from_brief

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Prompts: what there is, what they ask, and whether they are as published."
)
Name = Annotated[str, typer.Argument(help="name, name@version, name@label, or the path of a folder of your own")]


@app.command("list")
def list_() -> None:
    """Every prompt that can be loaded by name."""
    table = Table("prompt", "labels", "sections", "title")
    for prompt in list_prompts():
        table.add_row(str(prompt), ", ".join(prompt.labels), ", ".join(prompt.sections), prompt.title)
    console().print(table)


@app.command()
def show(name: Name) -> None:
    """A prompt's variables: type, whether it is required, what belongs there."""
    prompt = load_prompt(name)
    out = console()
    out.print(f"[bold]{prompt}[/]  {escape(prompt.title)}\n{escape(prompt.description)}\nsha256 {prompt.hash}\n")
    table = Table("variable", "type", "required", "what belongs there", "example")
    for variable in prompt.variables:
        kind = " | ".join(variable.choices) if variable.choices else variable.type
        example = variable.examples[0] if variable.examples else ""
        needed = "required" if variable.required else ""
        table.add_row(variable.name, kind, needed, escape(variable.description), escape(example))
    out.print(table)


@app.command()
def render(
    name: Name,
    brief: Annotated[Path | None, typer.Option(help="fill the variables from this brief")] = None,
    section: Annotated[str, typer.Option(help="only what is asked for this section")] = "",
    variable: Annotated[list[str] | None, typer.Option("--var", help="NAME=VALUE; may be given often")] = None,
) -> None:
    """The messages as a model gets them."""
    prompt = load_prompt(name)
    values = fill_from_brief(prompt.variables, Brief.load(brief)) if brief else {}
    values.update(_given(variable or []))
    messages = prompt.render_turn(section, values) if section else prompt.render(**values)
    for message in messages:
        typer.echo(f"--- {message.role}{' (cached)' if message.cache else ''} ---\n{message.text}\n")


def _given(pairs: list[str]) -> dict[str, object]:
    bare = [pair for pair in pairs if "=" not in pair]
    if bare:
        raise typer.BadParameter(f"{bare[0]!r}: write NAME=VALUE", param_hint="--var")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


@app.command()
def lock(
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit 1 if a published version differs")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="accept changes of versions that were never released")] = False,
    root: Annotated[Path | None, typer.Option(help="a folder of prompts of your own")] = None,
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
