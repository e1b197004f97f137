"""The two parsers' rungs for one PostgreSQL statement: sqlglot, then PostgreSQL's own grammar, then the allow-list.

Poor: `SELECT id FROM orders LIMIT 5 ORDER BY id`: the grammar refuses it, and sqlglot's opinion no longer matters.
Better: `SELECT id FROM orders ORDER BY id LIMIT 5`. If sqlglot alone refuses, that is a warning and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbprompt.checks.base import Statement
from dbprompt.checks.sql import allow, sqlglot_parser, tree
from dbprompt.checks.sql.advice import advise_syntax
from dbprompt.checks.sql.allow import Route, Ruling
from dbprompt.checks.sql.dump import without_data
from dbprompt.checks.sql.routines import is_plpgsql
from dbprompt.checks.sql.sqlglot_parser import Opinion, Said
from dbprompt.checks.sql.tree import Broken, Parsed
from dbprompt.errors import MissingExtraError
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict

__all__ = ["GrammarRung", "Step", "opinion_verdict"]

_ONLY_SYNTAX = "names, types and meaning"
_HOW_TO_GET = "PostgreSQL's grammar is not installed: pip install 'dbprompt[postgres]'"


@dataclass(frozen=True, slots=True)
class Step:
    """How far one statement came without an engine.

    Args:
        statement: what was asked.
        parsed: its tree; None if the grammar refused it or was not there.
        ruling: what the allow-list says; None if there is no tree.
        report: findings and verdicts so far.
    """

    statement: Statement
    parsed: Parsed | None
    ruling: Ruling | None
    report: Report

    @property
    def may_run(self) -> bool:
        """Whether the engine may see it."""
        closed = {Route.OUTSIDE, Route.FORBIDDEN}
        return self.ruling is not None and self.ruling.route not in closed and not self.report.errors


class GrammarRung:
    """Both parsers and the allow-list.

    Attributes:
        available: whether PostgreSQL's own grammar is installed.
    """

    def __init__(self) -> None:
        try:
            tree.checker()
        except MissingExtraError:
            self.available = False
        else:
            self.available = True

    def split(self, sql: str) -> tuple[Statement, ...]:
        """The statements of a script, each with its place. A dump's rows are passed over."""
        sql = without_data(sql)
        if self.available:
            pieces = [(piece.offset, piece.sql, _title(piece)) for piece in tree.split(sql)]
        else:
            pieces = [(offset, text, _words(text)) for offset, text in sqlglot_parser.split(sql, "postgres")]
        found = []
        for number, (offset, text, title) in enumerate(pieces):
            line = sql.count("\n", 0, offset) + 1
            column = offset - sql.rfind("\n", 0, offset)
            found.append(Statement(f"/statements/{number}", title, text, line=line, column=column))
        return tuple(found)

    def climb(self, statement: Statement) -> Step:
        """Parses one statement with both parsers and asks the allow-list."""
        return self.with_opinion(self.read(statement))

    def read(self, statement: Statement) -> Step:
        """Parses one statement with PostgreSQL's own grammar and asks the allow-list: what an engine waits for."""
        native = self._parse(statement.sql)
        if native is None:
            return Step(statement, None, None, Report())
        if isinstance(native, Broken):
            return Step(statement, None, None, _broken(statement, native))
        if len(native) != 1:
            return Step(statement, None, None, _wrong_count(statement, len(native)))
        ruling = allow.rule(native[0])
        report = (
            _accepted(statement)
            + _body(statement, native[0])
            + _kind_problem(statement, native[0])
            + _ruled(statement, ruling)
        )
        return Step(statement, native[0], ruling, report)

    def with_opinion(self, step: Step) -> Step:
        """A step with sqlglot's opinion in front. Beside the native grammar it decides nothing, so it may come late."""
        statement = step.statement
        opinion = sqlglot_parser.opine(statement.sql, "postgres") if statement.sql.strip() else Opinion(Said.EMPTY)
        if step.parsed is not None and opinion.said in {Said.REFUSED, Said.EMPTY}:
            return replace(step, report=_outvoted(statement, opinion) + step.report)
        said = Report(verdicts=(opinion_verdict(statement, opinion),))
        if not self.available:
            said += _no_grammar(statement, opinion)
        return replace(step, report=said + step.report)

    def _parse(self, sql: str) -> tuple[Parsed, ...] | Broken | None:
        return tree.parse(sql) if self.available else None


def opinion_verdict(statement: Statement, opinion: Opinion) -> Verdict:
    """sqlglot's verdict when no stronger parser speaks."""
    status, uncovered = {
        Said.PARSED: (Status.PASSED, _ONLY_SYNTAX),
        Said.EMPTY: (Status.FAILED, "there is no statement in it"),
        Said.OPAQUE: (Status.NOT_CHECKED, "not parsed: sqlglot keeps it as an opaque command"),
        Said.REFUSED: (Status.FAILED, opinion.message),
        Said.GAVE_UP: (Status.INCONCLUSIVE, opinion.message),
    }[opinion.said]
    return Verdict(statement.artefact, statement.where, status, Tier.PARSER, sqlglot_parser.checker(), uncovered)


