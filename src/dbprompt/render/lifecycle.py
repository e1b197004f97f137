"""How data ages, as a chapter: hot, warm, gone; what makes partitions; and what forgetting somebody means."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, table, text
from dbprompt.render.postgres.lifecycle import (
    BATCH_ROWS,
    delete_routine,
    drop_routine,
    is_split_by_time,
    make_routine,
)
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.lifecycle import Erasure, Lifecycle, TableLifecycle

__all__ = ["lifecycle_chapter"]


def lifecycle_chapter(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """The chapter."""
    section = design.lifecycle
    if section is None:
        return
    yield "## Lifecycle of data"
    brief = about.brief
    if brief is not None and brief.lifecycle.hot_days:
        share = (
            f"{brief.lifecycle.hot_query_pct:g} % of the queries are about the last {brief.lifecycle.hot_days} days."
        )
        yield f"{share} {text(brief.lifecycle.archive)}".strip()
    if section.tables:
        heads = ("Table", "Age", "Hot", "Warm", "Kept", "Leaves by", "Why")
        yield table(heads, map(_row, section.tables), align="llrrrll")
    yield from _routines(design, section)
    if section.erasures:
        yield "### When somebody has to be forgotten"
        yield table(("Who", "Table", "What happens", "Why"), map(_erasure, section.erasures))
        yield "Backups hold the rows until they are too old themselves; a restore is followed by forgetting again."


def _row(life: TableLifecycle) -> tuple[str, ...]:
    leaves = life.leaves_by.replace("_", " ")
    archive = f", copied to the {life.archive_to.replace('_', ' ')} before" if life.archive_to else ""
    return (
        code(life.table),
        code(life.age_column or ""),
        _days(life.hot_days, "always"),
        _days(life.warm_days, ""),
        _days(life.keep_days, "always"),
        f"{leaves}{archive}",
        cell(life.reason),
    )


def _days(days: int | None, without: str) -> str:
    return without if days is None else f"{days:,} days"


def _erasure(one: Erasure) -> tuple[str, ...]:
    columns = f" {code(', '.join(one.columns))}" if one.columns else ""
    return cell(one.entity), code(one.table), f"{one.action}{columns}", cell(one.reason)


def _routines(design: DatabaseDesign, section: Lifecycle) -> Iterator[str]:
    lines: list[str] = []
    for life in section.tables:
        found = design.schema.table(life.table) if design.schema else None
        split = is_split_by_time(found)
        if split and life.partitions_ahead:
            made = f"{life.partitions_ahead} partitions ahead of today always exist"
            lines.append(f"- {code(make_routine(life.table) + '()')}: {made}; run again, it makes nothing.")
        if split and life.leaves_by == "drop_partition" and life.keep_days:
            gone = "is set aside for the archive" if life.archive_to else "is dropped"
            when = f"once its youngest row is {life.keep_days:,} days old"
            lines.append(f"- {code(drop_routine(life.table) + '()')}: a partition {gone} {when}.")
        if life.leaves_by == "delete_in_batches" and life.keep_days:
            much = f"{BATCH_ROWS:,} rows a transaction, rows that somebody holds are left for the next run"
            lines.append(f"- {code(delete_routine(life.table) + '()')}: {much}.")
    if lines:
        yield "### What does it"
        yield "\n".join(lines)
        yield (
            "They stand in `schema/schema.sql` and take days and a date as arguments, so they can be tried for another "
            "day. The jobs that call them are in `ops/jobs.sql`."
        )
        if any(life.archive_to and life.leaves_by == "drop_partition" for life in section.tables):
            yield (
                "A partition that is set aside is a table of its own under its old name: copy it (`COPY ... TO "
                "STDOUT`), compare the number of rows, then drop it."
            )
