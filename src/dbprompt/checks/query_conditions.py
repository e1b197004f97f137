"""A statement's conditions choose rows, and it calls nothing that waits, locks or reaches out of the database.

Poor: `WHERE public_number = $1 AND false` (never a row), `WHERE public_number = $1 OR true` (every row), and
`SELECT pg_sleep(10)`: each is sound SQL over the right columns.
Better: `WHERE public_number = $1`.

`queries` asks these of each statement and of the statement for its later pages.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_constants import constants
from dbprompt.checks.base_design import error
from dbprompt.checks.base_statements import Parsed
from dbprompt.checks.base_trees import Node, find, function_name
from dbprompt.evidence import Finding

__all__ = ["conditions", "is_filtered"]

_FORBIDDEN = frozenset(
    {
        "pg_sleep",
        "pg_sleep_for",
        "pg_sleep_until",
        "pg_cancel_backend",
        "pg_terminate_backend",
        "pg_reload_conf",
        "pg_rotate_logfile",
        "pg_switch_wal",
        "pg_promote",
        "pg_read_file",
        "pg_read_binary_file",
        "pg_ls_dir",
        "pg_stat_file",
        "lo_import",
        "lo_export",
        "set_config",
    }
)
_FORBIDDEN_STEMS = ("pg_advisory_", "pg_try_advisory_", "dblink")


def conditions(statement: Parsed, *, called: str, where: str) -> Iterator[Finding]:
    """Constant conditions and forbidden calls of one statement."""
    if any(_constant_conditions(statement.tree)):
        message = (
            f"{called} has a condition that is the same for every row (true, false, 1 = 0): it returns no row or does "
            "not filter; take the constant out and compare columns with parameters"
        )
        yield error("queries.constant_condition", where, message)
    names = dict.fromkeys(function_name(call) for call in find(statement.tree, "FuncCall"))
    for name in names:
        if name in _FORBIDDEN or name.startswith(_FORBIDDEN_STEMS):
            message = (
                f"{called} calls {name}(), which waits, takes a lock that no row shows, or acts on the server; leave "
                "it out (to lock rows: FOR UPDATE)"
            )
            yield error("queries.forbidden_function", where, message)


def _constant_conditions(tree: Node) -> Iterator[Node]:
    for node in find(tree, "SelectStmt", "UpdateStmt", "DeleteStmt", "JoinExpr"):
        for field in ("whereClause", "havingClause", "quals"):
            condition = node.node(field)
            if condition is not None:
                # A join ON true is how LATERAL is written.
                yield from (one for one in constants(condition) if field != "quals" or one != condition)


def is_filtered(statement: Parsed, pairs: frozenset[tuple[str, str]]) -> bool:
    """Whether some condition compares one of these columns for every row: not in one arm of an OR alone."""
    return any(_binds(statement, condition, pairs) for condition in statement.conditions())


def _binds(statement: Parsed, condition: Node, pairs: frozenset[tuple[str, str]]) -> bool:
    operands = condition.nodes("args") if condition.kind == "BoolExpr" else ()
    if condition.text("boolop") == "AND_EXPR":
        return any(_binds(statement, one, pairs) for one in operands)
    if condition.text("boolop") == "OR_EXPR":
        return all(_binds(statement, one, pairs) for one in operands)
    return bool(pairs & statement.mentioned([condition]))
