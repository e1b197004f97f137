"""What a script leaves behind that will not work later, or takes away for good.

Poor: partitions up to the end of last year, so that the next row is refused; a job that refreshes a materialised view
CONCURRENTLY, which has no unique index; DROP TABLE orders in a script that did not make it; OFFSET 100000.
Better: a partition for the period to come, before it comes; CREATE UNIQUE INDEX on the view first; a drop only of what
the script made itself; a page that starts after the last row of the page before.

Sources: postgresql.org/docs/18/ddl-partitioning.html, sql-refreshmaterializedview.html; facts/mistakes_and_rules.md,
19, 20, 24 and 25.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from dbprompt.checks.base_design import listing
from dbprompt.checks.base_trees import Node, find, words
from dbprompt.checks.sql.base_script import Seen, relation_name, said, strings_in
from dbprompt.checks.sql.outline import Outline
from dbprompt.evidence import Finding, Severity
from dbprompt.sections.schema import ColumnType

__all__ = ["rules_objects"]

_TIMES = {ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ}
_REFRESH = re.compile(r'refresh\s+materialized\s+view\s+concurrently\s+(?:"?\w+"?\.)?"?(\w+)"?', re.IGNORECASE)
_AHEAD = timedelta(days=31)


def rules_objects(script: tuple[Seen, ...], outline: Outline, *, today: date) -> Iterator[Finding]:
    """Partitions, materialised views, drops and pages of a script."""
    yield from _partitions(script, outline, today)
    yield from _refreshes(script)
    yield from _drops(script)
    for one in script:
        if "offset" in one.sql.lower() and any(_skips(select) for select in find(one.tree, "SelectStmt")):
            message = (
                "OFFSET reads and throws away every row before it; start after the last row of the page before: WHERE "
                "(created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC"
            )
            yield from said(Severity.WARNING, "queries.offset", one, message)


def _skips(select: Node) -> bool:
    offset = select.node("limitOffset")
    return offset is not None and offset.fields.get("ival") != {}  # the grammar leaves zeros out


def _partitions(script: tuple[Seen, ...], outline: Outline, today: date) -> Iterator[Finding]:
    """Whether a table that is split by time takes the rows of the period to come."""
    if any("partman" in one.sql.lower() for one in script):
        return  # pg_partman makes partitions as time goes by
    for name, made in outline.tables.items():
        split = made.table.partitioning
        column = made.table.column(split.column) if split and split.strategy == "range" else None
        if column is None or column.type not in _TIMES:
            continue
        parts = [one for one in script if one.tree.has("partbound") and name in _parents(one)]
        last = next((part for part in reversed(parts) if part.where), None)
        where = last.where if last else made.where
        ends = [end for part in parts if (end := _end(part))]
        if not where or any(_is_open(part) for part in parts) or len(ends) < len(parts):
            continue
        message = (
            f"{name} has partitions up to {max(ends)}, and a row after that is refused" if ends else
            f"{name} has no partition, so every row is refused"
        )  # fmt: skip
        if not ends or max(ends) <= today + _AHEAD:
            message += "; make those of the coming periods beforehand, and have a job go on with it"
            yield Finding("partitions.none_ahead", Severity.WARNING, where, message)


def _parents(one: Seen) -> list[str]:
    return [relation_name(relation) for relation in one.tree.nodes("inhRelations")]


def _is_open(part: Seen) -> bool:
    """Whether a partition takes whatever comes: DEFAULT, or TO (MAXVALUE)."""
    bounds = part.tree.node("partbound")
    if bounds is None or bounds.fields.get("is_default"):
        return True
    return any(words(bound.nodes("fields")) == ("maxvalue",) for bound in bounds.nodes("upperdatums"))


def _end(part: Seen) -> date | None:
    """The first day that a partition does not take any more; None if it is not written as a date."""
    bounds = part.tree.node("partbound")
    for bound in bounds.nodes("upperdatums")[:1] if bounds else ():
        for text in strings_in(bound):
            try:
                return date.fromisoformat(text[:10])
            except ValueError:
                return None
    return None


def _refreshes(script: tuple[Seen, ...]) -> Iterator[Finding]:
    views = {
        relation_name(into.node("rel"))
        for one in script
        if one.kind == "CreateTableAsStmt" and one.tree.text("objtype") == "OBJECT_MATVIEW"
        if (into := one.tree.node("into"))
    }
    unique = {
        relation_name(one.tree.node("relation"))
        for one in script
        if one.kind == "IndexStmt" and one.tree.fields.get("unique") and not one.tree.has("whereClause")
        if all(element.text("name") for element in one.tree.nodes("indexParams"))
    }
    for one in script if views else ():
        asked = {name.lower() for text in strings_in(one.tree) for name in _REFRESH.findall(text)}
        if one.kind == "RefreshMatViewStmt" and one.tree.fields.get("concurrent"):
            asked.add(relation_name(one.tree.node("relation")))
        for name in sorted(asked & views - unique):
            message = (
                f"materialised view {name} is refreshed CONCURRENTLY and has no unique index on plain columns, so the "
                f"refresh is refused; add CREATE UNIQUE INDEX ON {name} (...)"
            )
            yield from said(Severity.WARNING, "views.concurrent_refresh_without_unique", one, message)


def _drops(script: tuple[Seen, ...]) -> Iterator[Finding]:
    """Data that a script takes away without having made it."""
    made: set[str] = set()
    standing = _standing(script)
    for one in script:
        if one.where and one.kind == "DropStmt" and one.tree.fields.get("missing_ok") and standing is not None:
            made |= {name for name in _dropped(one.tree) if name not in standing}  # there is nothing to lose
        if one.where and one.kind in {"CreateStmt", "CreateTableAsStmt", "CreateSchemaStmt"}:
            into = one.tree.node("into")
            made |= {relation_name(one.tree.node("relation") or (into.node("rel") if into else None))}
            made.add(one.tree.text("schemaname"))
        if lost := [name for name in _dropped(one.tree) if name not in made]:
            message = (
                f"{listing(lost)} and all rows in it are lost, and this script did not make it; keep what is there and "
                "change it, or move the drop into a migration that is reviewed by itself"
            )
            yield from said(Severity.WARNING, "migration.destructive", one, message)


def _standing(script: tuple[Seen, ...]) -> set[str] | None:
    """Every name of what stands before a script; None if there is no setup to tell, or a block of it hides some."""
    before = [one for one in script if not one.where]
    if not before or any(one.kind in {"DoStmt", "CallStmt", "SelectStmt"} for one in before):
        return None
    names = {relation.text("relname") for one in before for relation in find(one.tree, "RangeVar")}
    return names | {one.tree.text(field) for one in before for field in ("newname", "schemaname")}


def _dropped(tree: Node) -> list[str]:
    """Tables, schemas and materialised views that a statement empties or drops."""
    if tree.kind == "TruncateStmt":
        return [relation_name(relation) for relation in tree.nodes("relations")]
    if tree.kind != "DropStmt" or tree.text("removeType") not in {"OBJECT_TABLE", "OBJECT_SCHEMA"}:
        return []
    if tree.text("removeType") == "OBJECT_SCHEMA":
        return [name.text("sval") for name in tree.nodes("objects")] if tree.text("behavior") == "DROP_CASCADE" else []
    return [words(names.nodes("items"))[-1] for names in tree.nodes("objects")]
