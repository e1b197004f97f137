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
    wrong: bool
    error: str | None


FILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "sql.yaml").read_text(encoding="utf-8"))
CASES: list[Case] = FILE["cases"]
POSTGRES = [case for case in CASES if case["dialect"] == "postgres"]
MAJOR = installations()[0].major


@pytest.mark.parametrize("case", POSTGRES, ids=[case["id"] for case in POSTGRES])
def test_postgres_verdict_is_the_engines(case: Case) -> None:
    """Every recorded engine verdict comes out again, with the engine's own words as the cause."""
    accepted = case["valid"] and case.get("since", 0) <= MAJOR

    evidence = verify(case["sql"], setup=FILE["setup"]["postgres"])

    if accepted:
        assert evidence.ok, [str(finding) for finding in evidence.findings]
        assert any(v.tier is Tier.ENGINE and v.status is Status.PASSED for v in evidence.verdicts)
        if case.get("wrong"):
            assert [finding for finding in evidence.findings if finding.severity is Severity.WARNING]
    else:
        assert not evidence.ok
        errors = [finding.message for finding in evidence.findings if finding.severity is Severity.ERROR]
        words = str(case.get("error", "")).partition(": ")[2]
        assert len(errors) == 1
        assert words in errors[0]
