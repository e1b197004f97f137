"""Scorers of how rows are laid out and leave: partitions, retention, rollups (`briefs/FORMAT.md`, "Layout")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.capacity import capacity_of
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import Broken, Node, find, function_name, statements, words
from dbprompt.evals.expectations import CompressAfter, OfEntity, PartitionedBy, Retention, Rollup, SizeBound
from dbprompt.evals.scorers.base import Look, Scene, Scorer, bad, good, scorer
from dbprompt.sections.upkeep import JobKind

__all__ = ["SCORERS"]

_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}


def _partitioned_by(expectation: PartitionedBy, scene: Scene) -> Iterator[Look]:
    """A table of a typed design is partitioned by PostgreSQL itself: range, list or hash, and range by time."""
    for place in scene.places(expectation.entity):
        table, where = place.table, f"/schema{place.where}/partitioning"
        split = table.partitioning
        if split is None:
            yield bad(where, f"{table.name} is not partitioned")
            continue
        said = f"{table.name} is partitioned by {split.strategy} of {split.column} {split.granularity or ''}".strip()
        strategies = {split.strategy} | ({"time_unit"} if split.granularity else set())
        right = (
            split.column in scene.names(place, expectation.entity, expectation.attribute)
            and bool(strategies & set(expectation.strategy_any))
            and (not expectation.granularity_any or split.granularity in expectation.granularity_any)
        )
        yield Look(where, right, said)


def _jobs(scene: Scene, kind: JobKind, table: str) -> list[int]:
    upkeep = scene.need(scene.design.upkeep, "upkeep")
    return [at for at, job in enumerate(upkeep.jobs) if job.kind == kind and job.target == table]


def _partition_automation(expectation: OfEntity, scene: Scene) -> Iterator[Look]:
    for place in scene.places(expectation.entity):
        table = place.table
        if table.partitioning is None:
            yield bad(f"/schema{place.where}/partitioning", f"{table.name} is not partitioned")
            continue
        jobs = _jobs(scene, "create_partitions", table.name)
        if jobs:
            yield good(f"/upkeep/jobs/{jobs[0]}", f"a job makes the partitions of {table.name}")
        else:
            yield bad("/upkeep/jobs", f"no job makes the partitions of {table.name} before they are needed")


def _retention(expectation: Retention, scene: Scene) -> Iterator[Look]:
    lifecycle = scene.need(scene.design.lifecycle, "lifecycle")
    for place in scene.places(expectation.entity):
        table = place.table
        lives = [(at, one) for at, one in enumerate(lifecycle.tables) if one.table == table.name]
        if not lives:
            yield bad("/lifecycle/tables", f"nothing says how long rows of {table.name} stay")
        for at, life in lives:
            where, days = f"/lifecycle/tables/{at}", life.keep_days
            if days is None:
                yield Look(where, expectation.max_days is None, f"rows of {table.name} stay for ever")
                continue
            low, high = expectation.min_days or 0, expectation.max_days
            if days < low or (high is not None and days > high):
                yield bad(where, f"rows of {table.name} stay {days} days; wanted {low} to {high or 'any'}")
                continue
            means = {"archive"} if life.archive_to else set()
            if (
                life.leaves_by == "drop_partition"
                and table.partitioning
                and _jobs(scene, "drop_partitions", table.name)
            ):
                means.add("drop_partition")
            if life.leaves_by == "delete_in_batches" and _jobs(scene, "delete_expired", table.name):
                means.add("delete_job")
            right = bool(means & set(expectation.by_any))
            by = ", ".join(sorted(means)) if means else "nothing that the design schedules"
            yield Look(where, right, f"rows of {table.name} leave after {days} days by {by}")


_POLICIES = {"add_compression_policy", "add_columnstore_policy"}
_UNITS = {"day": 1.0, "week": 7.0, "month": 30.0, "mon": 30.0, "year": 365.0, "hour": 1 / 24, "minute": 1 / 1440}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+?)s?\b")


def _compress_after(expectation: CompressAfter, scene: Scene) -> Iterator[Look]:
    """A job that calls TimescaleDB's policy for the table: a typed design has no other place for it."""
    upkeep = scene.need(scene.design.upkeep, "upkeep")
    for place in scene.places(expectation.entity):
        name = place.table.name
        found = [
            (at, days)
            for at, job in enumerate(upkeep.jobs)
            for days in (_compressed_after(job.sql, name) if job.sql else ())
        ]
        for at, days in found:
            yield Look(f"/upkeep/jobs/{at}", days <= expectation.max_days, f"{name} is compressed after {days:g} days")
        if not found:
            yield bad("/upkeep/jobs", f"nothing compresses the old rows of {name}")


