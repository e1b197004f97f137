"""Acting as the roles of a design: they are made in the sandbox, with what they own and may do, and become in turn.

Roles belong to the whole server, so this needs a stage with a server of its own (`stage(..., roles=True)`). The
statements are those of security.sql and audit.sql. What only names roles is run as superuser, for it is ours alone;
whatever holds SQL of the design (the policies) is run as the sandbox's role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from dbprompt.checks.engine import target_major
from dbprompt.checks.sql import tree
from dbprompt.checks.sql.allow import Route, rule
from dbprompt.checks.sql.postgres_run import PostgresRun
from dbprompt.checks.sql.tree import Broken, Parsed
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Outcome
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.errors import EngineError
from dbprompt.proofs.base import NoStageError, Stage
from dbprompt.render.postgres import Statement, UnsafeSqlError, identifier, literal
from dbprompt.render.postgres.audit import audit_statements
from dbprompt.render.postgres.security import OWNER, RECORD_OWNER, security_statements
from dbprompt.sections.security import Security

__all__ = ["NO_RIGHT", "Acting", "Rows", "admit"]

NO_RIGHT = "42501"
Rows = list[tuple[str | None, ...]]
_ABOUT_ROLES = {"GrantRoleStmt", "AlterDefaultPrivilegesStmt"}


@dataclass(frozen=True, slots=True)
class Acting:
    """A stage on which every role of the design can be acted as."""

    stage: Stage

    def attempt(
        self, role: str, sql: str, settings: Mapping[str, str] | None = None, *, then: str = ""
    ) -> tuple[Outcome, Rows]:
        """Runs one statement as a role, in a transaction with these settings that is rolled back.

        With `then`, that statement is run behind it by the one who made everything, and its rows are given.
        """
        sandbox = self.stage.sandbox
        sandbox.run("BEGIN")
        try:
            for name, value in (settings or {}).items():
                _must(sandbox.run(f"SELECT set_config({literal(name)}, {literal(value)}, true)"), f"setting {name}")
            _must(sandbox.run(f"SET LOCAL ROLE {identifier(role)}"), f"becoming {role}")
            outcome, rows = sandbox.fetch(sql)
            if not (then and outcome.ok):
                return outcome, rows
            _must(sandbox.run("RESET ROLE"), "being oneself again")
            return sandbox.fetch(then)
        finally:
            sandbox.run("ROLLBACK")

    def forget(self) -> None:
        """Begins a new session, in which no setting was ever made."""
        self.stage.sandbox.reconnect()


def admit(stage: Stage, subject: Subject, security: Security, as_of: date) -> Acting:
    """Makes the roles, hands the tables over, grants, and switches row security and the record of changes on.

    Args:
        stage: holds the tables.
        subject: the design; what it says of security is not looked at.
        security: who is admitted: the design's section, or less of it.
        as_of: the day that partitions are counted from.

    Raises:
        NoStageError: something of it did not run (the section's own verdicts say why), or the server is in use.
    """
    sandbox = stage.sandbox
    if sandbox.server.borrowed:
        raise NoStageError("roles are not made on a server that is in use: leave the DSN out for this proof")
    design = subject.design.only(("schema",)).with_section("security", security)
    try:
        written = (
            *security_statements(design, as_of=as_of, version=target_major(subject.brief), brief=subject.brief),
            *audit_statements(design),
        )
    except UnsafeSqlError as unsafe:
        raise NoStageError(f"an SQL text could leave its place: {unsafe.reason}") from unsafe
    run = PostgresRun(sandbox)
    for statement in written:
        _must(_load(run, sandbox, statement), statement.artefact)
    _may_become(sandbox, security, (OWNER, RECORD_OWNER) if security.recorded else (OWNER,))
    return Acting(stage)


def _load(run: PostgresRun, sandbox: PostgresSandbox, statement: Statement) -> Outcome:
    parsed = _parsed(statement)
    ruling = rule(parsed)
    if ruling.route in {Route.FORBIDDEN, Route.OUTSIDE}:
        raise NoStageError(f"{statement.artefact}: {ruling.reason}")
    outcome = run.outcome(parsed, ruling)
    if outcome.ok and parsed.kind in _ABOUT_ROLES:
        _for_real(sandbox, parsed.sql)
    return outcome


def _parsed(statement: Statement) -> Parsed:
    found = tree.parse(statement.sql)
    if isinstance(found, Broken) or len(found) != 1:
        raise NoStageError(f"{statement.artefact} is not one statement")
    return found[0]


def _for_real(sandbox: PostgresSandbox, sql: str) -> None:
    """Keeps what was only proven and rolled back."""
    reply = sandbox.admin().query(sql)
    if not reply.ok:
        raise NoStageError(f"{sql}: {reply.message}")


def _may_become(sandbox: PostgresSandbox, security: Security, owners: tuple[str, ...]) -> None:
    """The sandbox's role may become each role; it inherits the owners' rights alone."""
    modern = sandbox.server.installation.major >= 16
    try:
        for role in security.roles:
            if role.sees_all_rows:
                sandbox.admin().ask(f"ALTER ROLE {identifier(role.name)} BYPASSRLS")
            options = " WITH INHERIT FALSE, SET TRUE" if modern else ""
            sandbox.admin().ask(f"GRANT {identifier(role.name)} TO {sandbox.name}{options}")
        for owner in owners:
            sandbox.admin().ask(f"GRANT {owner} TO {sandbox.name}{' WITH INHERIT TRUE, SET TRUE' if modern else ''}")
    except EngineError as error:
        raise NoStageError(str(error)) from error


def _must(outcome: Outcome, what: str) -> None:
    if not outcome.ok:
        raise NoStageError(f"{what} did not run: {outcome.message}")
