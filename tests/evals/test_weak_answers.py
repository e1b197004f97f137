"""The weak answers make the mistakes that their briefs warn of, and lose exactly the expectations about them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from answers import answer, weak_answers

from dbprompt import DatabaseDesign
from dbprompt.evals.cases import load_case
from dbprompt.evals.scorers import score_all
from dbprompt.sections import SECTIONS

ROOT = Path(__file__).parents[2]
BRIEFS = {
    "clinic": "pg_clinic_scheduling",
    "crm": "pg_crm_multitenant",
    "marketplace": "pg_marketplace_orders",
    "telemetry": "timescale_fleet_telemetry",
    "wallet": "pg_wallet_ledger",
}
LOST = {
    "clinic": {"doctor_once", "room_once", "zero_loss"},
    "crm": {"rls", "custom"},
    "marketplace": {"price_frozen", "stock_floor", "payment_once"},
    "telemetry": {"no_duplicates", "vehicle_time", "raw_life"},
    "wallet": {"once", "keep_parents", "lost_update"},
}
MENDED = {"crm": {"rls"}, "telemetry": {"vehicle_time"}}
"""What the repairs of `evals/weak/CASE.repair.json` win back: mistakes that dbprompt finds without any expectation."""


def _lost(case: str, document: dict[str, dict[str, object]]) -> set[str]:
    known = load_case(ROOT / f"evals/briefs/{BRIEFS[case]}.yaml")
    design = DatabaseDesign.model_validate(document)
    scores = score_all(known.expectations, design, known.brief, as_of=date(2026, 11, 22))
    unproven = {"planner_uses_index"}  # asks an engine, which these designs have not met
    return {score.id for score in scores if not score.passed and score.check not in unproven}


@pytest.mark.parametrize("case", BRIEFS)
def test_a_weak_answer_loses_what_it_is_weak_in(case: str) -> None:
    """The good answer meets every expectation; the weak one loses those about its mistakes and no others."""
    assert _lost(case, {section: answer(case, section) for section in SECTIONS}) == set()
    assert _lost(case, weak_answers(case)) == LOST[case]


@pytest.mark.parametrize("case", BRIEFS)
def test_a_repair_settles_what_the_checks_find_and_no_more(case: str) -> None:
    """After its repairs a weak answer still loses what only an expectation sees."""
    assert _lost(case, weak_answers(case, repaired=True)) == LOST[case] - MENDED.get(case, set())
