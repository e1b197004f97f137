"""The ladder of checks for SQL text: parser, native grammar, allow-list, engine.

A higher rung may overrule a lower one's refusal, never its own absence: what was not checked is in the evidence.

>>> evidence = verify("CREATE TABLE t (id FOO)")
>>> evidence.findings[0].code
'engine.undefined_object'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING

from dbprompt.checks.base import Statement
from dbprompt.checks.settings import RuleSettings
from dbprompt.checks.sql import sqlglot_parser
from dbprompt.checks.sql.allow import Route
from dbprompt.checks.sql.dump import BYTE_ORDER_MARK
from dbprompt.checks.sql.grammar import GrammarRung, Step, opinion_verdict
from dbprompt.checks.sql.setup import needs, parse_setup, run_setup
from dbprompt.checks.sql.sqlglot_parser import SHORT, Said
from dbprompt.engines.base import Answer, Limits
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.errors import EngineUnavailableError, MissingExtraError, SetupError, TargetError
from dbprompt.evidence import Evidence, Finding, Report, Severity, Status, Tier, Verdict

if TYPE_CHECKING:
    from dbprompt.checks.sql.postgres_run import PostgresRun
    from dbprompt.engines.base_cell import CellSandbox

__all__ = ["climb", "verify"]

_LONGEST = 1_000_000
_NO_ENGINE = (
    "no engine for this dialect is built in: this is as far as sqlglot sees, which accepts nearly everything; names, "
    "types, options and meaning are not checked"
)
_EMPTY = "there is no statement in it: it is empty, or everything is commented out."
_IN_CELLS = ("sqlite", "duckdb")


def verify(
    sql: str,
    *,
    dialect: str = "postgres",
    setup: str | None = None,
    version: int | str | None = None,
    limits: Limits | None = None,
    ignore: Iterable[str] = (),
    severity: Mapping[str, str] | None = None,
) -> Evidence:
    """Checks SQL as far up the ladder as this machine allows. No model is needed.

    Args:
        sql: one statement or a script.
        dialect: postgres, sqlite and duckdb run on a real engine; mysql, tsql, oracle, clickhouse, bigquery and
            others are parsed only, and the evidence says so.
        setup: SQL that stands before and is not judged.
        version: major version of the engine that the SQL is for.
        limits: what the sandbox may use.
        ignore: rules that do not count, by id (`types.char`) or family (`types.*`); `dbprompt rules` lists them.
        severity: rules that weigh something else than usual, such as `{"references.no_primary_key": "error"}`.

    Returns:
        Evidence: `.ok`, `.findings`, `.verdicts`; `where` is `/statements/N`, counted from 0.

    Raises:
        TargetError: no such dialect or version.
        RuleError: `ignore` or `severity` name a rule that there is not.
        TypeError: `sql` is no text.
        SetupError: the setup does not run.
        EngineError: the engine failed by itself.
    """
    if not isinstance(sql, str):
        raise TypeError(f"sql has to be a str, not {type(sql).__name__}: decode bytes, and read a file first")
    settings = RuleSettings.of(ignore, severity)
    name = sqlglot_parser.DIALECTS.get(dialect.lower())
    if name is None:
        known = sorted(sqlglot_parser.DIALECTS)
        raise TargetError(f"There is no dialect {dialect!r}; there are {', '.join(known)}.", known=known)
    major = _major(version)
    if len(sql) > _LONGEST:
        return _refused("sql.too_long", f"it has {len(sql):,} characters; at most {_LONGEST:,} are checked at once.")
    if name in _IN_CELLS:
        return settings.over(_climb_in_a_cell(sql, name, setup, major, limits or Limits()))
    if name != "postgres":
        return settings.over(_parse_only(sql, name, _NO_ENGINE, setup))
    rung = GrammarRung()
    statements = rung.split(sql)
    if not statements:
        return _refused("sql.empty", _EMPTY)
    met = climb(statements, setup=setup, version=major, limits=limits)
    from dbprompt.checks.sql.rules import written_rules

    told = settings.apply(written_rules(statements, setup=setup or "", refused=_refused_at(met)))
    return Evidence.of([Report(verdicts=told.verdicts), settings.apply(met), replace(told, verdicts=())])


def _refused_at(report: Report) -> frozenset[str]:
    """Places of the statements that something has an error against, or that only trip over another's."""
    closed = (Status.FAILED, Status.INCONCLUSIVE)
    tripped = (one.where for one in report.verdicts if one.tier is Tier.ENGINE and one.status in closed)
    return frozenset((*(finding.where for finding in report.errors), *tripped))


