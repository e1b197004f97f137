"""`dbprompt verify FILE.sql`: SQL against parsers and a real engine, no model needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dbprompt.cli.base import Ignored, Severities, console, levels, read_sql
from dbprompt.cli.show import print_evidence
from dbprompt.ladder import verify

__all__ = ["command"]


def command(
    file: Annotated[str, typer.Argument(help="a file of SQL, or - for standard input", metavar="FILE.sql")],
    dialect: Annotated[str, typer.Option(help="postgres, mysql, sqlite, tsql, ...")] = "postgres",
    setup: Annotated[Path | None, typer.Option(help="SQL that stands before and is not judged")] = None,
    version: Annotated[int | None, typer.Option(help="major version of the engine that it is for")] = None,
    ignore: Ignored = None,
    severity: Severities = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the evidence as JSON")] = False,
) -> None:
    """Checks SQL and prints the evidence. Exit code 1 if something is wrong or nothing could be proven."""
    evidence = verify(
        sys.stdin.read() if file == "-" else read_sql(Path(file)),
        dialect=dialect,
        setup=read_sql(setup) if setup else None,
        version=version,
        ignore=ignore or (),
        severity=levels(severity),
    )
    if as_json:
        typer.echo(json.dumps(evidence.to_json(), indent=2, ensure_ascii=False))
    else:
        print_evidence(console(), evidence)
    raise typer.Exit(0 if evidence.ok else 1)
