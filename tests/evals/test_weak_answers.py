"""The weak answers make the mistakes that their briefs warn of, and lose exactly the expectations about them."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

import pytest
from answers import answer

from dbprompt import DatabaseDesign
from dbprompt.evals.cases import load_case
from dbprompt.evals.scorers import score_all
from dbprompt.sections import SECTIONS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/checks"))
from design_cases import put  # noqa: E402

BRIEFS = {
    "clinic": "pg_clinic_scheduling",
    "crm": "pg_crm_multitenant",
    "telemetry": "timescale_fleet_telemetry",
    "wallet": "pg_wallet_ledger",
}
LOST = {
    "clinic": {"doctor_once", "room_once", "zero_loss"},
    "crm": {"rls", "custom"},
    "telemetry": {"no_duplicates", "vehicle_time", "raw_life"},
    "wallet": {"once", "keep_parents", "lost_update"},
}


def weak(case: str) -> DatabaseDesign:
    """The reference design with the weak answer's changes."""
    document = {section: answer(case, section) for section in SECTIONS}
    for section, changes in json.loads((ROOT / f"evals/weak/{case}.json").read_text(encoding="utf-8")).items():
        for path, value in changes.items():
            put(document, [section, *path.split("/")], value)
    return DatabaseDesign.model_validate(document)


@pytest.mark.parametrize("case", BRIEFS)
def test_a_weak_answer_loses_what_it_is_weak_in(case: str) -> None:
    """The good answer meets every `must`; the weak one loses those about its mistakes and no others."""
    known = load_case(ROOT / f"evals/briefs/{BRIEFS[case]}.yaml")
    good = DatabaseDesign.model_validate({section: answer(case, section) for section in SECTIONS})
    day = date(2026, 11, 22)
    assert [s.id for s in score_all(known.expectations, good, known.brief, as_of=day) if not s.passed] == []
    lost = {score.id for score in score_all(known.expectations, weak(case), known.brief, as_of=day) if not score.passed}
    assert lost == LOST[case]
