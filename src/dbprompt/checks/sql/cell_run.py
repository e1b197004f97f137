"""The engine's rung for SQLite and DuckDB: one statement after another, each to its own verdict.

Poor: `CREATE VIEW v AS SELECT nope FROM orders`: SQLite accepts it, and every SELECT from it fails.
Better: a view over columns that exist. What the engine only notices at the first use is looked at after the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dbprompt.checks.base import Statement
from dbprompt.checks.sql import sqlglot_parser
from dbprompt.checks.sql.dump import BYTE_ORDER_MARK
from dbprompt.checks.sql.grammar import opinion_verdict
from dbprompt.checks.sql.sqlglot_parser import Said
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.base_cell import CellSandbox, Remark
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict

__all__ = ["CellRun", "statements_of"]

_MAKES = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:TEMP(?:ORARY)?|UNIQUE|VIRTUAL|PERSISTENT)\s+)?"
    r"(?:TABLE|VIEW|INDEX|TRIGGER|TYPE|SEQUENCE|SCHEMA|MACRO|FUNCTION)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"(?:[\"\w]+\.)?[\"'`\[]?(\w+)",
    re.IGNORECASE,
)
_MISSING = {"undefined_table", "undefined_column", "undefined_function", "undefined_object", "duplicate_object"}
_LACKING_EXCUSES = {"undefined_table", "undefined_function", "undefined_object"}
_REMARKS = {"table": "sql.broken_reference", "view": "sql.broken_view", "trigger": "sql.broken_trigger"}
_ADVICE = {
    "sqlite": {
        r'"(?:AUTO_INCREMENT|auto_increment)"': "write INTEGER PRIMARY KEY, which numbers by itself",
        r'near "INCLUDE"': "SQLite has no INCLUDE: add the columns to the key",
        r'token: ":"': "use CAST(... AS ...)",
        r'near "(?:GRANT|REVOKE|COMMENT|TRUNCATE)"': "SQLite has no such statement: leave it out",
        r"date_trunc": "use strftime() or date()",
        r"function: (?:now|getdate)": "use CURRENT_TIMESTAMP or datetime('now')",
        r"AUTOINCREMENT": "write INTEGER PRIMARY KEY AUTOINCREMENT, with that very type",
        r'near "\("': "an expression as a default stands in parentheses: DEFAULT (...)",
    },
    "duckdb": {
        r'"(?:AUTO_INCREMENT|AUTOINCREMENT|IDENTITY)"': "use a sequence: DEFAULT nextval('...')",
        r"index type": "DuckDB knows ART (the default); leave USING out",
        r"partial indexes": "leave WHERE out",
        r'"POLICY"': "DuckDB has no row-level security",
        r'near "\d+"': "use LIMIT at the end instead of TOP",
    },
}


def statements_of(sql: str, dialect: str, sandbox: CellSandbox) -> tuple[Statement, ...]:
    """The statements of a script with their places, cut as the dialect's own engine cuts them."""
    sql = sql.removeprefix(BYTE_ORDER_MARK)
    pieces = _sqlite_pieces(sql) if dialect == "sqlite" else _located(sql, sandbox.split(sql))
    if not pieces:
        pieces = sqlglot_parser.split(sql, dialect)
    found = []
    for number, (offset, text) in enumerate(pieces):
        words = " ".join(text.split())
        title = words if len(words) <= 48 else f"{words[:47]}…"
        line, column = sql.count("\n", 0, offset) + 1, offset - sql.rfind("\n", 0, offset)
        found.append(Statement(f"/statements/{number}", title, text, line=line, column=column))
    return tuple(found)


