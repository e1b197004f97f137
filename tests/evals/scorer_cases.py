"""Sound designs, each with the damages that turn one expectation of its brief."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from design_cases import expand, put

from dbprompt.brief import Brief
from dbprompt.evals.cases import load_case
from dbprompt.evals.expectations import SHAPES, Expectation
from dbprompt.evals.scorers import SCORED, Score, score
from dbprompt.sections import DatabaseDesign

CASES = Path(__file__).parent / "cases"
BRIEFS = Path(__file__).parents[2] / "evals" / "briefs"
AS_OF = date(2026, 3, 1)
_ENGINE = {"planner_uses_index", "dialect_valid"}
_READ_BY_ENGINE = ("schema", "indexes", "queries")

Plain = Any  # YAML


@dataclass(frozen=True)
class Damage:
    """One change to a sound design.

    Args:
        name: what it shows.
        turns: ids of the expectations that it turns, and of no others.
        change: path of names and new value; null takes it away, a last `+` adds.
        brief: the same for the brief.
    """

    base: str
    name: str
    turns: tuple[str, ...]
    change: Mapping[str, Plain] = field(default_factory=dict)
    brief: Mapping[str, Plain] = field(default_factory=dict)

    def scores(self) -> tuple[Score, ...]:
        """Every expectation, scored over the damaged design."""
        return scores(self.base, self.change, self.brief)


def names() -> list[str]:
    """All sound designs."""
    return sorted(path.stem for path in CASES.glob("*.yaml"))


@cache
def _file(name: str) -> Plain:
    return yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))


def damages(name: str) -> list[Damage]:
    """The damages of a design."""
    return [Damage(name, one["name"], tuple(one["turns"]), one.get("change", {}), one.get("brief", {})) for one in
            _file(name)["damages"]]  # fmt: skip


@cache
def expectations(name: str) -> tuple[Expectation, ...]:
    """Those of the brief, and the file's own."""
    own = tuple(SHAPES[one["check"]].model_validate(one) for one in _file(name).get("more", ()))
    return (*load_case(BRIEFS / f"{_file(name)['brief']}.yaml").expectations, *own)


@cache
def _base(name: str) -> Plain:
    file = _file(name)
    if "base" not in file:
        return expand(file["design"])
    document = expand(yaml.safe_load((CASES / file["base"]).read_text(encoding="utf-8")))
    return _changed(document, file["design"])


def _changed(document: Plain, change: Mapping[str, Plain]) -> Plain:
    made = copy.deepcopy(document)
    for path, value in change.items():
        parts = path.split("/")
        put(made, parts, expand(copy.deepcopy(value), key=parts[-2] if parts[-1] == "+" else parts[-1]))
    return made


def brief(name: str, change: Mapping[str, Plain]) -> Brief:
    """The brief, changed."""
    document = yaml.safe_load((BRIEFS / f"{_file(name)['brief']}.yaml").read_text(encoding="utf-8"))
    return Brief(**_changed(document, change))


def design(name: str, change: Mapping[str, Plain]) -> DatabaseDesign:
    """The design, changed."""
    return DatabaseDesign.model_validate(_changed(_base(name), change))


_ASKED: dict[tuple[str, str, str], Score] = {}


def scores(name: str, change: Mapping[str, Plain], of_brief: Mapping[str, Plain]) -> tuple[Score, ...]:
    """Every expectation, scored. The engine is asked once for the same sections."""
    made, asked = design(name, change), brief(name, of_brief)
    found = []
    for one in expectations(name):
        if one.check not in _ENGINE:
            found.append(score(one, made, asked, as_of=AS_OF))
            continue
        key = (name, one.id, made.model_dump_json(include=set(_READ_BY_ENGINE)))
        if key not in _ASKED:
            _ASKED[key] = score(one, made, asked, as_of=AS_OF)
        found.append(_ASKED[key])
    return tuple(found)


@dataclass(frozen=True)
class Row:
    """One check kind: sound designs that pass it, damages that turn it, and those of them that turn nothing else."""

    kind: str
    passes: int
    fails: int
    alone: int


def table() -> tuple[Row, ...]:
    """Every kind that can be scored, as the case files have it; the tests hold each damage to what it says."""
    passes: Counter[str] = Counter()
    fails: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for name in names():
        kinds = {one.id: one.check for one in expectations(name)}
        passes.update(kinds.values())
        for damage in damages(name):
            turned = {kinds[one] for one in damage.turns}
            fails.update(turned)
            alone.update(turned if len(turned) == 1 else ())
    return tuple(Row(kind, passes[kind], fails[kind], alone[kind]) for kind in sorted(SCORED))
