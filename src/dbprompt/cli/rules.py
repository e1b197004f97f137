"""`dbprompt rules`: what the checks look for, with a poor and a better case for each."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Annotated

import typer
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from dbprompt.checks.catalogue import Rule, catalogue, families
from dbprompt.cli.base import console
from dbprompt.evidence import Severity

__all__ = ["command"]

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.ADVICE: "dim"}


def command(
    family: Annotated[str, typer.Argument(help="only this family: types, indexes, migration, ...")] = "",
    rule: Annotated[str, typer.Option("--id", help="one rule in full: types.float_money")] = "",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="the whole catalogue as a Markdown page")] = False,
) -> None:
    """Lists the rules: how bad each finding is, what goes wrong, how to fix it."""
    if as_markdown:
        from dbprompt.checks.catalogue.markdown import rules_markdown

        typer.echo(rules_markdown(), nl=False)
    elif rule:
        _refuse_unknown(rule, catalogue(), "--id")
        _print_rule(catalogue()[rule])
    else:
        _refuse_unknown(family, {"", *families()}, "FAMILY")
        _print_table(family)


def _refuse_unknown(name: str, known: Collection[str], where: str) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(families())}"
        raise typer.BadParameter(f"there is no {name!r}; {meant}", param_hint=where)


def _print_table(family: str) -> None:
    table = Table("rule", "weighs", "looks in", "what goes wrong", "fix")
    for one in catalogue().values():
        if family in {"", one.family}:
            levels = "/".join(f"[{_STYLES[level]}]{level}[/]" for level in (one.severity, *one.also))
            table.add_row(one.id, levels, ", ".join(one.reads), escape(one.why), escape(one.fix))
    console().print(table)


def _print_rule(rule: Rule) -> None:
    screen = console()
    levels = " or ".join((rule.severity, *rule.also))
    screen.print(f"[bold]{rule.id}[/]  {levels}, in {', '.join(rule.reads)}", highlight=False)
    for word, said in (("why", rule.why), ("fix", rule.fix), ("source", rule.source), ("kept", rule.fixed)):
        if said:
            screen.print(f"{word:>7}  {escape(said)}", highlight=False)
    answer = f"the engine refuses it: {rule.refused}" if rule.refused else "the engine takes it"
    screen.print(f"\n[red]poor[/]{'' if rule.prose else f'  [dim]{answer}[/]'}")
    _print_case(rule, rule.poor)
    screen.print("\n[green]better[/]")
    _print_case(rule, rule.better)


def _print_case(rule: Rule, case: str) -> None:
    screen = console()
    if rule.prose:
        screen.print(f"  {escape(case)}", highlight=False)
    else:
        screen.print(Syntax(case, "sql", theme="ansi_dark", background_color="default", padding=(0, 2)))
