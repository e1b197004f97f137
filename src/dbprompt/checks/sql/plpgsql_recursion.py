"""A trigger's function that does, each time it runs, what fires it again.

Poor: AFTER UPDATE ON users: `UPDATE users SET updated_at = now() WHERE id = NEW.id`: "stack depth limit exceeded".
Better: BEFORE UPDATE: `NEW.updated_at := now()`; or WHEN (pg_trigger_depth() = 0).

Only what is certain counts: a statement that every call reaches, on the trigger's own table, for the very row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dbprompt.checks.base_trees import Node, find
from dbprompt.checks.sql.plpgsql_flow import ERROR_LEVEL
from dbprompt.checks.sql.plpgsql_tree import Body, statements_in
from dbprompt.checks.sql.tree import parse
from dbprompt.messages import Json

__all__ = ["starts_itself"]

_EVENTS = {"UpdateStmt": "UPDATE", "InsertStmt": "INSERT"}
_COMPOUND = {"if", "case", "loop", "while", "fori", "fors", "forc", "foreach_a", "dynfors"}


def starts_itself(body: Body, table: str, columns: Collection[str], events: Collection[str], *, per_row: bool) -> int:
    """The line of a statement that fires the trigger again on every call; 0 if there is none."""
    if any("pg_trigger_depth" in piece.sql.lower() for piece in body.pieces):
        return 0
    for text, line in _always_run(body.action.get("PLpgSQL_stmt_block")):
        parsed = parse(text)
        for one in parsed if isinstance(parsed, tuple) else ():
            event = _EVENTS.get(one.kind, "")
            node = Node(one.kind, one.body)
            relation = node.node("relation")
            own = table.rpartition(".")[2].strip('"')
            on_own = event in events and relation is not None and relation.text("relname") == own
            if on_own and _same_again(node, columns, per_row=per_row):
                return line
    return 0


def _always_run(block: Json) -> Iterator[tuple[str, int]]:
    """The statements of a block that every call gets to, up to the first that may end it."""
    statements = block.get("body") if isinstance(block, dict) else None
    if isinstance(block, dict) and "exceptions" in block:
        return
    for item in statements if isinstance(statements, list) else ():
        kind, node = next(iter(item.items()), ("", None)) if isinstance(item, dict) else ("", None)
        what = kind.removeprefix("PLpgSQL_stmt_")
        if not isinstance(node, dict) or what == "return" or _raises(what, node):
            return
        if what == "block":
            yield from _always_run(node)
        holder = node.get("sqlstmt") if what == "execsql" else None
        expression = holder.get("PLpgSQL_expr") if isinstance(holder, dict) else None
        if isinstance(expression, dict):
            yield str(expression.get("query", "")), int(str(node.get("lineno", 1)))
        inside = statements_in(node) if what in _COMPOUND | {"block"} else ()
        if any(inner in {"return", "exit"} or _raises(inner, one) for inner, one, _ in inside):
            return


def _raises(kind: str, node: Json) -> bool:
    return kind == "raise" and isinstance(node, dict) and int(str(node.get("elog_level", 0))) >= ERROR_LEVEL


def _same_again(node: Node, columns: Collection[str], *, per_row: bool) -> bool:
    """Whether a statement is sure to fire its own trigger: it meets the very row, or a row of its own."""
    if node.has("withClause") or node.has("fromClause"):
        return False
    if node.kind == "InsertStmt":
        source = node.node("selectStmt")
        return not node.has("onConflictClause") and source is not None and source.has("valuesLists")
    written = {target.text("name") for target in node.nodes("targetList")}
    if columns and not written & set(columns):
        return False
    condition = node.node("whereClause")
    if condition is None or not per_row:  # FOR EACH STATEMENT fires for no rows too
        return True
    return all(_is_the_row(one) for one in _conjuncts(condition))


def _conjuncts(condition: Node) -> tuple[Node, ...]:
    if condition.kind == "BoolExpr" and condition.text("boolop") == "AND_EXPR":
        return condition.nodes("args")
    return (condition,)


def _is_the_row(condition: Node) -> bool:
    """`id = NEW.id`, with the same column on both sides."""
    left, right = condition.node("lexpr"), condition.node("rexpr")
    if condition.kind != "A_Expr" or condition.text("kind") != "AEXPR_OP" or left is None or right is None:
        return False
    operator = [one.text("sval") for one in condition.nodes("name")]
    sides = [_column(left), _column(right)]
    records = {side[0].lower() for side in sides if len(side) == 2}
    return operator == ["="] and all(sides) and bool(records & {"new", "old"}) and sides[0][-1] == sides[1][-1]


def _column(node: Node) -> tuple[str, ...]:
    return tuple(one.text("sval") for one in find(node, "String")) if node.kind == "ColumnRef" else ()
