"""Writes the recordings of `docs/evals.md` anew, a terse prompt and its next version: python evals/record_terse.py

The answers are authored, not a model's: for 1.1.0 the reference answers, for 1.0.0 the weak ones of `evals/weak/`, with
the repairs that dbprompt's findings make them ask for. They show what a comparison looks like, and prove nothing about
prompts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dbprompt import Brief, Client, load_prompt
from dbprompt.messages import Json
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.tape import Tape
from dbprompt.sections import SECTIONS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
PROMPTS = ROOT / "evals/prompts/terse_architect"
MODEL = "anthropic:claude-opus-4-8"
BRIEFS = {
    "marketplace": "pg_marketplace_orders",
    "crm": "pg_crm_multitenant",
    "clinic": "pg_clinic_scheduling",
    "wallet": "pg_wallet_ledger",
    "telemetry": "timescale_fleet_telemetry",
}
Section = Mapping[str, Json]


def good(case: str) -> dict[str, list[Section]]:
    """The reference answers: one a section."""
    from answers import answer

    return {section: [answer(case, section)] for section in SECTIONS}


def weak(case: str) -> dict[str, list[Section]]:
    """The weak answers, and after each the repair of what the checks find in it."""
    from answers import weak_answers

    before, after = (_whole(weak_answers(case, repaired=repaired)) for repaired in (False, True))
    return {name: [before[name], *_repair(before[name], after[name])] for name in SECTIONS}


def _whole(answers: Mapping[str, Section]) -> dict[str, Section]:
    """With each default written out, as a model has to answer."""
    return {name: SECTIONS[name].model_validate(one).model_dump(mode="json") for name, one in answers.items()}


def _repair(before: Section, after: Section) -> Iterator[Section]:
    """The items that a repair changes, as it is answered: `tables_2` for an item, `add_policies` for new ones."""
    patch: dict[str, Json] = {}
    for name, value in after.items():
        old = before[name]
        if not isinstance(old, list) or not isinstance(value, list):
            patch |= {name: value} if value != old else {}
            continue
        patch |= {f"{name}_{at}": one for at, (one, was) in enumerate(zip(value, old, strict=False)) if one != was}
        patch |= {f"add_{name}": value[len(old) :]} if len(value) > len(old) else {}
    if patch:
        yield patch


def record(case: str, version: str, answers: Mapping[str, Sequence[Section]]) -> None:
    """One conversation with one version."""
    path = ROOT / f"evals/recordings/postgres/{case}.terse_architect@{version}.json"
    tape = Tape.open(path, mode="record", provenance="authored", inner=authored_transport(answers))
    with Client(MODEL, recording=tape, api_key="nobody-is-asked") as client:
        brief = Brief.load(ROOT / f"evals/briefs/{BRIEFS[case]}.yaml")
        result = client.design(brief, prompt=load_prompt(PROMPTS / version))
    print(f"{path.relative_to(ROOT)}: {result.usage.requests} answers, proven: {result.evidence.ok}")


if __name__ == "__main__":
    for one in BRIEFS:
        record(one, "1.0.0", weak(one))
        record(one, "1.1.0", good(one))
