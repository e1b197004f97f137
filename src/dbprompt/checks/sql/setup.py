"""SQL that stands before a check and is not judged: it has to run, or nothing can be said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dbprompt.checks.sql.allow import ROLE_KINDS, rule
from dbprompt.checks.sql.grammar import GrammarRung
from dbprompt.checks.sql.routines import roles_made_inside
from dbprompt.checks.sql.tree import Parsed
from dbprompt.engines.base import Answer, Needs
from dbprompt.errors import SetupError
from dbprompt.evidence import Finding, Severity

if TYPE_CHECKING:
    from dbprompt.checks.sql.postgres_run import PostgresRun

__all__ = ["needs", "parse_setup", "run_setup"]


def parse_setup(rung: GrammarRung, sql: str, *, root: str = "/setup") -> tuple[Parsed, ...]:
    """The parsed statements of a setup, which has to be beyond doubt.

    Raises:
        SetupError: a statement is no SQL, or may not run.
    """
    parsed = []
    for number, statement in enumerate(rung.split(sql)):
        step = rung.read(statement)
        if step.parsed is None or not step.may_run:
            findings = [finding for finding in step.report.findings if finding.severity is not Severity.ADVICE]
            moved = [replace(finding, where=f"{root}/{number}") for finding in findings]
            raise SetupError(f"The setup cannot run: {'; '.join(map(str, moved))}", findings=moved)
        parsed.append(step.parsed)
    return tuple(parsed)


def run_setup(run: PostgresRun, statements: Sequence[Parsed], *, root: str = "/setup") -> None:
    """Runs a setup.

    Raises:
        SetupError: the engine refused a statement.
    """
    for number, parsed in enumerate(statements):
        outcome = run.outcome(parsed, rule(parsed))
        if outcome.answer is Answer.REFUSED:
            finding = Finding(f"engine.{outcome.condition}", Severity.ERROR, f"{root}/{number}", outcome.message)
            raise SetupError(f"The setup does not run: {finding}", findings=(finding,))


def needs(parsed: Iterable[Parsed]) -> Needs:
    """What a sandbox has to arrange before the first statement."""
    everything = tuple(parsed)
    wanted = {str(one.body.get("extname", "")) for one in everything if one.kind == "CreateExtensionStmt"}
    return Needs(frozenset(wanted), roles=any(_touches_roles(one) for one in everything))


def _touches_roles(one: Parsed) -> bool:
    renames = one.kind == "RenameStmt" and one.body.get("renameType") == "OBJECT_ROLE"
    return one.kind in ROLE_KINDS or renames or any(roles_made_inside(one))
