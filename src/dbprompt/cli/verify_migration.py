"""`dbprompt verify-migration UP.sql --before SCHEMA.sql`: what a migration would do to a live database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbprompt.cli.base import Ignored, Severities, console, levels, read_sql
from dbprompt.cli.show import print_evidence
from dbprompt.errors import DbpromptError

if TYPE_CHECKING:
    from rich.console import Console

    from dbprompt.migration import MigrationEvidence

__all__ = ["command"]


def command(
    up: Annotated[Path, typer.Argument(help="the migration", metavar="UP.sql")],
    before: Annotated[Path, typer.Option(help="SQL of the schema as it stands")],
    down: Annotated[Path | None, typer.Option(help="the script that undoes it")] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(help="rows that a table really has, orders=58000000; may be repeated", metavar="TABLE=N"),
    ] = None,
    losing: Annotated[
        list[str] | None,
        typer.Option(help="a table or column whose data is meant to go; may be repeated", metavar="NAME"),
    ] = None,
    version: Annotated[int | None, typer.Option(help="major version of the server that it is for")] = None,
    ignore: Ignored = None,
    severity: Severities = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the evidence as JSON")] = False,
) -> None:
    """Runs a migration on a real PostgreSQL and prints its locks, rewrites and scans. Exit code 1 if it is wrong."""
    from dbprompt.migration import verify_migration

    evidence = verify_migration(
        read_sql(before),
        read_sql(up),
        read_sql(down) if down else None,
        rows=dict(map(_size, rows or ())),
        losing=losing or (),
        version=version,
        ignore=ignore or (),
        severity=levels(severity),
    )
    if as_json:
        typer.echo(json.dumps(evidence.to_json(), indent=2, ensure_ascii=False))
    else:
        screen = console()
        print_steps(screen, evidence)
        print_evidence(screen, evidence)
    raise typer.Exit(0 if evidence.ok else 1)


def print_steps(screen: Console, evidence: MigrationEvidence) -> None:
    """One row a statement: its lock, who waits for it, what it reads and writes, what it does right."""
    from rich.markup import escape
    from rich.table import Table

    from dbprompt.migration.evidence import step_row

    table = Table(
        "statement", "lock", "blocks", "rewrites", "reads all of", "in a transaction", "safe form",
        title="Migration", title_justify="left",
    )  # fmt: skip
    for step in evidence.steps:
        table.add_row(*map(escape, step_row(step)))
    screen.print(table)


def _size(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    figure = count.replace("_", "").replace(",", "")
    if not name or not figure.isdecimal():
        raise DbpromptError(f"--rows {text!r} says no size: write it as orders=58000000.")
    return name.strip(), int(figure)
