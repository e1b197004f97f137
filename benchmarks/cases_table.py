"""Prints what `dbprompt.verify` makes of every recorded case, dialect by dialect: `python benchmarks/cases_table.py`.

The cases are those of tests/cases/sql.yaml and own.yaml, each with an engine's or the documentation's verdict. With
`--all` each case has a line of its own; else only the surprises have. It ends with 1 if a verdict of an engine at hand
differs from the recorded one, or if anything is graded above what checked it.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TypedDict

import yaml
from rich.console import Console
from rich.table import Table

from dbprompt.evidence import Evidence, Severity, Status, Tier
from dbprompt.ladder import verify

CASES = Path(__file__).parents[1] / "tests" / "cases"
ENGINES = ("postgres", "sqlite", "duckdb")
OUTCOMES = (
    "bad caught",
    "bad missed",
    "good accepted",
    "good refused",
    "not verified",
    "wrong flagged",
    "wrong missed",
)
LATER = ("plpgsql.", "rls.", "indexes.redundant", "sql.key_without_length")


class Case(TypedDict, total=False):
    """One recorded case."""

    id: str
    dialect: str
    sql: str
    valid: bool
    wrong: bool | str


def outcome(case: Case, evidence: Evidence) -> str:
    """Which column of the table a case belongs to."""
    if not case["valid"]:
        if evidence.errors:
            return "bad caught"
        return "bad missed" if evidence.ok else "not verified"
    if evidence.errors:
        return "good refused"
    if case.get("wrong"):
        later = [one for one in evidence.findings if one.severity is Severity.WARNING and one.code.startswith(LATER)]
        return "wrong flagged" if later else "wrong missed"
    return "good accepted" if evidence.ok else "not verified"


def top(evidence: Evidence) -> Tier:
    """The strongest tier that passed or failed something."""
    decided = {verdict.tier for verdict in evidence.verdicts if verdict.status in {Status.PASSED, Status.FAILED}}
    return next((tier for tier in (Tier.ENGINE, Tier.VENDOR, Tier.PARSER, Tier.RULE) if tier in decided), Tier.NOTHING)


def main() -> int:
    """Prints the tables."""
    every = "--all" in sys.argv
    console = Console(width=200 if every else 120)
    data = yaml.safe_load((CASES / "sql.yaml").read_text(encoding="utf-8"))
    own = yaml.safe_load((CASES / "own.yaml").read_text(encoding="utf-8"))["cases"]
    cases: list[Case] = [*data["cases"], *({**case, "dialect": "postgres"} for case in own)]
    lines = Table("dialect", "case", "recorded", "outcome", "finding", title="cases" if every else "surprises")
    totals: Counter[tuple[str, str]] = Counter()
    tiers: dict[str, set[Tier]] = {}
    checkers: dict[str, str] = {}
    wrong = 0
    began = time.monotonic()
    for case in cases:
        dialect = case["dialect"]
        evidence = verify(case["sql"], dialect=dialect, setup=data["setup"].get(dialect))
        what = outcome(case, evidence)
        totals[dialect, what] += 1
        tiers.setdefault(dialect, set()).add(top(evidence))
        for one in evidence.verdicts:
            if one.tier is Tier.ENGINE or (one.tier is Tier.PARSER and dialect not in ENGINES):
                checkers[dialect] = one.checker
        surprise = dialect in ENGINES and what in {"bad missed", "good refused", "wrong missed"}
        wrong += surprise or (dialect not in ENGINES and bool(tiers[dialect] & {Tier.ENGINE, Tier.VENDOR}))
        if surprise or every:
            words = [one for one in evidence.findings if one.severity is not Severity.ADVICE]
            cause = f"{words[0].code}: {words[0].message}"[:90] if words else ""
            lines.add_row(dialect, case["id"], "accepted" if case["valid"] else "refused", what, cause)
    if lines.rows:
        console.print(lines)
    table = Table("dialect", "checked by", "tiers", *OUTCOMES, title="dbprompt.verify on the recorded cases")
    for dialect in sorted(tiers, key=lambda name: (name not in ENGINES, name)):
        counts = (str(totals[dialect, what] or "") for what in OUTCOMES)
        table.add_row(dialect, checkers[dialect], "".join(sorted(tiers[dialect])), *counts)
    console.print(table)
    console.print(f"{len(cases)} cases in {time.monotonic() - began:.1f} s; verdicts that differ: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
