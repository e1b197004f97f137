"""Own PostgreSQL cases: verify agrees with a bare server on each, and names what will fail later or is in vain."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from dbprompt.engines.postgres import installations
from dbprompt.evidence import Severity, Status, Tier
from dbprompt.ladder import verify


class Case(TypedDict, total=False):
    id: str
    sql: str
    valid: bool
    engine: str
    superuser: bool
    unbuilt: bool
    error: str
    wrong: str


FOLDER = Path(__file__).parents[1] / "cases"
CASES: list[Case] = yaml.safe_load((FOLDER / "own.yaml").read_text(encoding="utf-8"))["cases"]
SETUP: str = yaml.safe_load((FOLDER / "sql.yaml").read_text(encoding="utf-8"))["setup"]["postgres"]
LATER = ("plpgsql.", "rls.", "indexes.redundant", "expressions.frozen_moment")
RECORDED_ON = int(CASES[0]["engine"].removeprefix("postgresql ").partition(".")[0])
pytestmark = pytest.mark.skipif(
    installations()[0].major != RECORDED_ON, reason=f"the verdicts were recorded on {RECORDED_ON}"
)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_verify_agrees_with_a_bare_server(case: Case) -> None:
    """What the server refuses is refused for its reason; what it accepts is passed by the engine, and never refused."""
    evidence = verify(case["sql"], setup=SETUP)

    errors = [finding.message for finding in evidence.findings if finding.severity is Severity.ERROR]
    later = {finding.code for finding in evidence.findings if finding.severity is Severity.WARNING}
    if not case["valid"]:
        assert not evidence.ok
        assert any(case["error"].partition(": ")[2] in message for message in errors)
        return
    assert evidence.ok, errors
    closed = [v for v in evidence.not_proven if v.tier is not Tier.PARSER]
    assert not closed or case.get("superuser") or case.get("unbuilt")
    assert closed or any(v.tier is Tier.ENGINE and v.status is Status.PASSED for v in evidence.verdicts)
    assert {code for code in later if code.startswith(LATER)} == ({case["wrong"]} if "wrong" in case else set())
