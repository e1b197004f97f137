"""Scorers of what the database refuses: overlaps, changes to what is past, lost updates, repeats.

Grants are read as PostgreSQL adds them up: a role may do on a table what any of its grants says, and a grant without
tables is for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbprompt.brief import AttributeRole
from dbprompt.checks.base_access import accesses
from dbprompt.checks.base_constants import constants
from dbprompt.checks.base_matching import Place, columns_of
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import Broken, Node, column_names, expression, find, words
from dbprompt.checks.engine import target_major
from dbprompt.evals.expectations import ConditionalWrite, NoOverlap, OfAttributes, OfEntity
from dbprompt.evals.scorers.base import Look, Scene, Scorer, Sections, bad, good, scorer
from dbprompt.evals.scorers.base_keys import key_over, key_within
from dbprompt.sections.names import normal
from dbprompt.sections.schema import Exclusion, Table
from dbprompt.sections.security import Privilege, Role

__all__ = ["SCORERS"]

_KEEPS_WRITERS_OUT = {"LCS_FORUPDATE", "LCS_FORNOKEYUPDATE"}
_EXCLUSIONS_ON_PARTITIONS = 17  # the major version that brought them


def _no_overlap(expectation: NoOverlap, scene: Scene) -> Iterator[Look]:
    for place in scene.places(expectation.entity):
        entity = expectation.entity
        key = [scene.names(place, entity, name) for name in expectation.key_all]
        span = [scene.names(place, entity, name) for name in expectation.span_all]
        found: str | None = None
        for means in expectation.by_any:
            found = found or _refused_by(means, scene, place, key, span)
        if found is None:
            _need(_may_refuse(expectation), scene)
        lacks = f"{place.table.name} lets spans of one {', '.join(expectation.key_all)} overlap"
        where = f"/schema{place.where}"
        yield good(where, found) if found else bad(where, lacks)


_BY_INDEX = frozenset({"unique_key", "unique_slot"})
_BY_KEY = _BY_INDEX | {"exclusion_constraint"}


def _may_refuse(expectation: NoOverlap | ConditionalWrite) -> Sections:
    """The sections that the wanted means stand in: keys and constraints, or statements of any kind."""
    means = frozenset[str](expectation.by_any)
    by_index = ("indexes",) if means & _BY_INDEX else ()
    return ("schema", *by_index, *(("queries", "upkeep") if means - _BY_KEY else ()))


def _need(sections: Sections, scene: Scene) -> None:
    """One that was not asked for may hold what was not found."""
    for name in sections:
        scene.need(scene.design.section(name), name)


def _refused_by(
    means: str, scene: Scene, place: Place, key: Sequence[frozenset[str]], span: Sequence[frozenset[str]]
) -> str | None:
    table = place.table
    if means == "exclusion_constraint":
        major = target_major(scene.brief)
        fits = [one for one in table.exclusions if _excludes(one, table, key, span, major)]
        return f"exclusion {fits[0].name} of {table.name}" if fits else None
    if means == "unique_slot":  # slots: the end follows from the start
        ends = [column for names in span[1:] for name in names if (column := table.column(name))]
        fixed = bool(ends) and all(column.generated is not None for column in ends)
        way = key_over(table, scene.design.indexes, [*key, span[0]]) if fixed else None
        return f"{way} of {table.name}, whose spans have one length" if way else None
    if means == "locking_read":
        wanted = frozenset[str]().union(*key)
        return next((said for said in _locked(scene, table, wanted)), None)
    return None  # a design has no place to say that a transaction is serializable


def _excludes(
    exclusion: Exclusion,
    table: Table,
    key: Sequence[frozenset[str]],
    span: Sequence[frozenset[str]],
    major: int,
) -> bool:
    """Whether rows clash that are equal in the key, and in nothing else, and whose spans overlap."""
    equal = [_columns(one.expression) for one in exclusion.elements if one.operator == "="]
    overlap = [_columns(one.expression) for one in exclusion.elements if one.operator == "&&"]
    if len(equal) + len(overlap) != len(exclusion.elements) or len(overlap) != 1:
        return False
    by_key = len(equal) == len(key) and all(any(columns <= names for columns in equal if columns) for names in key)
    if exclusion.where is not None:
        condition = expression(exclusion.where)
        if isinstance(condition, Broken) or any(constants(condition)):
            return False
    if table.partitioning is not None:
        held = any(columns == {table.partitioning.column} for columns in equal)
        if major < _EXCLUSIONS_ON_PARTITIONS or not held:
            return False
    return by_key and all(names & overlap[0] for names in span)


def _columns(text: str) -> frozenset[str]:
    tree = expression(text)
    return frozenset() if isinstance(tree, Broken) else frozenset(names[-1] for names in column_names(tree))


def _locked(scene: Scene, table: Table, wanted: frozenset[str]) -> Iterator[str]:
    for called, statement in _statements(scene):
        compared = {column for name, column in statement.mentioned(statement.conditions()) if name == table.name}
        if table in statement.tables and _locks(statement) and compared & wanted:
            yield f"{called} locks the rows of {table.name} that it reads"


def _locks(statement: Parsed) -> bool:
    """FOR UPDATE: two that share a row may both go on to write it."""
    return any(one.text("strength") in _KEEPS_WRITERS_OUT for one in find(statement.tree, "LockingClause"))


def _statements(scene: Scene) -> Iterator[tuple[str, Parsed]]:
    """Every statement of the design that writes or locks: of queries, of triggers and of jobs."""
    queries, upkeep = scene.design.queries, scene.design.upkeep
    texts = [(f"query {one.id}", one.sql) for one in (queries.queries if queries else ())]
    texts += [(f"trigger {one.name}", one.sql) for one in (upkeep.sync_triggers if upkeep else ())]
    texts += [(f"job {one.name}", one.sql) for one in (upkeep.jobs if upkeep else ()) if one.sql]
    for called, sql in texts:
        statement = parsed(sql, scene.relations)
        if not isinstance(statement, Broken):
            yield called, statement


def _may(role: Role, privilege: Privilege, table: str) -> bool:
    return any(privilege in grant.privileges and (not grant.tables or table in grant.tables) for grant in role.grants)


def _append_only(expectation: OfEntity, scene: Scene) -> Iterator[Look]:
    roles = scene.need(scene.design.security, "security").roles
    for place in scene.places(expectation.entity):
        table = place.table.name
        wrong = [
            (at, privilege)
            for at, role in enumerate(roles)
            for privilege in ("update", "delete")
            if _may(role, privilege, table)
        ]
        for at, privilege in wrong:
            yield bad(f"/security/roles/{at}", f"role {roles[at].name} may {privilege} {table}")
        writers = [role.name for role in roles if _may(role, "insert", table)]
        if not wrong:
            said = f"{', '.join(writers)} may only add to {table}" if writers else f"no role may insert into {table}"
            yield Look("/security/roles", bool(writers), said)


def _system_versioned(expectation: OfEntity, scene: Scene) -> Iterator[Look]:
    security = scene.need(scene.design.security, "security")
    recorded = {
        table: at
        for at, one in enumerate(security.audit)
        if one.event == "data_changes" and one.means == "trigger" and one.level == "all"
        for table in one.tables
    }
    for place in scene.places(expectation.entity):
        name = place.table.name
        history = _history(scene, place.table)
        if name in recorded:
            yield good(f"/security/audit/{recorded[name]}", f"a trigger records every change of {name}")
        elif history is not None and not any(
            _may(role, privilege, history.name) for role in security.roles for privilege in ("update", "delete")
        ):
            yield good(f"/schema{place.where}", f"{history.name} holds the versions of {name} and is append-only")
        else:
            yield bad(f"/schema{place.where}", f"nothing keeps the rows of {name} as they were")


def _history(scene: Scene, table: Table) -> Table | None:
    """A table of old versions: named after the table, with all of its columns."""
    names = {f"{normal(table.name)}_{word}" for word in ("history", "version", "revision")}
    columns = {column.name for column in table.columns} - set(table.primary_key)
    for other in scene.schema.tables:
        if normal(other.name) in names and columns <= {column.name for column in other.columns}:
            return other
    return None


def _conditional_write(expectation: ConditionalWrite, scene: Scene) -> Iterator[Look]:
    for place in scene.places(expectation.entity):
        table = place.table
        entity = scene.entity(expectation.entity)
        versions = {
            column.name
            for attribute in entity.attributes
            if attribute.role is AttributeRole.SEQUENCE
            for column in columns_of(table, entity, attribute.name)
        }
        found = [said for means in expectation.by_any for said in _guarded(means, scene, table, frozenset(versions))]
        if not found:
            _need(_may_refuse(expectation), scene)
        where = f"/schema{place.where}"
        lacks = f"nothing in the design refuses a lost update of {table.name} by {' or '.join(expectation.by_any)}"
        yield good(where, found[0]) if found else bad(where, lacks)


def _guarded(means: str, scene: Scene, table: Table, versions: frozenset[str]) -> Iterator[str]:
    if means == "unique_key":
        ways = (way for way in accesses(table, scene.design.indexes) if way.unique and way.name != "primary key")
        yield from (f"{way} of {table.name}" for way in ways)
        return
    for called, statement in _statements(scene):
        if means == "row_lock" and table in statement.tables and _locks(statement):
            yield f"{called} locks the rows of {table.name} that it reads"
        for update in find(statement.tree, "UpdateStmt"):
            relation = update.node("relation")
            if relation is None or relation.text("relname") != table.name:
                continue
            if said := _guard_of(means, update, versions):
                yield f"{called} {said}"


def _guard_of(means: str, update: Node, versions: frozenset[str]) -> str:
    """How an UPDATE keeps another one's change; empty if it overwrites it.

    An UPDATE that adds to the value that is there holds the row's lock from reading to writing.
    """
    condition = update.node("whereClause")
    compared = _compared(condition) if condition else frozenset()
    assigned = {target.text("name"): target.node("val") for target in update.nodes("targetList")}
    if means == "optimistic_version" and versions & compared & assigned.keys():
        return f"compares and raises {min(versions & compared & assigned.keys())}"
    if means == "compare_and_set" and compared & assigned.keys():
        return f"writes {min(compared & assigned.keys())} only if it is as expected"
    relative = [
        name
        for name, value in assigned.items()
        if value is not None and name not in versions and name in {names[-1] for names in column_names(value)}
    ]
    if means == "row_lock" and relative and len(relative) == len(assigned.keys() - versions):
        return f"adds to {relative[0]} under the lock of the row"
    return ""


_OTHER_ROWS = {"new", "old", "excluded"}


def _compared(condition: Node) -> frozenset[str]:
    """Columns that all rows have to fit: those of the comparisons that AND joins."""
    if condition.kind == "BoolExpr" and condition.text("boolop") == "AND_EXPR":
        return frozenset[str]().union(*(_compared(part) for part in condition.nodes("args")))
    left, right = condition.node("lexpr"), condition.node("rexpr")
    if condition.kind != "A_Expr" or left is None or right is None:
        return frozenset()
    sides = [words(side.nodes("fields")) for side in (left, right) if side.kind == "ColumnRef"]
    own = [names[-1] for names in sides if len(names) == 1 or names[-2] not in _OTHER_ROWS]
    return frozenset(own) if len(own) == 1 else frozenset()


def _dedupe(expectation: OfAttributes, scene: Scene) -> Iterator[Look]:
    for place in scene.places(expectation.entity):
        attributes = [scene.names(place, expectation.entity, name) for name in expectation.attributes_all]
        key = key_within(place.table, scene.design.indexes, attributes)
        if key is None:
            scene.need(scene.design.indexes, "indexes")
        names = ", ".join(expectation.attributes_all)
        said = f"{key} of {place.table.name}" if key else f"{place.table.name} takes the same ({names}) twice"
        yield Look(f"/schema{place.where}", key is not None, said)


SCORERS: dict[str, Scorer] = {
    "no_overlap": scorer(NoOverlap, _no_overlap, _may_refuse, reads_sql=True),
    "system_versioned": scorer(OfEntity, _system_versioned, ("schema", "security")),
    "append_only": scorer(OfEntity, _append_only, ("schema", "security")),
    "conditional_write": scorer(ConditionalWrite, _conditional_write, _may_refuse, reads_sql=True),
    "dedupe": scorer(OfAttributes, _dedupe, ("schema", "indexes"), reads_sql=True),
}
