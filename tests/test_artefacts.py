"""docs/artefacts.md is complete: every part of every section, and nothing in it that is not there."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from answers import ANSWERS, design

from dbprompt import Brief
from dbprompt.capacity import capacity_of
from dbprompt.checks.base_design import ITEMS
from dbprompt.checks.catalogue import families
from dbprompt.checks.registry import rule_checks
from dbprompt.proofs import PROOFS
from dbprompt.render.background import Background
from dbprompt.render.folder import files_of
from dbprompt.sections import SECTIONS

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs/artefacts.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TABLE.splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_every_artefact_of_the_source_prompts_has_a_row() -> None:
    """38 rows in order, each with place, maker, check, tier and file."""
    assert [int(row[0]) for row in ROWS] == list(range(1, 39))
    assert all(len(row) == 7 and all(row) for row in ROWS)


def test_every_part_of_every_section_has_a_row() -> None:
    """What gets a verdict stands in the table, and every place in the table is there."""
    named = set(re.findall(r"`/([a-z_]+/[a-z_]+)`", " ".join(row[2] for row in ROWS)))
    assert named == {f"{section}/{part}" for section in SECTIONS for part in ITEMS[section]}


@cache
def _files() -> frozenset[str]:
    brief = Brief.load(ROOT / "tests/briefs/pg_marketplace_orders.yaml")
    about = Background(brief, capacity_of(brief), "", "", (), date(2026, 11, 22), 15)
    return frozenset(files_of(design("marketplace", *SECTIONS), about)) | {"README.md", "report.html"}


def test_every_file_is_written_and_named() -> None:
    """Each file of the table is in the folder of the demo, and the folder holds no other."""
    named = set(re.findall(r"`([^`]+)`", " ".join(row[6] for row in ROWS)))
    for name in named:
        assert any(file == name or (name.endswith("/") and file.startswith(name)) for file in _files()), name
    loose = [file for file in _files() if not any(file == n or (n.endswith("/") and file.startswith(n)) for n in named)]
    assert loose == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:30])
def test_every_check_is_there(row: list[str]) -> None:
    """Rule families are in the catalogue, proofs are registered, and a tier E has an engine or a proof behind it."""
    proofs = {proof.__module__.rpartition(".")[2] for listed in PROOFS.values() for proof in listed}
    rules = set(families()) | {check.__module__.rpartition(".")[2] for s in SECTIONS for check in rule_checks(s)}
    for proof in re.findall(r"proof `([a-z_]+)`", row[4]):
        assert proof in proofs
    for name in re.findall(r"(?<!proof )`([a-z_]+)`", row[4]):
        assert name in rules | {"engine", "plans"}, name
    if row[5] == "E":
        assert "proof `" in row[4] or "`engine`" in row[4]


def test_both_cases_answer_every_section() -> None:
    """There is a reference answer to each section for both briefs."""
    for case in ("marketplace", "crm"):
        assert [name for name in SECTIONS if not (ANSWERS / case / f"{name}.json").exists()] == []
