"""The allow-list: what may meet the engine, and how, decided by the syntax tree before anything runs.

Poor: `COPY orders FROM PROGRAM 'curl ...'`, `SELECT pg_read_file('/etc/passwd')`: forbidden, whoever wrote it.
Better: `COPY orders TO STDOUT`: runs. In between lie statements that a database administrator may want and a sandbox
must not do, `CREATE TABLESPACE`: these are not run, and the verdict says so.

The list is the second wall. The first is the role that runs everything: it owns one throw-away database and nothing
else, so text that hides from the tree (dynamic SQL in a DO block) gets no further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from dbprompt.checks.base import QUERY_KINDS
from dbprompt.checks.sql.forbidden import forbidden
from dbprompt.checks.sql.routines import embedded, is_plpgsql
from dbprompt.checks.sql.tree import Node, Parsed, nodes, strings
from dbprompt.messages import Json

__all__ = ["ROLE_KINDS", "Route", "Ruling", "embedded", "is_plpgsql", "may_be_proven", "rule"]


class Route(StrEnum):
    """How a statement meets the engine."""

    RUN = "run"
    PREPARE = "prepare"  # names and types are resolved, nothing runs
    PROVE = "prove"  # as superuser, rolled back
    SETTING = "setting"  # compared with the server's settings
    EXTENSION = "extension"
    CREATE_ROLE = "create role"
    RENAME_ROLE = "rename role"
    DROP_ROLE = "drop role"
    GIVE = "give"  # to another role
    OUTSIDE = "outside"  # not run: it reaches beyond one database
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the allow-list says.

    Args:
        route: how the statement meets the engine.
        reason: why, if it does not simply run.
        name: the role, extension or setting that it is about.
        value: the setting's value, None for its default; the role's new name.
    """

    route: Route
    reason: str = ""
    name: str = ""
    value: str | None = None


ROLE_KINDS = frozenset({"CreateRoleStmt", "AlterRoleStmt", "AlterRoleSetStmt", "DropRoleStmt", "GrantRoleStmt"})
_RUN = QUERY_KINDS | {
    "AlterCollationStmt", "AlterDefaultPrivilegesStmt", "AlterDomainStmt", "AlterEnumStmt",
    "AlterExtensionContentsStmt", "AlterExtensionStmt", "AlterFunctionStmt", "AlterObjectDependsStmt",
    "AlterObjectSchemaStmt", "AlterOperatorStmt", "AlterPolicyStmt", "AlterPublicationStmt", "AlterSeqStmt",
    "AlterStatsStmt", "AlterTSConfigurationStmt", "AlterTSDictionaryStmt", "AlterTableStmt", "AlterTypeStmt",
    "CallStmt", "ClosePortalStmt", "ClusterStmt", "CommentStmt", "CompositeTypeStmt", "ConstraintsSetStmt",
    "CopyStmt", "CreateCastStmt", "CreateConversionStmt", "CreateDomainStmt", "CreateEnumStmt",
    "CreateFunctionStmt", "CreatePolicyStmt", "CreatePublicationStmt", "CreateRangeStmt", "CreateSchemaStmt",
    "CreateSeqStmt", "CreateStatsStmt", "CreateStmt", "CreateTableAsStmt", "CreateTransformStmt", "CreateTrigStmt",
    "DeallocateStmt", "DeclareCursorStmt", "DefineStmt", "DiscardStmt", "DoStmt", "DropStmt", "ExecuteStmt",
    "ExplainStmt", "FetchStmt", "GrantStmt", "IndexStmt", "ListenStmt", "LockStmt", "NotifyStmt", "PrepareStmt",
    "RefreshMatViewStmt", "ReindexStmt", "RenameStmt", "RuleStmt", "SecLabelStmt", "TransactionStmt",
    "TruncateStmt", "UnlistenStmt", "VacuumStmt", "VariableSetStmt", "VariableShowStmt", "ViewStmt",
}  # fmt: skip
# These evaluate no expression and call no function of the sandbox, so a superuser may try them and roll them back.
_PROVE_FIRST = ROLE_KINDS | {
    "AlterEventTrigStmt", "AlterOpFamilyStmt", "CheckPointStmt", "CreateAmStmt", "CreateEventTrigStmt",
    "CreateOpClassStmt", "CreateOpFamilyStmt", "DropOwnedStmt", "ReassignOwnedStmt",
}  # fmt: skip
_PROVE_IF_NO_RIGHT = _PROVE_FIRST | {
    "AlterDefaultPrivilegesStmt", "AlterPublicationStmt", "CommentStmt", "CreateCastStmt", "CreatePublicationStmt",
    "CreateTransformStmt", "GrantStmt", "VariableSetStmt",
}  # fmt: skip
_OUTSIDE = {
    "AlterDatabaseRefreshCollStmt": "a database",
    "AlterDatabaseStmt": "a database",
    "AlterFdwStmt": "a foreign data wrapper",
    "AlterSubscriptionStmt": "a subscription",
    "AlterTableMoveAllStmt": "a tablespace",
    "AlterTableSpaceOptionsStmt": "a tablespace",
    "CreateFdwStmt": "a foreign data wrapper",
    "CreateSubscriptionStmt": "a subscription",
    "CreateTableSpaceStmt": "a tablespace",
    "CreatedbStmt": "a database",
    "DropSubscriptionStmt": "a subscription",
    "DropTableSpaceStmt": "a tablespace",
    "DropdbStmt": "a database",
    "ImportForeignSchemaStmt": "a foreign server",
}
_FOREIGN = {
    "AlterForeignServerStmt", "AlterUserMappingStmt", "CreateForeignServerStmt", "CreateForeignTableStmt",
    "CreateUserMappingStmt", "DropUserMappingStmt",
}  # fmt: skip
_OPERATIONS = (
    "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_rotate_logfile", "pg_promote", "pg_switch_wal",
    "pg_create_restore_point", "pg_backup_", "pg_wal_replay_", "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot", "pg_drop_replication_slot", "pg_copy_", "pg_logical_", "pg_replication_",
    "pg_log_backend_memory_contexts", "pg_import_system_collations", "pg_stat_reset", "pg_stat_statements_reset",
)  # fmt: skip


