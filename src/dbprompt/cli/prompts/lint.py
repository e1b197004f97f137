"""`dbprompt prompts lint`: how a prompt is made, rule by rule. Not how well it works: evals measure that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dbprompt.cli.base import console
from dbprompt.cli.prompts.base import Root
from dbprompt.errors import MissingExtraError
from dbprompt.evidence import Status
from dbprompt.library import lint_prompt, prompt_names
from dbprompt.prompts.lint import BUDGET, Health, Row, RuleResult
from dbprompt.prompts.tokens import ENCODERS, Counter, TokensBy, estimate, o200k_counter

__all__ = ["command"]

_STYLES = {Status.PASSED: "green", Status.FAILED: "red", Status.NOT_CHECKED: "yellow"}
_MOST = 12


def command(
    name: Annotated[str, typer.Argument(help="a prompt, or the path of a folder of your own; all if left out")] = "",
    budget: Annotated[int, typer.Option(help="the most tokens that a turn may have", min=1)] = BUDGET,
    tokens: Annotated[str, typer.Option(help="estimate, or o200k (OpenAI's models only)")] = "estimate",
    recording: Annotated[
        list[Path] | None, typer.Option(help="measure turns by this recording; may be given often")
    ] = None,
    root: Root = None,
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
) -> None:
    """Checks how prompts are made: length, structure, variables, safety, lock. Exit code 1 unless all rules pass."""
    count = _counter(tokens)
    names = [name] if name else prompt_names(root=root)
    found = [lint_prompt(one, root=root, budget=budget, count=count, recordings=recording or ()) for one in names]
    if as_json:
        typer.echo(json.dumps([_json(health) for health in found], indent=2, ensure_ascii=False))
    else:
        for health in found:
            _print(console(), health)
        console().print("Health says how a prompt is made. How well it works, evals measure: dbprompt eval.")
    raise typer.Exit(0 if found and all(health.ok for health in found) else 1)


def _counter(method: str) -> Counter:
    if method == TokensBy.ESTIMATE:
        return estimate
    if method != TokensBy.O200K:
        raise typer.BadParameter(f"{method!r}: write estimate or o200k", param_hint="--tokens")
    counter = o200k_counter()
    if counter is None:
        raise MissingExtraError(ENCODERS[0])
    return counter


def _print(out: Console, health: Health) -> None:
    total = len(health.results)
    out.print(f"[bold]{escape(health.prompt)}[/]  Prompt health {health.score:.0%} ({health.passed} of {total} rules)")
    if health.lengths[:-1]:
        name, longest = max(health.lengths[:-1], key=lambda item: item[1].high)
        out.print(f"longest turn: {escape(name)}, {longest}", highlight=False)
    for name, whole in health.lengths[-1:]:
        out.print(f"{name}: {whole}", highlight=False)
    table = Table("row", "rule", "says", "result")
    for row in Row:
        for at, result in enumerate(health.row(row)):
            style = _STYLES[result.status]
            told = str(result.status).replace("_", " ")
            table.add_row("" if at else row, result.rule.id, escape(result.rule.says), f"[{style}]{told}[/]")
    out.print(table)
    for result in health.results:
        if result.status is not Status.PASSED:
            _print_result(out, result)


def _print_result(out: Console, result: RuleResult) -> None:
    style = _STYLES[result.status]
    reason = escape(" ".join(result.reason.split()))
    out.print(f"[{style}]{result.rule.id}[/]{': ' if reason else ''}{reason}", highlight=False)
    for fault in result.faults[:_MOST]:
        out.print(f"  {escape(str(fault))}", highlight=False)
    if len(result.faults) > _MOST:
        out.print(f"  and {len(result.faults) - _MOST} more")
    if result.faults:
        out.print(f"  fix: {escape(result.rule.fix)}", highlight=False)


def _json(health: Health) -> dict[str, object]:
    return {
        "prompt": health.prompt,
        "score": round(health.score, 4),
        "passed": health.passed,
        "applicable": len(health.results),
        "rules": [
            {
                "id": result.rule.id,
                "row": result.rule.row,
                "status": result.status,
                "reason": result.reason,
                "faults": [{"where": fault.where, "message": fault.message} for fault in result.faults],
                "fix": result.rule.fix,
            }
            for result in health.results
        ],
        "tokens": {name: {"low": t.low, "high": t.high, "method": t.method} for name, t in health.lengths},
    }