def _no_grammar(statement: Statement, opinion: Opinion) -> Report:
    """Without the native grammar, sqlglot's refusal is all there is."""
    missing = Verdict(statement.artefact, statement.where, Status.NOT_CHECKED, Tier.NOTHING, "postgast", _HOW_TO_GET)
    if opinion.said is Said.REFUSED:
        message = f"sqlglot cannot parse it: {opinion.message}."
        return Report((Finding("sql.syntax", Severity.ERROR, statement.where, message),), (missing,))
    if opinion.said is Said.EMPTY:
        return Report((_empty(statement),), (missing,))
    return Report(verdicts=(missing,))


def _broken(statement: Statement, broken: Broken) -> Report:
    if broken.too_deep:
        verdict = _native(statement, Status.INCONCLUSIVE, broken.message)
        message = f"{broken.message}, so it cannot be let near the engine: break it up."
        return Report((Finding("sql.too_deep", Severity.ERROR, statement.where, message),), (verdict,))
    advice = advise_syntax(broken.message)
    sentence = f"{broken.message}{statement.place(broken.position)}" + (f". {_capital(advice)}." if advice else ".")
    finding = Finding("sql.syntax", Severity.ERROR, statement.where, sentence)
    return Report((finding,), (_native(statement, Status.FAILED),))


def _wrong_count(statement: Statement, count: int) -> Report:
    verdict = _native(statement, Status.FAILED)
    if count == 0:
        return Report((_empty(statement),), (verdict,))
    message = f"it holds {count} statements where one is expected: keep one."
    return Report((Finding("sql.many_statements", Severity.ERROR, statement.where, message),), (verdict,))


def _empty(statement: Statement) -> Finding:
    message = "there is no statement in it: it is empty, or everything is commented out."
    return Finding("sql.empty", Severity.ERROR, statement.where, message)


def _outvoted(statement: Statement, opinion: Opinion) -> Report:
    """sqlglot refuses what PostgreSQL's own grammar accepts."""
    verdict = replace(
        opinion_verdict(statement, opinion),
        status=Status.INCONCLUSIVE,
        uncovered="refused, and overruled by PostgreSQL's own grammar",
    )
    message = f"sqlglot cannot parse it, PostgreSQL's own grammar can: {opinion.message}."
    return Report((Finding("sql.portability", Severity.ADVICE, statement.where, message),), (verdict,))


def _accepted(statement: Statement) -> Report:
    return Report(verdicts=(_native(statement, Status.PASSED, _ONLY_SYNTAX),))


def _body(statement: Statement, parsed: Parsed) -> Report:
    """What the plpgsql parser makes of a body. It does not know the tables, so its refusal is not the last word."""
    if not is_plpgsql(parsed):
        return Report()
    inside = tree.parse_plpgsql(parsed.sql)
    if isinstance(inside, Broken):
        return Report(verdicts=(_native(statement, Status.INCONCLUSIVE, f"its plpgsql body: {inside.message}"),))
    return Report(verdicts=(_native(statement, Status.PASSED, "names in its plpgsql body"),))


def _kind_problem(statement: Statement, parsed: Parsed) -> Report:
    if statement.kinds is None or parsed.kind in statement.kinds:
        return Report()
    wanted = ", ".join(sorted(kind.removesuffix("Stmt").upper() for kind in statement.kinds))
    message = f"it is a {parsed.kind.removesuffix('Stmt')} statement where only {wanted} may stand."
    return Report((Finding("sql.kind", Severity.ERROR, statement.where, message),))


def _ruled(statement: Statement, ruling: Ruling) -> Report:
    match ruling.route:
        case Route.FORBIDDEN:
            message = f"it may not run: {ruling.reason}."
            finding = Finding("sql.forbidden", Severity.ERROR, statement.where, message)
            verdict = Verdict(statement.artefact, statement.where, Status.FAILED, Tier.RULE, "dbprompt allow-list")
            return Report((finding,), (verdict,))
        case Route.OUTSIDE:
            message = f"it was parsed and not run: {ruling.reason}."
            return Report((Finding("sql.not_run", Severity.WARNING, statement.where, message),))
    return Report()


def _native(statement: Statement, status: Status, uncovered: str = "") -> Verdict:
    return Verdict(statement.artefact, statement.where, status, Tier.VENDOR, tree.checker(), uncovered)


def _title(piece: Parsed | Broken) -> str:
    return _words(piece.sql)


def _words(text: str) -> str:
    """The beginning of a statement, as a title."""
    words = " ".join(text.split()[:12])
    return words if len(words) <= _TITLE else f"{words[: _TITLE - 1]}…"


_TITLE = 48


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
