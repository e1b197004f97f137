"""Statistics that are invented for tables without rows, on every PostgreSQL that is here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbprompt.engines.base import Limits, Outcome
from dbprompt.engines.postgres import PostgresEngine, installations
from dbprompt.engines.postgres.plan_tree import Plan
from dbprompt.engines.postgres.plans import Planner
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.sizes import Figures

MAJORS = sorted({18, *(one.major for one in installations())}, reverse=True)
on_each = pytest.mark.parametrize("major", MAJORS)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCHEMA = (
    "CREATE TYPE state AS ENUM ('open', 'it''s \"gone\", {really}\\', 'shipped')",
    "CREATE TABLE parents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)",
    "CREATE TABLE children (id uuid PRIMARY KEY, parent_id bigint NOT NULL REFERENCES parents (id), "
    "state state NOT NULL, size text NOT NULL CHECK (size IN ('small', 'large')), is_gift boolean NOT NULL, "
    "deleted_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(), note text, "
    "tags text[] NOT NULL DEFAULT '{}')",
    "CREATE INDEX children_open ON children (created_at) WHERE state = 'open'",
    "CREATE TABLE log (id bigint PRIMARY KEY, child_id uuid NOT NULL REFERENCES children (id))",
    "CREATE TABLE kinds (id integer PRIMARY KEY, name text NOT NULL)",
)  # fmt: skip
FIGURES = {"parents": Figures(50_000), "children": Figures(10_000_000, 300, 100)}


@contextmanager
def _planner(major: int) -> Iterator[tuple[PostgresSandbox, Planner]]:
    with PostgresEngine.of(major).sandbox() as sandbox:
        for sql in SCHEMA:
            outcome = sandbox.run(sql)
            assert outcome.ok, outcome
        yield sandbox, Planner(sandbox, now=NOW)


def _rows(planner: Planner, sql: str) -> float:
    assert planner.prepare(sql).ok
    plan = planner.plan()
    assert isinstance(plan, Plan), plan
    return plan.rows


@on_each
def test_the_planner_believes_the_figures(major: int) -> None:
    """Rows, references, enum labels, listed values, booleans, nulls, moments and stated shares give the estimates."""
    with _planner(major) as (_, planner):
        planner.project(FIGURES, {"children.state": {"shipped": 0.9}})
        expected = {
            "SELECT FROM children": 10_000_000,
            "SELECT FROM children WHERE parent_id = 7": 210,
            "SELECT FROM children WHERE state = 'shipped'": 9_000_000,
            "SELECT FROM children WHERE state = 'open'": 500_000,
            "SELECT FROM children WHERE size = 'small'": 5_000_000,
            "SELECT FROM children WHERE is_gift": 5_000_000,
            "SELECT FROM children WHERE deleted_at IS NULL": 9_500_000,
            "SELECT FROM children WHERE created_at >= '2026-02-19' AND created_at < '2026-03-01'": 1_000_000,
            "SELECT FROM children WHERE id = '0190a6b2-7c3e-7d4f-8a5b-6c7d8e9f0a1b'": 1,
            "SELECT FROM parents WHERE name = 'x'": 1,
            "SELECT FROM log": 10_000_000,  # no figure: as many as the table that it refers to
            "SELECT FROM kinds": 1_000,
        }
        found = {sql: _rows(planner, sql) for sql in expected}
    assert found == {sql: pytest.approx(rows, rel=0.03, abs=1) for sql, rows in expected.items()}


@on_each
def test_a_volume_can_grow_and_shrink(major: int) -> None:
    """The same session plans at one volume after another, over and under the gigabyte of a file's segment."""
    with _planner(major) as (sandbox, planner):
        for rows in (1_000, 100_000_000, 20_000, 5_000_000):
            planner.project({"children": Figures(rows, 300)}, {})
            assert _rows(planner, "SELECT FROM children") == pytest.approx(rows, rel=0.01)
        assert sandbox.disk_bytes() < 64 << 20
        assert sandbox.run("SELECT count(*) FROM pg_class").ok


@on_each
def test_a_partial_index_is_as_large_as_its_predicate_says(major: int) -> None:
    """Its size follows the share of rows that the planner expects of the predicate."""
    with _planner(major) as (sandbox, planner):
        planner.project(FIGURES, {"children.state": {"open": 0.01}})
        rows = dict(sandbox.rows("SELECT relname, reltuples::bigint FROM pg_class WHERE relname LIKE 'children%'"))
    assert int(rows["children_open"] or 0) == pytest.approx(100_000, rel=0.02)
    assert int(rows["children_pkey"] or 0) == 10_000_000


@on_each
def test_an_index_is_hidden_for_as_long_as_it_is_asked(major: int) -> None:
    """A key's index too, under a query that leans on the key; afterwards everything is as before."""
    with _planner(major) as (_, planner):
        planner.project(FIGURES, {})
        assert planner.prepare("SELECT id, name, count(*) FROM parents WHERE id = $1 GROUP BY id", ("bigint",)).ok
        found = planner.tables.top_index("parents_pkey")
        assert found is not None
        before = planner.plan()
        with planner.without(found[1]):
            hidden = planner.plan()
        after = planner.plan()
        assert isinstance(before, Plan) and isinstance(hidden, Plan) and isinstance(after, Plan)
        assert before.indexes == after.indexes == ("parents_pkey",)
        assert hidden.indexes == ()
        assert hidden.cost > 50 * before.cost


@on_each
def test_functions_that_run_while_a_plan_is_made_have_no_rights(major: int, tmp_path: Path) -> None:
    """An immutable function is called by the planner: as the sandbox's role, which may read no file."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with _planner(major) as (sandbox, planner):
        body = f"BEGIN RETURN pg_read_file('{secret}'); END"
        assert sandbox.run(f"CREATE FUNCTION spy() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ {body} $$").ok
        planner.project(FIGURES, {})
        planner.prepare("SELECT * FROM parents WHERE name = spy()")
        plan = planner.plan()
    assert isinstance(plan, Outcome)
    assert "permission denied" in plan.message


@on_each
def test_a_plan_that_takes_too_long_is_ended(major: int) -> None:
    """Sleeping while a plan is made ends at the limit, and the next plan works."""
    with PostgresEngine.of(major).sandbox(limits=Limits(statement_seconds=0.4)) as sandbox:
        assert sandbox.run("CREATE TABLE t (id bigint PRIMARY KEY)").ok
        body = "BEGIN PERFORM pg_sleep(30); RETURN 1; END"
        assert sandbox.run(f"CREATE FUNCTION slow() RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ {body} $$").ok
        planner = Planner(sandbox, now=NOW)
        planner.project({"t": Figures(1_000_000_000)}, {})
        planner.prepare("SELECT * FROM t WHERE id = slow()")
        assert isinstance(planner.plan(), Outcome)
        assert planner.prepare("SELECT * FROM t WHERE id = $1", ("bigint",)).ok
        assert isinstance(planner.plan(), Plan)
