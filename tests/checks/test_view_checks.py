"""Materialised views through everything that a section meets: rules, engine, plans; and queries that read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest
from design_cases import Plain, subject

from dbprompt.checks.base_views import outputs_of, sources_of, with_views
from dbprompt.checks.policies import policies
from dbprompt.checks.registry import Subject, design_checks
from dbprompt.engines.postgres.plans import Planner
from dbprompt.evidence import Report, Severity, Status, Tier
from dbprompt.ladder import climb
from dbprompt.plans import plan_queries
from dbprompt.proofs import PROOFS
from dbprompt.sections.views import Views

DAY = date(2026, 3, 1)
REVENUE = {
    "name": "revenue",
    "sql": "SELECT l.seller_id, (date_trunc('month', l.created_at AT TIME ZONE 'UTC'))::date AS month, "
    "sum(l.unit_price * l.quantity) AS revenue FROM order_lines l GROUP BY 1, 2",
    "unique_key": ["month", "seller_id"],
    "refresh": "20 1 * * *",
    "serves": ["monthly_seller_revenue"],
}
READS = {
    "sql": "SELECT seller_id, revenue FROM revenue WHERE month = $1",
    "parameters": ["month date"],
    "uses_index": "revenue_key",
}


def _checked(of: Subject) -> Report:
    (check,) = design_checks(of.section, run=climb, plans=plan_queries, proofs=PROOFS.get(of.section, ()), as_of=DAY)
    return check(of)


def _reading(view: Mapping[str, Plain] = REVENUE, reads: Mapping[str, Plain] = READS) -> Subject:
    change = {"/views/views/+": view, "queries/monthly_seller_revenue": reads}
    return subject("queries", {**change, "/indexes/indexes/order_lines_created_idx": None})


def test_a_view_is_proven_by_the_engine() -> None:
    """It is created, and refreshed on rows: two verdicts of tier E, and no finding."""
    report = _checked(subject("views", {"views/+": REVENUE}))
    assert report.findings == ()
    assert [v.status for v in report.verdicts if v.tier is Tier.ENGINE] == [Status.PASSED, Status.PASSED]


def test_an_invented_column_of_a_view_is_found_by_rule_and_place() -> None:
    """Names in a view's SELECT are looked up like those of a query."""
    wrong = {**REVENUE, "sql": REVENUE["sql"].replace("unit_price", "price_at_sale")}  # type: ignore[attr-defined]
    report = _checked(subject("views", {"views/+": wrong}))
    assert [(f.code, f.where) for f in report.errors] == [("statements.unknown_column", "/views/0/sql")]


def test_a_query_reads_a_view_and_is_planned() -> None:
    """The view counts as what the brief asks for; its rows are the planner's estimate, and the verdict says so."""
    report = _checked(_reading())
    assert [f for f in report.findings if f.where.startswith("/queries/4") and f.severity is not Severity.ADVICE] == []
    (planned,) = [v for v in report.verdicts if v.where == "/queries/4" and "planner" in v.checker]
    assert planned.status is Status.PASSED and "rows of revenue are the planner's estimate" in planned.uncovered


def test_an_invented_column_in_a_query_of_a_view_is_found() -> None:
    """A view has the columns that its SELECT names, and no others."""
    report = _checked(_reading(reads={**READS, "sql": "SELECT seller_id, total FROM revenue WHERE month = $1"}))
    assert ("statements.unknown_column", "/queries/4/sql") in [(f.code, f.where) for f in report.errors]


def test_a_query_of_a_view_still_has_to_ask_what_the_brief_asks() -> None:
    """Without the month, the range that the brief names is missing, though no table is read."""
    report = _checked(_reading(reads={"sql": "SELECT seller_id, revenue FROM revenue", "parameters": []}))
    assert "queries.range_missing" in [f.code for f in report.findings]


def test_columns_are_followed_through_views_of_views() -> None:
    """What a view of a view gives out comes from the tables below both."""
    year = {"name": "by_year", "sql": "SELECT seller_id, extract(year FROM month) AS year FROM revenue"}
    of = subject("views", {"views/+": REVENUE, "/views/views/+": {**year, "unique_key": [], "refresh": "0 3 * * *"}})
    views = of.design.views.views if of.design.views else ()
    schema = with_views(of.design)
    assert schema is not None and [table.name for table in schema.tables][-2:] == ["revenue", "by_year"]
    assert [one.name for one in outputs_of(views[1], schema) or ()] == ["seller_id", "year"]
    assert sources_of(of.design)["by_year", "year"] == {("order_lines", "created_at")}


def test_a_view_of_unknown_size_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the planner cannot say how many rows a view has, its plan proves nothing."""
    monkeypatch.setattr(Planner, "_size_of", lambda *_: None)
    (planned,) = [v for v in _checked(_reading()).verdicts if v.where == "/queries/4" and "planner" in v.checker]
    assert planned.status is Status.INCONCLUSIVE and "nobody knows how many rows" in planned.uncovered


@pytest.mark.parametrize(
    ("read", "role", "found"),
    [
        ("orders", {}, True),
        ("orders_by_buyer", {}, True),
        ("payments", {}, False),
        ("orders", {"name": "reports", "purpose": "analytics", "sees_all_rows": True}, False),
        ("orders", {"name": "reports", "purpose": "analytics"}, True),
    ],
)
def test_a_view_past_the_policies_needs_a_reader_who_sees_all_rows(
    read: str, role: dict[str, object], found: bool
) -> None:
    """No role of a request is granted a view over a table with policies, so its query must have another to run it."""
    change: dict[str, Plain] = {
        "policies/+": {"name": "own", "table": "orders", "using": "buyer_id = current_setting('app.buyer_id')::bigint"},
        "roles/migrator": {"sees_all_rows": True},
        "roles/backup_agent": {"sees_all_rows": True},
    }
    if role:
        change["roles/+"] = {**role, "grants": [{"privileges": ["select"]}]}
    made = [{"name": "orders_by_buyer", "sql": "SELECT buyer_id, count(*) AS number FROM orders GROUP BY 1"}] * (
        read == "orders_by_buyer"
    )
    made.append({"name": "numbers", "sql": f"SELECT count(*) AS number FROM {read}"})
    refreshed: list[dict[str, Plain]] = [one | {"concurrently": False, "refresh": "20 1 * * *"} for one in made]
    refreshed[-1]["serves"] = ["monthly_seller_revenue"]
    of = subject("security", change)
    report = policies(replace(of, design=of.design.with_section("views", Views.model_validate({"views": refreshed}))))
    codes = [(finding.code, finding.where) for finding in report.findings if finding.code == "rls.view_unreadable"]
    assert codes == ([("rls.view_unreadable", "/roles")] if found else [])
    assert all("view numbers" in one.message for one in report.findings if one.code == "rls.view_unreadable")
