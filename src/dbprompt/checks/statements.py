"""A query is exactly one statement of a kind that a query may be, complete, over tables and columns that are there.

Poor: `SELECT * FROM orders WHERE id = :id`, `SELECT ...`, `SELECT 1; DROP TABLE orders`, or a list that names
`p.amount` without a `p` in FROM. Models do it often enough that no statement of theirs is believed
(facts/mistakes_and_rules.md, 1 and 12).
Better: `SELECT id, status, total FROM orders WHERE public_number = $1`, with one parameter declared.

Read with PostgreSQL's own grammar; whether functions exist and types fit is left to the engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dbprompt.checks.base_design import error, judged, listing, not_checked, rules, tables_with, warning
from dbprompt.checks.base_statements import Parsed, alias_of, parsed
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, find, grammar
from dbprompt.checks.base_views import schemas_of_views, with_views
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres import UnsafeSqlError, single_statement, without_literals
from dbprompt.sections.queries import Parameter, Query
from dbprompt.sections.schema import Schema, Table

__all__ = ["statements"]

_KINDS = {
    "SelectStmt": "SELECT",
    "InsertStmt": "INSERT",
    "UpdateStmt": "UPDATE",
    "DeleteStmt": "DELETE",
    "MergeStmt": "MERGE",
}


@dataclass(frozen=True, slots=True)
class _Text:
    """One statement of a query, with its place and parameters."""

    sql: str
    where: str
    called: str
    parameters: tuple[Parameter, ...]
    listed_in: str
    schema: Schema
    kinds: Mapping[str, str] = field(default_factory=lambda: _KINDS)


def statements(subject: Subject) -> Report:
    """The statements of the sections `queries` and `views`."""
    schema = with_views(subject.design)
    if subject.section not in {"queries", "views"} or subject.design.section(subject.section) is None or schema is None:
        return Report()
    texts = list(_of_queries(subject, schema) if subject.section == "queries" else _of_views(subject))
    checker = rules("statement")
    if grammar() is None:
        escapes = tuple(finding for text in texts for finding in _not_one(text))
        return Report(escapes) + not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = [finding for text in texts for finding in (_not_one(text) or _findings(text))]
    uncovered = "whether functions and operators exist and types fit"
    return judged(subject, findings, checker=checker, uncovered=uncovered)


def _of_queries(subject: Subject, schema: Schema) -> Iterator[_Text]:
    for at, query in enumerate(subject.design.queries.queries if subject.design.queries else ()):
        yield from _texts(at, query, schema)


def _of_views(subject: Subject) -> Iterator[_Text]:
    """A view sees the tables and the views before it."""
    for at, view, schema in schemas_of_views(subject.design):
        yield _Text(view.sql, f"/views/{at}/sql", f"view {view.name}", (), "", schema, {"SelectStmt": "SELECT"})


def _texts(at: int, query: Query, schema: Schema) -> Iterator[_Text]:
    yield _Text(query.sql, f"/queries/{at}/sql", f"query {query.id}", query.parameters, "parameters", schema)
    if query.next_page_sql is not None:
        called, where = f"next_page_sql of query {query.id}", f"/queries/{at}/next_page_sql"
        yield _Text(query.next_page_sql, where, called, query.next_page_parameters, "next_page_parameters", schema)


def _not_one(text: _Text) -> tuple[Finding, ...]:
    try:
        single_statement(text.sql)
    except UnsafeSqlError as unsafe:
        hint = _placeholder(text.sql)
        if hint:
            return (error("statements.placeholder", text.where, f"{text.called} {hint}"),)
        return (error("statements.not_one", text.where, f"{text.called}: {unsafe.reason}"),)
    return ()


def _findings(text: _Text) -> Iterator[Finding]:
    statement = parsed(text.sql, text.schema)
    if isinstance(statement, Broken):
        if hint := _placeholder(text.sql):
            yield error("statements.placeholder", text.where, f"{text.called} {hint}")
        elif statement.too_deep:
            yield warning("statements.not_read", text.where, f"{text.called} was not verified here: {statement}")
        else:
            yield error("statements.syntax", text.where, f"{text.called} is no statement: {statement}")
        return
    if statement.kind not in text.kinds or any(find(statement.tree, "IntoClause")):
        message = f"{text.called} is a {statement.kind}; it has to be one of {listing(text.kinds.values())}"
        yield error("statements.kind", text.where, message)
        return
    yield from _literals(text, statement)
    if text.listed_in:
        yield from _parameters(text, statement)
    yield from _names(text, statement, text.schema)


_PLACEHOLDERS = (
    (re.compile(r"(?<![:\w]):[a-zA-Z_]\w*"), "a named parameter"),
    (re.compile(r"%s|%\(\w+\)s|@\w+"), "a driver's parameter"),
    (re.compile(r"\.\.\.|\N{HORIZONTAL ELLIPSIS}"), "an ellipsis"),
    (re.compile(r"<[a-zA-Z_][\w ]*>|\[[A-Z_][A-Z_ ]*\]|\{\{?\s*\w+\s*\}?\}|\$\{\w+\}"), "an unfilled placeholder"),
    (re.compile(r"\?(?![|&\w])"), "a driver's parameter"),
)


def _placeholder(sql: str) -> str:
    """Why a text that does not parse may not: it was left to be filled in."""
    try:
        bare = without_literals(sql)
    except UnsafeSqlError:
        bare = sql
    for pattern, what in _PLACEHOLDERS:
        if found := pattern.search(bare):
            return f"holds {what} ({found.group()}); write $1, $2, ... for values and leave nothing to fill in"
    return ""


_FILL_IN = re.compile(r"\s*(\.\.\.|<[\w ]+>|\[[A-Z_ ]+\]|:[a-z_]+|YOUR_\w+|\?)\s*\Z")


def _literals(text: _Text, statement: Parsed) -> Iterator[Finding]:
    for constant in find(statement.tree, "A_Const"):
        inside = constant.node("sval")
        value = inside.text("sval") if inside else ""
        if re.fullmatch(r"\$\d+", value):
            message = f"{text.called} has '{value}' in quotes, which is just text; write {value} without quotes"
            yield error("statements.quoted_parameter", text.where, message)
        elif _FILL_IN.match(value):
            message = f"{text.called} compares with the placeholder {value!r}; write a parameter such as $1"
            yield error("statements.placeholder", text.where, message)


def _parameters(text: _Text, statement: Parsed) -> Iterator[Finding]:
    used = {reference.number("number") for reference in find(statement.tree, "ParamRef")}
    count = len(text.parameters)
    named = [f"${number} {parameter.name}" for number, parameter in enumerate(text.parameters, start=1)]
    if missing := sorted(number for number in used if number > count or number < 1):
        wanted = listing(f"${number}" for number in missing)
        message = (
            f"{text.called} uses {wanted}, and {text.listed_in} declares {count} ({listing(named)}); declare each with "
            "its type, in the order of the numbers"
        )
        yield error("statements.undeclared_parameter", text.where, message)
    if unused := [name for number, name in enumerate(named, start=1) if number not in used]:
        message = (
            f"{text.called} declares {listing(unused)} and never uses it; use it in the statement, or drop it and "
            "renumber"
        )
        yield warning("statements.unused_parameter", text.where, message)


def _names(text: _Text, statement: Parsed, schema: Schema) -> Iterator[Finding]:
    system = ("pg_", "information_schema")
    for relation in find(statement.tree, "RangeVar"):
        name = relation.text("relname")
        if name in statement.unknown:
            foreign = relation.text("schemaname").startswith(system) or name.startswith("pg_")
            what = (
                "a system catalogue, which a query of the application should not need"
                if foreign
                else "not in the schema"
            )
            message = f"{text.called} names {name}, which is {what}; {tables_with(schema)}"
            yield error("statements.unknown_table", text.where, message)
    have = "; ".join(
        f"{table.name} has {listing(column.name for column in table.columns)}" for table in statement.tables
    )
    for mistake, written in statement.unresolved():
        if mistake == "qualifier":
            message = (
                f"{text.called} names {written}, and {written.rsplit('.', 1)[0]} is no table or alias of its FROM "
                f"({listing(sorted({*statement.aliases, *statement.derived}))}); join it, or name the right one"
            )
            yield error("statements.unknown_alias", text.where, message)
        else:
            message = f"{text.called} names column {written}, which is not there; {have}"
            yield error("statements.unknown_column", text.where, message)
    for table, column in _written(statement):
        if table.column(column) is None:
            message = f"{text.called} writes to column {column} of {table.name}, which is not there; {have}"
            yield error("statements.unknown_column", text.where, message)


def _written(statement: Parsed) -> Iterator[tuple[Table, str]]:
    """The (table, column) pairs that INSERT and UPDATE write to."""
    for node in find(statement.tree, "InsertStmt", "UpdateStmt"):
        targets = node.nodes("cols" if node.kind == "InsertStmt" else "targetList")
        relation = node.node("relation")
        for table in statement.aliases.get(alias_of(relation), ()) if relation else ():
            yield from ((table, target.text("name")) for target in targets)
