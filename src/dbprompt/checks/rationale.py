"""Reasons are about what is there: the types and constraints that they defend are those of the schema.

Poor: "money: decimal, never floats" beside `orders.total double`; a reason for a unique `buyers.email` that nobody
declared; assumptions left empty; "TBD" as a mitigation; the question "what is the budget?" to a customer who said it.
Better: `money: chosen decimal, avoided double, columns orders.total`, where orders.total is a decimal.

Which kind of data a column holds is read from the brief's roles, its keys and its type, so that a kind without a
reason is seen. Whether a reason is a good one is not checked: a person has to agree with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from dbprompt.brief import AttributeRole, Brief
from dbprompt.checks.base_design import advice, error, judged, listing, rules, tables_with, warning
from dbprompt.checks.base_matching import is_misshapen, typed_columns
from dbprompt.checks.base_trees import Broken, column_names, expression, grammar
from dbprompt.checks.base_words import placeholder
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.rationale import ConstraintChoice, DataKind, Rationale, TypeChoice
from dbprompt.sections.schema import Column, Schema, Table
from dbprompt.sections.schema import ColumnType as Type

__all__ = ["kind_of", "rationale"]

_WHOLE_NUMBERS = {Type.SMALLINT, Type.INTEGER, Type.BIGINT}
_NUMBERS = _WHOLE_NUMBERS | {Type.DECIMAL, Type.REAL, Type.DOUBLE}
_TEXTS = {Type.TEXT, Type.VARCHAR, Type.CHAR, Type.CITEXT}
_TIMES = {Type.DATE, Type.TIME, Type.TIMESTAMP, Type.TIMESTAMPTZ, Type.INTERVAL}
_SPANS = {Type.DATERANGE, Type.TSRANGE, Type.TSTZRANGE}
_PLACES = {Type.POINT, Type.GEOMETRY, Type.GEOGRAPHY}
_FITS: Mapping[DataKind, set[Type]] = {
    "ids": _WHOLE_NUMBERS | {Type.UUID} | _TEXTS,
    "money": _WHOLE_NUMBERS | {Type.DECIMAL},
    "time": _TIMES | _SPANS,
    "status": {Type.ENUM, Type.BOOLEAN, Type.SMALLINT} | _TEXTS,
    "text": _TEXTS,
    "json": {Type.JSON, Type.HSTORE},
    "search": {Type.TSVECTOR, Type.LTREE, Type.VECTOR} | _TEXTS,
    "location": _PLACES | {Type.DECIMAL, Type.DOUBLE},
    "measure": _NUMBERS | {Type.NUMRANGE, Type.INT4RANGE, Type.INT8RANGE, Type.INTERVAL},
}
_MUST: frozenset[DataKind] = frozenset({"ids", "money", "time", "status"})
_BY_TYPE: tuple[tuple[DataKind, set[Type]], ...] = (
    ("time", _TIMES | _SPANS),
    ("status", {Type.ENUM}),
    ("json", {Type.JSON, Type.HSTORE}),
    ("search", {Type.TSVECTOR}),
    ("location", _PLACES),
    ("text", _TEXTS),
    ("measure", _NUMBERS),
)
_SAME_REASON = 3


def rationale(subject: Subject) -> Report:
    """The section `rationale` against the schema and the brief."""
    section, schema = subject.design.rationale, subject.design.schema
    if subject.section != "rationale" or section is None or schema is None:
        return Report()
    findings = [
        *_types(subject, section, schema),
        *_constraints(subject, section, schema),
        *_blanks(section),
        *_nothing_said(subject, section),
        *(_answered(section, subject.brief) if subject.brief else ()),
    ]
    uncovered = "whether the reasons are good ones: a person has to agree"
    return judged(subject, findings, checker=rules("rationale"), uncovered=uncovered)


def kind_of(column: Column, table: Table, roles: frozenset[AttributeRole]) -> DataKind | None:
    """The kind of data that a column holds; None for what no choice is asked for, such as a flag or an address."""
    refers = any(column.name in key.columns for key in table.foreign_keys)
    numbered = column.name in table.primary_key and (column.identity or column.type is Type.UUID)
    if (refers or numbered or roles & {AttributeRole.ID, AttributeRole.REF}) and column.type in _FITS["ids"]:
        return "ids"
    if AttributeRole.MONEY in roles:
        return "money"
    if AttributeRole.STATUS in roles:
        return "status"
    return next((kind for kind, types in _BY_TYPE if column.type in types), None)


def _types(subject: Subject, section: Rationale, schema: Schema) -> Iterator[Finding]:
    kinds = {
        f"{table.name}.{column.name}": (kind, column.type)
        for table in schema.tables
        for _, column, roles in typed_columns(subject.brief, table)
        if (kind := kind_of(column, table, roles))
    }
    explained: dict[str, DataKind] = {}
    for at, choice in enumerate(section.type_choices):
        where = f"/type_choices/{at}"
        yield from _choice(subject, choice, schema, where)
        for path in choice.columns:
            if path in explained:
                message = f"{path} is explained twice, as {explained[path]} and as {choice.data}; name it in one choice"
                yield error("rationale.explained_twice", f"{where}/columns", message)
            explained[path] = choice.data
        used = [path for path, (kind, type_) in kinds.items() if kind == choice.data and type_ in choice.avoided]
        used = [path for path in used if path not in choice.columns]
        if used:
            message = (
                f"{choice.data} is said to avoid {listing(choice.avoided)}, and {listing(used)} "
                f"{'has' if len(used) == 1 else 'have'} such a type; change the column, or say where it does fit"
            )
            yield warning("rationale.avoided_in_use", f"{where}/avoided", message)
    told = {choice.data for choice in section.type_choices}
    for missing in dict.fromkeys(kind for kind, _ in kinds.values() if kind not in told):
        examples = listing((path for path, (kind, _) in kinds.items() if kind == missing), most=5)
        message = f"nothing says why {missing} has its type ({examples}); add a type choice with data {missing}"
        if not subject.misshapen:
            found = error if missing in _MUST else advice
            yield found("rationale.kind_unexplained", "/type_choices", message)


def _choice(subject: Subject, choice: TypeChoice, schema: Schema, where: str) -> Iterator[Finding]:
    if both := [type_ for type_ in choice.chosen if type_ in choice.avoided]:
        message = f"{choice.data} both chooses and avoids {listing(both)}; leave it in one of the two"
        yield error("rationale.chosen_and_avoided", f"{where}/avoided", message)
    for path in choice.columns:
        table_name, _, name = path.partition(".")
        table = schema.table(table_name)
        column = table.column(name) if table else None
        if column is None:
            if not is_misshapen(subject, table_name):
                have = listing(c.name for c in table.columns) if table else tables_with(schema)
                message = (
                    f"the type choice for {choice.data} names {path}, which the schema does not have; it has {have}"
                )
                yield error("rationale.unknown_column", f"{where}/columns", message)
        elif choice.data != "other" and column.type not in _FITS[choice.data]:
            message = (
                f"{path} is {column.type} in the schema, which is no type for {choice.data} "
                f"({listing(sorted(_FITS[choice.data]))}); take it out, or choose the kind of data that it holds"
            )
            yield error("rationale.unfit_type", f"{where}/columns", message)
        elif column.type not in choice.chosen:
            message = (
                f"{choice.data} is said to be {listing(choice.chosen)}, and {path} is {column.type} in the schema; "
                f"add {column.type} to chosen with its reason, or take the column out"
            )
            yield error("rationale.type_differs", f"{where}/columns", message)


def _constraints(subject: Subject, section: Rationale, schema: Schema) -> Iterator[Finding]:
    for at, choice in enumerate(section.constraint_choices):
        where, table = f"/constraint_choices/{at}", schema.table(choice.table)
        if table is None:
            if not is_misshapen(subject, choice.table):
                message = f"the constraint choice names table {choice.table}, which is not in the schema; "
                yield error("rationale.unknown_table", f"{where}/table", message + tables_with(schema))
            continue
        unknown = [name for name in choice.columns if table.column(name) is None]
        if unknown:
            have = listing(column.name for column in table.columns)
            message = f"the constraint choice names {listing(unknown)}, which {table.name} does not have; it has {have}"
            yield error("rationale.unknown_column", f"{where}/columns", message)
        elif not _holds(choice, table, subject.design.indexes):
            message = (
                f"{table.name} has no {choice.kind.replace('_', ' ')} on ({listing(choice.columns)}), so the reason is "
                f"for nothing; it has {_have(choice, table)}. Name one of these, or leave the choice out"
            )
            yield error("rationale.no_such_constraint", where, message, may_drop=True)


def _holds(choice: ConstraintChoice, table: Table, indexes: Indexes | None) -> bool:
    """Whether the table has this constraint on these columns, in any order."""
    wanted = set(choice.columns)
    match choice.kind:
        case "not_null":
            return all((column := table.column(name)) is not None and not column.nullable for name in wanted)
        case "unique":
            by_index = (
                {key.column for key in index.keys if key.column}
                for index in (indexes.indexes if indexes else ())
                if index.unique and index.table == table.name
            )
            return wanted in [*(set(unique.columns) for unique in table.uniques), *by_index, set(table.primary_key)]
        case "check":
            return any(wanted <= _mentioned(check.expression, table) for check in table.checks)
        case "exclusion":
            return any(
                wanted <= {name for one in exclusion.elements for name in _mentioned(one.expression, table)}
                for exclusion in table.exclusions
            )
        case "primary_key":
            return wanted == set(table.primary_key)
        case "foreign_key":
            return wanted in [set(key.columns) for key in table.foreign_keys]


def _mentioned(sql: str, table: Table) -> set[str]:
    """The columns of a table that an expression names."""
    tree = expression(sql) if grammar() else Broken("")
    if isinstance(tree, Broken):
        return {column.name for column in table.columns if re.search(rf"\b{column.name}\b", sql)}
    return {names[-1] for names in column_names(tree) if table.column(names[-1])}


def _have(choice: ConstraintChoice, table: Table) -> str:
    """The constraints of that kind, for the message."""
    found: Mapping[str, tuple[str, ...]] = {
        "primary_key": (f"({listing(table.primary_key)})",),
        "foreign_key": tuple(f"({listing(key.columns)})" for key in table.foreign_keys),
        "unique": tuple(f"({listing(unique.columns)})" for unique in table.uniques),
        "check": tuple(check.expression for check in table.checks),
        "exclusion": tuple(exclusion.name for exclusion in table.exclusions),
        "not_null": tuple(column.name for column in table.columns if not column.nullable),
    }
    return "; ".join(found[choice.kind]) or "none"


def _blanks(section: Rationale) -> Iterator[Finding]:
    """Words that say nothing, and reasons that say the same of everything."""
    reasons: Counter[str] = Counter()
    for field in ("type_choices", "constraint_choices", "assumptions", "risks", "open_questions"):
        for at, item in enumerate(getattr(section, field)):
            for name in type(item).model_fields:
                words = getattr(item, name)
                prose = name in {"reason", "assumption", "if_wrong", "risk", "mitigation", "question", "affects"}
                if not prose or not isinstance(words, str):
                    continue
                if blank := placeholder(words):
                    message = f"{name} says {blank!r}, which is a blank and no {name.replace('_', ' ')}; write it out"
                    yield error("rationale.placeholder", f"/{field}/{at}/{name}", message)
                    continue
                said = " ".join(words.lower().split())
                reasons[said] += 1
                if reasons[said] == _SAME_REASON:
                    message = (
                        f"{words!r} is said {_SAME_REASON} times or more; say what holds for this one in particular"
                    )
                    yield warning("rationale.said_before", f"/{field}/{at}/{name}", message)


def _nothing_said(subject: Subject, section: Rationale) -> Iterator[Finding]:
    if subject.misshapen:
        return
    if not section.assumptions:
        message = "no assumption is named, and no brief says everything; add what the design takes for granted"
        yield error("rationale.nothing_assumed", "/assumptions", message)
    if not section.risks:
        message = "no risk is named; add what could go wrong with this design, and what is done against it"
        yield error("rationale.no_risk", "/risks", message)
    if not section.open_questions:
        message = "there is no open question; see whether an assumption should rather be asked"
        yield advice("rationale.nothing_asked", "/open_questions", message)


def _answered(section: Rationale, brief: Brief) -> Iterator[Finding]:
    told = brief.model_fields_set
    places = (
        (r"\bbudget\b", brief.constraints.budget_usd_month is not None, "/constraints/budget_usd_month"),
        (r"\bRPO\b|data loss", "availability" in told, "/availability/rpo_s"),
        (r"\bRTO\b|recovery time", "availability" in told, "/availability/rto_s"),
        (r"\buptime\b", "availability" in told, "/availability/uptime_pct"),
        (r"\bresidency\b|which regions?\b", bool(brief.compliance.residency), "/compliance/residency"),
        (r"concurrent users|users at once", brief.workload.concurrent_users > 0, "/workload/concurrent_users"),
        (r"read.{0,9}write ratio", "workload" in told, "/workload/read_write_ratio"),
    )
    for at, asked in enumerate(section.open_questions):
        for pattern, known, place in places:
            if known and re.search(pattern, asked.question, re.IGNORECASE):
                message = f"the brief says this already, in {place}; ask what it leaves open, or drop the question"
                yield advice("rationale.answered_already", f"/open_questions/{at}", message)
                break
