"""Every statement inside a plpgsql body, resolved by the engine with the body's variables under their types.

The engine resolves nothing in a body before its first call. A function in SQL is resolved when it is created: so each
statement of a body becomes the body of a temporary SQL function whose parameters are the variables, and nothing runs.

Poor: `UPDATE orders SET state = NEW.state`: accepted, and fails at the first call if there is no column `state`.
Poor: `RETURNS TABLE (id bigint) ... RETURN QUERY SELECT id FROM orders`: `id` is a column and a variable, so it fails.
Better: `SELECT o.id FROM orders o`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.sql.plpgsql_blocks import in_motion, is_certain
from dbprompt.checks.sql.plpgsql_catalogue import Routine, block, quoted, routines, triggers, variables
from dbprompt.checks.sql.plpgsql_flow import flow_findings
from dbprompt.checks.sql.plpgsql_tree import Body, Piece, read_body
from dbprompt.checks.sql.plpgsql_triggers import Trigger, asks_for_table, trigger_findings
from dbprompt.checks.sql.tree import Parsed, nodes, parse, strings
from dbprompt.engines.base import Answer, Outcome
from dbprompt.evidence import Finding, Severity

__all__ = ["Prober", "body_findings"]

_VIEW_COLUMNS = (
    "SELECT format_type(a.atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = $1 AND n.nspname ~ '^pg_temp_' "
    "AND a.attnum > 0 ORDER BY a.attnum"
)
# What these codes say is about our way of asking, not about the statement.
_OUR_OWN = {"42P13", "42P18", "42P02", "0A000", "42723", "42501"}
_MOST = 200


class Prober(Protocol):
    """A sandbox, as far as it is needed here."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction block is open."""

    def run(self, sql: str) -> Outcome:
        """Runs one statement as the role that owns the database."""

    def rows(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        """The rows of one of our queries."""


def body_findings(steps: Sequence[tuple[Statement, Parsed]], sandbox: Prober) -> Iterator[Finding]:
    """Warnings for what will fail when the functions and triggers of these statements are called, and for DO blocks."""
    yield from _block_findings(steps, sandbox)
    functions = {
        _last(parsed.body.get("funcname")): one for one, parsed in steps if parsed.kind == "CreateFunctionStmt"
    }
    made = {str(parsed.body.get("trigname")): one for one, parsed in steps if parsed.kind == "CreateTrigStmt"}
    if not functions and not made:
        return
    calling = triggers(sandbox)
    left = _MOST
    for routine in routines(sandbox):
        mine = calling.get(routine.oid, [])
        body = read_body(routine.definition)
        if body is None or not (routine.name in functions or any(one.name in made for one in mine)):
            continue
        at = functions.get(routine.name)
        if at is not None:
            for finding in flow_findings(body, kind=routine.kind, returns=routine.returns):
                yield replace(finding, where=at.where)
        for trigger, finding in trigger_findings(routine.name, body, routine.source, mine):
            if (place := made.get(trigger.name) or at) is not None:
                yield replace(finding, where=place.where)
        seen: set[str] = set()
        transitions = frozenset().union(*(one.transitions for one in mine))
        whose: list[Trigger | None] = [*mine] or [None]
        for one in whose:
            place = at or (made.get(one.name) if one else None)
            if place is None:
                continue
            for code, message, _ in _probe(routine, body, one, sandbox, left, transitions):
                if message not in seen:
                    seen.add(message)
                    yield Finding(code, Severity.WARNING, place.where, message)
        left -= len(body.pieces)


def _block_findings(steps: Sequence[tuple[Statement, Parsed]], sandbox: Prober) -> Iterator[Finding]:
    """What the DO blocks did not get to, and what would have failed there."""
    blocks = [step for step in steps if is_certain(step[1])]
    moving = in_motion(steps) if blocks else frozenset()
    for statement, parsed in blocks[:_MOST]:
        routine, body = block(parsed), read_body(parsed.sql)
        if body is None:
            continue
        for finding in flow_findings(body, kind=routine.kind, returns=routine.returns):
            yield replace(finding, where=statement.where)
        for code, message, missing in _probe(routine, body, None, sandbox, _MOST):
            if missing and missing.lower() not in moving:
                yield Finding(code, Severity.WARNING, statement.where, message)


def _probe(
    routine: Routine,
    body: Body,
    trigger: Trigger | None,
    sandbox: Prober,
    most: int,
    transitions: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, str, str]]:
    """Code, message and what is missing, for everything in one body that does not resolve, on one trigger's table."""
    types, unknown = variables(routine, body, trigger)
    for name, query in body.rows.items():
        if name.lower() in unknown and _columns(f"dbprompt_row_{name}", query, types, sandbox):
            types[name.lower()] = f'pg_temp."dbprompt_row_{name}"'
            unknown.discard(name.lower())
    if trigger is not None and asks_for_table(body):
        unknown |= {"new", "old"}  # of another table in another branch
    temporary = {name.lower() for name in body.own} | transitions  # another trigger's, in another branch, among them
    seen_by = f" (trigger {trigger.name} on {trigger.table})" if trigger else ""
    for piece in body.pieces[: max(most, 0)]:
        words = {word.lower() for word in re.findall(r"[\w$]+", piece.sql)}
        seen = words if piece.sees is None else piece.sees
        if words & temporary or seen & unknown or not _is_query(piece.sql):
            continue
        used = {name: kind for name, kind in types.items() if name in words & seen}
        outcome = _resolve(piece, routine, used, sandbox)
        where = f"line {piece.line} of {routine.name}{seen_by}"
        if outcome.answer is Answer.REFUSED and outcome.code not in _OUR_OWN:
            field = _missing_field(outcome, piece, types)
            if field:
                yield "plpgsql.undefined_column", f"{where} fails when it runs: {field}.", field
            elif not any(f'table "{label}"' in outcome.message for label in body.labels):
                yield _code(outcome), f"{where} fails when it runs: {outcome.message}.", _missing(outcome)
            continue
        if piece.returned and outcome.ok and (problem := _mismatch(piece, routine, types, sandbox)):
            yield "plpgsql.datatype_mismatch", f"{where} fails when it runs: {problem}.", ""
        if outcome.ok and not routine.tolerates_conflicts and piece.sees is None:
            for name in sorted(_bare_names(piece.sql) & set(used)):
                without = {key: kind for key, kind in used.items() if key != name}
                if _resolve(_without(piece, routine, name, used[name]), routine, without, sandbox).ok:
                    message = (
                        f'{where} fails when it runs: column reference "{name}" is ambiguous, it is a variable too.'
                    )
                    yield "plpgsql.ambiguous_column", f"{message} Qualify it with its table's name.", name


