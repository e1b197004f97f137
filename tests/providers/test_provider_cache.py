"""What a provider's prompt cache can use of a design's requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RECORDINGS = sorted((Path(__file__).parents[2] / "evals/recordings/postgres").glob("*.d*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_design_begins_alike(path: Path) -> None:
    """All sections and repairs of a design share one prefix to the letter, which ends with the one cache mark."""
    prefixes = set()
    for each in json.loads(path.read_text(encoding="utf-8"))["interactions"]:
        body = json.loads(each["request"]["body"])
        blocks = [*body["system"], *(block for turn in body["messages"] for block in turn["content"])]
        marks = [number for number, block in enumerate(blocks) if "cache_control" in block]
        assert len(marks) == 1
        prefixes.add(json.dumps(blocks[: marks[0] + 1]))
    assert len(prefixes) == 1
