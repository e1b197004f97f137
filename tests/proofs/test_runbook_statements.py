"""The SQL of runbooks and of the playbook on a real server."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from answers import answer, design

from dbprompt import Brief, DatabaseDesign
from dbprompt.capacity import capacity_of
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Needs
from dbprompt.engines.postgres import PostgresEngine, installations
from dbprompt.engines.postgres.scripts import workplace
from dbprompt.evidence import Report, Status
from dbprompt.proofs.base import stage
from dbprompt.proofs.runbooks import runbooks_run
from dbprompt.render.background import Background
from dbprompt.render.postgres.analysis import INVESTIGATION, analysis_files

DAY = date(2026, 3, 1)
BRIEF = Brief.load(Path(__file__).parents[1] / "briefs/pg_marketplace_orders.yaml")


def report_on(runbooks: dict[str, Any]) -> Report:
    """What the proof says of this section."""
    made = design("marketplace", "selection", "schema", "indexes").model_dump(mode="json", exclude_none=True)
    whole = DatabaseDesign.model_validate({**made, "runbooks": runbooks})
    return runbooks_run(Subject(whole, "runbooks", BRIEF, capacity_of(BRIEF)), DAY)


def step(sql: str) -> dict[str, Any]:
    """A section with one statement in a step."""
    steps = [{"action": "a", "sql": sql}, {"action": "b", "expect": "c"}]
    return {"runbooks": [{"name": "r", "kind": "incident", "when": "x", "steps": steps}]}


def case(sql: str) -> dict[str, Any]:
    """A section with one diagnosis."""
    return {**step("SELECT 1"), "slow_queries": [{"problem": "p", "cause": "c", "fix": "f", "diagnosis": sql}]}


def test_the_reference_runbooks_run() -> None:
    """Every statement of the authored answer is taken by the engine."""
    report = report_on(answer("marketplace", "runbooks"))
    assert report.findings == ()
    assert {verdict.status for verdict in report.verdicts} == {Status.PASSED}


@pytest.mark.parametrize(
    ("runbooks", "code", "where"),
    [
        (step("SELECT tablename FROM pg_stat_user_tables"), "engine.undefined_column", "/runbooks/0/steps/0/sql"),
        (step("SELECT pg_fix_everything()"), "engine.undefined_function", "/runbooks/0/steps/0/sql"),
        (step("REINDEX TABLE goods"), "engine.undefined_table", "/runbooks/0/steps/0/sql"),
        (step("SELECT 1; SELECT 2"), "runbooks.not_one", "/runbooks/0/steps/0/sql"),
        (step("SELEC 1"), "runbooks.not_one", "/runbooks/0/steps/0/sql"),
        (step("SELECT pg_read_file('/etc/passwd')"), "runbooks.forbidden", "/runbooks/0/steps/0/sql"),
        (step("SELECT 1 FROM goods WHERE id::text = 'cron'"), "engine.undefined_table", "/runbooks/0/steps/0/sql"),
        (step("SELECT pgstattuples('orders') -- pgstattuple"), "engine.undefined_function", "/runbooks/0/steps/0/sql"),
        (step("COPY orders TO PROGRAM 'sh'"), "runbooks.forbidden", "/runbooks/0/steps/0/sql"),
        (case("ANALYZE orders"), "runbooks.not_a_question", "/slow_queries/0/diagnosis"),
        (case("SELECT mean_time FROM pg_stat_statements"), "engine.undefined_column", "/slow_queries/0/diagnosis"),
    ],
)
def test_what_would_fail_at_night_is_found(runbooks: dict[str, Any], code: str, where: str) -> None:
    """A name that is not there, a text that is not one statement, a statement that may run nowhere."""
    report = report_on(runbooks)
    assert [(finding.code, finding.where) for finding in report.findings] == [(code, where)]
    assert any(one.status is Status.FAILED and where.startswith(one.where) for one in report.verdicts)


@pytest.mark.parametrize(
    ("sql", "status", "says"),
    [
        ("SELECT jobid FROM cron.job", Status.INCONCLUSIVE, "extension cron"),
        ("SELECT cron.schedule('a', '0 3 * * *', 'SELECT 1')", Status.INCONCLUSIVE, "extension cron"),
        ("SELECT tuple_percent FROM pgstattuple('orders')", Status.INCONCLUSIVE, "extension pgstattuple"),
        ("SELECT pg_promote()", Status.PASSED, "prepared, not run"),
        ("SELECT pg_terminate_backend($1)", Status.PASSED, "prepared, not run"),
        ("DROP DATABASE shop", Status.NOT_CHECKED, "not run"),
        ("VACUUM (FREEZE) orders", Status.PASSED, ""),
    ],
)
def test_what_cannot_be_seen_is_said(sql: str, status: Status, says: str) -> None:
    """An extension that is missing and an act on the whole server are owned up to."""
    report = report_on(step(sql))
    assert report.findings == ()
    assert report.verdicts[0].status is status and says in report.verdicts[0].uncovered


@pytest.mark.parametrize("major", sorted({one.major for one in installations()}))
def test_our_own_questions_run(major: int) -> None:
    """Each question of the investigation is right on each version here."""
    with PostgresEngine.of(major).sandbox(Needs(frozenset({"pg_stat_statements"}))) as sandbox:
        made = sandbox.create_extension(
            "pg_stat_statements", "CREATE EXTENSION pg_stat_statements", schema=None, cascade=False
        )
        for question in INVESTIGATION:
            if question.extension and not made.ok:
                continue
            outcome = sandbox.prepare(question.sql) if question.extension else sandbox.run(question.sql)
            assert outcome.ok, (question.title, outcome.message)


def test_the_analysis_file_runs_in_psql() -> None:
    """psql reads the whole file, explains every query of the design, and leaves nothing behind."""
    sections = ("selection", "schema", "indexes", "views", "queries", "runbooks")
    made = design("marketplace", *sections)
    about = Background(BRIEF, capacity_of(BRIEF), "authored", "none", (), DAY, 15)
    text = analysis_files(made, about)["queries/analysis.sql"]
    assert "95 of 100 calls within 20 ms" in text
    subject = Subject(made, "runbooks", BRIEF, capacity_of(BRIEF))
    staged = stage(subject, as_of=DAY, sections=("schema", "indexes", "views"))
    with staged as ready, workplace(ready.sandbox, ("psql",)) as place:
        place.put("analysis.sql", text)
        run = place.run(ready.sandbox, place.put("run", "psql -X -v ON_ERROR_STOP=1 -f analysis.sql"))
    assert run.ok, run.complained
    queries = made.queries
    assert queries is not None and text.count("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)") >= len(queries.queries)
