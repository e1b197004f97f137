"""Row policies as they stand once everything has run: in vain, open to everybody, closed to everybody, or circular.

Poor: `CREATE POLICY own ON orders USING (user_id = ...)` and no `ENABLE ROW LEVEL SECURITY`: the policy does nothing.
Poor: one policy, AS RESTRICTIVE: it only takes away from what permissive ones give, and there is none.
Poor: a policy on users that reads users: "infinite recursion detected in policy for relation".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dbprompt.checks.base import Statement
from dbprompt.checks.base_trees import Broken, Node, expression, find
from dbprompt.checks.sql.base_script import relation_name
from dbprompt.checks.sql.plpgsql_bodies import Prober
from dbprompt.checks.sql.plpgsql_catalogue import quoted
from dbprompt.checks.sql.tree import Parsed
from dbprompt.engines.base import Outcome
from dbprompt.evidence import Finding, Severity

__all__ = ["policy_findings"]

# ruff: noqa: S608  (the queries below are put together from constants and quoted names)
_OURS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'dbprompt_extensions')"
_POLICIES = (
    "SELECT c.relname, format('%I.%I', n.nspname, c.relname), c.relrowsecurity, c.relforcerowsecurity, p.polname, "
    "p.polcmd, p.polpermissive, array_to_string(p.polroles, ' '), pg_get_expr(p.polqual, p.polrelid), "
    "pg_get_expr(p.polwithcheck, p.polrelid), EXISTS (SELECT 1 FROM pg_policy q WHERE q.polrelid = p.polrelid "
    "AND q.polpermissive AND ('*' IN (p.polcmd, q.polcmd) OR p.polcmd = q.polcmd) "
    "AND (p.polroles = '{0}' OR q.polroles = '{0}' OR EXISTS (SELECT 1 FROM unnest(p.polroles) a, unnest(q.polroles) b "
    "WHERE pg_has_role(a, b, 'MEMBER')))) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_policy p ON p.polrelid = c.oid "
    f"WHERE c.relkind IN ('r', 'p') AND (c.relrowsecurity OR p.oid IS NOT NULL) AND {_OURS} ORDER BY 1, 5"
)
_WRITES = {"*": "reads and writes", "a": "inserts", "w": "updates", "d": "deletes", "r": "reads"}
_EVERYBODY = "0"
_MOST = 50


class _Sandbox(Prober, Protocol):
    def prepare(self, sql: str, parameter_types: Sequence[str] = ()) -> Outcome:
        """Has every name of one statement resolved, and its policies put in."""


@dataclass(frozen=True, slots=True)
class _Policy:
    table: str
    relation: str
    enabled: bool
    forced: bool
    name: str
    command: str
    permissive: bool
    roles: frozenset[str]
    using: str
    checked: str
    has_permissive: bool

    @property
    def for_everybody(self) -> bool:
        return self.roles == {_EVERYBODY}

    def holds_for(self, role: str) -> bool:
        return bool(self.roles & {_EVERYBODY, role})


def policy_findings(steps: Sequence[tuple[Statement, Parsed]], sandbox: _Sandbox) -> Iterator[Finding]:
    """Policies that do nothing, let everything through or cannot be read, and tables that are closed to everybody."""
    made = {
        (_relation(parsed, "table"), str(parsed.body.get("policy_name"))): statement
        for statement, parsed in steps
        if parsed.kind == "CreatePolicyStmt"
    }
    enabling = {_relation(parsed, "relation"): statement for statement, parsed in steps if _enables(parsed)}
    if not made and not enabling:
        return
    policies = []
    for row in sandbox.rows(_POLICIES):
        if row[4] is not None:
            policies.append(_policy(row))
        elif (statement := enabling.get(str(row[0]))) is not None:
            who = "not even its owner sees a row" if row[3] == "t" else "only its owner sees any row"
            message = f"row-level security is on for {row[0]} and there is no policy: {who}."
            yield Finding("rls.no_policy", Severity.ADVICE, statement.where, message)
    for policy in policies:
        if (statement := made.get((policy.table, policy.name))) is not None:
            yield from _of_one(policy, statement.where)
    yield from _circular(policies, made, sandbox)


def _of_one(policy: _Policy, where: str) -> Iterator[Finding]:
    table, name = policy.table, policy.name
    if not policy.enabled:
        message = (
            f"policy {name} has no effect: row-level security is off for {table}. Add ALTER TABLE {table} ENABLE ROW "
            "LEVEL SECURITY."
        )
        yield Finding("rls.not_enabled", Severity.WARNING, where, message)
    elif not policy.forced:
        message = f"policy {name} does not bind the owner of {table}; FORCE ROW LEVEL SECURITY does."
        yield Finding("rls.not_forced", Severity.ADVICE, where, message)
    if not policy.permissive:
        if policy.enabled and not policy.has_permissive:
            message = (
                f"policy {name} is RESTRICTIVE, so it only takes away from what permissive policies give, and {table} "
                f"has none for its roles: none of their {_WRITES.get(policy.command, 'commands')} finds a row. Leave "
                "AS RESTRICTIVE out, or add a permissive policy."
            )
            yield Finding("rls.no_policy", Severity.WARNING, where, message)
        return
    if policy.using == "true" and policy.command == "r":  # somebody said that the rows are for all to read
        if policy.for_everybody:
            message = f"policy {name} shows every row of {table} to everybody: right for public data, and nothing else."
            yield Finding("rls.always_true", Severity.ADVICE, where, message)
    elif _always(policy.using) or _always(policy.checked):
        message = (
            f"policy {name} is always true, so it lets all {_WRITES.get(policy.command, 'commands')} of {table} "
            f"through{'' if policy.for_everybody else ' for its roles'}: name whose rows they are."
        )
        yield Finding("rls.always_true", Severity.WARNING, where, message)


def _always(sql: str) -> bool:
    """Whether an expression is true for every row: `true`, `1 = 1`, `... OR true`, `user_id = user_id`."""
    tree = expression(sql) if sql else Broken("")
    return not isinstance(tree, Broken) and _is_true(tree)


def _is_true(node: Node) -> bool:
    if node.kind == "A_Const":
        literal = node.fields.get("boolval")
        return isinstance(literal, dict) and literal.get("boolval") is True
    if node.kind == "BoolExpr" and node.text("boolop") != "NOT_EXPR":
        each = [_is_true(one) for one in node.nodes("args")]
        return any(each) if node.text("boolop") == "OR_EXPR" else all(each)
    left, right = node.node("lexpr"), node.node("rexpr")
    operator = [one.text("sval") for one in node.nodes("name")]
    if node.kind != "A_Expr" or operator not in (["="], [">="], ["<="]) or left is None or right is None:
        return False
    return not any(find(left, "FuncCall", "SubLink")) and _shape(left) == _shape(right)


def _shape(node: Node) -> object:
    """A tree without its places in the text."""
    return (node.kind, _bare(node.fields))


def _bare(value: object) -> object:
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if key != "location"}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _circular(
    policies: Sequence[_Policy], made: Mapping[tuple[str, str], Statement], sandbox: _Sandbox
) -> Iterator[Finding]:
    """Tables that no role can read, because a policy of them reads them again; the engine is asked for each role."""
    reading = [one for one in policies if one.enabled and _reads(one.using)]
    mine = [one for one in reading if (one.table, one.name) in made][:_MOST]
    if not mine or sandbox.in_transaction:
        return
    told: set[str] = set()
    for role in sorted(frozenset().union(*(one.roles for one in mine)))[:_MOST]:
        asked = [one for one in mine if one.holds_for(role) and one.relation not in told]
        for relation, message in _seen_by(role, policies, dict.fromkeys(one.relation for one in asked), sandbox):
            told.add(relation)
            policy = next(one for one in asked if one.relation == relation)
            yield Finding(
                "rls.recursive",
                Severity.WARNING,
                made[policy.table, policy.name].where,
                f"policy {policy.name} makes {policy.table} unreadable: {message}. Put the query into a SECURITY "
                "DEFINER function whose owner passes the policies by, or compare with a setting.",
            )


def _seen_by(
    role: str, policies: Sequence[_Policy], relations: Iterable[str], sandbox: _Sandbox
) -> Iterator[tuple[str, str]]:
    """The tables that the engine refuses to read under the policies of one role, tried and rolled back."""
    sandbox.run("BEGIN")
    try:
        for policy in (one for one in policies if one.enabled):
            on = f"{quoted(policy.name)} ON {policy.relation}"
            if not policy.holds_for(role):
                sandbox.run(f"DROP POLICY {on}")
            elif not policy.for_everybody:
                sandbox.run(f"ALTER POLICY {on} TO PUBLIC")
        for relation in dict.fromkeys(one.relation for one in policies if one.enabled):
            sandbox.run(f"ALTER TABLE {relation} FORCE ROW LEVEL SECURITY")  # so that the owner is held to them
        sandbox.run("SAVEPOINT dbprompt_policies")
        for relation in relations:
            outcome = sandbox.prepare(f"SELECT FROM {relation}")
            if "infinite recursion" in outcome.message:
                yield relation, outcome.message
            sandbox.run("ROLLBACK TO SAVEPOINT dbprompt_policies")
    finally:
        sandbox.run("ROLLBACK")


def _reads(using: str) -> bool:
    tree = expression(using) if using else Broken("")
    return not isinstance(tree, Broken) and any(find(tree, "RangeVar"))


def _policy(row: tuple[str | None, ...]) -> _Policy:
    table, relation, enabled, forced, name, command, permissive, roles, using, checked, beside = row
    return _Policy(
        str(table), str(relation), enabled == "t", forced == "t", str(name), str(command), permissive == "t",
        frozenset((roles or "").split()), using or "", checked or "", beside == "t",
    )  # fmt: skip


def _enables(parsed: Parsed) -> bool:
    return parsed.kind == "AlterTableStmt" and any(
        node.get("subtype") == "AT_EnableRowSecurity" for node in parsed.below.get("AlterTableCmd", ())
    )


def _relation(parsed: Parsed, field: str) -> str:
    return relation_name(Node(parsed.kind, parsed.body).node(field))