class CellRun:
    """One pass over a sandbox.

    Args:
        sandbox: where the statements run.
        dialect: `sqlite` or `duckdb`.
        uncovered: what every verdict has to own up to, `on 2 instead of 1`.
    """

    def __init__(self, sandbox: CellSandbox, dialect: str, uncovered: str = "") -> None:
        self._sandbox = sandbox
        self._dialect = dialect
        self._uncovered = uncovered
        self._failed: dict[str, str] = {}
        self._makers: dict[str, Statement] = {}
        self._lacking: list[str] = []

    def run(self, statement: Statement) -> Report:
        """Tries one statement."""
        opinion = sqlglot_parser.opine(statement.sql, self._dialect)
        outcome = self._sandbox.run(statement.sql)
        first = opinion_verdict(statement, opinion)
        if opinion.said is Said.REFUSED:
            overruled = "refused, and overruled by the engine's own parser" if outcome.ok else opinion.message
            first = replace(first, status=Status.INCONCLUSIVE, uncovered=overruled)
        return Report(verdicts=(first,)) + self._judge(statement, outcome)

    def look_inside(self) -> Report:
        """Warns of what the engine accepted and will refuse when it is used."""
        found = [self._remark(remark) for remark in self._sandbox.inspect()] if not self._failed else []
        return Report(tuple(finding for finding in found if finding is not None))

    def _judge(self, statement: Statement, outcome: Outcome) -> Report:
        made = _made(statement.sql)
        if outcome.ok:
            self._makers[made] = statement
            self._failed.pop(made, None)
            uncovered = "; ".join(filter(None, (outcome.note, self._uncovered)))
            findings = self._ignored(statement, outcome)
            return Report(findings, (self._verdict(statement, Status.PASSED, uncovered),))
        excuse = self._excuse(outcome)
        if made:
            self._failed[made] = statement.artefact
        if outcome.answer is Answer.UNDECIDED or excuse:
            return self._open(statement, outcome, excuse)
        message = outcome.message.strip().rstrip(".") + statement.place(outcome.position)
        advice = _advice(self._dialect, outcome.message)
        sentence = f"{message}. {advice[:1].upper()}{advice[1:]}." if advice else f"{message}."
        finding = Finding(f"engine.{outcome.condition}", Severity.ERROR, statement.where, sentence)
        return Report((finding,), (self._verdict(statement, Status.FAILED, self._uncovered),))

    def _open(self, statement: Statement, outcome: Outcome, excuse: str) -> Report:
        reason = excuse or outcome.message
        verdicts = [self._verdict(statement, Status.INCONCLUSIVE, reason)]
        if excuse:  # the cause has a finding of its own
            return Report(verdicts=tuple(verdicts))
        if outcome.condition == "closed":  # the parser was done with it before the sandbox said no
            parser = f"{self._sandbox.label} parser"
            verdicts.insert(
                0, Verdict(statement.artefact, statement.where, Status.PASSED, Tier.VENDOR, parser, "it was not run")
            )
            message = f"it was parsed and not run: {reason.removeprefix('not run: ')}."
            finding = Finding("sql.not_run", Severity.WARNING, statement.where, message)
            return Report((finding,), tuple(verdicts))
        if outcome.condition == "lacking":
            self._lacking.append(outcome.code)
        message = f"The engine could not decide: {reason.rstrip('.')}."
        finding = Finding("engine.undecided", Severity.WARNING, statement.where, message)
        return Report((finding,), tuple(verdicts))

    def _ignored(self, statement: Statement, outcome: Outcome) -> tuple[Finding, ...]:
        if not outcome.note.startswith("there is no pragma"):
            return ()
        message = f"{outcome.note}. SQLite says nothing to a misspelt one."
        return (Finding("sql.unknown_pragma", Severity.WARNING, statement.where, message),)

    def _excuse(self, outcome: Outcome) -> str:
        """Why a refusal says nothing about this statement; empty if it does."""
        if outcome.answer is Answer.UNDECIDED or outcome.condition not in _MISSING - {"duplicate_object"}:
            return ""
        words = {word.lower() for word in re.findall(r"\w+", outcome.message)}
        for name, maker in self._failed.items():
            if name in words:
                return f"it needs {name}, and {maker} did not get through"
        if self._lacking and outcome.condition in _LACKING_EXCUSES:
            return f"it may need extension {', '.join(self._lacking)}, which is not here"
        return ""

    def _remark(self, remark: Remark) -> Finding | None:
        statement = self._makers.get(remark.name.lower())
        if statement is None:  # it stood in the setup, which is not judged
            return None
        message = f"{remark.kind} {remark.name} is accepted and fails when it is used: {remark.problem}."
        return Finding(_REMARKS.get(remark.kind, "sql.broken_view"), Severity.WARNING, statement.where, message)

    def _verdict(self, statement: Statement, status: Status, uncovered: str) -> Verdict:
        return Verdict(statement.artefact, statement.where, status, Tier.ENGINE, self._sandbox.label, uncovered)


def _made(sql: str) -> str:
    """The name that a statement creates; empty if it creates nothing."""
    found = _MAKES.match(sql)
    return found.group(1).lower() if found else ""


def _advice(dialect: str, message: str) -> str:
    return next((advice for pattern, advice in _ADVICE[dialect].items() if re.search(pattern, message)), "")


def _located(sql: str, texts: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """Finds the pieces of a script in it, one after the other."""
    found, start = [], 0
    for text in texts:
        body = text.strip().rstrip(";").rstrip()
        offset = sql.find(body, start)
        if offset < 0:
            return ()
        if body:
            found.append((offset, body))
        start = offset + len(body)
    return tuple(found)


_QUOTED_OR_SEMICOLON = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)|'[^']*(?:'|\Z)|\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|(;)", re.DOTALL
)
_BLANK = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_MOST_IN_A_TRIGGER = 2_000


def _sqlite_pieces(sql: str) -> tuple[tuple[int, str], ...]:
    """Cuts a script where SQLite's own shell would: a semicolon inside a trigger does not end the statement."""
    return tuple(_cut(sql))


def _cut(sql: str) -> Iterator[tuple[int, str]]:
    from sqlite3 import complete_statement

    start, tried = 0, 0
    for found in _QUOTED_OR_SEMICOLON.finditer(sql):
        if not found.group(1):
            continue
        tried += 1
        if tried > _MOST_IN_A_TRIGGER or not complete_statement(sql[start : found.end()]):
            continue
        yield from _piece(sql, start, found.start())
        start, tried = found.end(), 0
    yield from _piece(sql, start, len(sql))


def _piece(sql: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    blank = _BLANK.match(sql, start, end)
    first = blank.end() if blank else start
    text = sql[first:end].rstrip()
    if text:
        yield first, text