def _missing(outcome: Outcome) -> str:
    """The one name that a refusal is about; empty if it is about none."""
    found = re.search(r'\b(?:column|relation|procedure|function|for enum \w+:) (?:\w+\.)?"?(\w+)', outcome.message)
    return found.group(1) if found else ""


def _code(outcome: Outcome) -> str:
    """The rule that a refusal belongs to."""
    match outcome.condition:
        case "undefined_table" | "invalid_schema_name":
            return "plpgsql.undefined_table"
        case "undefined_column":
            return "plpgsql.undefined_column"
        case "undefined_function":
            return "plpgsql.undefined_function"
        case "ambiguous_column":
            return "plpgsql.ambiguous_column"
        case "datatype_mismatch" | "cannot_coerce":
            return "plpgsql.datatype_mismatch"
    return "plpgsql.invalid_value" if outcome.code.startswith("22") else "plpgsql.refused"


def _without(piece: Piece, routine: Routine, name: str, kind: str) -> Piece:
    """A statement whose qualified mentions of a variable, `f.id`, are replaced: only bare names are in question."""
    qualified = rf"\b{re.escape(routine.name)}\.{re.escape(name)}\b"
    value = f"NULL::{kind}" if "%" not in kind else "NULL"
    return Piece(re.sub(qualified, lambda _: value, piece.sql, flags=re.IGNORECASE), piece.line)


def _missing_field(outcome: Outcome, piece: Piece, types: Mapping[str, str]) -> str:
    """A field that a record has not got: the engine takes the record for a table then."""
    record = re.search(r'missing FROM-clause entry for table "(\w+)"', outcome.message)
    if record is None or record.group(1) not in types:
        return ""
    field = re.search(rf'\b{record.group(1)}"?\."?(\w+)', piece.sql, re.IGNORECASE)
    return f'record "{record.group(1)}" has no field "{field.group(1)}"' if field else ""


