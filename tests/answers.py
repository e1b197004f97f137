"""The authored reference answers, with their repairs applied: finished designs for tests to change."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from dbprompt import DatabaseDesign

__all__ = ["answer", "design"]

ANSWERS = Path(__file__).parents[1] / "evals/answers"


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