def _compressed_after(sql: str, table: str) -> Iterator[float]:
    read = statements(sql)
    for statement in () if isinstance(read, Broken) else read:
        for call in find(statement, "FuncCall"):
            arguments = call.nodes("args")
            if function_name(call) not in _POLICIES or not arguments or _text(arguments[0]).split(".")[-1] != table:
                continue
            for argument in arguments[1:]:
                days = _days(_text(argument))
                if days is not None:
                    yield days


def _text(node: Node) -> str:
    """The text of a constant, casts and argument names aside."""
    for constant in find(node, "A_Const"):
        value = constant.node("sval")
        return value.text("sval") if value else ""
    return ""


def _days(interval: str) -> float | None:
    amounts = [(float(number), unit) for number, unit in _AMOUNT.findall(interval.lower())]
    if not amounts or any(unit not in _UNITS for _, unit in amounts):
        return None
    return sum(number * _UNITS[unit] for number, unit in amounts)


def _rollup(expectation: Rollup, scene: Scene) -> Iterator[Look]:
    views, upkeep = scene.design.views, scene.design.upkeep
    texts = [(f"/views/views/{at}", f"view {one.name}", one.sql) for at, one in enumerate(views.views if views else ())]
    jobs = upkeep.jobs if upkeep else ()
    texts += [(f"/upkeep/jobs/{at}", f"job {one.name}", one.sql) for at, one in enumerate(jobs) if one.sql]
    for place in scene.places(expectation.entity):
        for where, called, sql in texts:
            statement = parsed(sql, scene.schema)
            if isinstance(statement, Broken) or place.table not in statement.tables:
                continue
            grains = _grains(statement) & set(expectation.grain_any)
            if grains:
                yield good(where, f"{called} keeps {place.table.name} by {', '.join(sorted(grains))}")
                break
        else:
            scene.need(views, "views")  # one that was not asked for may hold it
            scene.need(upkeep, "upkeep")
            lacks = f"nothing keeps {place.table.name} aggregated by {' or '.join(expectation.grain_any)}"
            yield bad("/views/views", lacks)


_BUCKETS = {"date_trunc", "time_bucket", "date_bin"}


def _grains(statement: Parsed) -> set[str]:
    """The units of time that grouped selects of a statement group by."""
    found: set[str] = set()
    for select in find(statement.tree, "SelectStmt"):
        if not select.has("groupClause"):
            continue
        for call in find(select, "FuncCall"):
            if function_name(call) in _BUCKETS and call.nodes("args"):
                amount = _text(call.nodes("args")[0]).lower()
                found.add(re.sub(r"^1?\s*|s$", "", amount))
        for cast in find(select, "TypeCast"):
            name = cast.node("typeName")
            if name is not None and words(name.nodes("names"))[-1] == "date" and any(find(cast, "ColumnRef")):
                found.add("day")
    return found


def _size_bound(expectation: SizeBound, scene: Scene) -> Iterator[Look]:
    """A partition's raw bytes, reckoned from the brief: a typed design has no documents, items or shards."""
    figures = capacity_of(scene.brief).of(scene.entity(expectation.entity).name)
    for place in scene.places(expectation.entity):
        split, where = place.table.partitioning, f"/schema{place.where}/partitioning"
        if expectation.unit != "partition_mb" or figures is None:
            yield bad(where, f"a design for PostgreSQL states no {expectation.unit}")
            continue
        if split is None or (split.granularity is None and split.count is None):
            yield bad(where, f"{place.table.name} has no partitions whose size follows from the brief")
            continue
        days = _DAYS[split.granularity] if split.granularity else 0
        size = figures.rows_per_day * days * figures.row_bytes if days else figures.bytes_3y / (split.count or 1)
        right = expectation.min <= size / 1e6 <= expectation.max
        yield Look(where, right, f"a partition of {place.table.name} has {size / 1e6:,.0f} MB of raw rows")


SCORERS: dict[str, Scorer] = {
    "partitioned_by": scorer(PartitionedBy, _partitioned_by, ("schema",)),
    "partition_automation": scorer(OfEntity, _partition_automation, ("schema", "upkeep")),
    "retention": scorer(Retention, _retention, ("schema", "lifecycle", "upkeep")),
    "compress_after": scorer(CompressAfter, _compress_after, ("schema", "upkeep"), reads_sql=True),
    "rollup": scorer(Rollup, _rollup, ("schema", "views", "upkeep"), reads_sql=True),
    "size_bound": scorer(SizeBound, _size_bound, ("schema",)),
}
