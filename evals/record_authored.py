"""Writes the authored recordings anew: reference answers of a person, through the real SDK, onto tape.

    python evals/record_authored.py

Each folder in `evals/answers/` is one conversation: a file a reply, in the order in which they are given. Needed after
a prompt or a schema has changed, because a recording fits only the requests that it was made from.
"""

from __future__ import annotations

import json
from pathlib import Path

from dbprompt import Brief, Client
from dbprompt.library import load_prompt
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.tape import Tape

ROOT = Path(__file__).parents[1]
MODEL = "anthropic:claude-opus-4-8"
FAMILIES = ("database_architect", "design_framework")
CASES = {"marketplace": ROOT / "examples/marketplace.yaml"}
"""Folder of answers: the brief that they answer."""


def record(case: str, family: str) -> None:
    """One conversation with one prompt family."""
    prompt = load_prompt(family)
    answers = [json.loads(file.read_text()) for file in sorted((ROOT / "evals/answers" / case).glob("*.json"))]
    path = ROOT / "examples/recordings" / f"{case}.{family}.json"
    tape = Tape.open(path, mode="record", provenance="authored", inner=authored_transport(answers))
    with Client(MODEL, recording=tape, api_key="nobody-is-asked") as client:
        result = client.design(Brief.load(CASES[case]), prompt=prompt)
    print(f"{path.relative_to(ROOT)}: {prompt}, {result.usage.requests} answers, proven: {result.evidence.ok}")


if __name__ == "__main__":
    for case in CASES:
        for family in FAMILIES:
            record(case, family)
