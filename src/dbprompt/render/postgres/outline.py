"""A design in few words, for a model that goes on from it: one line a table, no comments, no reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.render.postgres.types import column_type
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.indexes import Index
from dbprompt.sections.schema import Column, Schema, Table

__all__ = ["outline"]


def outline(design: DatabaseDesign) -> str:
    """What is decided so far: engines, enums, tables with keys and references, indexes. Empty if nothing is.

    It is text for a reader, never SQL to run: free expressions stand in it as they were written.
    """
    return "\n".join(
        (
            *_selection(design),
            *_schema(design.schema),
            *_indexes(design),
            *_views(design),
            *_queries(design),
            *_caching(design),
            *_lives(design),
            *_jobs(design),
            *_machines(design),
            *_backups(design),
            *_alerts(design),
        )
    )


def _selection(design: DatabaseDesign) -> Iterator[str]:
    if design.selection is not None:
        stores = "".join(f"; {store.engine} as {store.role}" for store in design.selection.supporting)
        yield f"engine: {design.selection.decision.engine}{stores}"


def _schema(schema: Schema | None) -> Iterator[str]:
    if schema is None:
        return
    yield "(a ? behind a type: may be null)"
    for enum in schema.enums:
        yield f"enum {enum.name}: {', '.join(_line(value) for value in enum.values)}"
    for table in schema.tables:
        yield _table(table)
    for copy in schema.denormalized:
        if copy.sync in {"trigger", "job"}:
            yield f"copy {copy.table}.{copy.column} of {_line(copy.source)} kept by {copy.sync}"


def _table(table: Table) -> str:
    """`order(id bigint, buyer_id bigint -> buyers.id, note text?, pk(id), unique(public_number))`."""
    single = {key.columns[0]: key for key in table.foreign_keys if len(key.columns) == 1}
    parts = []
    for column in table.columns:
        key = single.get(column.name)
        target = f" -> {key.references}.{key.referenced_columns[0]}" if key else ""
        parts.append(_column(column) + target)
    parts += [f"pk({', '.join(table.primary_key)})"] if table.primary_key else []
    parts += [f"unique({', '.join(unique.columns)})" for unique in table.uniques]
    parts += [
        f"({', '.join(key.columns)}) -> {key.references}({', '.join(key.referenced_columns)})"
        for key in table.foreign_keys
        if len(key.columns) > 1
    ]
    parts += [f"check({_line(check.expression)})" for check in table.checks]
    split = table.partitioning
    grain = f" each {split.granularity}" if split and split.granularity else ""
    after = f" partitioned by {split.strategy}({split.column}){grain}" if split else ""
    return f"table {table.name}({', '.join(parts)}){after}"


def _column(column: Column) -> str:
    kind = "identity" if column.identity else "generated" if column.generated is not None else ""
    return f"{column.name} {column_type(column)}{'?' if column.nullable else ''}" + (f" {kind}" if kind else "")


def _indexes(design: DatabaseDesign) -> Iterator[str]:
    for index in design.indexes.indexes if design.indexes else ():
        yield _index(index)


def _index(index: Index) -> str:
    keys = ", ".join(
        _line(key.column or key.expression or "") + (" desc" if key.order == "desc" else "") for key in index.keys
    )
    method = "" if index.method == "btree" else f" {index.method}"
    include = f" include({', '.join(index.include)})" if index.include else ""
    where = f" where {_line(index.where)}" if index.where else ""
    serves = f" serves {', '.join(index.serves)}" if index.serves else ""
    unique = "unique " if index.unique else ""
    return f"{unique}index {index.name} on {index.table}{method}({keys}){include}{where}{serves}"


def _queries(design: DatabaseDesign) -> Iterator[str]:
    """`query loans_of_member(member_id) reads loan`; a table counts as read where its name stands as a word."""
    tables = [table.name for table in design.schema.tables] if design.schema else []
    tables += [view.name for view in design.views.views] if design.views else []
    for query in design.queries.queries if design.queries else ():
        words = set(re.findall(r"\w+", query.sql))
        reads = ", ".join(name for name in tables if name in words)
        named = ", ".join(parameter.name for parameter in query.parameters)
        yield f"query {query.id}({named})" + (f" reads {reads}" if reads else "")


def _caching(design: DatabaseDesign) -> Iterator[str]:
    for entry in design.caching.entries if design.caching else ():
        held = entry.query or entry.table or entry.kind
        yield f"cache {entry.name} of {held} in {entry.store}, {entry.ttl_s} s"


def _machines(design: DatabaseDesign) -> Iterator[str]:
    section = design.infrastructure
    if section is None:
        return
    failover = f", failover by {section.failover.by}" if section.failover else ""
    yield f"machines: {section.deployment} on {section.storage}{failover}"
    for tier in section.tiers:
        yield f"tier {tier.name}: {tier.cpus} cpu, {tier.memory_gb} GB, disk {tier.storage_gb} GB"
    for node in section.nodes:
        yield f"node {node.name}: {node.role} in {node.region} {node.zone}, tier {node.tier}"
    if (pool := section.pool) is not None:
        yield f"pool {pool.tool} in {pool.mode} mode: {pool.instances} x {pool.pool_size} server connections"
    for phase in design.scaling.phases if design.scaling else ():
        yield f"phase {_line(phase.name)}: up to {phase.up_to_records or 'no end'} records, tier {phase.tier}"


def _views(design: DatabaseDesign) -> Iterator[str]:
    for view in design.views.views if design.views else ():
        serves = f" serves {', '.join(view.serves)}" if view.serves else ""
        key = f" unique({', '.join(view.unique_key)})" if view.unique_key else ""
        yield f"materialized view {view.name}{key} refresh {view.refresh}{serves}: {_line(view.sql)}"


def _lives(design: DatabaseDesign) -> Iterator[str]:
    for life in design.lifecycle.tables if design.lifecycle else ():
        kept = f" kept {life.keep_days} days by {life.age_column}, leaves by {life.leaves_by}" if life.keep_days else ""
        ahead = f" partitions ahead {life.partitions_ahead}" if life.partitions_ahead else ""
        if kept or ahead:
            yield f"life {life.table}{kept}{ahead}"


def _jobs(design: DatabaseDesign) -> Iterator[str]:
    for job in design.upkeep.jobs if design.upkeep else ():
        yield f"job {job.name} {job.kind}{f' {job.target}' if job.target else ''} at {job.schedule}"


def _backups(design: DatabaseDesign) -> Iterator[str]:
    """`backup weekly_dump: logical_dump by pg_dump at 30 3 * * 0, kept 90 days in eu-west-1`."""
    for plan in design.backup.plans if design.backup else ():
        when = f"at {plan.schedule}" if plan.schedule else f"every {plan.archive_every_s} s"
        kept = f"kept {plan.keep_days} days in {plan.region}"
        yield f"backup {plan.name}: {plan.method} by {plan.tool} {when}, {kept}"


def _alerts(design: DatabaseDesign) -> Iterator[str]:
    """`runbook disk_filling is opened by DiskFilling, DiskFull`; alerts without a runbook are left out."""
    opened: dict[str, list[str]] = {}
    for alert in design.monitoring.alerts if design.monitoring else ():
        if alert.runbook is not None:
            opened.setdefault(alert.runbook, []).append(alert.name)
    for runbook, alerts in opened.items():
        yield f"runbook {runbook} is opened by {', '.join(alerts)}"


def _line(text: str) -> str:
    return " ".join(text.split())