def climb(
    statements: Sequence[Statement],
    queries: Sequence[Statement] = (),
    *,
    setup: str | None = None,
    version: int | None = None,
    limits: Limits | None = None,
) -> Report:
    """Checks PostgreSQL statements in one sandbox: `statements` run in order, then `queries` are prepared.

    A refused statement does not hide those after it. One that only lacks what failed before is inconclusive.

    Raises:
        SetupError: the setup does not run.
        EngineError: the engine failed by itself.
    """
    rung = GrammarRung()
    asked = (*statements, *queries)
    if not rung.available:
        steps = [rung.climb(statement) for statement in asked]
        return _without_engine(steps, "the allow-list needs the grammar: pip install 'dbprompt[postgres]'")
    steps = [rung.read(statement) for statement in asked]
    before = parse_setup(rung, setup or "")
    try:
        engine = PostgresEngine.of(version)
    except (EngineUnavailableError, MissingExtraError) as error:
        return _without_engine([rung.with_opinion(step) for step in steps], str(error))
    trees = [(step.statement, step.parsed) for step in steps if step.parsed is not None]
    wanted, given = needs([*before, *(parsed for _, parsed in trees)]), limits or Limits()
    engine.start(wanted, given)
    _load()
    from dbprompt.checks.sql.postgres_run import PostgresRun

    opinions = _opinions(rung, steps)  # they decide nothing beside the grammar, so the engine does not wait for them
    with engine.sandbox(wanted, given) as sandbox:
        sandbox.meanwhile(opinions)
        run = PostgresRun(sandbox, _other_version(engine, version))
        run_setup(run, before)
        reports = [_meet(run, step, prepare=index >= len(statements)) for index, step in enumerate(tuple(steps))]
        inside = run.look_inside(trees)
    for _ in chain(opinions, _opinions(rung, steps, longer=True)):
        pass
    return _joined([*chain.from_iterable(zip((step.report for step in steps), reports, strict=True)), inside])


def _load() -> None:
    """Loads what the way up goes on to need. It takes as long as the server takes to start, so both happen at once."""
    for name in ("sqlglot", "dbprompt.engines.postgres.sandbox", "dbprompt.checks.sql.rules"):
        import_module(name)


def _opinions(rung: GrammarRung, steps: list[Step], *, longer: bool = False) -> Iterator[None]:
    """Puts sqlglot's opinion into each step, one at a time: the short texts, or those that take it long."""
    for number, step in enumerate(steps):
        if (len(step.statement.sql) > SHORT) is longer:
            steps[number] = rung.with_opinion(step)
            yield


def _joined(reports: Iterable[Report]) -> Report:
    """Many reports as one, in time that grows with their number."""
    told = tuple(reports)
    return Report(
        tuple(chain.from_iterable(one.findings for one in told)),
        tuple(chain.from_iterable(one.verdicts for one in told)),
        tuple(chain.from_iterable(one.exhibits for one in told)),
        tuple(chain.from_iterable(one.ignored for one in told)),
    )


def _major(version: int | str | None) -> int | None:
    """The major version out of `15`, `"15"` or `"15.4"`."""
    if version is None:
        return None
    text = str(version).partition(".")[0]
    if not text.isdecimal():
        raise TargetError(f"There is no version {version!r}; give a major version such as 15.")
    return int(text)


def _other_version(engine: PostgresEngine, version: int | None) -> str:
    """What a verdict has to own up to when the target's major version is not on this machine."""
    here = engine.installation.major
    return "" if version in {None, here} else f"on {here} instead of {version}"


