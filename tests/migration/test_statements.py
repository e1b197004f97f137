"""What PostgreSQL really does for each migration statement, held against its documentation.

`python tests/migration/test_statements.py` prints the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from dbprompt.checks.base_migration import Step
from dbprompt.engines.postgres import installations
from dbprompt.migration import verify_migration


class Case(TypedDict, total=False):
    sql: str
    setup: str
    relation: str
    lock: str
    rewrites: list[str]
    scans: list[str]
    any_scans: bool
    transaction: bool
    waits: bool
    since: int
    source: str


FILE = yaml.safe_load((Path(__file__).parent / "statements.yaml").read_text(encoding="utf-8"))
CASES: list[Case] = FILE["statements"]
MAJORS = sorted({one.major for one in installations()})
TRIED = [(case, major) for case in CASES for major in MAJORS if case.get("since", 0) <= major]


def observed(case: Case, major: int) -> Step:
    """The step of a case's statement; what it needs stands before."""
    evidence = verify_migration(f"{FILE['before']}; {case.get('setup', '')}", case["sql"], version=major)
    assert evidence.steps[0].outcome is not None
    return evidence.steps[0]


@pytest.mark.parametrize(("case", "major"), TRIED, ids=[f"{major}-{case['sql'][:60]}" for case, major in TRIED])
def test_the_engine_does_what_its_documentation_says(case: Case, major: int) -> None:
    """Lock, rewrite, scan and transaction of each statement are those of the documentation."""
    step = observed(case, major)

    assert step.ok, step.outcome
    locks = {lock.relation: lock.mode.words for lock in step.locks}
    assert locks.get(case.get("relation", "orders")) == case["lock"]
    assert list(step.rewritten) == case.get("rewrites", [])
    if not step.rewritten and not case.get("any_scans"):
        assert list(step.scanned) == case.get("scans", [])
    assert step.in_transaction is case.get("transaction", True)
    assert step.waits_for_writers is case.get("waits", step.rewritten != () and not step.in_transaction)


def _print_table() -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for major in MAJORS:
        table = Table("statement", "on", "lock", "rewrites", "reads all of", "in a transaction", "waits for writers")
        for case in (case for case, tried in TRIED if tried == major):
            step, relation = observed(case, major), case.get("relation", "orders")
            lock = next((lock.mode.words for lock in step.locks if lock.relation == relation), "")
            cells = (", ".join(step.rewritten), ", ".join(step.scanned))
            yes = ("yes" if step.in_transaction else "no", "yes" if step.waits_for_writers else "")
            table.add_row(escape(case["sql"]), relation, lock, *cells, *yes)
        table.title = f"PostgreSQL {major}"
        Console(width=200).print(table)


if __name__ == "__main__":
    _print_table()
