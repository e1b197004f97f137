"""What a migration's own text says about the data that it expects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbprompt.checks.base_migration import name_of
from dbprompt.checks.sql.allow import embedded
from dbprompt.checks.sql.tree import Node, Parsed, nodes, parse, strings
from dbprompt.engines.postgres.seeding.tables import Hints, Reference

__all__ = ["hints_of", "meant_to_change"]


def hints_of(statements: Iterable[Parsed]) -> Hints:
    """Constants that its new constraints and enums allow, and the references that it adds."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    labels: dict[str, tuple[str, ...]] = {}
    references: list[Reference] = []
    for parsed in statements:
        if parsed.kind == "CreateEnumStmt":
            labels[strings(parsed.body.get("typeName"))[-1]] = strings(parsed.body.get("vals"))
        if parsed.kind != "AlterTableStmt":
            continue
        table = name_of(parsed.body.get("relation"))
        for key, node in nodes(parsed.body.get("cmds")):
            if key == "Constraint" and node.get("contype") == "CONSTR_CHECK":
                constants = tuple(_constants(node))
                for column in _columns(node):
                    found[table, column] = (*found.get((table, column), ()), *constants)
            if key == "Constraint" and node.get("contype") == "CONSTR_FOREIGN" and "fk_attrs" in node:
                target, targets = name_of(node.get("pktable")), strings(node.get("pk_attrs"))
                references.append(Reference(table, strings(node.get("fk_attrs")), target, targets))
            if key == "AlterTableCmd" and node.get("subtype") == "AT_AlterColumnType":
                names = [strings(inner.get("names")) for _, inner in _types(node)]
                known = next((labels[name[-1]] for name in names if name and name[-1] in labels), ())
                if known:
                    found[table, str(node.get("name"))] = known
    return Hints(found, tuple(references))


def meant_to_change(statements: Iterable[Parsed]) -> frozenset[str]:
    """Columns that its UPDATEs set, `orders.total`."""
    return frozenset(name for parsed in statements for one in _all(parsed) for name in _set_by(one))


def _set_by(parsed: Parsed) -> Iterator[str]:
    targets = parsed.body.get("targetList") if parsed.kind == "UpdateStmt" else None
    for target in targets if isinstance(targets, list) else ():
        inside = target.get("ResTarget") if isinstance(target, dict) else None
        if isinstance(inside, dict):
            yield f"{name_of(parsed.body.get('relation'))}.{inside.get('name')}"


def _all(parsed: Parsed) -> Iterator[Parsed]:
    yield parsed
    for text in embedded(parsed):
        inside = parse(text)
        yield from inside if isinstance(inside, tuple) else ()


def _columns(node: Node) -> Iterator[str]:
    for key, inner in nodes(node):
        if key == "ColumnRef" and (names := strings(inner.get("fields"))):
            yield names[-1]


def _constants(node: Node) -> Iterator[str]:
    for key, inner in nodes(node):
        if key == "A_Const":
            for kind in ("sval", "ival", "fval"):
                holder = inner.get(kind)
                if isinstance(holder, dict):
                    yield str(holder.get(kind, 0))


def _types(node: Node) -> Iterator[tuple[str, Node]]:
    definition = node.get("def")
    inside = definition.get("ColumnDef") if isinstance(definition, dict) else None
    name = inside.get("typeName") if isinstance(inside, dict) else None
    if isinstance(name, dict):
        yield "TypeName", name
