"""Roles and grants: everybody has what the work needs and nothing else.

Poor: one role `app` with everything on all tables, used by the application, by support and for backups. A hole in the
application is a hole in the database, and nobody can be told from anybody.
Better: `app_rw` with SELECT and INSERT, UPDATE of the columns that change, DELETE where rows do leave; `app_ro` for
reading; `support` with the columns that it looks at; a role each for migrations, monitoring and backups, whose
rights follow from their purpose. None of them owns a table.

Sources: postgresql.org/docs/18/ddl-priv.html, predefined-roles.html; NIST SP 800-53, AC-6 (least privilege).
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import AttributeRole, Brief, QueryKind
from dbprompt.checks.base_design import error, judged, listing, rules, tables_with, warning
from dbprompt.checks.base_matching import places_of, typed_columns
from dbprompt.checks.base_policies import REQUESTS
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres.security import OWNERS, granted_tables
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Schema
from dbprompt.sections.security import Grant, Role, Security

__all__ = ["access"]

_ALL = {"select", "insert", "update", "delete"}
_BY_PURPOSE = {"migration", "monitoring", "backup"}
_NEEDED = {QueryKind.INSERT: "insert", QueryKind.UPDATE: "update", QueryKind.DELETE: "delete"}


def access(subject: Subject) -> Report:
    """Roles and what they are granted."""
    security, schema = subject.design.security, subject.design.schema
    if subject.section != "security" or security is None or schema is None:
        return Report()
    findings = [
        *_names(security, schema),
        *_twice(security),
        *_roles(security),
        *_too_much(subject, security, schema),
        *_too_little(subject, security),
    ]
    uncovered = "what the roles can really do: the engine is asked for that"
    return judged(subject, findings, checker=rules("access"), uncovered=uncovered)


def _names(security: Security, schema: Schema) -> Iterator[Finding]:
    """Every table, column and role that the section names is there."""
    tables: list[tuple[str, str, tuple[str, ...]]] = []
    roles: list[tuple[str, tuple[str, ...]]] = []
    for at, role in enumerate(security.roles):
        for number, grant in enumerate(role.grants):
            where = f"/roles/{at}/grants/{number}"
            tables += [(where, table, grant.columns if len(grant.tables) == 1 else ()) for table in grant.tables]
    for at, policy in enumerate(security.policies):
        tables.append((f"/policies/{at}/table", policy.table, ()))
        roles.append((f"/policies/{at}/roles", policy.roles))
    for at, field in enumerate(security.fields):
        tables.append((f"/fields/{at}", field.table, (field.column,)))
    for at, event in enumerate(security.audit):
        tables += [(f"/audit/{at}/tables", table, ()) for table in event.tables]
        roles.append((f"/audit/{at}/read_by", event.read_by))
    for where, name, columns in tables:
        table = schema.table(name)
        if table is None:
            yield error("access.unknown_name", where, f"there is no table {name}; {tables_with(schema)}")
        for column in columns if table else ():
            if table and table.column(column) is None:
                have = listing(one.name for one in table.columns)
                yield error("access.unknown_name", where, f"{name} has no column {column}; it has {have}")
    known = [role.name for role in security.roles]
    for where, given in roles:
        for role_name in given:
            if role_name not in known:
                message = f"there is no role {role_name}; roles: {listing(known)}"
                yield error("access.unknown_name", where, message)


def _twice(security: Security) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for at, role in enumerate(security.roles):
        if role.name in OWNERS or role.name.startswith("pg_") or role.name in {"postgres", "public", "none"}:
            why = "an owner that dbprompt makes" if role.name in OWNERS else "taken by PostgreSQL"
            yield error("access.reserved_name", f"/roles/{at}/name", f"role {role.name} is {why}; name it otherwise")
        if role.name in seen:
            message = f"role {role.name} is at /roles/{seen[role.name]} too; make one role with both grants"
            yield error("access.duplicate", f"/roles/{at}", message, may_drop=True)
        seen.setdefault(role.name, at)
    policies: dict[tuple[str, str], int] = {}
    for at, policy in enumerate(security.policies):
        first = policies.setdefault((policy.table, policy.name), at)
        if first != at:
            message = f"policy {policy.name} of {policy.table} is at /policies/{first} too; drop one or rename it"
            yield error("access.duplicate", f"/policies/{at}", message, may_drop=True)


def _roles(security: Security) -> Iterator[Finding]:
    purposes = {role.purpose for role in security.roles}
    if len(security.roles) < 2:
        message = (
            "one role does everything; make at least one for the application and one for migrations, so that the "
            "application cannot change the schema"
        )
        yield error("access.one_role", "/roles", message)
    if "application" not in purposes:
        message = f"no role has purpose application (there are {listing(sorted(purposes))}); add the one it connects as"
        yield error("access.no_application", "/roles", message)
    for at, role in enumerate(security.roles):
        if not role.grants and role.purpose not in _BY_PURPOSE:
            message = f"role {role.name} has no grants, so it can do nothing; grant what a {role.purpose} role needs"
            yield error("access.no_grants", f"/roles/{at}/grants", message)


def _too_much(subject: Subject, security: Security, schema: Schema) -> Iterator[Finding]:
    secrets = {
        table.name: [column.name for _, column, kinds in typed_columns(subject.brief, table) if _is_secret(kinds)]
        for table in schema.tables
    }
    for at, role in enumerate(security.roles):
        where = f"/roles/{at}"
        if role.purpose == "application" and role.sees_all_rows:
            message = (
                f"the application's role {role.name} sees_all_rows, so no row policy holds for any request; write false"
            )
            yield error("access.application_sees_all", f"{where}/sees_all_rows", message)
        everywhere = {right for grant in role.grants if not grant.tables for right in grant.privileges}
        if everywhere >= _ALL and role.purpose != "migration":
            message = (
                f"role {role.name} may select, insert, update and delete in all tables; grant update and delete only "
                "on the tables (or columns) that a request changes"
            )
            yield error("access.everything", f"{where}/grants", message)
        if role.purpose == "read_only" and (writes := {p for g in role.grants for p in g.privileges} - {"select"}):
            message = f"role {role.name} is read_only and may {listing(sorted(writes))}; take it away"
            yield error("access.read_only_writes", f"{where}/grants", message)
        if role.purpose in {"support", "analytics", "monitoring"}:
            yield from _secrets(role, where, secrets, subject.design)


def _is_secret(kinds: frozenset[AttributeRole]) -> bool:
    return AttributeRole.SECRET in kinds


def _secrets(role: Role, where: str, secrets: dict[str, list[str]], design: DatabaseDesign) -> Iterator[Finding]:
    for number, grant in enumerate(role.grants):
        if "select" not in grant.privileges:
            continue
        for table in granted_tables(grant, design):
            seen = [column for column in secrets.get(table, ()) if column in (grant.columns or (column,))]
            if seen:
                message = (
                    f"role {role.name} may read {listing(seen)} of {table}, which is secret in the brief; grant "
                    f"{table} by itself, with the other columns in columns"
                )
                yield warning("access.secret_granted", f"{where}/grants/{number}", message)


def _too_little(subject: Subject, security: Security) -> Iterator[Finding]:
    """A query of the brief that no role of the application may run."""
    brief, schema = subject.brief, subject.design.schema
    if brief is None or schema is None:
        return
    roles = [role for role in security.roles if role.purpose in REQUESTS]
    told: set[tuple[str, str]] = set()
    for query in brief.queries if roles else ():
        right = _NEEDED.get(query.kind, "select")
        for table in _tables_of(brief, schema, query.entity):
            if (table, right) in told or any(_may(role.grants, right, table, subject.design) for role in roles):
                continue
            told.add((table, right))
            message = (
                f"query {query.id} of the brief needs {right} on {table}, and none of "
                f"{listing(role.name for role in roles)} has it; grant it to the one that runs the query"
            )
            yield error("access.query_not_granted", "/roles", message)


def _tables_of(brief: Brief, schema: Schema, name: str) -> Iterator[str]:
    if (entity := brief.entity(name)) is not None:
        yield from (place.table.name for place in places_of(brief, schema, entity))


def _may(grants: tuple[Grant, ...], right: str, table: str, design: DatabaseDesign) -> bool:
    return any(right in grant.privileges and table in granted_tables(grant, design) for grant in grants)
