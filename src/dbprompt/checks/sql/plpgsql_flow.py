"""What a plpgsql body does at run time whatever the tables are: leave without RETURN, lose a result, commit.

Poor: `BEGIN SELECT count(*) FROM orders; END`: "query has no destination for result data".
Better: `PERFORM count(*) FROM orders`, or `SELECT count(*) INTO total FROM orders`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.checks.sql.plpgsql_tree import Body, constant_of, statements_in
from dbprompt.checks.sql.tree import Node, nodes, parse
from dbprompt.evidence import Finding, Severity
from dbprompt.messages import Json

__all__ = ["ERROR_LEVEL", "flow_findings", "reachable_returns"]

ERROR_LEVEL = 21  # RAISE EXCEPTION
_MAY_STAND_ALONE = re.compile(
    r"\s*(VACUUM|CREATE|DROP|ALTER|REINDEX|CLUSTER|BEGIN|START|SAVEPOINT|RELEASE)\b", re.IGNORECASE
)
_STANDS_ALONE = {
    "CreatedbStmt", "DropdbStmt", "CreateTableSpaceStmt", "DropTableSpaceStmt", "AlterSystemStmt", "TransactionStmt",
}  # fmt: skip
_CONCURRENTLY = {"IndexStmt", "DropStmt", "ReindexStmt", "AlterTableStmt"}
_WHOLE = {"REINDEX_OBJECT_DATABASE", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_SCHEMA"}


def flow_findings(body: Body, *, kind: str, returns: str) -> Iterator[Finding]:
    """Warnings for a body; `kind` is `f` for a function and `p` for a procedure, `returns` its result as SQL."""
    for what, node, line in statements_in(body.action):
        if what == "execsql" and not node.get("into") and _has_result(node):
            message = f"line {line} fails when it runs: the query has no destination; use PERFORM or INTO."
            yield _warning("plpgsql.no_destination", message)
        if what in {"commit", "rollback"} and kind == "f":
            message = f"line {line} fails when it runs: a function cannot {what.upper()}; make it a procedure."
            yield _warning("plpgsql.transaction_control", message)
        if what == "block" and kind == "p" and "exceptions" in node and _commits(node.get("body")):
            message = f"line {line} fails when it runs: a block with EXCEPTION cannot COMMIT; commit outside of it."
            yield _warning("plpgsql.transaction_control", message)
        if command := _alone(constant_of(node) or (_sql(node) if what == "execsql" else "")):
            message = f"line {line} fails when it runs: {command} cannot run inside a function, procedure or DO block."
            yield _warning("plpgsql.transaction_control", message)
    if kind == "f" and returns and not returns.startswith(("void", "SETOF", "TABLE", "record")):
        yield from _missing_return(body)


def _missing_return(body: Body) -> Iterator[Finding]:
    if not _falls_through([{"PLpgSQL_stmt_block": _block(body)}]):
        return
    message = "control can reach the end of its body without RETURN, which is an error when it does: end with RETURN."
    returns = any(kind == "return" and node.get("lineno") for kind, node, _ in statements_in(body.action))
    severity = Severity.ADVICE if returns else Severity.WARNING
    yield Finding("plpgsql.no_return", severity, "", message)


def reachable_returns(body: Body) -> Iterator[tuple[Node, int]]:
    """The RETURN statements that control can get to, with their lines; what an error always precedes is left out."""
    yield from _returns([{"PLpgSQL_stmt_block": _block(body)}], 1)


def _returns(tree: Json, line: int) -> Iterator[tuple[Node, int]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            at = int(str(value.get("lineno", line))) if isinstance(value, dict) else line
            if key == "PLpgSQL_stmt_return" and isinstance(value, dict):
                if "lineno" in value:
                    yield value, at
            else:
                yield from _returns(value, at)
    for item in tree if isinstance(tree, list) else ():
        yield from _returns(item, line)
        kind, node = next(iter(item.items()), ("", None)) if isinstance(item, dict) else ("", None)
        if isinstance(node, dict) and not _goes_on(kind.removeprefix("PLpgSQL_stmt_"), node):
            return


def _block(body: Body) -> Json:
    return body.action.get("PLpgSQL_stmt_block")


def _falls_through(statements: Json) -> bool:
    """Whether control can go past the last of some statements."""
    items = [one for one in statements if isinstance(one, dict)] if isinstance(statements, list) else []
    for item in items:
        kind, node = next(iter(item.items()), ("", None))
        if isinstance(node, dict) and not _goes_on(kind.removeprefix("PLpgSQL_stmt_"), node):
            return False
    return True


def _goes_on(kind: str, node: Node) -> bool:
    match kind:
        case "return":
            return False
        case "raise":
            return int(str(node.get("elog_level", 0))) < ERROR_LEVEL
        case "loop":
            return any(what == "exit" for what, _, _ in statements_in(node.get("body")))
        case "block":
            return _falls_through(node.get("body")) or any(_falls_through(one) for one in _handlers(node))
        case "if":
            branches = [node.get("then_body"), *(inner.get("stmts") for inner in _inner(node, "PLpgSQL_if_elsif"))]
            return "else_body" not in node or any(_falls_through(one) for one in [*branches, node.get("else_body")])
        case "case":
            branches = [inner.get("stmts") for inner in _inner(node, "PLpgSQL_case_when")]
            ends = [node.get("else_stmts")] if node.get("have_else") else []  # without ELSE it raises an error
            return any(_falls_through(one) for one in [*branches, *ends])
    return True


def _inner(node: Node, wanted: str) -> Iterator[Node]:
    for value in node.values():
        for item in value if isinstance(value, list) else ():
            inner = item.get(wanted) if isinstance(item, dict) else None
            if isinstance(inner, dict):
                yield inner


def _handlers(node: Node) -> Iterator[Json]:
    block = node.get("exceptions")
    holder = block.get("PLpgSQL_exception_block") if isinstance(block, dict) else None
    for inner in _inner(holder, "PLpgSQL_exception") if isinstance(holder, dict) else ():
        yield inner.get("action")


def _has_result(node: Node) -> bool:
    inside = parse(_sql(node))
    if not isinstance(inside, tuple) or len(inside) != 1:
        return False
    only = inside[0]
    if only.kind == "SelectStmt":
        return "intoClause" not in only.body
    return bool(only.body.get("returningList") or only.body.get("returningClause"))


def _sql(node: Node) -> str:
    """The text of a plain SQL statement."""
    holder = node.get("sqlstmt")
    expression = holder.get("PLpgSQL_expr") if isinstance(holder, dict) else None
    return str(expression.get("query", "")) if isinstance(expression, dict) else ""


def _alone(sql: str) -> str:
    """The command of a statement that has to stand outside of every transaction block; empty for others."""
    inside = parse(sql) if _MAY_STAND_ALONE.match(sql) else ()
    for one in inside if isinstance(inside, tuple) else ():
        concurrent = [node for _, node in nodes({one.kind: one.body}) if _is_concurrent(node)]
        whole = one.kind == "ClusterStmt" and "relation" not in one.body
        vacuum = one.kind == "VacuumStmt" and one.body.get("is_vacuumcmd")
        database = one.kind == "ReindexStmt" and one.body.get("kind") in _WHOLE
        if one.kind in _STANDS_ALONE or vacuum or whole or database or (one.kind in _CONCURRENTLY and concurrent):
            words = one.sql.upper().split()
            verb = " ".join(words[: 1 if words[0] in {"VACUUM", "CLUSTER", "BEGIN", "SAVEPOINT"} else 2])
            return f"{verb} CONCURRENTLY" if concurrent and "CONCURRENTLY" not in verb else verb
    return ""


def _is_concurrent(node: Node) -> bool:
    return bool(node.get("concurrent")) or node.get("defname") == "concurrently"


def _commits(tree: Json) -> bool:
    return any(kind in {"PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"} for kind, _ in nodes(tree))


def _warning(code: str, message: str) -> Finding:
    return Finding(code, Severity.WARNING, "", message)
