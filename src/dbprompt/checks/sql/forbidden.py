"""What may never run, whoever wrote it: files, programs, libraries and roles of the server.

Poor: `COPY orders FROM PROGRAM 'curl ...'`, `SELECT pg_read_file('/etc/passwd')`, a function in C.
Better: `COPY orders FROM STDIN`, functions in sql or plpgsql.
"""

from __future__ import annotations

from itertools import chain

from dbprompt.checks.sql.routines import embedded, named_options, routine
from dbprompt.checks.sql.tree import Broken, Node, Parsed, nodes, parse, strings

__all__ = ["forbidden"]

_LOOKED_AT = {
    "AlterRoleStmt", "CopyStmt", "CreateExtensionStmt", "CreateFunctionStmt", "CreatePLangStmt", "CreateRoleStmt",
    "DoStmt", "FuncCall", "GrantRoleStmt", "LoadStmt",
}  # fmt: skip
_FUNCTIONS = (
    "pg_read_file", "pg_read_binary_file", "pg_stat_file", "pg_ls_", "pg_file_", "pg_logdir_ls", "lo_import",
    "lo_export", "dblink",
)  # fmt: skip
_MEMBERSHIPS = {"pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"}


def forbidden(statement: Parsed) -> str:
    """Why nothing like this may ever run; empty if it may."""
    for kind, bodies in chain(((statement.kind, (statement.body,)),), statement.below.items()):
        for body in bodies if kind in _LOOKED_AT else ():
            if reason := _problem(kind, body):
                return reason
    for text in embedded(statement):
        inside = parse(text)
        if isinstance(inside, Broken):
            inside = parse(f"SELECT {text}")  # a bare expression of plpgsql
        for each in inside if isinstance(inside, tuple) else ():
            reason = forbidden(each)
            if reason:
                return f"in its body: {reason}"
    return ""


def _problem(kind: str, body: Node) -> str:
    match kind:
        case "CopyStmt" if body.get("is_program"):
            return "COPY runs a program of the server; use COPY ... FROM STDIN or TO STDOUT"
        case "CopyStmt" if body.get("filename"):
            return "COPY reads or writes a file of the server; use COPY ... FROM STDIN or TO STDOUT"
        case "LoadStmt":
            return "LOAD loads a library into the server"
        case "CreatePLangStmt":
            return "it brings a language of its own; use sql or plpgsql"
        case "CreateExtensionStmt" if str(body.get("extname", "")).endswith("u") and str(body["extname"])[:2] == "pl":
            return f"{body['extname']} is an untrusted language; use sql or plpgsql"
        case "CreateFunctionStmt" | "DoStmt":
            return _language_problem(body)
        case "CreateRoleStmt" | "AlterRoleStmt":
            for name in _true_options(body) & {"superuser", "isreplication"}:
                return f"a role with {name.removeprefix('is').upper()} may do anything; grant what it needs instead"
        case "GrantRoleStmt":
            for name in _granted_roles(body) & _MEMBERSHIPS:
                return f"{name} reaches the server's files and programs"
        case "FuncCall":
            name = (strings(body.get("funcname")) or ("",))[-1].lower()
            if name.startswith(_FUNCTIONS):
                return f"{name}() reaches files or other servers"
    return ""


def _language_problem(body: Node) -> str:
    kind = "CreateFunctionStmt" if "funcname" in body else "DoStmt"
    language, _ = routine(Parsed("", kind, body))
    if language in {"c", "internal"} or (language.endswith("u") and language[:2] == "pl"):
        return f"language {language} runs outside the database's rules; use sql or plpgsql"
    return ""


def _true_options(body: Node) -> set[str]:
    return {
        name
        for name, argument in named_options(body.get("options"))
        for key, node in nodes(argument)
        if key == "Boolean" and node.get("boolval")
    }


def _granted_roles(body: Node) -> set[str]:
    return {str(node.get("priv_name", "")) for key, node in nodes(body.get("granted_roles")) if key == "AccessPriv"}
