"""`dbprompt design BRIEF`: from a brief to a proven design, in a folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from dbprompt.brief import Brief
from dbprompt.calls.bounds import Bounds
from dbprompt.cli.base import Ignored, Prices, Sections, Severities, console, levels, listed, prices
from dbprompt.cli.progress import Progress
from dbprompt.cli.show import print_result
from dbprompt.client import DEFAULT_PROMPT, Client
from dbprompt.errors import AskError, EngineError
from dbprompt.library import load_prompt
from dbprompt.prompts.prompt import Prompt
from dbprompt.result import Result, load_design
from dbprompt.result.folder import check_folder
from dbprompt.sections import DatabaseDesign

__all__ = ["command"]


def command(
    brief: Annotated[Path, typer.Argument(help="a brief in YAML or JSON", metavar="BRIEF")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="anthropic:MODEL or openai:MODEL; from the recording if left out; given often, the next one is asked"
            " where one is overloaded, out of credit or declines"
        ),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="an OpenAI-compatible server for openai:MODEL")] = None,
    prompt: Annotated[str, typer.Option(help="the family that asks: name, name@version or a folder")] = DEFAULT_PROMPT,
    section: Sections = None,
    start: Annotated[Path | None, typer.Option(help="a design.json to go on from; only what fails is asked")] = None,
    again: Annotated[bool, typer.Option("--again", help="ask for each --section anew, though START has it")] = False,
    out: Annotated[Path | None, typer.Option(help="write the design into this folder")] = None,
    replay: Annotated[Path | None, typer.Option(help="answer from this recording; nothing reaches the network")] = None,
    record: Annotated[Path | None, typer.Option(help="record the exchanges into this file")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="show tables and other items as they are written")] = False,
    ignore: Ignored = None,
    severity: Severities = None,
    attempts: Annotated[int, typer.Option(min=0, help="repair rounds a section")] = 3,
    max_output_tokens: Annotated[int, typer.Option(min=1, help="where an answer is cut off")] = 16_000,
    timeout: Annotated[float, typer.Option(min=1, help="seconds that one answer may take, retries included")] = 600,
    deadline: Annotated[float | None, typer.Option(min=1, help="seconds that the whole design may take")] = None,
    max_requests: Annotated[int | None, typer.Option(min=1, help="requests that it may send")] = None,
    max_cost: Annotated[float | None, typer.Option(help="US dollars that it may cost")] = None,
    price: Prices = None,
) -> None:
    """Designs a database for a brief. What is still wrong after the last repair is shown, written, and exit code 1."""
    if replay and record:
        raise typer.BadParameter("give --replay or --record, not both")
    if not math.isfinite(timeout):
        raise typer.BadParameter("is a number of seconds", param_hint="--timeout")
    if again and not (start and section):
        raise typer.BadParameter("asks for sections of a design anew: give --start and --section", param_hint="--again")
    if base_url is not None and model is not None and len(model) > 1:
        raise typer.BadParameter("is for a single --model: of several nobody knows which", param_hint="--base-url")
    if out is not None:
        check_folder(out)
    read = Brief.load(brief)
    family = load_prompt(prompt)
    sections = listed(section)
    begun = _begun(start, sections or () if again else ())
    screen = console()
    with Progress(screen) as progress:
        client = Client(
            (model if len(model) > 1 else model[0]) if model else _recorded_model(replay),
            base_url=base_url,
            recording=replay or record,
            mode="record" if record else "replay",
            attempts=attempts,
            max_output_tokens=max_output_tokens,
            timeout_s=timeout,
            per_call=Bounds(deadline_s=timeout),
            per_job=_bounds(deadline, max_requests, max_cost),
            prices=prices(price),
            watch=progress.watch,
        )
        progress.start(read, family, client.provenance)
        try:
            with client:
                options = Options(
                    prompt=family, sections=sections, start=begun, ignore=ignore or (), severity=levels(severity)
                )
                if stream:
                    with client.stream_design(read, **options) as told:
                        result = progress.follow(told)
                else:
                    result = client.design(read, **options)
        except (AskError, EngineError) as error:
            if isinstance(error.partial, Result):
                progress.close()
                _hand_over(error.partial, out)
            raise
    _hand_over(result, out)
    if not result.evidence.ok:
        raise typer.Exit(1)


def _bounds(deadline_s: float | None, requests: int | None, cost_usd: float | None) -> Bounds:
    try:
        return Bounds(deadline_s=deadline_s, requests=requests, cost_usd=cost_usd)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-cost") from None


class Options(TypedDict):
    """What a design is asked for with, streamed or not."""

    prompt: Prompt
    sections: Iterable[str] | None
    start: DatabaseDesign | None
    ignore: Iterable[str]
    severity: Mapping[str, str] | None


def _begun(start: Path | None, again: Iterable[str]) -> DatabaseDesign | None:
    return load_design(start).without(*again) if start else None


def _hand_over(result: Result, out: Path | None) -> None:
    screen = console()
    print_result(screen, result)
    if out is not None:
        folder = result.write(out)
        names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
        screen.print(f"written to [bold]{folder}/[/]: {', '.join(names)}")


def _recorded_model(replay: Path | None) -> str:
    if replay is None:
        raise typer.BadParameter(
            "say which model to ask: --model anthropic:MODEL or openai:MODEL", param_hint="--model"
        )
    from dbprompt.providers.tape import Tape

    models = {f"{source.provider}:{source.model}" for source in (i.source for i in Tape.open(replay).interactions)}
    if len(models) != 1:
        raise typer.BadParameter(f"{replay} holds answers of {len(models)} models; say which", param_hint="--model")
    return models.pop()
