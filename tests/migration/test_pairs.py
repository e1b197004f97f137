"""Up and down: what the way back leaves undone, and what becomes of the rows.

`python tests/migration/test_pairs.py` prints the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from dbprompt.migration import MigrationEvidence, verify_migration


class Pair(TypedDict, total=False):
    id: str
    up: str
    down: str
    way: str
    differs: list[list[str]]
    errors: list[str]
    rows: dict[str, int]


FILE = yaml.safe_load((Path(__file__).parent / "pairs.yaml").read_text(encoding="utf-8"))
PAIRS: list[Pair] = FILE["pairs"]


def way(evidence: MigrationEvidence) -> str:
    """How far down leads back."""
    kinds = {one.kind for one in evidence.undone or ()}
    if not kinds:
        return "exact"
    return (
        {"column order": "order", "enum": "enum"}.get(next(iter(kinds)), "incomplete")
        if len(kinds) == 1
        else "incomplete"
    )


def tried(pair: Pair) -> MigrationEvidence:
    """The evidence of one pair."""
    return verify_migration(FILE["before"], pair["up"], pair["down"], rows=pair.get("rows"))


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["id"] for pair in PAIRS])
def test_the_way_back_is_classified(pair: Pair) -> None:
    """Down restores the catalogue exactly, or every fact that it leaves is named; lost data is an error."""
    evidence = tried(pair)

    assert [[one.kind, one.name] for one in evidence.undone or ()] == pair.get("differs", [])
    assert way(evidence) == pair["way"]
    assert sorted({finding.code for finding in evidence.errors}) == sorted(pair.get("errors", []))
    assert evidence.ok is not bool(pair.get("errors"))


def _print_table() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("pair", "way back", "what differs", "data")
    for pair in PAIRS:
        evidence = tried(pair)
        lost = {
            finding.message for finding in evidence.findings if "lost" in finding.code or "destructive" in finding.code
        }
        table.add_row(pair["id"], way(evidence), "; ".join(map(str, evidence.undone or ())), "\n".join(lost) or "kept")
    Console(width=200).print(table)


if __name__ == "__main__":
    _print_table()
