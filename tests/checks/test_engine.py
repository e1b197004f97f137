"""The engine's rung of a design's checks, on the embedded PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pytest
from design_cases import Plain, subject

from dbprompt.checks.base import Statement
from dbprompt.checks.registry import Subject, design_checks, target_major
from dbprompt.evidence import Evidence, Report, Severity, Status, Tier, Verdict
from dbprompt.ladder import climb

DAY = date(2026, 3, 1)


def _checked(of: Subject) -> Report:
    (check,) = design_checks(of.section, run=climb, as_of=DAY)
    return check(of)


def _engine(report: Report) -> dict[str, Verdict]:
    return {verdict.artefact: verdict for verdict in report.verdicts if verdict.tier is Tier.ENGINE}


def _codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize(("section", "artefacts"), [("schema", 7), ("indexes", 6), ("queries", 5)])
def test_a_sound_design_runs(section: str, artefacts: int) -> None:
    """Each artefact of a sound design has a verdict of the engine: passed."""
    report = _checked(subject(section))
    verdicts = _engine(report)
    assert [f for f in report.findings if f.severity is not Severity.ADVICE] == []
    assert len(verdicts) == artefacts
    assert {verdict.status for verdict in verdicts.values()} == {Status.PASSED}
    assert Evidence.of([report]).ok


def test_the_engine_finds_what_no_rule_sees() -> None:
    """A default that its type refuses is found by the engine alone; what refers to the table is inconclusive."""
    report = _checked(subject("schema", {"tables/sellers/columns/created_at": {"default": _literal("soon")}}))
    verdicts = _engine(report)
    (finding,) = report.errors
    assert finding.where == "/tables/1"
    assert finding.code.startswith("engine.") and "soon" in finding.message
    assert verdicts["table sellers"].status is Status.FAILED
    assert verdicts["table products"].status is Status.INCONCLUSIVE
    assert "sellers" in verdicts["table products"].uncovered
    assert verdicts["table buyers"].status is Status.PASSED


def test_a_later_section_is_not_told_of_an_earlier_one() -> None:
    """Indexes are judged on the tables that stand; a table that fails is the schema's finding."""
    report = _checked(subject("indexes", {"/schema/tables/payments/columns/created_at": {"default": _literal("soon")}}))
    verdicts = _engine(report)
    assert report.errors == ()
    assert verdicts["index payments_order_idx"].status is Status.INCONCLUSIVE
    assert verdicts["index products_seller_idx"].status is Status.PASSED
    assert not any(verdict.artefact.startswith("table") for verdict in report.verdicts)


def test_an_index_that_its_type_cannot_have() -> None:
    """No operator class: the engine says so at the index."""
    change = {"indexes/payments_order_idx": {"keys": [{"column": "provider_reference"}], "method": "spgist"}}
    assert _engine(_checked(subject("indexes", change)))["index payments_order_idx"].status is Status.PASSED
    change = {"indexes/payments_order_idx": {"keys": [{"column": "amount"}], "method": "spgist"}}
    report = _checked(subject("indexes", change))
    assert "engine.undefined_object" in _codes(report)
    assert _engine(report)["index payments_order_idx"].status is Status.FAILED


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT sum(status) FROM orders WHERE public_number = $1", "engine.undefined_function"),
        ("SELECT id, count(*) FROM orders WHERE public_number = $1", "engine.grouping_error"),
        ("SELECT id FROM orders WHERE public_number = $1 AND status = 'lost'", "engine.invalid_text_representation"),
        ("SELECT id FROM orders WHERE public_number = $1 AND created_at > 5", "engine.undefined_function"),
    ],
)
def test_each_query_is_prepared(sql: str, code: str) -> None:
    """What only the engine can know of a statement is an error at its query."""
    report = _checked(subject("queries", {"queries/order_by_number": {"sql": sql}}))
    assert [finding.code for finding in report.errors] == [code]
    assert report.errors[0].where.startswith("/queries/1")
    assert _engine(report)["query order_by_number"].status is Status.FAILED


def test_a_later_page_is_part_of_its_query() -> None:
    """One wrong statement of two fails the query."""
    sql = "SELECT id FROM orders WHERE buyer_id = $1 AND (created_at, id) < ($2, $3::date) ORDER BY created_at DESC, id"
    report = _checked(subject("queries", {"queries/latest_orders_of_buyer": {"next_page_sql": sql}}))
    assert report.errors[0].where == "/queries/0/next_page_sql"
    assert _engine(report)["query latest_orders_of_buyer"].status is Status.FAILED


def test_a_mistake_is_told_once() -> None:
    """The engine is silent about an item in which a rule found the cause."""
    report = _checked(subject("schema", {"tables/orders/foreign_keys/0": {"references": "customers"}}))
    assert "references.unknown_table" in _codes(report)
    assert not any(code.startswith("engine.") for code in _codes(report))
    assert _engine(report)["table orders"].status is Status.FAILED


def test_rules_and_engine_are_heard_in_one_round() -> None:
    """An error of a rule in one item does not hide the engine's error in another."""
    change: Mapping[str, Plain] = {
        "tables/orders/columns/total": {"type": "double", "precision": None, "scale": None},
        "tables/sellers/columns/created_at": {"default": _literal("soon")},
    }
    errors = _checked(subject("schema", change)).errors
    assert {finding.where.split("/")[2] for finding in errors} == {"1", "3"}


