"""The PostgreSQL cases: what the engine refuses is refused with its cause, what it accepts is not refused."""

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
    dialect: str
    sql: str
    valid: bool
    since: int
    error: str | None


FILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "sql.yaml").read_text(encoding="utf-8"))
CASES: list[Case] = FILE["cases"]
POSTGRES = [case for case in CASES if case["dialect"] == "postgres"]
OTHERS = [case for case in CASES if case["dialect"] != "postgres"]
MAJOR = installations()[0].major


@pytest.mark.parametrize("case", POSTGRES, ids=[case["id"] for case in POSTGRES])
def test_postgres_verdict_is_the_engines(case: Case) -> None:
    """Every recorded engine verdict comes out again, with the engine's own words as the cause."""
    accepted = case["valid"] and case.get("since", 0) <= MAJOR

    evidence = verify(case["sql"], setup=FILE["setup"]["postgres"])

    if accepted:
        assert evidence.ok, [str(finding) for finding in evidence.findings]
        assert any(v.tier is Tier.ENGINE and v.status is Status.PASSED for v in evidence.verdicts)
    else:
        assert not evidence.ok
        errors = [finding.message for finding in evidence.findings if finding.severity is Severity.ERROR]
        words = str(case.get("error", "")).partition(": ")[2]
        assert len(errors) == 1
        assert words in errors[0]


@pytest.mark.parametrize("case", OTHERS, ids=[f"{case['dialect']}-{case['id']}" for case in OTHERS])
def test_dialects_without_an_engine_are_graded_as_parsed_at_best(case: Case) -> None:
    """A dialect that no engine checks is never graded above a parser, and the evidence says what is missing."""
    evidence = verify(case["sql"], dialect=case["dialect"])

    assert {verdict.tier for verdict in evidence.verdicts} <= {Tier.PARSER, Tier.NOTHING}
    assert any(verdict.status is Status.NOT_CHECKED and verdict.uncovered for verdict in evidence.verdicts)
    if case["valid"]:
        assert not [finding for finding in evidence.findings if finding.severity is Severity.ERROR]
