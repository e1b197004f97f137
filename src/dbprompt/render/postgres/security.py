"""Roles, ownership, grants and row policies, written so that a role can do what it was granted and nothing else.

Every table belongs to a role that nobody logs in as, so no connection owns what it reads, and row security is forced on
that owner too. Nothing is granted to PUBLIC. Rights on a table are not given for its partitions: who reads a partition
by its own name is past the policies of its table.

A materialised view is computed as its owner. For `schema_owner` the policies of its tables hold, and with no setting it
would be empty after a refresh: so a view over such tables belongs to an owner that they do not hold for. It then shows
the rows of everybody, and is granted to nobody but roles that see all rows anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from dbprompt.brief import Brief
from dbprompt.machines.timeouts import request_timeouts, serving
from dbprompt.render.postgres.base import Statement, StatementKind, UnsafeSqlError, identifier, names, wrap_expression
from dbprompt.render.postgres.tables import schema_statements
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.security import Grant, Role, RowPolicy, Security

__all__ = [
    "NO_LOGIN",
    "OWNER",
    "OWNERS",
    "RECORD_OWNER",
    "VIEW_OWNER",
    "granted_tables",
    "policy_expressions",
    "security_statements",
    "views_past_policies",
]

OWNER = "schema_owner"
"""The role that owns every table."""
RECORD_OWNER = "audit_owner"
"""The role that owns the record of changes, so that no migration can rewrite it."""
VIEW_OWNER = "view_owner"
"""The role that owns the materialised views over tables with policies, so that a refresh sees every row."""
OWNERS = (OWNER, RECORD_OWNER, VIEW_OWNER)
"""No role of a design may have such a name."""

_NOTHING_MORE = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
NO_LOGIN = f"NOLOGIN {_NOTHING_MORE} NOBYPASSRLS"
"""What an owner may do by itself."""
_WORD = re.compile(r"\w+")
_MEMBER_OF = {"monitoring": "pg_monitor", "backup": "pg_read_all_data", "migration": OWNER}
_MADE = {"table": "TABLE", "partition": "TABLE", "enum": "TYPE", "function": "FUNCTION"}


def security_statements(
    design: DatabaseDesign, *, as_of: date, version: int, brief: Brief | None = None
) -> tuple[Statement, ...]:
    """Everything that follows the tables; none if the design has no section `security` or no schema.

    The brief's targets set how long a request may take; without it the least limits stand.

    Raises:
        UnsafeSqlError: with its place, a policy's expression could leave its parentheses.
    """
    security = design.security
    if security is None or design.schema is None:
        return ()
    return (
        *_roles(security, brief),
        *_view_owner(design, security),
        *_owned(design, as_of=as_of, version=version),
        *_grants(design, security),
        *_read_for_views(design),
        *_policies(security),
    )


def granted_tables(grant: Grant, design: DatabaseDesign) -> tuple[str, ...]:
    """The tables of a grant: those that it names, or all that the design has."""
    return grant.tables or tuple(table.name for table in (design.schema.tables if design.schema else ()))


def policy_expressions(security: Security) -> Iterator[tuple[str, RowPolicy, str]]:
    """Every free expression of the policies, as (JSON pointer into the section, its policy, text)."""
    for at, policy in enumerate(security.policies):
        if policy.using is not None:
            yield f"/policies/{at}/using", policy, policy.using
        if policy.check is not None:
            yield f"/policies/{at}/check", policy, policy.check


def views_past_policies(design: DatabaseDesign) -> dict[str, tuple[str, ...]]:
    """The views over tables with policies, directly or through another view, each with the relations that it reads.

    A relation is taken as read where its name stands in the SQL, whatever it stands for there: one too many costs a
    right, and one too few would be an empty view.
    """
    protected = {policy.table for policy in design.security.policies} if design.security else set()
    relations = [table.name for table in design.schema.tables] if design.schema else []
    found: dict[str, tuple[str, ...]] = {}
    for view in design.views.views if design.views and protected else ():
        words = set(_WORD.findall(view.sql.lower()))
        read = tuple(name for name in relations if name.lower() in words)
        if protected.intersection(read) or any(name in found for name in read):
            found[view.name] = read
        relations.append(view.name)
    return found


def _roles(security: Security, brief: Brief | None) -> Iterator[Statement]:
    sql = f"CREATE ROLE {OWNER} {NO_LOGIN}"
    yield _statement(sql, "/roles", f"role {OWNER}", "role")
    for at, role in enumerate(security.roles):
        yield _of_role(_create(role), at, role, "role")
        for name, seconds, _ in request_timeouts(brief) if role in serving(security) else ():
            yield _of_role(f"ALTER ROLE {identifier(role.name)} SET {name} = '{seconds}s'", at, role, "role")
    for at, role in enumerate(security.roles):
        if group := _MEMBER_OF.get(role.purpose):
            yield _of_role(f"GRANT {group} TO {identifier(role.name)}", at, role, "role")
    # Whoever loads this gives tables away and sets defaults for others; a superuser could without being a member.
    yield _statement(f"GRANT {OWNER} TO CURRENT_USER", "/roles", f"role {OWNER}", "role")
    for at, role in enumerate(security.roles):
        if role.purpose == "migration":
            yield _of_role(f"GRANT {identifier(role.name)} TO CURRENT_USER", at, role, "role")


def _view_owner(design: DatabaseDesign, security: Security) -> Iterator[Statement]:
    """Nobody becomes it but those who see all rows and change the schema."""
    if not views_past_policies(design):
        return
    artefact = f"role {VIEW_OWNER}"
    yield _statement(f"CREATE ROLE {VIEW_OWNER} NOLOGIN {_NOTHING_MORE} BYPASSRLS", "/roles", artefact, "role")
    yield _statement(f"GRANT {VIEW_OWNER} TO CURRENT_USER", "/roles", artefact, "role")
    for at, role in enumerate(security.roles):
        if role.purpose == "migration" and role.sees_all_rows:
            yield _of_role(f"GRANT {VIEW_OWNER} TO {identifier(role.name)}", at, role, "role")
    yield _statement(f"GRANT USAGE, CREATE ON SCHEMA public TO {VIEW_OWNER}", "/roles", "schema public", "owner")


def _read_for_views(design: DatabaseDesign) -> Iterator[Statement]:
    past = views_past_policies(design)
    read = tuple(dict.fromkeys(name for names_read in past.values() for name in names_read if name not in past))
    if read:
        yield _statement(f"GRANT SELECT ON {names(read)} TO {VIEW_OWNER}", "/roles", f"role {VIEW_OWNER}", "grant")


def _create(role: Role) -> str:
    login = "LOGIN" if role.login else "NOLOGIN"
    rows = "BYPASSRLS" if role.sees_all_rows else "NOBYPASSRLS"
    limit = f" CONNECTION LIMIT {role.connection_limit}" if role.connection_limit is not None else ""
    return f"CREATE ROLE {identifier(role.name)} {login} {_NOTHING_MORE} {rows}{limit}"


def _owned(design: DatabaseDesign, *, as_of: date, version: int) -> Iterator[Statement]:
    """The schema is closed to PUBLIC, and everything in it is handed to the owner."""
    yield _statement("REVOKE ALL ON SCHEMA public FROM PUBLIC", "/roles", "schema public", "owner")
    yield _statement(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}", "/roles", "schema public", "owner")
    schema = design.schema
    for one in schema_statements(design, schema, as_of=as_of, version=version) if schema else ():
        if one.kind in _MADE:
            sql = f"ALTER {_MADE[one.kind]} {_name_made(one.sql)} OWNER TO {OWNER}"
            yield _statement(sql, "/roles", f"owner of {one.artefact}", "owner")
    past = views_past_policies(design)
    for view in design.views.views if design.views else ():
        owner = VIEW_OWNER if view.name in past else OWNER
        sql = f"ALTER MATERIALIZED VIEW {identifier(view.name)} OWNER TO {owner}"
        yield _statement(sql, "/roles", f"owner of view {view.name}", "owner")


def _name_made(sql: str) -> str:
    """The name behind `CREATE TABLE`, as it was written there."""
    return sql.split(None, 3)[2]


def _grants(design: DatabaseDesign, security: Security) -> Iterator[Statement]:
    makers = ", ".join([OWNER, *(identifier(role.name) for role in security.roles if role.purpose == "migration")])
    for at, role in enumerate(security.roles):
        name = identifier(role.name)
        yield _of_role(f"GRANT USAGE ON SCHEMA public TO {name}", at, role, "grant")
        for grant in role.grants:
            for sql in _grant(grant, role, design, makers):
                yield _of_role(f"{sql} TO {name}", at, role, "grant")


def _grant(grant: Grant, role: Role, design: DatabaseDesign, makers: str) -> Iterator[str]:
    """GRANT without its TO; for all tables also of those that are made later, and of the views that it may see."""
    columns = f" ({names(grant.columns)})" if grant.columns else ""
    rights = ", ".join(f"{privilege.upper()}{columns}" for privilege in dict.fromkeys(grant.privileges))
    yield f"GRANT {rights} ON {names(granted_tables(grant, design))}"
    if grant.tables:
        return
    past = () if role.sees_all_rows else views_past_policies(design)
    views = tuple(view.name for view in (design.views.views if design.views else ()) if view.name not in past)
    if "select" in grant.privileges and views:
        yield f"GRANT SELECT ON {names(views)}"
    later = f"ALTER DEFAULT PRIVILEGES FOR ROLE {makers} IN SCHEMA public GRANT"
    yield f"{later} {rights} ON TABLES"
    if "insert" in grant.privileges:
        yield f"{later} USAGE ON SEQUENCES"


def _policies(security: Security) -> Iterator[Statement]:
    closed: set[str] = set()
    for at, policy in enumerate(security.policies):
        table = identifier(policy.table)
        if policy.table not in closed:
            closed.add(policy.table)
            for word in ("ENABLE", "FORCE"):
                yield _of_policy(f"ALTER TABLE {table} {word} ROW LEVEL SECURITY", at, policy)
        yield _of_policy(_policy(policy, at), at, policy)


def _policy(policy: RowPolicy, at: int) -> str:
    who = names(policy.roles) if policy.roles else "PUBLIC"
    sql = f"CREATE POLICY {identifier(policy.name)} ON {identifier(policy.table)}"
    sql += f"\n    FOR {policy.command.upper()} TO {who}"
    if policy.using is not None:
        sql += f"\n    USING {_wrapped(policy.using, f'/policies/{at}/using')}"
    if policy.check is not None:
        sql += f"\n    WITH CHECK {_wrapped(policy.check, f'/policies/{at}/check')}"
    return sql


def _wrapped(expression: str, where: str) -> str:
    try:
        return wrap_expression(expression)
    except UnsafeSqlError as error:
        raise error.at("security", where) from error


def _of_role(sql: str, at: int, role: Role, kind: StatementKind) -> Statement:
    return _statement(sql, f"/roles/{at}", f"role {role.name}", kind)


def _of_policy(sql: str, at: int, policy: RowPolicy) -> Statement:
    return _statement(sql, f"/policies/{at}", f"row policy {policy.name}", "policy")


def _statement(sql: str, where: str, artefact: str, kind: StatementKind) -> Statement:
    return Statement(sql, "security", where, artefact, kind)
