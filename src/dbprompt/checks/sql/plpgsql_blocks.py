"""DO blocks that have run: what in them can be held against the database as it is now.

Poor: a warning for `IF to_regclass('legacy') IS NOT NULL THEN INSERT INTO t SELECT ... FROM legacy; END IF`.
Better: left alone, as is what names a table that another statement of the script makes, renames or drops.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.sql.routines import is_plpgsql, routine
from dbprompt.checks.sql.tree import Broken, Parsed, nodes, parse_plpgsql

__all__ = ["in_motion", "is_certain"]

_LOOKS = re.compile(
    r"\b(information_schema|pg_catalog|pg_[a-z]\w*|to_reg\w+|has_\w+_privilege|current_setting)\b", re.I
)
_SWALLOWED = {"others", "undefined_table", "undefined_column", "undefined_function", "undefined_object"}
_BODIES = {"CreateFunctionStmt", "CreateTrigStmt", "DoStmt"}


def is_certain(parsed: Parsed) -> bool:
    """Whether what is missing in a block is a mistake: it looks nowhere what there is, and no handler takes errors."""
    if parsed.kind != "DoStmt" or not is_plpgsql(parsed) or _LOOKS.search(routine(parsed)[1]):
        return False
    tree = parse_plpgsql(parsed.sql)
    if isinstance(tree, Broken):
        return False
    handled = {str(node.get("condname")) for kind, node in nodes(tree) if kind == "PLpgSQL_condition"}
    return not handled & _SWALLOWED


def in_motion(steps: Iterable[tuple[Statement, Parsed]]) -> frozenset[str]:
    """Every word of the statements that may make, change or drop something: what they name may have been different."""
    found: set[str] = set()
    for _, parsed in steps:
        if parsed.kind not in QUERY_KINDS and parsed.kind not in _BODIES:
            found |= set(re.findall(r"\w+", parsed.sql.lower()))
        elif parsed.kind == "DoStmt" and re.search(r"\b(create|alter|drop)\b", routine(parsed)[1], re.I):
            found |= set(re.findall(r"\w+", routine(parsed)[1].lower()))
    return frozenset(found)
