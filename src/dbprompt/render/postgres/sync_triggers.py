"""Triggers that keep stored copies in step: our function and trigger around the design's one UPDATE."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.postgres.base import Statement, UnsafeSqlError, identifier, single_statement
from dbprompt.render.postgres.routines import dollar_quoted
from dbprompt.sections.upkeep import SyncTrigger, Upkeep

__all__ = ["create_trigger", "sync_statements"]


def sync_statements(upkeep: Upkeep) -> Iterator[Statement]:
    """A function and a trigger for each stored copy. It runs with the rights of whoever changes the row.

    Raises:
        UnsafeSqlError: with section and place, the SQL is not one statement.
    """
    for at, sync in enumerate(upkeep.sync_triggers):
        where, artefact = f"/sync_triggers/{at}", f"sync trigger {sync.name}"
        yield Statement(_function(sync, where), "upkeep", where, artefact, "function")
        yield Statement(create_trigger(sync, sync.name, sync.events), "upkeep", where, artefact, "trigger")


def create_trigger(sync: SyncTrigger, name: str, events: tuple[str, ...]) -> str:
    """CREATE TRIGGER that calls the function of a stored copy after these events."""
    return (
        f"CREATE TRIGGER {identifier(name)}\n"
        f"    AFTER {' OR '.join(event.upper() for event in dict.fromkeys(events))} ON {identifier(sync.table)}\n"
        f"    FOR EACH ROW EXECUTE FUNCTION {identifier(sync.name)}()"
    )


def _function(sync: SyncTrigger, where: str) -> str:
    try:
        update = single_statement(sync.sql)
    except UnsafeSqlError as error:
        raise error.at("upkeep", f"{where}/sql") from error
    body = f"\nBEGIN\n    {update}\n    ;\n    RETURN NULL;\nEND\n"
    return (
        f"CREATE FUNCTION {identifier(sync.name)}() RETURNS trigger LANGUAGE plpgsql\n"
        f"    SET search_path FROM CURRENT\nAS {dollar_quoted(body)}"
    )
