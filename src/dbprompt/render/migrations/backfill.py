"""Filling a column of a large table: a procedure that commits after every batch and goes on where it stopped.

Poor: `UPDATE orders SET region = 'eu'`: one transaction holds 58 million row locks and undoes an hour when it fails.
Better: some thousand keys at a time, in the order of the primary key, each batch in a transaction of its own together
with the note of how far it came. Killed in the middle, it has lost one batch; started again, it goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.migrations.recipe import Recipe, expression, given
from dbprompt.render.migrations.steps import Batch, Step, milliseconds
from dbprompt.render.postgres import column_type, comment_line, identifier, literal
from dbprompt.sections.migrations import Backfill

__all__ = ["backfill_script", "backfill_seconds", "backfill_step", "batch_of", "made", "removed"]


_ROWS_A_SECOND = 100_000
"""Measured on a million rows with two indexes (`dbprompt.checks.base_migration`): a factor of three either way."""


def batch_of(recipe: Recipe, backfill: Backfill, column: str) -> Batch:
    """The batches of a change."""
    table = recipe.table
    key = tuple((name, column_type(given(table.column(name)))) for name in table.primary_key)
    return Batch(
        table=table.name,
        key=key,
        column=column,
        expression=expression(backfill.expression),
        batch_rows=backfill.batch_rows,
        pause_ms=backfill.pause_ms,
        procedure=recipe.name("backfill"),
        progress=recipe.name("progress"),
    )


def made(batch: Batch) -> tuple[str, str]:
    """The table that keeps how far it came, and the procedure."""
    columns = ", ".join(f"{identifier(f'next_{number}')} {kind}" for number, (_, kind) in enumerate(batch.key, start=1))
    progress = (
        f"CREATE TABLE {identifier(batch.progress)} (\n    {columns},\n    rows_done bigint NOT NULL,\n"
        "    changed_at timestamptz NOT NULL,\n    finished boolean NOT NULL\n)"
    )
    return progress, _procedure(batch)


def removed(batch: Batch) -> tuple[str, str]:
    """What takes both away."""
    return (
        f"DROP PROCEDURE {identifier(batch.procedure)}(integer, integer)",
        f"DROP TABLE {identifier(batch.progress)}",
    )


def call(batch: Batch) -> str:
    """The statement that runs it to its end, or on from where it stopped."""
    return f"CALL {identifier(batch.procedure)}({batch.batch_rows}, {batch.pause_ms})"


def backfill_step(recipe: Recipe, batch: Batch) -> Step:
    """The step that runs the backfill. Row security would hide rows from it, so it is told to fail instead."""
    return recipe.lone(
        "backfill",
        "backfill",
        ("SET row_security = off", call(batch), "RESET row_security"),
        (),
        f"Fills {batch.table}.{batch.column}, {batch.batch_rows:,} rows in a transaction, {batch.pause_ms} ms between "
        f"two. It can be stopped at any time and run again: {batch.progress} says how far it came. Its role has to see "
        "all rows (the owner without forced row security, or BYPASSRLS). Nothing has to be undone: the column goes "
        "with the step before.",
        batch=batch,
    )


def _procedure(batch: Batch) -> str:
    """Walks through the primary key. Its own names start with `_`, and a column goes before a name of its own."""
    body = "\n".join(_body(batch))
    tag = "backfill"
    while f"${tag}$" in body:
        tag += "_"
    head = f"CREATE PROCEDURE {identifier(batch.procedure)}(_batch_rows integer, _pause_ms integer)"
    return f"{head}\n    LANGUAGE plpgsql\n    AS ${tag}$\n{body}\n${tag}$"


def _body(batch: Batch) -> Iterator[str]:
    table, progress, column = identifier(batch.table), identifier(batch.progress), identifier(batch.column)
    names = [identifier(name) for name, _ in batch.key]
    numbers = range(1, len(names) + 1)
    keys, row = ", ".join(names), f"({', '.join(names)})"
    start, end, following = (", ".join(f"_{word}_{at}" for at in numbers) for word in ("from", "to", "next"))
    downwards = ", ".join(f"{name} DESC" for name in names)
    saved = ", ".join(f"next_{at}" for at in numbers)
    kept = ", ".join(f"next_{at} = _next_{at}" for at in numbers)
    yield "#variable_conflict use_column"
    yield "DECLARE"
    for word in ("from", "to", "next"):
        for at, (_, kind) in enumerate(batch.key, start=1):
            yield f"    _{word}_{at} {kind};"
    yield "    _rows bigint;\n    _finished boolean;\n    _tries integer := 0;"
    yield f"""BEGIN
    IF NOT EXISTS (SELECT FROM {progress}) THEN
        SELECT {keys} INTO {following} FROM {table} ORDER BY {keys} LIMIT 1;
        INSERT INTO {progress} VALUES ({following}, 0, clock_timestamp(), NOT FOUND);
        COMMIT;
    END IF;
    LOOP
        SELECT {saved}, finished INTO {start}, _finished FROM {progress} FOR UPDATE;
        EXIT WHEN _finished;
        SELECT {keys} INTO {end}
            FROM (SELECT {keys} FROM {table} WHERE {row} >= ({start}) ORDER BY {keys} LIMIT _batch_rows) batch
            ORDER BY {downwards} LIMIT 1;
        BEGIN
            UPDATE {table} SET {column} = {batch.expression}
                WHERE {row} >= ({start}) AND {row} <= ({end}) AND {column} IS NULL;
            GET DIAGNOSTICS _rows = ROW_COUNT;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            _tries := _tries + 1;
            IF _tries >= 5 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.2 * _tries);
            CONTINUE;
        END;
        SELECT {keys} INTO {following} FROM {table} WHERE {row} > ({end}) ORDER BY {keys} LIMIT 1;
        _finished := NOT FOUND;
        UPDATE {progress}
            SET {kept}, rows_done = rows_done + _rows, changed_at = clock_timestamp(), finished = _finished;
        COMMIT;
        _tries := 0;
        EXIT WHEN _finished;
        PERFORM pg_sleep(_pause_ms / 1000.0);
    END LOOP;
