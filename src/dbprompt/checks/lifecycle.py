"""Rows leave when the brief says, by a way that the schema allows.

Poor: `keep_days` 1825 with `drop_partition` on a table that has no partitions; 30 days kept in partitions of a month,
which are dropped when their youngest row is 30 days old; a table with partitions by month and none ahead, which refuses
the first row of the next month; accounts that leave after a year while their invoices, which refer to them with
`restrict`, stay for ten.
Better: `activity` by month, three partitions ahead, 1,825 days, `drop_partition`.

A partition leaves when its youngest row is old enough, so rows stay up to one period longer
(postgresql.org/docs/18/ddl-partitioning.html).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.checks.base_design import advice, error, judged, listing, rules, tables_with, warning
from dbprompt.checks.base_matching import entity_of, is_misshapen, rows_3y
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres.lifecycle import is_split_by_time
from dbprompt.sections.lifecycle import PERIOD_DAYS, Lifecycle, TableLifecycle
from dbprompt.sections.schema import ColumnType, Schema, Table

__all__ = ["lifecycle"]

_TIMES = {ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ}
_LARGE = 10_000_000
_MANY_PARTITIONS = 1_000


def lifecycle(subject: Subject) -> Report:
    """The section `lifecycle` against the schema and the brief."""
    section, schema = subject.design.lifecycle, subject.design.schema
    if subject.section != "lifecycle" or section is None or schema is None:
        return Report()
    return judged(
        subject,
        _findings(subject, section, schema),
        checker=rules("lifecycle"),
        uncovered="that archived rows can be read again",
    )


def _findings(subject: Subject, section: Lifecycle, schema: Schema) -> Iterator[Finding]:
    lives: dict[str, TableLifecycle] = {}
    for at, life in enumerate(section.tables):
        where = f"/tables/{at}"
        table = schema.table(life.table)
        if life.table in lives:
            message = f"table {life.table} has two lives; keep one"
            yield error("lifecycle.table_twice", where, message, may_drop=True)
        elif table is None:
            message = f"there is no table {life.table} in the schema; {tables_with(schema)}"
            yield error("references.unknown_table", where, message)
        else:
            yield from _ages(life, table, where)
            yield from _leaving(life, table, where)
            yield from _partitions(life, table, where)
            yield from _as_the_brief_says(subject, life, table, where)
        lives.setdefault(life.table, life)
    for at, life in enumerate(section.tables):
        yield from _relatives(life, lives, schema, f"/tables/{at}")
    yield from _missing(subject, lives, schema)


def _ages(life: TableLifecycle, table: Table, where: str) -> Iterator[Finding]:
    days = {"hot_days": life.hot_days, "warm_days": life.warm_days, "keep_days": life.keep_days}
    given = {name: number for name, number in days.items() if number is not None}
    if life.age_column is None:
        if given or life.leaves_by in {"drop_partition", "delete_in_batches"}:
            message = (
                f"rows of {life.table} age ({listing(given) or life.leaves_by}), and no column says how old they are"
            )
            yield error("lifecycle.no_age", where, f"{message}; name a date or timestamp in age_column")
        return
    column = table.column(life.age_column)
    if column is None:
        message = f"table {life.table} has no column {life.age_column}; it has {listing(c.name for c in table.columns)}"
        yield error("references.unknown_column", where, message)
    elif column.type not in _TIMES:
        message = f"{life.table}.{column.name} is {column.type}, and an age is counted from a date or a timestamp"
        yield error("lifecycle.age_without_time", where, message)
    elif column.nullable and life.keep_days is not None:
        message = f"{life.table}.{column.name} may be null, and such a row never gets old; name a column that is set"
        yield warning("lifecycle.age_may_be_null", where, message)
    if list(given.values()) != sorted(given.values()):
        shown = ", ".join(f"{name} {number}" for name, number in given.items())
        message = f"ages of {life.table} do not grow ({shown}); hot ends before warm, and warm before rows leave"
        yield error("lifecycle.ages_backwards", where, message)


def _leaving(life: TableLifecycle, table: Table, where: str) -> Iterator[Finding]:
    by_itself = life.leaves_by in {"drop_partition", "delete_in_batches"}
    if by_itself and life.keep_days is None:
        message = f"rows of {life.table} leave by {life.leaves_by}, and keep_days does not say when; write the days"
        yield error("lifecycle.no_end", where, message)
    if life.leaves_by == "never" and life.keep_days is not None:
        message = f"rows of {life.table} are kept {life.keep_days} days and leave by never; write how they leave"
        yield error("lifecycle.never_leaves", where, message)
    if life.archive_to and life.leaves_by in {"never", "with_parent"}:
        message = f"archive_to is {life.archive_to}, and rows of {life.table} leave by {life.leaves_by}; write null"
        yield warning("lifecycle.archived_in_vain", where, message)
    if life.archive_to and life.leaves_by == "delete_in_batches":
        message = (
            f"rows of {life.table} are deleted in batches, and nothing makes sure that they are in the "
            f"{life.archive_to} by then; partition the table by {life.age_column}, so that a whole partition is set "
            "aside, copied and dropped"
        )
        yield warning("lifecycle.deleted_before_archived", where, message)
    if life.leaves_by == "drop_partition" and not is_split_by_time(table):
        message = (
            f"rows of {life.table} leave by drop_partition, and the schema (/schema/tables, {table.name}) has no range "
            "partitions by time there; partition it, or use delete_in_batches"
        )
        yield error("lifecycle.not_partitioned", where, message)
    elif life.leaves_by == "drop_partition" and table.partitioning and table.partitioning.column != life.age_column:
        message = (
            f"{life.table} is partitioned by {table.partitioning.column} (schema) and ages by {life.age_column}: a "
            f"partition holds rows of any age. Count the age by {table.partitioning.column}"
        )
        yield error("lifecycle.other_column", where, message)


def _partitions(life: TableLifecycle, table: Table, where: str) -> Iterator[Finding]:
    if not is_split_by_time(table):
        if life.partitions_ahead:
            message = f"{life.table} is not partitioned by time in the schema, and partitions_ahead is not 0; write 0"
            yield error("lifecycle.nothing_ahead", where, message)
        return
    grain = table.partitioning.granularity if table.partitioning else None
    days = PERIOD_DAYS[grain or "month"]
    if life.partitions_ahead == 0:
        message = (
            f"{life.table} has a partition each {grain}, and none is made ahead: the first row of the next {grain} "
        )
        yield error("lifecycle.none_ahead", where, f"{message}is refused. Write partitions_ahead of at least 1")
    if life.leaves_by != "drop_partition" or life.keep_days is None:
        return
    if days > life.keep_days:
        message = (
            f"rows of {life.table} are kept {life.keep_days} days in partitions of a {grain}, which leave as a whole"
        )
        yield error("lifecycle.coarse_partitions", where, f"{message} up to {days} days later; use a finer granularity")
    elif 2 * days > life.keep_days:
        message = (
            f"rows of {life.table} stay up to {days} days longer than the {life.keep_days} days that they are kept"
        )
        yield warning("lifecycle.coarse_partitions", where, f"{message}; use a finer granularity than {grain}")
    if life.keep_days // max(1, days) > _MANY_PARTITIONS:
        message = f"{life.keep_days} days in partitions of a {grain} are {life.keep_days // days} partitions"
        yield warning(
            "lifecycle.many_partitions", where, f"{message}, and each plan looks at their list; use coarser ones"
        )


def _as_the_brief_says(subject: Subject, life: TableLifecycle, table: Table, where: str) -> Iterator[Finding]:
    entity = entity_of(subject.brief, table)
    if entity is None:
        return
    if entity.retention_days is None:
        if life.keep_days is not None:
            message = (
                f"rows of {life.table} leave after {life.keep_days} days, and the brief keeps {entity.name} for ever"
            )
            yield error("lifecycle.kept_for_ever", where, f"{message}; write null, and never")
    elif life.keep_days is None and life.leaves_by != "with_parent":
        message = f"rows of {life.table} never leave, and the brief keeps {entity.name} {entity.retention_days} days"
        yield error("lifecycle.kept_too_long", where, f"{message}; write keep_days and how they leave")
    elif life.keep_days is not None and life.keep_days > entity.retention_days:
        message = f"rows of {life.table} are kept {life.keep_days} days, and the brief keeps {entity.name} only "
        yield error("lifecycle.kept_too_long", where, f"{message}{entity.retention_days}; write that")
    elif life.keep_days is not None and life.keep_days < entity.retention_days:
        message = f"rows of {life.table} leave after {life.keep_days} days, and the brief keeps {entity.name} "
        yield error("lifecycle.lost_too_early", where, f"{message}{entity.retention_days}; write that")
    hot = subject.brief.lifecycle.hot_days if subject.brief else 0
    if hot and life.hot_days is not None and life.hot_days < hot:
        message = f"rows of {life.table} are hot for {life.hot_days} days, and the brief's queries want {hot}"
        yield warning("lifecycle.cold_too_early", where, f"{message}; use at least {hot}")


def _relatives(
    life: TableLifecycle, lives: Mapping[str, TableLifecycle], schema: Schema, where: str
) -> Iterator[Finding]:
    """Rows that leave, beside the rows that refer to them."""
    table = schema.table(life.table)
    if table is None:
        return
    if life.leaves_by == "with_parent":
        parents = [key.references for key in table.foreign_keys if key.on_delete == "cascade"]
        leaving = [name for name in parents if (parent := lives.get(name)) and _deletes(parent)]
        if not leaving:
            have = f"refers to {listing(parents)} so" if parents else "has no such foreign key"
            message = (
                f"rows of {life.table} leave with a parent: that takes a foreign key with on_delete cascade to a table "
                f"whose rows are deleted, and {life.table} {have}. A dropped partition takes nobody along"
            )
            yield error("lifecycle.no_such_parent", where, message)
    if life.keep_days is None or life.leaves_by not in {"drop_partition", "delete_in_batches"}:
        return
    for child in schema.tables:
        for key in child.foreign_keys:
            stays = key.on_delete in {"restrict", "no_action"} or life.leaves_by == "drop_partition"
            if key.references != table.name or child.name == table.name or not stays:
                continue
            other = lives.get(child.name)
            if other is None or other.keep_days is None or other.keep_days > life.keep_days:
                kept = f"{other.keep_days} days" if other and other.keep_days else "for ever"
                message = (
                    f"rows of {life.table} leave after {life.keep_days} days by {life.leaves_by}, and {child.name} "
                    f"({listing(key.columns)}, {key.on_delete}) refers to them and stays {kept}: PostgreSQL refuses. "
                    f"Let {child.name} leave first, or keep {life.table} as long"
                )
                yield error("lifecycle.still_referred_to", where, message)


def _deletes(parent: TableLifecycle) -> bool:
    return parent.leaves_by in {"delete_in_batches", "with_parent"}


def _missing(subject: Subject, lives: Mapping[str, TableLifecycle], schema: Schema) -> Iterator[Finding]:
    for table in schema.tables:
        if table.name in lives or is_misshapen(subject, table.name):
            continue
        entity = entity_of(subject.brief, table)
        if entity is not None and entity.retention_days is not None:
            message = f"the brief keeps {entity.name} {entity.retention_days} days, and {table.name} has no life here"
            yield error("lifecycle.kept_too_long", "/tables", f"{message}; add it with keep_days and how rows leave")
        elif is_split_by_time(table):
            message = f"{table.name} is partitioned by time in the schema, and nothing here makes its next partitions"
            yield error("lifecycle.none_ahead", "/tables", f"{message}; add it with partitions_ahead")
        elif (rows := rows_3y(subject, table)) and rows >= _LARGE:
            message = f"{table.name} has {rows:,} rows in three years, and no life here; say how long rows are hot"
            yield advice("lifecycle.large_table_missing", "/tables", f"{message} and that they stay")
