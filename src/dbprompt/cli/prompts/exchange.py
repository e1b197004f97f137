"""`dbprompt prompts export | import`: other tools' files from a prompt, and a prompt from a `.prompty` file."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dbprompt._assets import assets
from dbprompt.cli.base import console
from dbprompt.cli.prompts.base import BriefFile, Name, Pairs, values_of
from dbprompt.errors import OutputError, PromptError
from dbprompt.evidence import Status
from dbprompt.library import lint_prompt, load_prompt
from dbprompt.messages import Json
from dbprompt.prompts.exchange import edited_body, from_prompty, to_plain, to_promptfoo, to_prompty
from dbprompt.prompts.exchange.folder import write_prompt_folder
from dbprompt.prompts.prompt import Prompt
from dbprompt.prompts.tokens import estimate

__all__ = ["export", "import_"]


class Format(StrEnum):
    """What a prompt can be written as."""

    PROMPTY = "prompty"
    PROMPTFOO = "promptfoo"
    PLAIN = "plain"


def export(
    name: Name,
    to: Annotated[Format, typer.Option("--format", help="prompty, promptfoo, or plain text for any chat")],
    brief: BriefFile = None,
    variable: Pairs = None,
    provider: Annotated[str, typer.Option(help="promptfoo: whom to ask; echo shows what would be sent")] = "echo",
    out: Annotated[Path | None, typer.Option(help="write to this file")] = None,
) -> None:
    """Writes a prompt for another tool. `plain` is one text to paste into any chat."""
    prompt = load_prompt(name)
    match to:
        case Format.PROMPTY:
            text = to_prompty(prompt)
        case Format.PROMPTFOO:
            text = to_promptfoo(prompt, values_of(prompt, brief, variable), _schemas(prompt), provider=provider)
        case Format.PLAIN:
            text = to_plain(prompt, values_of(prompt, brief, variable))
            console(stderr=True).print(f"{estimate(text)}", highlight=False)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error


def _schemas(prompt: Prompt) -> dict[str, dict[str, Json]]:
    files = {section: assets("schemas") / f"{section}.json" for section in prompt.sections}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}


def import_(
    file: Annotated[Path, typer.Argument(help="a .prompty file")],
    to: Annotated[Path, typer.Option(help="the folder that gets the family: TO/NAME/VERSION is made")],
    body: Annotated[
        bool, typer.Option("--body", help="take the body, not the prompt that dbprompt put beside it")
    ] = False,
) -> None:
    """Makes a prompt folder from a .prompty file, and says what is left to do in it."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{file} cannot be read: {error}") from error
    found = from_prompty(text, body_only=body)
    target = write_prompt_folder(
        to / found.name / found.version, found.files, lambda made: _same(text, made, found.restored)
    )
    out = console()
    out.print(f"{'restored' if found.restored else 'imported'} {escape(str(target))}", highlight=False)
    for result in lint_prompt(target).results:
        if result.status is Status.FAILED:
            for fault in result.faults:
                out.print(f"  {escape(str(fault))}. {escape(result.rule.fix)}", highlight=False)


def _same(text: str, made: Path, restored: bool) -> None:
    """A body that was edited elsewhere is not thrown away unsaid."""
    if restored and edited_body(text, Prompt.read(made)):
        raise PromptError(
            "the body was edited in another tool, and the prompt that dbprompt put beside it was not. "
            "Sections cannot be told apart in a body: take it whole with --body, or edit the folder instead"
        )