END"""  # noqa: S608


def backfill_script(batch: Batch, lock_timeout_ms: int) -> str:
    """The backfill as a script of its own, for who wants to run it by hand, watch it and stop it."""
    table, column, progress = identifier(batch.table), identifier(batch.column), identifier(batch.progress)
    return "\n".join(
        (
            comment_line(f"Backfill of {batch.table}.{batch.column}: run it after the step that adds the column."),
            "-- Start it, or go on after a stop:  psql -v ON_ERROR_STOP=1 -f THIS FILE   (never with -1)",
            "-- Stop it: Ctrl-C, or pg_cancel_backend. What is committed stays; at most one batch is lost.",
            "-- The migration that runs the same procedure then finds nothing left to do.",
            f"-- Progress, from another session:  SELECT rows_done, changed_at, finished FROM {progress};",  # noqa: S608
            "",
            f"SET lock_timeout = {milliseconds(lock_timeout_ms)};",
            "SET row_security = off;",
            f"{call(batch)};",
            "",
            comment_line(f"Rows of {batch.table} that have no value yet, and whether it came to its end."),
            f"SELECT count(*) AS left_over FROM {table} WHERE {column} IS NULL;",  # noqa: S608
            f"SELECT {literal(batch.procedure)} AS backfill, rows_done, finished FROM {progress};",  # noqa: S608
            "",
        )
    )


def backfill_seconds(rows: int, backfill: Backfill) -> float:
    """How long it takes: `rows / 100,000 a second + batches x pause`.

    >>> round(backfill_seconds(58_000_000, Backfill(expression="1", batch_rows=5_000, pause_ms=50)) / 60)
    19
    """
    batches = -(-rows // backfill.batch_rows)
    return rows / _ROWS_A_SECOND + batches * backfill.pause_ms / 1000
