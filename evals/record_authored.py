"""Writes the authored recordings anew: reference answers of a person, through the real SDK, onto tape.

    python evals/record_authored.py

Each folder in `evals/answers/` is a conversation: `SECTION.json` answers the section, `SECTION.repair.json` the repair
after it. Needed after a prompt or a schema has changed: a recording fits only the requests that it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dbprompt import Brief, Client
from dbprompt.library import load_prompt
from dbprompt.messages import Json
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.tape import Tape

ROOT = Path(__file__).parents[1]
MODEL = "anthropic:claude-opus-4-8"
FAMILIES = ("database_architect", "design_framework")
CASES = {
    "marketplace": ROOT / "examples/marketplace.yaml",
    "crm": ROOT / "evals/briefs/pg_crm_multitenant.yaml",
    "clinic": ROOT / "evals/briefs/pg_clinic_scheduling.yaml",
    "wallet": ROOT / "evals/briefs/pg_wallet_ledger.yaml",
    "telemetry": ROOT / "evals/briefs/timescale_fleet_telemetry.yaml",
}
"""Folder of answers: the brief that they answer."""


def replies(case: str, section: str) -> Iterator[dict[str, Json]]:
    """What is answered about one section, in its order."""
    for name in (f"{section}.json", f"{section}.repair.json"):
        file = ROOT / "evals/answers" / case / name
        if file.exists():
            yield json.loads(file.read_text(encoding="utf-8"))


def record(case: str, family: str) -> None:
    """One conversation with one prompt family."""
    prompt = load_prompt(family)
    answers = {section: list(replies(case, section)) for section in prompt.sections}
    path = ROOT / "evals/recordings/postgres" / f"{case}.{family}.json"
    tape = Tape.open(path, mode="record", provenance="authored", inner=authored_transport(answers))
    with Client(MODEL, recording=tape, api_key="nobody-is-asked") as client:
        result = client.design(Brief.load(CASES[case]), prompt=prompt)
    print(f"{path.relative_to(ROOT)}: {prompt}, {result.usage.requests} answers, proven: {result.evidence.ok}")


if __name__ == "__main__":
    for case in CASES:
        for family in FAMILIES:
            record(case, family)
