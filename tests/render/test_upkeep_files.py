"""Jobs, functions and questions as files: what is written runs, and no text of a design leaves its place."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from answers import design

from dbprompt import DatabaseDesign
from dbprompt.checks.sql import tree
from dbprompt.ladder import verify
from dbprompt.render.background import Background
from dbprompt.render.lifecycle import lifecycle_chapter
from dbprompt.render.postgres import UnsafeSqlError, outline, schema_sql
from dbprompt.render.postgres.jobs import jobs_sql
from dbprompt.render.postgres.routines import dollar_quoted
from dbprompt.render.upkeep import index_upkeep_files, upkeep_chapter, upkeep_files
from dbprompt.render.views import views_chapter
from dbprompt.sections.schedule import Schedule, schedule_problem

ABOUT = Background(None, None, "", "", (), date(2026, 3, 1), 18)
MARKETPLACE = design("marketplace", "selection", "schema", "indexes", "views", "queries", "lifecycle", "upkeep")
CRM = design("crm", "schema", "indexes", "views", "lifecycle", "upkeep")


def _with_job(sql: str, name: str = "clean", reason: str = "") -> DatabaseDesign:
    job = {"name": name, "kind": "sql", "schedule": "0 3 * * *", "sql": sql, "reason": reason}
    return DatabaseDesign.model_validate({"upkeep": {"jobs": [job]}})


def _texts(statement: tree.Parsed) -> list[str]:
    """The text constants of a statement."""
    held = [node.get("sval") for key, node in tree.nodes(statement.body) if key == "A_Const"]
    return [str(one.get("sval", "")) for one in held if isinstance(one, dict)]


def _scheduled(text: str) -> list[str]:
    """The commands of a jobs file, as PostgreSQL's own grammar reads it."""
    found = tree.parse(text)
    assert isinstance(found, tuple), found
    assert [one.kind for one in found] == ["CreateExtensionStmt", *["SelectStmt"] * (len(found) - 1)]
    constants = [_texts(one) for one in found[1:]]
    assert all(len(texts) == 3 for texts in constants)
    return [texts[0] for texts in constants]  # the walk begins with the last argument


def test_every_job_is_scheduled_once_with_its_sql() -> None:
    """The file is what pg_cron takes: one call a job, its command in it."""
    commands = _scheduled(upkeep_files(CRM, ABOUT)["ops/jobs.sql"])
    assert commands[0] == "SELECT activity_make_partitions()"
    assert commands[1] == "SELECT activity_drop_partitions()"
    assert "REFRESH MATERIALIZED VIEW CONCURRENTLY seller_revenue_by_month" in _scheduled(
        jobs_sql(MARKETPLACE, title="")
    )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE orders SET status = '$job$); DROP TABLE orders; --'",
        "SELECT $job1$ a $job1$, $job$ b $job$",
        "SELECT 'it''s' AS \"$job\"",
    ],
)
def test_no_command_leaves_its_literal(sql: str) -> None:
    """A dollar quote, a quote or a comment inside of a job's SQL stays inside."""
    commands = _scheduled(jobs_sql(_with_job(sql, reason="x\nDROP TABLE orders; --"), title="a\nDROP TABLE b;"))
    assert commands == [sql]


def test_two_statements_are_not_written() -> None:
    """The file is withheld with the place of the text."""
    with pytest.raises(UnsafeSqlError) as caught:
        jobs_sql(_with_job("ANALYZE; DROP TABLE orders"), title="")
    assert (caught.value.section, caught.value.where) == ("upkeep", "/jobs/0/sql")


@pytest.mark.parametrize("text", ["", "$body$", "$body", "a$", "$", "x $body$ y $body1$ z", "$body1"])
def test_a_dollar_quote_ends_where_the_text_ends(text: str) -> None:
    """PostgreSQL's scanner reads back what went in."""
    found = tree.parse(f"SELECT {dollar_quoted(text)}")
    assert isinstance(found, tuple)
    assert _texts(found[0]) == [text]


