"""The trigger that keeps a column right while releases of the application differ."""

from __future__ import annotations

from collections.abc import Sequence

from dbprompt.render.migrations.recipe import Recipe
from dbprompt.render.postgres import identifier

__all__ = ["of_new", "row_trigger", "without_trigger"]


def row_trigger(recipe: Recipe, lines: Sequence[str], declared: str = "") -> tuple[str, str]:
    """A function of these lines that runs before each row is written, and its trigger.

    Args:
        recipe: whose change it belongs to.
        lines: of its body.
        declared: a variable with its type and value.
    """
    declare = ("DECLARE", f"    {declared};") if declared else ()
    body = "\n".join(("#variable_conflict use_column", *declare, "BEGIN", *lines, "    RETURN NEW;", "END"))
    tag = "fill"
    while f"${tag}$" in body:
        tag += "_"
    name = identifier(recipe.name("sync"))
    function = f"CREATE FUNCTION {name}() RETURNS trigger\n    LANGUAGE plpgsql\n    AS ${tag}$\n{body}\n${tag}$"
    trigger = (
        f"CREATE TRIGGER {name}\n    BEFORE INSERT OR UPDATE ON {identifier(recipe.table.name)}"
        f"\n    FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    return function, trigger


def without_trigger(recipe: Recipe) -> tuple[str, str]:
    """Takes both away."""
    name = identifier(recipe.name("sync"))
    return f"DROP TRIGGER {name} ON {identifier(recipe.table.name)}", f"DROP FUNCTION {name}()"


def of_new(recipe: Recipe, wrapped: str) -> str:
    """An expression over the row that is being written, whose columns it names as the table's own."""
    return f"(SELECT {wrapped} FROM (SELECT NEW.*) AS {identifier(recipe.table.name)})"  # noqa: S608
