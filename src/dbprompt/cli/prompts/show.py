"""`dbprompt prompts list | show | render`: what there is, what belongs into it, what a model gets."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dbprompt.cli.base import console
from dbprompt.cli.prompts.base import BriefFile, Name, Pairs, values_of
from dbprompt.library import list_prompts, load_prompt

__all__ = ["list_", "render", "show"]


def list_() -> None:
    """Every prompt that can be loaded by name."""
    table = Table("prompt", "labels", "sections", "title")
    for prompt in list_prompts():
        table.add_row(str(prompt), ", ".join(prompt.labels), ", ".join(prompt.sections), prompt.title)
    console().print(table)


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


def render(
    name: Name,
    brief: BriefFile = None,
    section: Annotated[str, typer.Option(help="only what is asked for this section")] = "",
    variable: Pairs = None,
) -> None:
    """The messages as a model gets them."""
    prompt = load_prompt(name)
    values = values_of(prompt, brief, variable)
    messages = prompt.render_turn(section, values) if section else prompt.render(**values)
    for message in messages:
        typer.echo(f"--- {message.role}{' (cached)' if message.cache else ''} ---\n{message.text}\n")
