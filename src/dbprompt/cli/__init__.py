"""The command line: `dbprompt design | verify | verify-migration | rules | prompts | eval | doctor`.

Exit codes: 0 done and proven; 1 wrong (SQL failed, a design stayed unproven, a lock differs); 2 bad input (a file, a
variable, an option); 3 no answer (provider, key, recording); 4 no engine, or a package is missing.
"""

from __future__ import annotations

import os
import sys

import typer

from dbprompt.cli import design, doctor, eval, prompts, rules, verify, verify_migration
from dbprompt.cli.base import console, exit_code
from dbprompt.errors import DbpromptError

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Ask a language model for a database architecture and get back only what was proven.",
    epilog=(
        "Exit codes: 0 done and proven, 1 something is wrong, 2 bad input, 3 no answer from the provider or recording, "
        "4 an engine or package is missing."
    ),
)
app.command("design")(design.command)
app.command("verify")(verify.command)
app.command("verify-migration")(verify_migration.command)
app.command("rules")(rules.command)
app.command("doctor")(doctor.command)
app.add_typer(prompts.app, name="prompts")
app.add_typer(eval.app, name="eval")


def main() -> None:
    """Runs the command line; an error of the user's is one message and an exit code, never a traceback."""
    try:
        app()
    except DbpromptError as error:
        console(stderr=True).print(f"[bold red]error[/] {_escaped(str(error))}", highlight=False)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader has seen enough: that says nothing about the SQL
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