@pytest.mark.parametrize("sql", ["DROP TABLE orders", "SELECT 1; DROP TABLE orders", "COPY orders TO PROGRAM 'id'"])
def test_hostile_sql_never_meets_the_engine(sql: str) -> None:
    """A statement that is no query is refused by rule and is not passed by the engine."""
    report = _checked(subject("queries", {"queries/order_by_number": {"sql": sql, "parameters": []}}))
    assert any(finding.where.startswith("/queries/1") for finding in report.errors)
    verdict = _engine(report).get("query order_by_number")
    assert verdict is None or verdict.status is not Status.PASSED


def test_a_text_of_two_statements_does_not_hide_the_others() -> None:
    """Only that query is left out, and the evidence says so."""
    report = _checked(subject("queries", {"queries/order_by_number": {"sql": "SELECT 1; SELECT 2", "parameters": []}}))
    verdicts = {v.artefact: v.status for v in report.verdicts if v.tier in {Tier.ENGINE, Tier.NOTHING}}
    assert verdicts.pop("query order_by_number") is Status.NOT_CHECKED
    assert set(verdicts.values()) == {Status.PASSED} and len(verdicts) == 4


def test_broken_items_keep_the_engine_away() -> None:
    """While an item has no shape, nothing is blamed for its absence, and the evidence says that nothing ran."""
    report = _checked(subject("schema", {"tables/payments": None}, misshapen=("payments",)))
    assert report.errors == ()
    assert _engine(report) == {}
    assert any(v.status is Status.NOT_CHECKED and "wrong shape" in v.uncovered for v in report.verdicts)


def test_another_target_is_not_run_on_postgresql() -> None:
    """A design for another engine is not proven on this one."""
    of = subject("schema", {"/selection/decision/engine": "mysql"})
    verdicts = [verdict for verdict in _checked(of).verdicts if verdict.tier is Tier.NOTHING]
    assert len(verdicts) == 7
    assert "mysql" in verdicts[0].uncovered


def test_the_target_version_is_read_from_the_brief() -> None:
    """The version may be said in words."""
    versions = ("15", "15.4", "2.x on PostgreSQL 16", "18")
    read = [target_major(subject("schema", brief={"target/version": version}).brief) for version in versions]
    assert read == [15, 15, 16, 18]


def test_statements_are_run_in_the_order_of_the_sections() -> None:
    """Tables come before indexes, and queries are prepared after both."""
    seen: list[tuple[list[str], list[str]]] = []

    def run(
        statements: Sequence[Statement], queries: Sequence[Statement] = (), *, version: int | None = None
    ) -> Report:
        seen.append(([one.where.split("/")[1] for one in statements], [one.where for one in queries]))
        return Report()

    (check,) = design_checks("queries", run=run, as_of=DAY)
    check(subject("queries"))
    ((ddl, queries),) = seen
    assert ddl == sorted(ddl, reverse=True) and {"schema", "indexes"} == set(ddl)
    assert queries[:2] == ["/queries/queries/0", "/queries/queries/0/next_page_sql"]


def _literal(value: str) -> dict[str, str]:
    return {"kind": "literal", "value": value}


HOSTILE = """'); DROP TABLE buyers; -- "x" \\'; $$ */ \\! id"""
SQL_FIELDS = [
    ("schema", "tables/products/checks/0", {"expression": HOSTILE}),
    ("schema", "tables/products/columns/stock", {"default": {"kind": "expression", "value": HOSTILE}}),
    ("schema", "tables/products/columns/title", {"generated": HOSTILE}),
    (
        "schema",
        "tables/orders",
        {"exclusions": [{"name": "x", "elements": [{"expression": HOSTILE, "operator": "="}]}]},
    ),
    ("indexes", "indexes/payments_order_idx", {"where": HOSTILE}),
    ("indexes", "indexes/payments_order_idx", {"keys": [{"expression": HOSTILE}]}),
    ("queries", "queries/lines_of_order", {"sql": HOSTILE}),
    ("queries", "queries/latest_orders_of_buyer", {"next_page_sql": HOSTILE}),
]


@pytest.mark.parametrize(("section", "path", "change"), SQL_FIELDS)
def test_hostile_text_in_any_sql_field_is_a_finding(section: str, path: str, change: Mapping[str, Plain]) -> None:
    """Text that tries to leave its place is an error at its item, and no part of it runs."""
    report = _checked(subject(section, {path: change}))
    assert len(report.errors) == 1
    assert report.errors[0].code.endswith((".not_one", ".placeholder"))
    item = "/".join(report.errors[0].where.split("/")[:3])
    assert not any(v.where == item and v.tier is Tier.ENGINE and v.status is Status.PASSED for v in report.verdicts)


def test_an_index_that_rule_and_engine_both_see_is_told_once() -> None:
    """The engine's own catalogue adds nothing to what a rule said of the same index."""
    change = {"indexes/+": {"name": "orders_buyer_idx", "table": "orders", "keys": [{"column": "buyer_id"}]}}
    assert _codes(_checked(subject("indexes", change))) == ["indexes.redundant"]
