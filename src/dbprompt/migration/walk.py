"""One passage through a migration on a sandbox of its own: before, rows, up, and what is seen on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dbprompt.checks.base_migration import Sizes, Step, commands
from dbprompt.checks.migration_order import ENUM_IN_USE, NOT_IN_BLOCK
from dbprompt.checks.sql.allow import Route, may_be_proven
from dbprompt.checks.sql.grammar import Step as Climbed
from dbprompt.checks.sql.postgres_run import PostgresRun
from dbprompt.checks.sql.tree import Parsed
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.observe import Observation, Observer
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.evidence import Report
from dbprompt.migration.steps import StepMaker

__all__ = ["Walk", "adds_required", "depends_on_data", "go_through", "run_again", "run_together"]

_BLOCK_ONLY = {"LockStmt", "DeclareCursorStmt"}


@dataclass(frozen=True, slots=True)
class Walk:
    """What became of the statements of one script.

    Args:
        steps: what each was seen to do.
        report: verdicts and the engine's findings.
        data_errors: numbers of statements that failed over the rows that were there.
        left_open: a transaction block was open at the end.
    """

    steps: tuple[Step, ...]
    report: Report
    data_errors: tuple[int, ...]
    left_open: bool


def go_through(sandbox: PostgresSandbox, run: PostgresRun, script: Sequence[Climbed], sizes: Sizes) -> Walk:
    """Runs a script statement by statement and watches it. One that fails does not hide the rest."""
    observer = Observer(sandbox)
    maker = StepMaker(observer.relations(), sizes)
    steps: list[Step] = []
    report, data_errors = Report(), []
    for number, climbed in enumerate(script):
        of, parsed = climbed.statement, climbed.parsed
        report += climbed.report
        if parsed is None or climbed.ruling is None or not climbed.may_run:
            report += run.skip(of, parsed, _reason(climbed))
            steps.append(Step(number, of.where, of.artefact, parsed=parsed))
            continue
        if climbed.ruling.route is Route.RUN:
            seen = _observed(observer, sandbox, parsed)
            step = maker.make(number, of, parsed, seen)
            outcome = seen.outcome
        else:  # a role, an extension, a setting: no table is touched
            outcome = run.outcome(parsed, climbed.ruling)
            step = Step(number, of.where, of.artefact, outcome, parsed=parsed)
        steps.append(step)
        if depends_on_data(outcome):
            data_errors.append(number)
        if outcome.code in {NOT_IN_BLOCK, ENUM_IN_USE}:  # a rule says more about it than the engine's words do
            report += Report(verdicts=run.judge(of, parsed, outcome, "").verdicts)
        else:
            report += _with_advice(run.judge(of, parsed, outcome, climbed.ruling.reason), steps[-1])
    left_open = sandbox.in_transaction
    if left_open:
        sandbox.run("COMMIT")
    return Walk(tuple(steps), report, tuple(data_errors), left_open)


def run_again(sandbox: PostgresSandbox, script: Sequence[Climbed]) -> list[tuple[int, Outcome]]:
    """Runs a script without a report: the statements that the engine refused."""
    failed = []
    observer = Observer(sandbox, watching=False)
    for number, climbed in enumerate(script):
        if (
            climbed.parsed is None
            or climbed.ruling is None
            or climbed.ruling.route is not Route.RUN
            or not climbed.may_run
        ):
            continue
        outcome = _observed(observer, sandbox, climbed.parsed).outcome
        if outcome.answer is Answer.REFUSED:
            failed.append((number, outcome))
    if sandbox.in_transaction:
        sandbox.run("COMMIT")
    return failed


def run_together(
    sandbox: PostgresSandbox, script: Sequence[Climbed], steps: Sequence[Step]
) -> list[tuple[int, Outcome]]:
    """Runs a script as one transaction and rolls it back: what fails there and does not by itself."""
    failed = []
    observer = Observer(sandbox, watching=False)
    sandbox.run("BEGIN")
    for number, climbed in enumerate(script):
        parsed, step = climbed.parsed, steps[number]
        if parsed is None or not step.observed or not step.ok or parsed.kind == "TransactionStmt":
            continue
        if step.in_transaction is False:
            continue
        outcome = observer.run(parsed.sql).outcome
        if outcome.code[:2] == "55":  # not in a prerequisite state: what the same transaction did stands in its way
            failed.append((number, outcome))
    sandbox.run("ROLLBACK")
    return failed


def depends_on_data(outcome: Outcome) -> bool:
    """Whether other rows might have led to another answer: a violated constraint, a value that cannot be converted."""
    return outcome.answer is Answer.REFUSED and outcome.code[:2] in {"22", "23"}


def _observed(observer: Observer, sandbox: PostgresSandbox, parsed: Parsed) -> Observation:
    bare = parsed.kind == "TransactionStmt" or (parsed.kind in _BLOCK_ONLY and not sandbox.in_transaction)
    seen = observer.run(parsed.sql, bare=bare)
    if seen.outcome.answer is Answer.UNDECIDED and seen.outcome.code == "42501" and may_be_proven(parsed):
        proven = sandbox.prove(parsed.sql)
        return Observation(proven, seen.setting, {}, seen.before, seen.after, None)
    return seen


def adds_required(step: Step) -> bool:
    """Whether it fails because a new column may not be NULL and has no value for the old rows: any row shows that."""
    code = step.outcome.code if step.outcome is not None else ""
    return code == "23502" and any(kind == "AddColumn" for kind, _, _ in commands(step))


def _with_advice(report: Report, step: Step) -> Report:
    if not adds_required(step):
        return report
    advice = (
        " Give it a constant DEFAULT, which is kept in the catalogue and rewrites nothing; or add it nullable, fill "
        "it in batches, and set NOT NULL after a validated CHECK."
    )
    return replace(report, findings=tuple(replace(one, message=one.message + advice) for one in report.findings))


def _reason(climbed: Climbed) -> str:
    if climbed.ruling is not None and climbed.ruling.route is Route.OUTSIDE:
        return climbed.ruling.reason
    return "refused before it could run" if climbed.parsed is not None else "the grammar did not let it through"
