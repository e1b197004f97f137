"""A SQL expression of the design is one expression, over columns that are there, and of a kind that its place allows.

Poor: CHECK `price > 0); DROP TABLE orders; --`, or `quantity <= (SELECT stock FROM products ...)`: the first leaves its
parentheses, the second PostgreSQL refuses, since another row's change could make it false unseen.
Poor: a generated column `to_tsvector(title)`: the session's configuration decides, so it is not immutable.
Better: `price > 0`; `quantity > 0`; `to_tsvector('english', title)`.

Read with PostgreSQL's own grammar. Functions and types are left to the engine.
(postgresql.org/docs/18: ddl-constraints, ddl-generated-columns, sql-createindex.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dbprompt.checks.base_constants import constants
from dbprompt.checks.base_design import error, judged, listing, not_checked, rules, warning
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, Node, column_names, expression, find, function_name, grammar
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres import UnsafeSqlError, wrap_expression
from dbprompt.render.postgres.security import policy_expressions
from dbprompt.sections import SectionName
from dbprompt.sections.schema import DefaultKind, Schema, Table

__all__ = ["expressions"]


@dataclass(frozen=True, slots=True)
class Text:
    """One expression of the design.

    Args:
        sql: the text.
        where: JSON pointer into the section.
        called: what a person would call it.
        table: the table whose columns it may name.
        columns: whether it may name any column.
        immutable: whether the same row has to give the same value for ever: a warning for checks, which the engine
            takes, an error elsewhere.
        forbidden: columns that it may not name.
        subqueries: whether it may look at other rows; then the engine alone resolves its columns.
    """

    sql: str
    where: str
    called: str
    table: Table
    columns: bool = True
    immutable: bool = True
    forbidden: frozenset[str] = frozenset()
    subqueries: bool = False


def expressions(subject: Subject) -> Report:
    """Expressions of the section under check."""
    schema = subject.design.schema
    if schema is None or subject.section not in _READ:
        return Report()
    texts = list(_READ[subject.section](subject, schema))
    checker = rules("expression")
    if grammar() is None:
        escapes = tuple(finding for text in texts for finding in _escapes(text))
        return Report(escapes) + not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = [finding for text in texts for finding in (_escapes(text) or _findings(text))]
    uncovered = "whether functions, operators and types exist"
    return judged(subject, findings, checker=checker, uncovered=uncovered)


def _of_schema(_: Subject, schema: Schema) -> Iterator[Text]:
    for number, table in enumerate(schema.tables):
        where = f"/tables/{number}"
        generated = frozenset(column.name for column in table.columns if column.generated is not None)
        for at, column in enumerate(table.columns):
            called = f"of column {column.name} of {table.name}"
            if column.generated is not None:
                place = f"{where}/columns/{at}/generated"
                yield Text(column.generated, place, f"generated expression {called}", table, forbidden=generated)
            if column.default is not None and column.default.kind is DefaultKind.EXPRESSION:
                place = f"{where}/columns/{at}/default"
                yield Text(
                    column.default.value or "", place, f"default {called}", table, columns=False, immutable=False
                )
        for at, check in enumerate(table.checks):
            yield Text(check.expression, f"{where}/checks/{at}", f"check {check.name} of {table.name}", table)
        for at, exclusion in enumerate(table.exclusions):
            called, place = f"exclusion {exclusion.name} of {table.name}", f"{where}/exclusions/{at}"
            for element in exclusion.elements:
                yield Text(element.expression, place, called, table)
            if exclusion.where is not None:
                yield Text(exclusion.where, place, f"predicate of {called}", table)


def _of_indexes(subject: Subject, schema: Schema) -> Iterator[Text]:
    for at, index in enumerate(subject.design.indexes.indexes if subject.design.indexes else ()):
        table = schema.table(index.table)
        if table is None:
            continue  # references says so
        for number, key in enumerate(index.keys):
            if key.expression is not None:
                yield Text(key.expression, f"/indexes/{at}/keys/{number}", f"key {number} of index {index.name}", table)
        if index.where is not None:
            yield Text(index.where, f"/indexes/{at}/where", f"predicate of index {index.name}", table)


def _of_policies(subject: Subject, schema: Schema) -> Iterator[Text]:
    security = subject.design.security
    for where, policy, sql in policy_expressions(security) if security else ():
        if (table := schema.table(policy.table)) is not None:  # access says so
            called = f"policy {policy.name} of {policy.table}"
            yield Text(sql, where, called, table, immutable=False, subqueries=True)


_READ: Mapping[SectionName, Callable[[Subject, Schema], Iterator[Text]]] = {
    "schema": _of_schema,
    "indexes": _of_indexes,
    "security": _of_policies,
}
"""The expressions of each section."""


def _escapes(text: Text) -> tuple[Finding, ...]:
    """An expression that could leave its parentheses is never written into a script."""
    try:
        wrap_expression(text.sql)
    except UnsafeSqlError as unsafe:
        return (error("expressions.not_one", text.where, f"{text.called}: {unsafe.reason}"),)
    return ()


def _findings(text: Text) -> Iterator[Finding]:
    tree = expression(text.sql)
    if isinstance(tree, Broken):
        if tree.too_deep:
            yield warning("expressions.not_read", text.where, f"{text.called} was not verified here: {tree}")
            return
        yield error("expressions.syntax", text.where, f"{text.called} is not one SQL expression: {tree}")
        return
    looks_around = any(find(tree, "SubLink"))
    if looks_around and not text.subqueries:
        message = f"{text.called} holds a subquery, which PostgreSQL refuses there; it can only look at its own row"
        yield error("expressions.subquery", text.where, message)
        return
    if any(find(tree, "ParamRef")):
        message = f"{text.called} holds a parameter like $1; there is nothing to fill it, write the value"
        yield error("expressions.parameter", text.where, message)
    if "/checks/" in text.where and any(constants(tree)):
        message = (
            f"{text.called} holds a constant (true, false, 1 = 0): it refuses every row or allows every row; compare "
            "the columns of the row"
        )
        yield error("expressions.constant_check", text.where, message)
    if not (looks_around and _reads_tables(tree)):
        yield from _columns(text, tree)
    yield from _mutable(text, tree)


def _reads_tables(tree: Node) -> bool:
    """Whether a subquery of it reads a table, whose columns are not those of this one."""
    return any(find(tree, "RangeVar"))


def _columns(text: Text, tree: Node) -> Iterator[Finding]:
    have = [column.name for column in text.table.columns]
    for names in dict.fromkeys(column_names(tree)):
        name, written = names[-1], ".".join(names)
        if not text.columns:
            message = (
                f"{text.called} names column {written}; a default cannot see the row: use a constant, or a generated "
                "column"
            )
            yield error("expressions.column_in_default", text.where, message)
        elif name not in have or (len(names) > 1 and names[-2] != text.table.name):
            message = (
                f"{text.called} names {written}, and it can only name columns of {text.table.name}: {listing(have)}. "
                "Text values stand in single quotes"
            )
            yield error("expressions.unknown_column", text.where, message)
        elif name in text.forbidden:
            message = (
                f"{text.called} names the generated column {name}; it can only name columns that are stored as given"
            )
            yield error("expressions.generated_from_generated", text.where, message)


_MUTABLE = {
    **dict.fromkeys(
        ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday"), "the clock"
    ),
    **dict.fromkeys(
        ("random", "gen_random_uuid", "uuidv4", "uuidv7", "uuid_generate_v4", "nextval"), "chance or a sequence"
    ),
    **dict.fromkeys(("concat", "concat_ws", "format"), "the session's settings; join with || and coalesce(x, '')"),
    "to_char": "the session's settings",
    "age": "the clock",
}


def _mutable(text: Text, tree: Node) -> Iterator[Finding]:
    """Where a value is stored or indexed, the engine refuses an expression that could give another one later."""
    if not text.immutable:
        return
    reasons = {
        f"{name}()": reason
        for call in find(tree, "FuncCall")
        if (name := function_name(call)) and (reason := _changes(name, len(call.nodes("args"))))
    }
    if any(find(tree, "SQLValueFunction")):
        reasons["CURRENT_DATE and the like"] = "the clock or the session"
    is_check = "/checks/" in text.where
    for called, reason in reasons.items():
        if not is_check:
            message = (
                f"{text.called} uses {called}, which depends on {reason}; PostgreSQL refuses what is not immutable "
                "there"
            )
            yield error("expressions.not_immutable", text.where, message)
        elif "clock" in reason:
            message = (
                f"{text.called} uses {called}, which depends on {reason}: rows that were right become wrong with "
                "time, and "
                "a restored dump can be refused; compare columns with each other, or check it where the row is written"
            )
            yield warning("expressions.check_depends_on_time", text.where, message)


def _changes(name: str, arguments: int) -> str:
    if name == "to_tsvector" and arguments == 1:
        return "the session's configuration; write it first: to_tsvector('english', column)"
    if name == "age" and arguments > 1:
        return ""
    return _MUTABLE.get(name, "")
