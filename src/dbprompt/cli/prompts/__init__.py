"""`dbprompt prompts list | show | render | lint | diff | release | label | lock | export | import`."""

from __future__ import annotations

import typer

from dbprompt.cli.prompts import diff, exchange, lint, lock, release, show

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Prompts: what there is, what they ask, how they are made, and new versions of them."
)
app.command("list")(show.list_)
app.command("show")(show.show)
app.command("render")(show.render)
app.command("lint")(lint.command)
app.command("diff")(diff.command)
app.command("release")(release.command)
app.command("label")(lock.label)
app.command("lock")(lock.lock)
app.command("export")(exchange.export)
app.command("import")(exchange.import_)