def test_the_schema_with_views_functions_and_triggers_runs() -> None:
    """The whole file meets the engine, functions are read by the checks of bodies, and nothing is found."""
    for one in (MARKETPLACE, CRM):
        evidence = verify(schema_sql(one, as_of=date.today()))
        assert evidence.ok, [str(finding) for finding in evidence.errors]
        ours = [f for f in evidence.findings if f.code.startswith(("plpgsql", "views", "partitions"))]
        assert ours == []


def test_questions_are_written_for_every_schema() -> None:
    """One file of SELECTs, with the comment that says what its rows mean."""
    text = index_upkeep_files(CRM, ABOUT)["ops/index_upkeep.sql"]
    found = tree.parse(text)
    assert isinstance(found, tuple) and {one.kind for one in found} == {"SelectStmt"}
    assert len(found) == 7 and len(re.findall(r"^-- [a-z_]+$", text, re.MULTILINE)) == 7


def test_chapters_say_what_is_there() -> None:
    """Names, schedules and ages stand in tables; text of a design stays text."""
    views = "\n\n".join(views_chapter(MARKETPLACE, ABOUT))
    assert "`seller_revenue_by_month`" in views and "24 hours old" in views
    lives = "\n\n".join(lifecycle_chapter(CRM, ABOUT))
    assert "`activity_drop_partitions()`" in lives and "1,825 days" in lives and "anonymize `email, full_name`" in lives
    jobs = "\n\n".join(upkeep_chapter(_with_job("SELECT 1", reason="<b>|\n# x"), ABOUT))
    assert "<b>" not in jobs and "\n# x" not in jobs
    assert "computes its answer" in "\n".join(views_chapter(CRM, ABOUT))


def test_the_outline_names_what_later_parts_need() -> None:
    """A model that writes jobs sees partitions, views and copies; one that writes queries sees views."""
    told = outline(CRM)
    assert "life activity kept 1825 days by occurred_at, leaves by drop_partition partitions ahead 3" in told
    assert "partitioned by range(occurred_at) each month" in told
    assert "materialized view seller_revenue_by_month unique(month, seller_id, currency) refresh 20 1 * * *" in outline(
        MARKETPLACE
    )


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("*/15 * * * *", timedelta(minutes=15)),
        ("0 8-18/2 * * *", timedelta(hours=14)),
        ("20 1 * * *", timedelta(days=1)),
        ("0 0 1,15 * *", timedelta(days=17)),
        ("0 0 1 * 1", timedelta(days=7)),  # either day: each Monday, and the first
        ("0 0 */2 * 1", timedelta(days=28)),  # a star: odd days that are Mondays
        ("0 0 * * 7", timedelta(days=7)),
        ("0 0 29 2 *", timedelta(days=1461)),
    ],
)
def test_the_longest_time_between_two_runs(text: str, gap: timedelta) -> None:
    """Steps, lists, both days of cron, leap years."""
    longest = Schedule.of(text).longest_gap
    assert longest == gap or (text == "0 0 */2 * 1" and timedelta(days=14) <= longest <= gap), longest


@pytest.mark.parametrize(
    "text",
    [
        "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
        "5/2 * * * *", "9-3 * * * *", "1, * * * *", "* * * *", "* * * * * *", "0 0 31 2,4,6 *", "- * * * *",
        "1-2-3 * * * *",
    ],
)  # fmt: skip
def test_what_cron_cannot_read_is_said(text: str) -> None:
    """Every field has its bounds, and a day has to come."""
    assert schedule_problem(text), text


def test_two_schedules_meet_only_on_a_day_of_both() -> None:
    """The same hour on other days is no clash."""
    sunday = Schedule.of("0 3 * * 0")
    assert sunday.meets(Schedule.of("0 3 * * *")) and sunday.meets(Schedule.of("0 3 1 * *"))
    assert not sunday.meets(Schedule.of("0 3 * * 1")) and not sunday.meets(Schedule.of("30 3 * * 0"))
