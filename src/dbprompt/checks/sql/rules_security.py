"""Who may see which rows, as far as a script tells beyond its policies, which the engine's catalogue is asked about.

Poor: a tenant's table without row security where others have it; a policy that asks `current_setting()` for each row; a
view that reads a protected table with its owner's rights; a SECURITY DEFINER function that takes tables from whatever
search_path its caller sets; GRANT SELECT ... TO PUBLIC on a table of password hashes.
Better: row security on each of them; USING (tenant_id = (SELECT current_setting('app.tenant_id')::bigint)), the
subquery so that it is asked once; WITH (security_invoker = true); SET search_path = ''.

Sources: postgresql.org/docs/18/ddl-rowsecurity.html, sql-createview.html, sql-createfunction.html ("Writing SECURITY
DEFINER Functions Safely"); facts/mistakes_and_rules.md, 3 and 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.checks.base_design import listing
from dbprompt.checks.base_trees import Node, find, function_name, words
from dbprompt.checks.sql.base_script import Seen, relation_name, said
from dbprompt.checks.sql.outline import Outline
from dbprompt.evidence import Finding, Severity

__all__ = ["rules_security"]

_TENANT = re.compile(r"^(tenant|org|organi[sz]ation|workspace)(_id|_uuid)?$")
_SENSITIVE = re.compile(
    r"(^|_)(password|passwd|pwd)(_hash)?$|(^|_)(ssn|iban|passport(_no|_number)?|tax_id|national_id|api_key|secret|"
    r"access_token|refresh_token|private_key|date_of_birth|salary|diagnosis)$"
)
_PER_ROW = {"current_setting", "uid", "jwt", "role"}
_OWN_SCHEMA = {"plpgsql", "pg_cron", "pg_tle"}


def rules_security(script: tuple[Seen, ...], outline: Outline) -> Iterator[Finding]:
    """Row security, views, functions, extensions and grants of a script."""
    protected = {
        relation_name(one.tree.node("relation"))
        for one in script
        if one.kind == "AlterTableStmt" and _enables(one.tree)
    }
    for one in script:
        match one.kind:
            case "CreatePolicyStmt":
                yield from _policy(one)
            case "ViewStmt":
                yield from _view(one, protected)
            case "CreateFunctionStmt":
                yield from _function(one)
            case "CreateExtensionStmt":
                yield from _extension(one)
            case "GrantStmt":
                yield from _grant(one, outline)
    yield from _left_out(outline, protected)


def _enables(tree: Node) -> bool:
    return any(command.text("subtype") == "AT_EnableRowSecurity" for command in tree.nodes("cmds"))


def _policy(one: Seen) -> Iterator[Finding]:
    name = one.tree.text("policy_name")
    conditions = [node for field in ("qual", "with_check") if (node := one.tree.node(field))]
    if calls := sorted({call for node in conditions for call in _asked_per_row(node)}):
        message = (
            f"policy {name} calls {listing(calls)} for each row that is read; put it into a subquery, (SELECT "
            f"{calls[0]}(...)), and it is asked once a statement"
        )
        yield from said(Severity.ADVICE, "rls.per_row_call", one, message)


def _asked_per_row(node: Node) -> Iterator[str]:
    if node.kind == "SubLink":
        return
    if node.kind == "FuncCall" and function_name(node) in _PER_ROW:
        yield ".".join(words(node.nodes("funcname")))
    for child in node.children():
        yield from _asked_per_row(child)


def _left_out(outline: Outline, protected: set[str]) -> Iterator[Finding]:
    """A tenant's table that was forgotten where others are protected."""
    for made in outline.tables.values() if protected else ():
        tenant = [column.name for column in made.table.columns if _TENANT.search(column.name)]
        if made.where and tenant and made.table.name not in protected:
            message = (
                f"{made.table.name} belongs to a {tenant[0]} and has no row security, as {listing(sorted(protected))} "
                f"have; add ALTER TABLE {made.table.name} ENABLE ROW LEVEL SECURITY and a policy"
            )
            yield Finding("rls.missing", Severity.WARNING, made.where, message)


def _view(one: Seen, protected: set[str]) -> Iterator[Finding]:
    invokes = any(
        option.text("defname") == "security_invoker" and _is_on(option) for option in one.tree.nodes("options")
    )
    query = one.tree.node("query")
    read = {relation_name(relation) for relation in find(query, "RangeVar")} if query else set()
    if not invokes and (open_ones := sorted(read & protected)):
        name = relation_name(one.tree.node("view"))
        message = (
            f"view {name} reads {listing(open_ones)} with its owner's rights, past their row security; create it WITH "
            "(security_invoker = true)"
        )
        yield from said(Severity.WARNING, "security.definer_view", one, message)


def _is_on(option: Node) -> bool:
    value = option.node("arg")
    if value is None:
        return True
    return value.text("sval").lower() in {"true", "on", "1", "yes"} or bool(
        value.fields.get("boolval") or value.number("ival")
    )


def _function(one: Seen) -> Iterator[Finding]:
    options = {option.text("defname"): option for option in one.tree.nodes("options")}
    settings = [
        setting.text("name")
        for option in one.tree.nodes("options")
        if option.text("defname") == "set"
        for setting in find(option, "VariableSetStmt")
    ]
    if "security" in options and _is_on(options["security"]) and "search_path" not in settings:
        name = words(one.tree.nodes("funcname"))[-1]
        message = (
            f"function {name} runs with its owner's rights and takes its tables from the caller's search_path, so the "
            "caller can put others in their place; add SET search_path = '' and qualify every name"
        )
        yield from said(Severity.WARNING, "security.mutable_search_path", one, message)


def _extension(one: Seen) -> Iterator[Finding]:
    name = one.tree.text("extname")
    schemas = [option for option in one.tree.nodes("options") if option.text("defname") == "schema"]
    if not schemas and name not in _OWN_SCHEMA:
        message = (
            f"extension {name} lands in the first schema of the search_path, public as a rule, among your own tables; "
            f"make a schema for extensions and say SCHEMA extensions"
        )
        yield from said(Severity.ADVICE, "security.extension_in_public", one, message)


def _grant(one: Seen, outline: Outline) -> Iterator[Finding]:
    """Reading whole tables is granted to everybody."""
    public = any(role.text("roletype") == "ROLESPEC_PUBLIC" for role in one.tree.nodes("grantees"))
    privileges = one.tree.nodes("privileges")
    reads = not privileges or any(
        right.text("priv_name") in {"", "select"} and not right.has("cols") for right in privileges
    )
    if not (one.tree.fields.get("is_grant") and public and reads and one.tree.text("objtype") == "OBJECT_TABLE"):
        return
    every = one.tree.text("targtype") == "ACL_TARGET_ALL_IN_SCHEMA"
    names = list(outline.tables) if every else [relation_name(relation) for relation in one.tree.nodes("objects")]
    for made in (outline.tables[name] for name in names if name in outline.tables):
        if secret := [column.name for column in made.table.columns if _SENSITIVE.search(column.name)]:
            message = (
                f"everybody may read {listing(secret)} of {made.table.name}; grant to the role that needs it, or only "
                "the other columns: GRANT SELECT (...)"
            )
            yield from said(Severity.WARNING, "security.sensitive_exposed", one, message)
