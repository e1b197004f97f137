"""Prints what `dbprompt.verify` says to every case of tests/cases/sql.yaml: `python benchmarks/cases_table.py [--all]`.

With `--all` each case has a line of its own; else only the totals and the surprises are shown. It ends with 1 if a
verdict of an engine at hand differs from the recorded one.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from dbprompt.engines.postgres import PostgresEngine
from dbprompt.evidence import Evidence, Severity
from dbprompt.ladder import verify

CASES = Path(__file__).parents[1] / "tests" / "cases" / "sql.yaml"


def grade(evidence: Evidence) -> str:
    """Status and tier of the verdict that decides, over all statements: `passed E`."""
    wheres = dict.fromkeys(verdict.where for verdict in evidence.verdicts)
    best = [verdict for where in wheres if (verdict := evidence.best(where))]
    order = ("failed", "inconclusive", "not_checked", "passed")
    worst = min(best, key=lambda verdict: order.index(verdict.status))
    return f"{worst.status} {worst.tier}"


def cause(evidence: Evidence) -> str:
    """The first finding that counts, in short."""
    findings = [finding for finding in evidence.findings if finding.severity is not Severity.ADVICE]
    return f"{findings[0].code}: {findings[0].message}"[:90] if findings else ""


def main() -> int:
    """Prints the tables."""
    console = Console(width=200 if "--all" in sys.argv else 120)
    data = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    engine = PostgresEngine.of()
    major = int(engine.version.partition(".")[0])
    lines = Table(
        "dialect", "case", "recorded", "verdict", "finding", title="cases" if "--all" in sys.argv else "surprises"
    )
    totals: Counter[tuple[str, str, str]] = Counter()
    surprises = flagged = wrong = 0
    began = time.monotonic()
    for case in data["cases"]:
        is_postgres = case["dialect"] == "postgres"
        evidence = verify(
            case["sql"], dialect=case["dialect"], setup=data["setup"]["postgres"] if is_postgres else None
        )
        valid = case["valid"] and case.get("since", 0) <= major
        recorded = "accepted" if valid else "refused"
        graded = grade(evidence)
        totals[case["dialect"], recorded, graded] += 1
        surprise = is_postgres and evidence.ok is not valid
        surprises += surprise
        if case.get("wrong") and is_postgres:
            wrong += 1
            flagged += bool(evidence.findings)
        if surprise or "--all" in sys.argv:
            lines.add_row(case["dialect"], case["id"], recorded, graded, cause(evidence))
    if lines.rows:
        console.print(lines)
    table = Table("dialect", "recorded", "verdict", "cases", title=f"dbprompt.verify, postgresql {engine.version}")
    for (dialect, recorded, graded), count in sorted(totals.items()):
        table.add_row(dialect, recorded, graded, str(count))
    console.print(table)
    console.print(f"{sum(totals.values())} cases in {time.monotonic() - began:.1f} s")
    console.print(f"PostgreSQL verdicts that differ from the recorded ones: {surprises}")
    console.print(f"accepted-but-wrong statements that raw SQL alone gives a finding for: {flagged} of {wrong}")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
