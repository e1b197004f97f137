"""The engine's rung: one statement after another in a sandbox, each to its own verdict.

Poor: stopping at the first error, or reporting every statement that trips over a table which failed before.
Better: every statement is tried; one that only lacks what failed before it is inconclusive, and names the cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from dbprompt.checks.base import Statement
from dbprompt.checks.sql.advice import advise
from dbprompt.checks.sql.after_policies import policy_findings
from dbprompt.checks.sql.after_run import default_findings, index_findings
from dbprompt.checks.sql.allow import Route, Ruling, may_be_proven
from dbprompt.checks.sql.base_script import tokens
from dbprompt.checks.sql.made import made
from dbprompt.checks.sql.plpgsql import missing_tables
from dbprompt.checks.sql.plpgsql_bodies import body_findings
from dbprompt.checks.sql.routines import roles_made_inside
from dbprompt.checks.sql.tree import Node, Parsed, nodes, strings
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.stand_ins import FUNCTIONS
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict

if TYPE_CHECKING:
    from dbprompt.engines.postgres.sandbox import PostgresSandbox

__all__ = ["PostgresRun"]

_MISSING = {"undefined_table", "undefined_object", "undefined_function", "undefined_column", "invalid_schema_name"}
_ABORTED = "25P02"


class PostgresRun:
    """One pass over a sandbox.

    Args:
        sandbox: where the statements run.
        uncovered: what every verdict has to own up to, `on 18 instead of 15`.
    """

    def __init__(self, sandbox: PostgresSandbox, uncovered: str = "") -> None:
        self._sandbox = sandbox
        self._uncovered = uncovered
        self._acting = ""  # the role that the script has become, though its statements still run as the owner
        self._acting_locally = False
        self._block: set[str] = set()  # what the open transaction block made: lost if it fails
        self._broken_by = ""  # the artefact that failed it
        self._refused: set[str] = set()  # places of the statements that did not get through
        self._failed: dict[str, str] = {}  # what should exist by now -> the artefact that should have made it
        self._hidden_role = False  # a block was not let make a role whose name its tree does not tell
        self._missing_extensions: list[str] = []
        self._replaced_extensions: list[str] = []  # a stand-in takes their place

    def run(self, statement: Statement, parsed: Parsed, ruling: Ruling) -> Report:
        """Tries one statement as the allow-list rules."""
        outcome = self._try(parsed, ruling)
        report = self._judge(statement, parsed, outcome, ruling.reason)
        self._become(parsed, outcome)
        self._follow_block(statement, parsed, outcome)
        return report

    def prepare(self, statement: Statement, parsed: Parsed) -> Report:
        """Has one query resolved under its parameter types."""
        outcome = self._sandbox.prepare(parsed.sql, statement.parameter_types)
        return self._judge(statement, parsed, outcome, "prepared, not run")

    def judge(self, statement: Statement, parsed: Parsed, outcome: Outcome, note: str) -> Report:
        """The findings and the verdict of a statement that somebody else ran, in its turn."""
        return self._judge(statement, parsed, outcome, note)

    def look_inside(self, steps: Iterable[tuple[Statement, Parsed]]) -> Report:
        """Looks at what has run as a whole: bodies that fail at their first call, policies and indexes in vain."""
        if self._failed:  # a missing table may be one of those, which have findings of their own
            return Report()
        steps = tuple(step for step in steps if step[0].where not in self._refused)
        found = [*policy_findings(steps, self._sandbox), *index_findings(steps, self._sandbox)]
        found += default_findings(steps, self._sandbox)
        bodies = [*body_findings(steps, self._sandbox)]
        known = {finding.where for finding in bodies if finding.code == "plpgsql.undefined_table"}
        tables = [one for one in missing_tables(steps, self._sandbox) if one.where not in known]
        return Report((*found, *bodies, *tables))

    def skip(self, statement: Statement, parsed: Parsed | None, reason: str) -> Report:
        """Records a statement that does not meet the engine."""
        if parsed is not None:
            self._failed.update(dict.fromkeys(made(parsed), statement.artefact))
        return Report(verdicts=(self._verdict(statement, Status.NOT_CHECKED, reason, tier=Tier.NOTHING),))

    def outcome(self, parsed: Parsed, ruling: Ruling) -> Outcome:
        """Runs a statement of a setup: its outcome, without a verdict."""
        outcome = self._try(parsed, ruling)
        self._become(parsed, outcome)
        return outcome

    def _try(self, parsed: Parsed, ruling: Ruling) -> Outcome:
        """Has a statement meet the engine, and once more where only a right was missing."""
        outcome = self._meet(parsed, ruling)
        if outcome.answer is not Answer.UNDECIDED or outcome.code != "42501":
            return outcome
        if may_be_proven(parsed):
            return self._sandbox.prove(parsed.sql)
        roles = {str(one.body.get("role", "")): one.sql for one in roles_made_inside(parsed)}
        self._hidden_role |= not roles and outcome.message.startswith("permission denied to create role")
        if roles and all(self._sandbox.create_role(name, sql).ok for name, sql in roles.items()):
            again = self._meet(parsed, ruling)
            note = f"run with {', '.join(roles)} made before, as the sandbox's role may not"
            return replace(again, note=note) if again.ok else outcome
        return outcome

    def _become(self, parsed: Parsed, outcome: Outcome) -> None:
        """Follows SET ROLE and SET SESSION AUTHORIZATION, which the sandbox's role never really does."""
        body = parsed.body
        if parsed.kind == "VariableSetStmt" and body.get("name") in {"role", "session_authorization"}:
            if outcome.answer is not Answer.REFUSED:
                self._acting = _role(body)
                self._acting_locally = bool(body.get("is_local"))
        elif parsed.kind == "TransactionStmt" and self._acting_locally and not self._sandbox.in_transaction:
            self._acting, self._acting_locally = "", False
        elif parsed.kind == "DiscardStmt" and body.get("target") == "DISCARD_ALL" and outcome.ok:
            self._acting = ""

    def _follow_block(self, statement: Statement, parsed: Parsed, outcome: Outcome) -> None:
        """Keeps in mind what a failed transaction block takes with it."""
        if self._sandbox.failed_transaction:
            self._broken_by = self._broken_by or statement.artefact
        elif self._sandbox.in_transaction:
            self._broken_by = ""  # back at a savepoint, or never broken
            self._block |= made(parsed) if outcome.ok else frozenset()
        else:
            self._failed.update(dict.fromkeys(self._block if self._broken_by else (), self._broken_by))
            self._block.clear()
            self._broken_by = ""

    def _meet(self, parsed: Parsed, ruling: Ruling) -> Outcome:
        sandbox, sql = self._sandbox, parsed.sql
        match ruling.route:
            case Route.RUN:
                return sandbox.run(sql)
            case Route.PREPARE:
                outcome = sandbox.prepare(sql)
                options = _explain_options(parsed)  # what a parse does not look at
                return sandbox.run(f"{options} SELECT 1") if outcome.ok and options else outcome
            case Route.PROVE:
                return sandbox.prove(sql)
            case Route.SETTING:
                outcome = sandbox.check_setting(ruling.name, ruling.value)
                return replace(outcome, note="; ".join(filter(None, (outcome.note, ruling.reason))))
            case Route.EXTENSION:
                return self._create_extension(parsed, ruling.name)
            case Route.CREATE_ROLE:
                return sandbox.create_role(ruling.name, sql)
            case Route.RENAME_ROLE:
                return sandbox.rename_role(ruling.name, ruling.value or "", sql)
            case Route.DROP_ROLE:
                return sandbox.drop_role(ruling.name, sql)
            case Route.GIVE:
                return sandbox.give(ruling.name, sql)
            case Route.OUTSIDE | Route.FORBIDDEN:
                return Outcome(Answer.UNDECIDED, message=f"not run: {ruling.reason}")

    def _create_extension(self, parsed: Parsed, name: str) -> Outcome:
        options = {str(node.get("defname")): node for key, node in nodes(parsed.body) if key == "DefElem"}
        schema = next(iter(_texts(options.get("schema"))), None)
        outcome = self._sandbox.create_extension(name, parsed.sql, schema=schema, cascade="cascade" in options)
        if outcome.answer is Answer.UNDECIDED:
            (self._replaced_extensions if outcome.note else self._missing_extensions).append(name)
        return outcome

    def _judge(self, statement: Statement, parsed: Parsed, outcome: Outcome, note: str) -> Report:
        if outcome.ok:
            for name in made(parsed):
                self._failed.pop(name, None)
            told = (outcome.note or note, self._rights(parsed), self._stand_ins(parsed), self._uncovered)
            uncovered = "; ".join(filter(None, told))
            return Report(verdicts=(self._verdict(statement, Status.PASSED, uncovered),))
        self._refused.add(statement.where)
        excuse = _missing_rows(parsed, outcome) or self._excuse(outcome)
        self._failed.update(dict.fromkeys(made(parsed), statement.artefact))
        if outcome.answer is Answer.UNDECIDED or excuse:
            return self._open(statement, outcome, excuse)
        finding = Finding(
            f"engine.{outcome.condition or outcome.code}",
            Severity.ERROR,
            statement.where,
            _sentence(outcome, statement, advise(outcome, parsed, self._sandbox)),
        )
        return Report((finding,), (self._verdict(statement, Status.FAILED, self._uncovered),))

    def _open(self, statement: Statement, outcome: Outcome, excuse: str) -> Report:
        reason = excuse or outcome.message
        verdict = self._verdict(statement, Status.INCONCLUSIVE, reason)
        if excuse or outcome.code == _ABORTED:  # the cause has a finding of its own
            return Report(verdicts=(verdict,))
        code = f"engine.{outcome.condition}" if outcome.condition else "engine.undecided"
        finding = Finding(code, Severity.WARNING, statement.where, f"The engine could not decide: {reason}.")
        return Report((finding,), (verdict,))

    def _excuse(self, outcome: Outcome) -> str:
        """Why a refusal says nothing about this statement; empty if it does."""
        if outcome.code == _ABORTED:
            return "skipped: an earlier statement of the same transaction failed"
        if "timescaledb" in self._replaced_extensions and re.search('namespace "(timescaledb|tsdb)"', outcome.message):
            return "it needs extension timescaledb, which this server does not have"
        if outcome.condition not in _MISSING:
            return ""
        for name in _mentioned(outcome.message):
            if name in self._failed:
                return f"it needs {name}, and {self._failed[name]} did not get through"
        if self._hidden_role and re.match(r'role "[^"]+" does not exist', outcome.message):
            return "it may need a role of an earlier block, which the sandbox did not let make one"
        missing = [*self._missing_extensions]
        if outcome.condition in {"undefined_function", "invalid_schema_name"}:
            missing += self._replaced_extensions  # a stand-in has only the functions that are asked for most
        if missing and outcome.condition != "undefined_column":
            return f"it may need extension {', '.join(missing)}, which this server does not have"
        return ""

    def _rights(self, parsed: Parsed) -> str:
        """That the rights of the role which the script has become were not checked."""
        if not self._acting or parsed.kind in {"TransactionStmt", "VariableSetStmt"}:
            return ""
        return f"run as the owner, not as {self._acting}: its rights were not checked"

    def _stand_ins(self, parsed: Parsed) -> str:
        """Which functions of a statement only stand in for those of a missing extension."""
        if "timescaledb" not in self._replaced_extensions:
            return ""
        called = {
            name for key, node in nodes(parsed.body) if key == "FuncCall" for name in strings(node.get("funcname"))
        }
        replaced = sorted(called & FUNCTIONS)
        return f"{', '.join(replaced)}: a stand-in that looks up table and column only" if replaced else ""

    def _verdict(self, statement: Statement, status: Status, uncovered: str, *, tier: Tier = Tier.ENGINE) -> Verdict:
        return Verdict(statement.artefact, statement.where, status, tier, self._sandbox.label, uncovered)


