"""Row policies: they hold for every request, on every table of the tenants, and cannot be left open by a pooler.

Poor: `USING (true)`; a policy on `contact` and none on `deal`; `USING (tenant_id = $1)`; a tenant's id that the
application sets with SET on a connection which a pooler hands to the next client.
Better: `USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::bigint))`, for every table that
has the tenant's column, and SET LOCAL app.tenant_id in each transaction.

What is right when nothing is set? Both answers that show nothing: `current_setting('x')` refuses the statement, and
`current_setting('x', true)` is NULL, which no row equals. After a transaction with SET LOCAL the setting is '' for the
rest of the session, and ''::bigint is an error where nullif makes it NULL: so the form above sees no row in either
state, and a forgotten SET LOCAL looks the same on a fresh connection and on a used one. A policy cannot tell SET from
SET LOCAL; what the application does is said in the section infrastructure, `pool.session_settings`.

Sources: postgresql.org/docs/18/ddl-rowsecurity.html; pgbouncer.org/features.html (SET is not supported in transaction
mode); tried in `dbprompt.proofs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.brief import AttributeRole, Brief
from dbprompt.checks.base_constants import constants
from dbprompt.checks.base_design import advice, error, judged, listing, not_checked, rules, warning
from dbprompt.checks.base_matching import typed_columns
from dbprompt.checks.base_policies import REQUESTS, settings_of
from dbprompt.checks.base_tenants import session_decides
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, expression, grammar
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres.security import policy_expressions, views_past_policies
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Schema
from dbprompt.sections.security import RowPolicy, Security

__all__ = ["policies", "tenant_columns"]

_ROW_LEVEL = re.compile(r"row|tenant|record_level", re.IGNORECASE)
_OTHER_TENANT = re.compile(
    r"\b(other|another|foreign|each other'?s?)\W+(tenant|organi[sz]ation|workspace|customer)", re.IGNORECASE
)
_HOW = "(SELECT nullif(current_setting('app.tenant_id', true), '')::bigint)"


def policies(subject: Subject) -> Report:
    """Policies of the section `security`, and the roles that they hold for."""
    security, schema = subject.design.security, subject.design.schema
    if subject.section != "security" or security is None or schema is None:
        return Report()
    checker = rules("row security")
    if grammar() is None:
        return not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = [
        *_tenants(subject, security, schema),
        *_open(security),
        *_blind(security),
        *_pool(subject, security),
        *_views(subject.design, security),
    ]
    uncovered = "which rows are really seen: roles try it on the engine"
    return judged(subject, findings, checker=checker, uncovered=uncovered)


def tenant_columns(brief: Brief | None, schema: Schema) -> dict[str, str]:
    """The tables that have an attribute of role tenant, each with its column."""
    return {
        table.name: column.name
        for table in schema.tables
        for _, column, kinds in typed_columns(brief, table)
        if AttributeRole.TENANT in kinds
    }


def _asked(brief: Brief | None) -> str:
    """The words of the brief that ask for row security; empty if none do."""
    if brief is None:
        return ""
    if _ROW_LEVEL.search(brief.compliance.access_control):
        return brief.compliance.access_control
    found = _OTHER_TENANT.search(brief.description)
    return found.group() if found else ""


def _tenants(subject: Subject, security: Security, schema: Schema) -> Iterator[Finding]:
    asked = _asked(subject.brief)
    for table, column in tenant_columns(subject.brief, schema).items():
        own = [(at, policy) for at, policy in enumerate(security.policies) if policy.table == table]
        if not own:
            told = f"the brief asks for {asked!r}" if asked else "its rows belong to tenants"
            message = f"table {table} has {column} and no row policy, though {told}; add one USING ({column} = {_HOW})"
            yield (error if asked else warning)("rls.missing", "/policies", message)
        for at, policy in own:
            if _for_requests(policy, security) and _is_open(policy, column, schema):
                message = (
                    f"policy {policy.name} of {table} does not hold {column} to a value of the session, and policies "
                    f"add up: its rows are seen by every tenant. Compare {column} = {_HOW}"
                )
                yield (error if asked else warning)("rls.not_keyed", f"/policies/{at}", message)


def _for_requests(policy: RowPolicy, security: Security) -> bool:
    roles = {role.name for role in security.roles if role.purpose in REQUESTS}
    return not policy.roles or bool(roles & set(policy.roles))


def _is_open(policy: RowPolicy, column: str, schema: Schema) -> bool:
    """Whether one of its expressions lets in rows that the session did not ask for; what cannot be told is not said."""
    texts = (sql for sql in (policy.using, policy.check) if sql is not None)
    return any(session_decides(sql, frozenset({column}), schema) is False for sql in texts)


def _open(security: Security) -> Iterator[Finding]:
    """A policy with a constant in it lets every row through, or none."""
    for where, policy, sql in policy_expressions(security):
        tree = expression(sql)
        if isinstance(tree, Broken) or not any(constants(tree)) or not _for_requests(policy, security):
            continue
        message = (
            f"policy {policy.name} of {policy.table} holds a constant (true, 1 = 1, ... OR true), so it is the same "
            "for every row: name whose rows they are. A role that shall see all rows has sees_all_rows"
        )
        yield error("rls.always_true", where, message)


def _blind(security: Security) -> Iterator[Finding]:
    """Roles whose work goes wrong in silence if policies hide rows from them."""
    protected = sorted({policy.table for policy in security.policies})
    wrong = {"backup": "its dump fails or lacks rows", "migration": "its backfills touch no row and report success"}
    for at, role in enumerate(security.roles if protected else ()):
        named = any(role.name in policy.roles for policy in security.policies)
        if role.purpose in wrong and not role.sees_all_rows:
            message = (
                f"the policies of {listing(protected)} hold for role {role.name} too, so {wrong[role.purpose]}; write "
                "sees_all_rows true"
            )
            yield error("rls.blind_role", f"/roles/{at}/sees_all_rows", message)
        elif role.purpose == "read_only" and role.sees_all_rows:
            message = f"requests read through role {role.name}, and no policy holds for it; write sees_all_rows false"
            yield error("rls.past_policies", f"/roles/{at}/sees_all_rows", message)
        elif role.purpose in {"support", "analytics"} and not (role.sees_all_rows or named or _all(security)):
            message = f"role {role.name} sees no row of {listing(protected)}: no policy is for it, and it has no bypass"
            yield advice("rls.sees_nothing", f"/roles/{at}", message)


def _all(security: Security) -> bool:
    """Whether a policy is for all roles."""
    return any(not policy.roles for policy in security.policies)


def _pool(subject: Subject, security: Security) -> Iterator[Finding]:
    """A pooler that gives a connection to another client after each transaction gives its settings along.

    The section infrastructure is asked for beside this one; where it is finished later, its own rule says the same.
    """
    pool = subject.design.infrastructure.pool if subject.design.infrastructure else None
    if pool is None or pool.mode == "session" or pool.session_settings == "per_transaction":
        return
    for where, policy, sql in policy_expressions(security):
        if read := settings_of(sql):
            message = (
                f"policy {policy.name} of {policy.table} reads {listing(read)}, and infrastructure.pool has mode "
                f"{pool.mode} with session_settings {pool.session_settings}: a client would get what another one set, "
                "or nothing; the setting belongs into each transaction (SET LOCAL, per_transaction)"
            )
            yield error("rls.setting_leaks", where, message)
            return


def _views(design: DatabaseDesign, security: Security) -> Iterator[Finding]:
    """A materialised view over tables with policies shows everybody's rows, so no role of a request is given it."""
    readers = [
        role
        for role in security.roles
        if role.sees_all_rows and any(not one.tables and "select" in one.privileges for one in role.grants)
    ]
    past = views_past_policies(design)
    for view in design.views.views if design.views and not readers else ():
        if view.name in past and view.serves:
            held = listing(sorted({policy.table for policy in security.policies} & set(past[view.name])))
            message = (
                f"view {view.name} holds everybody's rows{f' of {held}' if held else ''}, past the row policies, so it "
                "is granted to roles with sees_all_rows alone, and none of them reads all tables: nobody can run "
                f"{listing(view.serves)} on it. Add a role of purpose analytics with sees_all_rows true that reads all "
                "tables ([]), or answer without the view"
            )
            yield error("rls.view_unreadable", "/roles", message)
