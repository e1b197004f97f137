"""The SQL of runbooks and of the slow-query playbook meets the engine before somebody needs it at night.

Poor: `SELECT tablename FROM pg_stat_user_tables`, a column that is called relname; a function that never was.
Better: every statement runs against the design's tables, or is prepared where running it would act on a whole server.

What needs an extension that is not here is inconclusive. What a statement would find on a busy server is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from dbprompt.checks.base import Statement
from dbprompt.checks.base_design import error
from dbprompt.checks.sql import tree
from dbprompt.checks.sql.allow import Route, rule
from dbprompt.checks.sql.postgres_run import PostgresRun
from dbprompt.checks.sql.tree import Broken, Parsed
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, Stage, stage
from dbprompt.sections.runbooks import Runbooks

__all__ = ["runbooks_run"]

_STATEMENTS = "pg_stat_statements"
_SCHEMAS = {"cron", "partman", "repack"}
_EXTENSIONS = re.compile(
    r"pg_stat_statements\w*|pgstattuple(_approx)?|pgstat\w*index|pg_buffercache\w*|pg_prewarm|hypopg\w*|pg_stat_kcache\w*|"
    r"pg_wait_sampling\w*|pgaudit\w*|pg_visibility\w*|pgrowlocks|bt_index_\w*check|auto_explain"
)
_NOT_THERE = re.compile(r'(?P<kind>[a-z]+) "?(?P<name>[\w.]+)')
"""How PostgreSQL begins to say that a relation, function, type or schema does not exist."""
_MISSING = {
    "engine.undefined_table", "engine.undefined_function", "engine.undefined_object", "engine.invalid_schema_name",
}  # fmt: skip
_WORST_FIRST = (Status.FAILED, Status.NOT_CHECKED, Status.INCONCLUSIVE, Status.PASSED)


@dataclass(frozen=True, slots=True)
class _Text:
    """One SQL text of the section: where it stands, whose it is, and whether it may only read."""

    where: str
    item: str
    artefact: str
    sql: str
    reads_only: bool = False


def runbooks_run(subject: Subject, as_of: date) -> Report:
    """Every statement of the section, in its order."""
    section = subject.design.runbooks
    texts = tuple(_texts(section)) if section is not None else ()
    if not texts:
        return Report()
    try:
        with stage(subject, as_of=as_of, sections=("schema", "indexes", "views"), extensions=(_STATEMENTS,)) as ready:
            reports = [(text, _tried(ready, text)) for text in texts]
    except NoStageError as missing:
        unseen = tuple(_verdict(text, Status.NOT_CHECKED, "postgresql", str(missing)) for text in texts)
        return Report(verdicts=_by_item(texts, unseen))
    findings = tuple(finding for _, report in reports for finding in report.findings)
    verdicts = tuple(replace(one, where=text.item) for text, report in reports for one in report.verdicts)
    return Report(findings, _by_item(texts, verdicts))


def _texts(section: Runbooks) -> Iterator[_Text]:
    for at, case in enumerate(section.slow_queries):
        if case.diagnosis is not None:
            item = f"/slow_queries/{at}"
            yield _Text(f"{item}/diagnosis", item, f"slow query case {at + 1}", case.diagnosis, reads_only=True)
    for at, runbook in enumerate(section.runbooks):
        for number, step in enumerate(runbook.steps):
            if step.sql is not None:
                item = f"/runbooks/{at}"
                yield _Text(f"{item}/steps/{number}/sql", item, f"runbook {runbook.name}", step.sql)


def _tried(ready: Stage, text: _Text) -> Report:
    parsed = _one(text)
    if isinstance(parsed, Finding):
        return Report((parsed,), (_verdict(text, Status.FAILED, ready.label, ""),))
    ruling = rule(parsed)
    if ruling.route is Route.FORBIDDEN:
        finding = error("runbooks.forbidden", text.where, f"this may not run anywhere: {ruling.reason}")
        return Report((finding,), (_verdict(text, Status.FAILED, "allow-list", ""),))
    run = PostgresRun(ready.sandbox, ready.uncovered)
    statement = Statement(text.where, text.artefact, parsed.sql)
    if ruling.route is Route.OUTSIDE:
        return run.skip(statement, parsed, f"not run: {ruling.reason}")
    if _STATEMENTS in text.sql and parsed.kind == "SelectStmt":
        report = run.prepare(statement, parsed)  # it can only be read where the server preloads its library
    else:
        report = run.run(statement, parsed, ruling)
        if ready.sandbox.in_transaction:
            ready.sandbox.run("ROLLBACK")
    return _excused(text, report)


def _one(text: _Text) -> Parsed | Finding:
    """The statement, or what is wrong with the text."""
    found = tree.parse(text.sql)
    if isinstance(found, Broken):
        return error("runbooks.not_one", text.where, f"this is no SQL: {found.message}; write one statement")
    if len(found) != 1:
        message = f"there are {len(found)} statements in one text; write one, and another step for the next"
        return error("runbooks.not_one", text.where, message)
    if text.reads_only and found[0].kind not in {"SelectStmt", "ExplainStmt", "VariableShowStmt"}:
        return error("runbooks.not_a_question", text.where, "a diagnosis asks the server; write one SELECT")
    return found[0]


def _excused(text: _Text, report: Report) -> Report:
    """A refusal for want of an extension says nothing about the statement; every other one still does."""
    wanted = {one: name for one in report.findings if (name := _extension(one))}
    left = tuple(one for one in report.findings if one not in wanted)
    if not wanted or left:
        return replace(report, findings=left)
    why = f"it needs extension {', '.join(dict.fromkeys(wanted.values()))}, which the sandbox does not have"
    return Report(verdicts=tuple(replace(one, status=Status.INCONCLUSIVE, uncovered=why) for one in report.verdicts))


def _extension(finding: Finding) -> str:
    """The extension whose object the engine did not find; empty if it missed something else."""
    said = _NOT_THERE.match(finding.message) if finding.code in _MISSING else None
    if said is None:
        return ""
    schema, _, name = said["name"].rpartition(".")
    schema = said["name"] if said["kind"] == "schema" else schema
    if schema in _SCHEMAS:
        return schema
    return name if _EXTENSIONS.fullmatch(name) else ""


def _verdict(text: _Text, status: Status, checker: str, uncovered: str) -> Verdict:
    tier = Tier.NOTHING if status is Status.NOT_CHECKED else Tier.ENGINE
    return Verdict(text.artefact, text.item, status, tier, checker, uncovered)


def _by_item(texts: Sequence[_Text], verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """One verdict an item: the worst of its statements, with everything that was not seen."""
    merged = []
    for item in dict.fromkeys(text.item for text in texts):
        group = [one for one in verdicts if one.where == item]
        worst = min(group, key=lambda one: _WORST_FIRST.index(one.status))
        told = [part for one in group if one.status is worst.status for part in one.uncovered.split("; ") if part]
        merged.append(replace(worst, uncovered="; ".join(dict.fromkeys(told))))
    return tuple(merged)