def _climb_in_a_cell(sql: str, dialect: str, setup: str | None, version: int | None, limits: Limits) -> Evidence:
    """The ladder for the engines that live in a process of their own, SQLite and DuckDB."""
    from dbprompt.checks.sql.cell_run import CellRun, statements_of
    from dbprompt.engines import duckdb, sqlite

    try:
        engine = sqlite.engine() if dialect == "sqlite" else duckdb.engine()
    except (EngineUnavailableError, MissingExtraError) as error:
        return _parse_only(sql, dialect, str(error), setup)
    here = int(engine.version.partition(".")[0])
    with engine.sandbox(limits=limits) as sandbox:
        _set_up_cell(sandbox, setup or "", dialect)
        statements = statements_of(sql, dialect, sandbox)
        if not statements:
            return _refused("sql.empty", _EMPTY)
        run = CellRun(sandbox, dialect, "" if version in {None, here} else f"on {here} instead of {version}")
        return Evidence.of([*[run.run(statement) for statement in statements], run.look_inside()])


def _set_up_cell(sandbox: CellSandbox, setup: str, dialect: str) -> None:
    from dbprompt.checks.sql.cell_run import statements_of

    for number, statement in enumerate(statements_of(setup, dialect, sandbox)):
        outcome = sandbox.run(statement.sql)
        if outcome.answer is Answer.REFUSED:
            finding = Finding(f"engine.{outcome.condition}", Severity.ERROR, f"/setup/{number}", outcome.message)
            raise SetupError(f"The setup does not run: {finding}", findings=(finding,))


def _parse_only(sql: str, dialect: str, reason: str, setup: str | None) -> Evidence:
    """The verdicts for a dialect without an engine: a parser's at best, and the engine's absence beside it."""
    found: list[Report] = []
    statements: list[Statement] = []
    for number, (offset, text) in enumerate(sqlglot_parser.split(sql.removeprefix(BYTE_ORDER_MARK), dialect)):
        line = sql.count("\n", 0, offset) + 1
        title = " ".join(text.split())[:48]
        statement = Statement(f"/statements/{number}", title, text, line=line)
        statements.append(statement)
        opinion = sqlglot_parser.opine(text, dialect)
        nobody = Verdict(title, statement.where, Status.NOT_CHECKED, Tier.NOTHING, dialect, reason)
        verdict = opinion_verdict(statement, opinion)
        findings: tuple[Finding, ...] = ()
        if opinion.said is Said.REFUSED:  # on the cases at hand, half of what it refuses is right
            message = f"sqlglot cannot parse it as {dialect}, and it does not know all of {dialect}: {opinion.message}."
            findings = (Finding("sql.unparsed", Severity.WARNING, statement.where, message),)
            verdict = replace(verdict, status=Status.INCONCLUSIVE)
        found.append(Report(findings, (verdict, nobody)))
    if not found:
        return _refused("sql.empty", _EMPTY)
    if dialect == "mysql":
        from dbprompt.checks.sql.mysql_keys import mysql_key_findings

        found.append(Report(tuple(mysql_key_findings(statements, setup or ""))))
    return Evidence.of(found)


def _refused(code: str, message: str) -> Evidence:
    """The evidence for text that holds nothing to check."""
    verdict = Verdict("script", "", Status.FAILED, Tier.RULE, "dbprompt")
    return Evidence((Finding(code, Severity.ERROR, "", message),), (verdict,))


def _without_engine(steps: Iterable[Step], reason: str) -> Report:
    """The parsers' reports, and beside each the reason why there is no engine's."""
    total = []
    for step in steps:
        of = step.statement
        nobody = Verdict(of.artefact, of.where, Status.NOT_CHECKED, Tier.NOTHING, "postgresql", reason)
        total += [step.report, Report(verdicts=() if step.report.errors else (nobody,))]
    return _joined(total)


def _meet(run: PostgresRun, step: Step, *, prepare: bool) -> Report:
    """One step's meeting with the engine, or the record that there was none."""
    if step.parsed is None or step.ruling is None:
        return run.skip(step.statement, None, "the grammar did not let it through")
    if not step.may_run:
        outside = step.ruling.route is Route.OUTSIDE
        return run.skip(step.statement, step.parsed, step.ruling.reason if outside else "refused before it could run")
    if prepare:
        return run.prepare(step.statement, step.parsed)
    return run.run(step.statement, step.parsed, step.ruling)
