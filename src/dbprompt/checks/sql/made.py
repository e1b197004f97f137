"""The names that a statement brings into the world, so that whoever only lacks one of them is not blamed for it.

Poor: two errors for `CREATE TABLE a (id FOO); SELECT id FROM a`.
Better: one, and a SELECT that is inconclusive, as `a` did not come to be.
"""

from __future__ import annotations

from dbprompt.checks.sql.routines import roles_made_inside
from dbprompt.checks.sql.tree import Parsed, nodes, strings

__all__ = ["made"]


def made(parsed: Parsed) -> frozenset[str]:
    """Names of what a statement creates, as far as its tree tells."""
    body = parsed.body
    names: list[str] = []
    match parsed.kind:
        case "CreateStmt" | "CreateSeqStmt":
            names = _relation(body.get("relation") or body.get("sequence"))
        case "CreateForeignTableStmt":
            base = body.get("base")
            names = _relation(base.get("relation") if isinstance(base, dict) else None)
        case "ViewStmt":
            names = _relation(body.get("view"))
        case "CreateTableAsStmt":
            into = body.get("into")
            names = _relation(into.get("rel") if isinstance(into, dict) else None)
        case "CompositeTypeStmt":
            names = _relation(body.get("typevar"))
        case "CreateEnumStmt" | "CreateRangeStmt":
            names = list(strings(body.get("typeName"))[-1:])
        case "CreateDomainStmt":
            names = list(strings(body.get("domainname"))[-1:])
        case "CreateFunctionStmt":
            names = list(strings(body.get("funcname"))[-1:])
        case "DefineStmt":
            names = list(strings(body.get("defnames"))[-1:])
        case "CreateFdwStmt":
            names = [str(body.get("fdwname", ""))]
        case "CreateForeignServerStmt":
            names = [str(body.get("servername", ""))]
        case "CreateSchemaStmt":
            names = [str(body.get("schemaname", ""))]
        case "CreateRoleStmt":
            names = [str(body.get("role", ""))]
        case "DoStmt":
            names = [str(one.body.get("role", "")) for one in roles_made_inside(parsed)]
        case "RenameStmt":
            names = [str(body.get("newname", ""))]
        case "IndexStmt" | "CreatePLangStmt":
            names = [str(body.get("idxname", ""))]
        case "AlterTableStmt":
            names = [str(node["colname"]) for key, node in nodes(body) if key == "ColumnDef" and "colname" in node]
    return frozenset(filter(None, names))


def _relation(node: object) -> list[str]:
    return [str(node.get("relname", ""))] if isinstance(node, dict) else []
