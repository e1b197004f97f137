"""A stored copy has what keeps it in step, and a trigger is one UPDATE of that copy and nothing besides.

Poor: `UPDATE orders SET total = (SELECT sum(...) FROM order_lines)` without a WHERE: each new line writes every order.
A trigger after insert for a count that deletes change too. A copy that the schema says a trigger keeps, and none does.
Better: `UPDATE orders SET total = (SELECT coalesce(sum(unit_price * quantity), 0) FROM order_lines WHERE order_id =
orders.id) WHERE id IN (NEW.order_id, OLD.order_id)`, after insert, update and delete: the old and the new parent.

Where NEW or OLD do not exist their columns are null (postgresql.org/docs/18/plpgsql-trigger.html).
Whether the copy follows is tried on rows: `proofs.sync_triggers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.checks.base_design import error, judged, listing, rules, tables_with
from dbprompt.checks.base_matching import is_misshapen
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import Broken, column_names, find, grammar
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres import UnsafeSqlError, single_statement
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Denormalized, Schema, Table
from dbprompt.sections.upkeep import SyncTrigger, Upkeep

__all__ = ["sync_triggers"]

_WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")


def sync_triggers(subject: Subject) -> Report:
    """The triggers of the section `upkeep`, and the copies of the schema that need one."""
    section, schema = subject.design.upkeep, subject.design.schema
    if subject.section != "upkeep" or section is None or schema is None:
        return Report()
    uncovered = "whether the copy follows"
    return judged(subject, _findings(subject, section, schema), checker=rules("trigger"), uncovered=uncovered)


def _findings(subject: Subject, section: Upkeep, schema: Schema) -> Iterator[Finding]:
    copies = {(one.table, one.column): one for one in schema.denormalized}
    seen: set[str] = set()
    for at, sync in enumerate(section.sync_triggers):
        where = f"/sync_triggers/{at}"
        if sync.name in seen:
            message = f"there is another trigger {sync.name}; each has a function of its name, so rename it"
            yield error("upkeep.trigger_twice", where, message)
        seen.add(sync.name)
        yield from _of(sync, schema, copies, where)
    yield from _circles(section)
    yield from _without(subject, section, schema)


def _of(
    sync: SyncTrigger, schema: Schema, copies: Mapping[tuple[str, str], Denormalized], where: str
) -> Iterator[Finding]:
    source, target = schema.table(sync.table), schema.table(sync.copy_table)
    for name, table in ((sync.table, source), (sync.copy_table, target)):
        if table is None:
            message = f"trigger {sync.name} names table {name}, which is not in the schema; {tables_with(schema)}"
            yield error("references.unknown_table", where, message)
    if source is None or target is None:
        return
    if target.column(sync.copy_column) is None:
        have = listing(column.name for column in target.columns)
        message = f"trigger {sync.name} keeps {target.name}.{sync.copy_column}, which is no column; it has {have}"
        yield error("references.unknown_column", where, message)
    declared = copies.get((sync.copy_table, sync.copy_column))
    if declared is None or declared.sync != "trigger":
        said = f"says {declared.sync}" if declared else f"does not list it ({listing(f'{t}.{c}' for t, c in copies)})"
        message = (
            f"trigger {sync.name} keeps {sync.copy_table}.{sync.copy_column} in step, and the schema's denormalized "
            f"{said}; drop the trigger, or declare the copy there with sync trigger"
        )
        yield error("upkeep.copy_not_declared", where, message, may_drop=True)
    yield from _statement(sync, source, schema, f"{where}/sql")


def _statement(sync: SyncTrigger, source: Table, schema: Schema, where: str) -> Iterator[Finding]:
    try:
        single_statement(sync.sql)
    except UnsafeSqlError as unsafe:
        yield error("upkeep.not_one_update", where, f"trigger {sync.name}: {unsafe.reason}")
        return
    if not grammar():
        return
    statement = parsed(sync.sql, schema)
    if isinstance(statement, Broken):
        yield error("upkeep.not_one_update", where, f"the SQL of trigger {sync.name} is no statement: {statement}")
        return
    writes = list(find(statement.tree, *_WRITES))
    relation = statement.tree.node("relation")
    changed = relation.text("relname") if relation else ""
    if statement.kind != "UpdateStmt" or len(writes) != 1 or changed != sync.copy_table:
        message = f"trigger {sync.name} has to be exactly one UPDATE of {sync.copy_table}; this is a {statement.kind}"
        yield error("upkeep.not_one_update", where, f"{message}{f' of {changed}' if changed else ''}")
        return
    sets = [target.text("name") for target in statement.tree.nodes("targetList")]
    if sets != [sync.copy_column]:
        message = f"trigger {sync.name} sets {listing(sets)}, and it keeps {sync.copy_column}; set that and no other"
        yield error("upkeep.sets_other_columns", where, message)
    if not statement.tree.has("whereClause"):
        message = (
            f"trigger {sync.name} updates every row of {sync.copy_table} for each changed row; add a WHERE with NEW"
        )
        yield error("upkeep.update_without_where", where, message)
    yield from _names(sync, statement, source, where)


def _names(sync: SyncTrigger, statement: Parsed, source: Table, where: str) -> Iterator[Finding]:
    used: set[str] = set()
    have = listing(column.name for column in source.columns)
    for names in dict.fromkeys(column_names(statement.tree)):
        row = names[-2].lower() if len(names) > 1 else ""
        if row in {"new", "old"}:
            used.add(row)
            if source.column(names[-1]) is None:
                message = f"trigger {sync.name} reads {'.'.join(names)}, and {source.name} has no such column: {have}"
                yield error("upkeep.unknown_row_column", where, message)
    if any(find(statement.tree, "ParamRef")):
        message = f"trigger {sync.name} holds a parameter like $1; a trigger knows the changed row: NEW.id, OLD.id"
        yield error("upkeep.trigger_parameter", where, message)
    if unknown := [*statement.unknown, *(name for _, name in statement.unresolved())]:
        message = f"trigger {sync.name} names {listing(dict.fromkeys(unknown))}, which is neither a table nor a column"
        yield error("upkeep.unknown_name", where, message)
    needs = {"insert": {"new"}, "update": {"new", "old"}, "delete": {"old"}}
    if blind := [event for event in dict.fromkeys(sync.events) if not needs[event] & used]:
        rows = " or ".join(sorted({row.upper() for event in blind for row in needs[event]}))
        message = f"trigger {sync.name} runs after {listing(blind)} and never looks at {rows}, the row that changed"
        yield error("upkeep.row_not_read", where, f"{message}; name its rows by {rows}, or take the event away")


def _circles(section: Upkeep) -> Iterator[Finding]:
    """A trigger that starts itself again, by way of others or at once."""
    watched = {sync.table for sync in section.sync_triggers if "update" in sync.events}
    after = {table: {s.copy_table for s in section.sync_triggers if s.table == table} & watched for table in watched}
    for at, sync in enumerate(section.sync_triggers):
        reached, waiting = set[str](), [sync.copy_table] if "update" in sync.events else []
        while waiting:
            table = waiting.pop()
            if table not in reached:
                reached.add(table)
                waiting += after.get(table, set())
        if sync.table in reached:
            message = (
                f"trigger {sync.name} watches {sync.table} and its update comes back to {sync.table}: it starts itself "
                "until the stack is full. Take the event update away, or compute the value in a query"
            )
            yield error("upkeep.trigger_circle", f"/sync_triggers/{at}", message)


def _without(subject: Subject, section: Upkeep, schema: Schema) -> Iterator[Finding]:
    """Copies that the schema says a trigger or a job keeps, and nothing does."""
    kept = {(sync.copy_table, sync.copy_column) for sync in section.sync_triggers}
    for at, copy in enumerate(schema.denormalized):
        place = f"/schema/denormalized/{at}"
        if subject.misshapen or is_misshapen(subject, copy.table):
            continue
        if copy.sync == "trigger" and (copy.table, copy.column) not in kept:
            message = f"{copy.table}.{copy.column} is kept in step by a trigger ({place}), and there is none; add it"
            yield error("upkeep.copy_without_trigger", "/sync_triggers", message)
        if copy.sync == "job" and not _job_writes(subject.design, section, copy):
            message = (
                f"{copy.table}.{copy.column} is kept in step by a job ({place}), and no job of kind sql updates it"
            )
            yield error("upkeep.copy_without_job", "/jobs", f"{message}; add it")


def _job_writes(design: DatabaseDesign, section: Upkeep, copy: Denormalized) -> bool:
    if design.schema is None or not grammar():
        return True
    for job in section.jobs:
        statement = parsed(job.sql, design.schema) if job.sql else Broken("")
        for write in () if isinstance(statement, Broken) else find(statement.tree, *_WRITES):
            relation = write.node("relation")
            targets = [target.text("name") for target in find(write, "ResTarget")]
            if relation and relation.text("relname") == copy.table and copy.column in targets:
                return True
    return False
