"""What the engine lets pass in a plpgsql body: it parses the body and resolves no name in it before the first call.

Poor: `BEGIN INSERT INTO audit_lgo VALUES (NEW.id); RETURN NEW; END`: accepted, and fails at the first insert.
Better: the table's right name. Tables are looked up once everything else has run, so order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbprompt.checks.base import Statement
from dbprompt.checks.sql.advice import Catalogue
from dbprompt.checks.sql.routines import embedded, is_plpgsql
from dbprompt.checks.sql.tree import Node, Parsed, nodes, parse
from dbprompt.evidence import Finding, Severity

__all__ = ["missing_tables"]


def missing_tables(routines: Iterable[tuple[Statement, Parsed]], catalogue: Catalogue) -> Iterator[Finding]:
    """A warning for every table that a plpgsql body names and that does not exist by now."""
    steps = tuple(routines)
    bodies = [step for step in steps if is_plpgsql(step[1])]
    if not bodies:
        return
    transitions = {
        str(node.get("name"))
        for _, parsed in steps
        if parsed.kind == "CreateTrigStmt"
        for kind, node in nodes(parsed.body)
        if kind == "TriggerTransition"
    }
    for statement, parsed in bodies:
        for name in sorted(_named(parsed) - transitions):
            if not catalogue.rows("SELECT 1 FROM pg_class WHERE relname = $1", name):
                message = f"its body names table {name}, which does not exist: the first call will fail."
                yield Finding("plpgsql.undefined_table", Severity.WARNING, statement.where, message)


def _named(parsed: Parsed) -> set[str]:
    """Tables that the statements of a body read or write, without those that it makes itself."""
    named: set[str] = set()
    own: set[str] = set()
    for text in embedded(parsed):
        inside = parse(text)
        for each in inside if isinstance(inside, tuple) else ():
            own |= {str(node.get("ctename")) for kind, node in nodes(each.body) if kind == "CommonTableExpr"}
            relations = {str(node["relname"]) for node in _relations(each.body)}
            if each.kind in {"CreateStmt", "CreateTableAsStmt", "DropStmt"}:
                own |= relations
            named |= relations
    return named - own


def _relations(body: Node) -> Iterator[Node]:
    waiting: list[object] = [body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "relname" in one:
                yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
