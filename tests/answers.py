"""The authored reference answers, with their repairs applied: finished designs for tests to change."""

from __future__ import annotations

import copy
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from dbprompt import DatabaseDesign
from dbprompt.sections import SECTIONS

__all__ = ["answer", "design", "weak_answers"]

ANSWERS = Path(__file__).parents[1] / "evals/answers"
WEAK = Path(__file__).parents[1] / "evals/weak"


def answer(case: str, section: str) -> dict[str, Any]:
    """One section's reference answer as plain data, with its repairs applied."""
    return copy.deepcopy(_answer(case, section))


@cache
def _answer(case: str, section: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ANSWERS / case / f"{section}.json").read_text(encoding="utf-8"))
    repair = ANSWERS / case / f"{section}.repair.json"
    if repair.exists():
        for key, item in json.loads(repair.read_text(encoding="utf-8")).items():
            name, _, at = key.rpartition("_")
            found[name][int(at)] = item
    return found


def design(case: str, *sections: str) -> DatabaseDesign:
    """A design of these sections."""
    return DatabaseDesign.model_validate({section: answer(case, section) for section in sections})


def weak_answers(case: str, *, repaired: bool = False) -> dict[str, dict[str, Any]]:
    """Every section of the weak answer: the reference answer with the changes of `evals/weak/CASE.json`.

    Args:
        case: whose.
        repaired: with the changes of `CASE.repair.json` too, which settle what dbprompt's checks find and no more.
    """
    sys.path.append(str(Path(__file__).parent / "checks"))
    from design_cases import put

    document = {section: answer(case, section) for section in SECTIONS}
    files = [WEAK / f"{case}.json", *([WEAK / f"{case}.repair.json"] if repaired else [])]
    for file in (file for file in files if file.exists()):
        for section, changes in json.loads(file.read_text(encoding="utf-8")).items():
            for path, value in changes.items():
                put(document, [section, *path.split("/")], value)
    return document