def _explain_options(parsed: Parsed) -> str:
    """`EXPLAIN (...)` without the statement that it explains; empty if there are no options to look at."""
    if parsed.kind != "ExplainStmt" or not parsed.body.get("options"):
        return ""
    depth, text = 0, ""
    for token in tokens(parsed.sql):
        depth += (token == "(") - (token == ")")  # noqa: S105  a sign, not a secret
        text += token
        if token == ")" and depth == 0:  # noqa: S105
            return text
        if depth == 0 and token.lower() in {"analyze", "analyse", "verbose"}:
            return ""  # the old form, whose options are part of the grammar
    return ""


def _missing_rows(parsed: Parsed, outcome: Outcome) -> str:
    """That COPY ... FROM STDIN only lacks its rows, a header among them, which never get to the engine."""
    lacks = parsed.kind == "CopyStmt" and bool(parsed.body.get("is_from")) and outcome.code == "22P04"
    return "its rows are not looked at, and it cannot be tried without them" if lacks else ""


def _texts(node: Node | None) -> list[str]:
    return [str(inner["sval"]) for key, inner in nodes(node) if key == "String" and "sval" in inner] if node else []


def _role(node: Node) -> str:
    """The role that SET ROLE names; empty for RESET, DEFAULT and NONE."""
    named = (inner.get("sval") for _, inner in nodes(node.get("args")) if "sval" in inner)
    texts = [str(one.get("sval")) if isinstance(one, dict) else str(one) for one in named]
    return next((text for text in texts if text.lower() != "none"), "")


def _mentioned(message: str) -> set[str]:
    """The names in an engine's message: quoted ones, and that of a function."""
    names = {name.rpartition(".")[2] for name in re.findall(r'"([^"]+)"', message)}
    function = re.match(r"function (?:\w+\.)?(\w+)\(", message)
    return names | ({function.group(1)} if function else set())


def _sentence(outcome: Outcome, statement: Statement, advice: str) -> str:
    parts = [f"{outcome.message}{statement.place(outcome.position)}"]
    parts += [text.rstrip(".") for text in (outcome.detail, outcome.hint, advice) if text]
    parts = [part[:1].upper() + part[1:] if number else part for number, part in enumerate(parts)]
    return ". ".join(parts) + ("" if parts[-1].endswith("?") else ".")
