"""The rules over SQL text, whole: those for typed designs, on the tables that a script leaves, and those over trees.

A person's script says less than a brief: nobody vouches for volumes or for what a column means. So what is an error in
a design is a warning here, unless the user's settings raise it. Statements that a parser or the engine refused are left
to them, and the statements of a setup are read and not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.base_design import rules
from dbprompt.checks.base_trees import grammar
from dbprompt.checks.indexes import indexes
from dbprompt.checks.query_paths import query_paths
from dbprompt.checks.query_shapes import query_shapes
from dbprompt.checks.references import references
from dbprompt.checks.security import security
from dbprompt.checks.sql.base_script import Seen, read, relation_name
from dbprompt.checks.sql.outline import Outline, outline
from dbprompt.checks.sql.rules_conditions import rules_conditions
from dbprompt.checks.sql.rules_objects import rules_objects
from dbprompt.checks.sql.rules_security import rules_security
from dbprompt.checks.sql.rules_types import rules_types
from dbprompt.checks.subject import DesignCheck, Subject
from dbprompt.checks.tables import tables
from dbprompt.checks.types import types
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.queries import Queries, Query
from dbprompt.sections.schema import Schema, Table

__all__ = ["written_rules"]

_UNCOVERED = "what the data is, and what a name means"


def written_rules(
    statements: Sequence[Statement], *, setup: str = "", refused: Iterable[str] = (), today: date | None = None
) -> Report:
    """Findings of every rule on a script, and a verdict for each statement that was read.

    Args:
        statements: the script.
        setup: what stands before.
        refused: places of the statements that something stronger has refused.
        today: the day that partitions are counted from.
    """
    if grammar() is None:
        return Report()  # the grammar's own absence is in the evidence
    left_out = set(refused)
    script = read([one for one in statements if one.where not in left_out], setup=setup)
    found = outline(script)
    findings = [
        *_of_tables(found),
        *_of_indexes(found),
        *_of_queries(script, found),
        *rules_conditions(script),
        *rules_types(script, found),
        *rules_security(script, found),
        *rules_objects(script, found, today=today or date.today()),
    ]
    told = dict.fromkeys(_lowered(finding) for finding in findings if finding.where)
    titles = {one.where: one.artefact for one in statements}
    verdicts = (
        Verdict(titles[one.where], one.where, Status.PASSED, Tier.RULE, rules("sql"), _UNCOVERED)
        for one in script
        if one.where
    )
    return Report(tuple(told), tuple(verdicts))


def _lowered(finding: Finding) -> Finding:
    return replace(finding, severity=Severity.WARNING) if finding.severity is Severity.ERROR else finding


def _asked(check: DesignCheck, section: str, schema: Schema, **sections: object) -> tuple[Finding, ...]:
    """What a rule family of the design says."""
    design = DatabaseDesign.model_construct(None, schema=schema, **sections)
    return check(Subject(design, section)).findings


def _schema(*made: Table) -> Schema:
    return Schema.model_construct(tables=made)


def _of_tables(found: Outline) -> Iterator[Finding]:
    for check in (types, security, tables):
        for finding in _asked(check, "schema", found.schema):
            yield replace(finding, where=_place(found, finding.where))


def _place(found: Outline, where: str) -> str:
    """The statement that made what a pointer into the schema means."""
    parts = where.split("/")[1:]
    made = list(found.tables.values())
    if parts[0] == "enums":
        return list(found.enums.values())[int(parts[1])][1]
    if len(parts) == 1:  # about all tables: said where the last of them is made
        return next((one.where for one in reversed(made) if one.where), "")
    table = made[int(parts[1])]
    if len(parts) > 3 and parts[2] == "columns":
        return table.columns.get(table.table.columns[int(parts[3])].name, "")
    return table.where


def _of_indexes(found: Outline) -> Iterator[Finding]:
    for made in found.tables.values():
        own = tuple(index for index, _ in found.indexes if index.table == made.table.name)
        section = Indexes.model_construct(indexes=own)
        last = next((where for index, where in reversed(found.indexes) if index.table == made.table.name), "")
        yield from _only("indexes.many", made.table, section, last)
        for key, where in made.keys:
            table = made.table.model_copy(update={"foreign_keys": (key,)})
            yield from _only("indexes.foreign_key_unindexed", table, section, where)
            for finding in _asked(references, "schema", _schema(table)):
                if finding.code == "references.set_null_on_not_null":  # the others are for the engine to find
                    yield replace(finding, where=where)


def _only(code: str, table: Table, section: Indexes, where: str) -> Iterator[Finding]:
    """One rule of the family: indexes that cover each other are found in the engine's own catalogue."""
    for finding in _asked(indexes, "indexes", _schema(table), indexes=section):
        if finding.code == code:
            yield replace(finding, where=where)


def _of_queries(script: tuple[Seen, ...], found: Outline) -> Iterator[Finding]:
    asked = [one for one in script if one.where and one.kind in QUERY_KINDS]
    queries = tuple(Query.model_construct(id=f"statement_{one.where.rsplit('/', 1)[-1]}", sql=one.sql) for one in asked)
    section = Queries.model_construct(queries=queries)
    known = Indexes.model_construct(indexes=tuple(index for index, _ in found.indexes))
    temporary = set(_temporary(script))
    for check in (query_shapes, query_paths):
        for finding in _asked(check, "queries", found.schema, queries=section, indexes=known):
            one = asked[int(finding.where.split("/")[2])]
            whole = finding.code == "queries.write_without_where"
            if not (whole and relation_name(one.tree.node("relation")) in temporary):
                yield replace(finding, where=one.where)


def _temporary(script: tuple[Seen, ...]) -> Iterator[str]:
    """Tables that end with the session: their rows are the script's own."""
    for one in script:
        into = one.tree.node("into") if one.kind == "CreateTableAsStmt" else None
        relation = into.node("rel") if into else one.tree.node("relation") if one.kind == "CreateStmt" else None
        if relation and relation.text("relpersistence") == "t":
            yield relation_name(relation)
