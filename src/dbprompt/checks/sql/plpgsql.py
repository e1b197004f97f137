"""What the engine lets pass in a plpgsql body: it parses the body and resolves no name in it before the first call.

Poor: `BEGIN INSERT INTO audit_lgo VALUES (NEW.id); RETURN NEW; END`: accepted, and fails at the first insert.
Better: the table's right name. Tables are looked up once everything else has run, so order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbprompt.checks.base import Statement
from dbprompt.checks.sql.advice import Catalogue
from dbprompt.checks.sql.plpgsql_blocks import in_motion, is_certain
from dbprompt.checks.sql.plpgsql_tree import constant_of, statements_in
from dbprompt.checks.sql.routines import embedded, is_plpgsql
from dbprompt.checks.sql.tree import Broken, Node, Parsed, nodes, parse, parse_plpgsql, strings
from dbprompt.evidence import Finding, Severity

__all__ = ["missing_tables"]

_RELATIONS = {
    "OBJECT_TABLE",
    "OBJECT_VIEW",
    "OBJECT_MATVIEW",
    "OBJECT_INDEX",
    "OBJECT_SEQUENCE",
    "OBJECT_FOREIGN_TABLE",
}

_MADE = {"relname", "idxname", "newname"}


def missing_tables(routines: Iterable[tuple[Statement, Parsed]], catalogue: Catalogue) -> Iterator[Finding]:
    """A warning for every table that a plpgsql body names and that does not exist by now."""
    steps = tuple(routines)
    bodies = [step for step in steps if is_plpgsql(step[1]) and (step[1].kind != "DoStmt" or is_certain(step[1]))]
    if not bodies:
        return
    transitions = {
        str(node.get("name"))
        for _, parsed in steps
        if parsed.kind == "CreateTrigStmt"
        for kind, node in nodes(parsed.body)
        if kind == "TriggerTransition"
    }
    moving = in_motion(steps) if any(parsed.kind == "DoStmt" for _, parsed in bodies) else frozenset()
    for statement, parsed in bodies:
        gone = moving if parsed.kind == "DoStmt" else frozenset()
        for name in sorted(name for name in _named(parsed) - transitions if name.lower() not in gone):
            if not catalogue.rows("SELECT 1 FROM pg_class WHERE relname = $1", name):
                then = "it fails when it gets there" if parsed.kind == "DoStmt" else "the first call will fail"
                message = f"its body names table {name}, which does not exist: {then}."
                yield Finding("plpgsql.undefined_table", Severity.WARNING, statement.where, message)


def _named(parsed: Parsed) -> set[str]:
    """Tables that the statements of a body read or write, without those that it makes itself."""
    named: set[str] = set()
    own: set[str] = set()
    for text in (*embedded(parsed), *_executed(parsed)):
        inside = parse(text)
        for each in inside if isinstance(inside, tuple) else ():
            own |= {str(node.get("ctename")) for kind, node in nodes(each.body) if kind == "CommonTableExpr"}
            relations = {str(node["relname"]) for node in _relations(each.body)}
            if each.kind in {"CreateStmt", "CreateTableAsStmt", "DropStmt"}:
                own |= relations
            made = (each.body.get("view"), each.body.get("sequence"), each.body)
            own |= {str(node[key]) for node in made if isinstance(node, dict) for key in _MADE & node.keys()}
            if not each.body.get("missing_ok"):
                named |= relations | _dropped(each)
    return named - own


def _executed(parsed: Parsed) -> Iterator[str]:
    """The constants that a body executes."""
    tree = parse_plpgsql(parsed.sql)
    for _, node, _ in () if isinstance(tree, Broken) else statements_in(tree):
        if (text := constant_of(node)) is not None:
            yield text


def _dropped(one: Parsed) -> set[str]:
    """What a DROP TABLE and the like names."""
    if one.kind != "DropStmt" or one.body.get("removeType") not in _RELATIONS:
        return set()
    return {names[-1] for node in one.below.get("List", ()) if (names := strings(node.get("items")))}


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