def _resolve(piece: Piece, routine: Routine, variables: Mapping[str, str], sandbox: Prober) -> Outcome:
    """Has one statement resolved as the body of a temporary SQL function."""
    parameters = ", ".join(f"{quoted(name)} {kind}" for name, kind in variables.items())
    settings = " ".join(_setting(line) for line in routine.settings)
    sql = (
        f"CREATE OR REPLACE FUNCTION pg_temp.{quoted(routine.name)}({parameters}) RETURNS void "
        f"LANGUAGE sql {settings} AS $dbprompt$ {piece.sql} $dbprompt$"
    )
    framed = sandbox.in_transaction
    if framed:
        sandbox.run("SAVEPOINT dbprompt_probe")
    outcome = sandbox.run(sql)
    if framed:
        sandbox.run("ROLLBACK TO SAVEPOINT dbprompt_probe")
    return outcome


def _mismatch(piece: Piece, routine: Routine, variables: Mapping[str, str], sandbox: Prober) -> str:
    """How the columns of a RETURN QUERY differ from the function's own; their types have to be the very same."""
    if not routine.columns:
        return ""
    found = _columns("dbprompt_returned", piece.sql, variables, sandbox)
    if found and len(found) != len(routine.columns):
        return f"it returns {len(found)} columns, and the function has {len(routine.columns)}"
    for number, (have, want) in enumerate(zip(found, routine.columns, strict=False), 1):
        if have != want:
            return f"column {number} is {have}, and the function returns {want}: cast it"
    return ""


def _columns(view: str, query: str, variables: Mapping[str, str], sandbox: Prober) -> tuple[str, ...]:
    """The column types of a query over some variables; empty if only a run would tell. A temporary view stays."""
    if sandbox.in_transaction or not _is_query(query):
        return ()
    words = {word.lower() for word in re.findall(r"[\w$]+", query)}
    values = ", ".join(
        f"NULL::{kind} AS {quoted(name)}" for name, kind in variables.items() if name in words and "%" not in kind
    )
    source = f"(SELECT {values}) dbprompt_variables, LATERAL" if values else ""
    sandbox.run(f"DROP VIEW IF EXISTS pg_temp.{quoted(view)} CASCADE")
    outcome = sandbox.run(
        f"CREATE TEMP VIEW {quoted(view)} AS SELECT dbprompt_query.* FROM {source} ({query}) dbprompt_query"  # noqa: S608
    )
    if not outcome.ok:
        return ()
    return tuple(str(row[0]) for row in sandbox.rows(_VIEW_COLUMNS, view))


def _bare_names(sql: str) -> set[str]:
    """Names that stand alone where a column or a variable may stand."""
    inside = parse(sql)
    found: set[str] = set()
    for each in inside if isinstance(inside, tuple) else ():
        outputs = {str(node.get("name")) for kind, node in nodes(each.body) if kind == "ResTarget" and node.get("name")}
        for kind, node in nodes(each.body):
            names = strings(node.get("fields")) if kind == "ColumnRef" else ()
            if len(names) == 1 and names[0] not in outputs:
                found.add(names[0])
        conflict = each.body.get("onConflictClause")
        target = conflict.get("infer") if isinstance(conflict, dict) else None
        found |= {str(node["name"]) for kind, node in nodes(target) if kind == "IndexElem" and "name" in node}
    return found


def _is_query(sql: str) -> bool:
    inside = parse(sql)
    return isinstance(inside, tuple) and len(inside) == 1 and inside[0].kind in {*QUERY_KINDS, "CallStmt"}


def _setting(line: str) -> str:
    """`search_path=app, public` as a clause: a list that is kept as the server wrote it."""
    name, _, value = line.partition("=")
    empty = value in {"", '""'}
    return f"SET {name} = {chr(39) * 2 if empty else value}" if name == "search_path" else ""


def _last(name: object) -> str:
    parts = strings(name) if isinstance(name, list) else ()
    return parts[-1] if parts else ""