def rule(statement: Parsed) -> Ruling:
    """Says how one statement may meet the engine."""
    reason = forbidden(statement)
    if reason:
        return Ruling(Route.FORBIDDEN, reason)
    kind, body = statement.kind, statement.body
    if kind in _OUTSIDE:
        return Ruling(Route.OUTSIDE, f"it is about {_OUTSIDE[kind]}, beyond the one database of the sandbox")
    special = _special(kind, body)
    if special is not None:
        return special
    if kind in QUERY_KINDS or kind in {"ExplainStmt", "DeclareCursorStmt"}:
        return _query(statement)
    if kind in _FOREIGN:
        return Ruling(Route.RUN, "declared only: its server is not reached, its options are not checked")
    if kind in _PROVE_FIRST:
        return Ruling(Route.PROVE)
    if kind in _RUN:
        return Ruling(Route.RUN)
    return Ruling(Route.OUTSIDE, f"the allow-list does not know {kind}")


def may_be_proven(statement: Parsed) -> bool:
    """Whether a superuser may try it where the sandbox's role has no right to: it holds no expression to evaluate."""
    has_expression = not statement.below.keys().isdisjoint({"FuncCall", "A_Expr", "SelectStmt"})
    return statement.kind in _PROVE_IF_NO_RIGHT and not has_expression


def _special(kind: str, body: Node) -> Ruling | None:
    match kind:
        case "CreateExtensionStmt":
            return Ruling(Route.EXTENSION, name=str(body.get("extname", "")))
        case "AlterSystemStmt":
            return _setting(body.get("setstmt"))
        case "AlterDatabaseSetStmt":
            ruling = _setting(body.get("setstmt"))
            unseen = f"whether there is a database {body.get('dbname', '')} was not looked for"
            return replace(ruling, reason="; ".join(filter(None, (ruling.reason, unseen))))
        case "VariableSetStmt" if body.get("name") in {"role", "session_authorization"}:
            return Ruling(Route.PROVE, "later statements still ran as the owner")
        case "TransactionStmt" if "PREPARED" in str(body.get("kind")) or body.get("kind") == "TRANS_STMT_PREPARE":
            return Ruling(Route.OUTSIDE, "two-phase commit is switched off in the sandbox")
        case "CreateRoleStmt":
            return Ruling(Route.CREATE_ROLE, name=str(body.get("role", "")))
        case "DropRoleStmt":
            names = [str(node.get("rolename", "")) for key, node in nodes(body) if key == "RoleSpec"]
            return Ruling(Route.DROP_ROLE, name=names[0]) if len(names) == 1 else Ruling(Route.PROVE)
        case "RenameStmt" if body.get("renameType") == "OBJECT_ROLE":
            return Ruling(Route.RENAME_ROLE, name=str(body.get("subname", "")), value=str(body.get("newname", "")))
        case "AlterOwnerStmt":
            return _gift(body.get("newowner"))
        case "CreateSchemaStmt" if body.get("authrole") and not body.get("schemaElts"):
            return _gift(body.get("authrole"))
        case "AlterTableStmt":
            return _ownership(body)
    return None


def _query(statement: Parsed) -> Ruling:
    if "ParamRef" in statement.below:
        return Ruling(Route.PREPARE, "it has parameters: prepared, not run")
    for node in statement.below.get("FuncCall", ()):
        name = (strings(node.get("funcname")) or ("",))[-1].lower()
        if name.startswith(_OPERATIONS):
            return Ruling(Route.PREPARE, f"{name}() acts on the whole server: prepared, not run")
    return Ruling(Route.RUN)


def _setting(statement: Json) -> Ruling:
    if not isinstance(statement, dict) or "name" not in statement:
        return Ruling(Route.OUTSIDE, "it resets all settings")
    name, arguments = str(statement["name"]), statement.get("args")
    if not isinstance(arguments, list):
        return Ruling(Route.SETTING, name=name)
    return Ruling(Route.SETTING, name=name, value=", ".join(_constant(one) for one in arguments))


def _constant(node: Json) -> str:
    """The text of a constant node: `{"A_Const": {"sval": {"sval": "4MB"}}}`."""
    inside = node.get("A_Const") if isinstance(node, dict) else None
    for key in ("sval", "fval", "ival", "boolval"):
        holder = inside.get(key) if isinstance(inside, dict) else None
        if isinstance(holder, dict):
            value = holder.get(key, 0 if key == "ival" else "")
            return ("on" if value else "off") if isinstance(value, bool) else str(value)
    return ""


def _gift(role: Json) -> Ruling:
    if isinstance(role, dict) and role.get("roletype") == "ROLESPEC_CSTRING":
        return Ruling(Route.GIVE, name=str(role.get("rolename", "")))
    return Ruling(Route.RUN)  # to the current user: the owner already


def _ownership(body: Node) -> Ruling | None:
    """A change of owner alone is a gift; together with other commands it is not for a superuser to run."""
    commands = [node for key, node in nodes(body.get("cmds")) if key == "AlterTableCmd"]
    if len(commands) == 1 and commands[0].get("subtype") == "AT_ChangeOwner":
        return _gift(commands[0].get("newowner"))
    return None
