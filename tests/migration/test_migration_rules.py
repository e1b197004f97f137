"""The rules of migrations: poor forms are found with the right severity, safe forms are recognised."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from dbprompt.evidence import Severity
from dbprompt.migration import verify_migration


class Case(TypedDict, total=False):
    id: str
    up: str
    rows: dict[str, int]
    losing: list[str]
    finds: dict[str, str]
    absent: list[str]
    clean: bool
    safe: str


FILE = yaml.safe_load((Path(__file__).parent / "rules.yaml").read_text(encoding="utf-8"))
CASES: list[Case] = FILE["cases"]
SIZES = {"orders": 58_000_000, "users": 4_000_000}


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_migrations_have_their_findings(case: Case) -> None:
    """Each migration has the findings of its case, as bad as the size of its tables makes them."""
    evidence = verify_migration(FILE["before"], case["up"], rows=case.get("rows", SIZES), losing=case.get("losing", ()))

    found = {finding.code: finding.severity.value for finding in reversed(evidence.findings)}
    assert {code: found.get(code) for code in case.get("finds", {})} == case.get("finds", {})
    assert not set(case.get("absent", ())) & set(found)
    if case.get("clean"):
        loud = [str(one) for one in evidence.findings if one.severity is not Severity.ADVICE]
        assert [text for text in loud if "not_rerunnable" not in text and "depends_on_data" not in text] == []
        assert evidence.ok
    assert case.get("safe", "") in "; ".join(form for step in evidence.steps for form in step.safe_forms)
