"""Likeness to a gold schema, and what a result cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scorer_cases import brief, design

from dbprompt.calls.prices import Price
from dbprompt.evals.likeness import Overlap, likeness
from dbprompt.evals.measures import measures
from dbprompt.evidence import Evidence, Finding, Severity, Status, Tier, Verdict
from dbprompt.messages import TurnUsage, Usage
from dbprompt.result import Result
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Schema


def _schema(**change: object) -> Schema:
    found = design("wallet", change).schema
    assert isinstance(found, Schema)
    return found


def test_a_schema_is_like_itself() -> None:
    """Everything of a schema is found again in itself."""
    found = likeness(_schema(), _schema())
    assert [one.f1 for one in (found.tables, found.columns, found.keys, found.foreign_keys)] == [1, 1, 1, 1]


def test_other_names_for_the_same_things_are_the_same_by_the_brief() -> None:
    """A table and its columns count by the entity and attribute that they store, not by what they are called."""
    renamed = {
        "schema/tables/transfers/columns/idempotency_key": {"name": "request_id"},
        "schema/tables/transfers/uniques": [{"columns": ["request_id"]}],
        "schema/tables/transfers/entity": None,
        "schema/tables/entries/foreign_keys/0": {"references": "journals"},
        "schema/tables/transfers": {"name": "journals"},
    }
    other = _schema(**renamed)
    assert likeness(other, _schema(), brief("wallet", {})).keys.f1 == 1
    assert likeness(other, _schema(), brief("wallet", {})).foreign_keys.f1 == 1
    assert likeness(other, _schema()).tables == Overlap(found=3, design=4, gold=4)


def test_what_is_missing_costs_recall_and_what_is_more_costs_precision() -> None:
    """One foreign key fewer and one table more are told apart."""
    poor = _schema(
        **{
            "schema/tables/entries/foreign_keys/1": None,
            "schema/tables/+": {"name": "banks", "columns": ["id bigint identity"], "primary_key": ["id"]},
        }
    )
    found = likeness(poor, _schema(), brief("wallet", {}))
    assert found.foreign_keys == Overlap(found=2, design=2, gold=3)
    assert (found.tables.precision, found.tables.recall) == (0.8, 1.0)
    assert found.foreign_keys.f1 == pytest.approx(0.8)


def test_nothing_has_no_likeness() -> None:
    """Two schemas without foreign keys have no score for them, and not a perfect one."""
    bare = _schema(**{"schema/tables/accounts/foreign_keys": [], "schema/tables/entries/foreign_keys": []})
    assert likeness(bare, bare).foreign_keys.f1 is None


def _result() -> Result:
    verdicts = (
        Verdict("table a", "/schema/tables/0", Status.PASSED, Tier.RULE, "rules"),
        Verdict("table a", "/schema/tables/0", Status.PASSED, Tier.ENGINE, "postgresql"),
        Verdict("table b", "/schema/tables/1", Status.PASSED, Tier.RULE, "rules"),
        Verdict("table c", "/schema/tables/2", Status.FAILED, Tier.ENGINE, "postgresql"),
        Verdict("table d", "/schema/tables/3", Status.NOT_CHECKED, Tier.NOTHING, "nobody"),
    )
    findings = (Finding("a.b", Severity.ERROR, "/schema/tables/2", "x"), Finding("a.c", Severity.ADVICE, "", "y"))
    turns = (
        TurnUsage("schema", "ask", Usage(1, 1_000_000, 200_000, cache_read_tokens=400_000, cache_write_tokens=100_000)),
        TurnUsage("schema", "repair", Usage(1, 100_000, 10_000)),
    )
    return Result(DatabaseDesign(), Evidence(findings, verdicts), turns)


def test_an_artefact_counts_once_by_the_verdict_that_decides() -> None:
    """Proven is what passed, by the strongest tier; a failure beside a pass is a failure."""
    found = measures(_result(), seconds=2.5)
    assert (found.artefacts, found.failed, found.open) == (4, 1, 1)
    assert found.proven == {Tier.ENGINE: 1, Tier.RULE: 1}
    assert (found.proven_share(), found.proven_share(Tier.ENGINE)) == (0.5, 0.25)
    assert (found.repair_rounds, found.usage.requests, found.seconds) == (1, 2, 2.5)
    assert found.findings == {Severity.ERROR: 1, Severity.ADVICE: 1}


def test_no_price_is_invented() -> None:
    """A cost is said only by the price that the user gave for that model, cached tokens at theirs."""
    prices = {"anthropic:m": Price(input=10, output=50, cache_read=1, cache_write=12.5)}
    assert measures(_result(), model="anthropic:m").cost is None
    assert measures(_result(), model="openai:m", prices=prices).cost is None
    cost = measures(_result(), model="anthropic:m", prices=prices).cost
    assert cost == pytest.approx(0.6 * 10 + 0.4 * 1 + 0.1 * 12.5 + 0.21 * 50)


def test_tokens_that_nobody_told_have_no_cost() -> None:
    """A price makes no cost of a turn whose provider told no usage."""
    silent = replace(_result(), usage_by_turn=(*_result().usage_by_turn, TurnUsage("jobs", "ask", Usage(1))))
    assert measures(silent, model="anthropic:m", prices={"anthropic:m": Price(10, 50)}).cost is None


def test_a_result_with_nothing_in_it_has_no_share() -> None:
    """Nothing was proven of nothing."""
    assert measures(Result(DatabaseDesign())).proven_share() is None
