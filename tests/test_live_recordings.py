"""What a real small model answered, replayed: its mistakes are still caught, and nothing of it passes as proven."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from answers import design

from dbprompt import Brief, Client, DatabaseDesign, ItemDone, TextDelta, UnprovenError
from dbprompt.providers.tape import Tape
from dbprompt.result import Result

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "evals"))
BRIEF = Brief.load(ROOT / "examples/marketplace.yaml")
MODEL = "openai:qwen2.5-coder-1.5b-instruct-q4_k_m"
SERVER = "http://127.0.0.1:8081/v1"


def replay(section: str, start: DatabaseDesign | None = None) -> tuple[Result, Tape]:
    """The design as far as the recording goes, proven or not."""
    tape = Tape.open(ROOT / f"evals/recordings/model/marketplace.{section}.json")
    rounds = len(tape.interactions) - 1
    most = {"schema": 6000, "indexes": 2500}[section]
    client = Client(MODEL, base_url=SERVER, recording=tape, attempts=rounds, max_output_tokens=most)
    try:
        return client.design(BRIEF, sections=[section], start=start), tape
    except UnprovenError as error:
        assert isinstance(error.partial, Result)
        return error.partial, tape


@pytest.mark.usefixtures("no_sockets")
def test_the_models_schema_is_refused_for_its_invented_enum() -> None:
    """The model named a value where an enum's name belongs, in four tables, and repeated it when told: not proven."""
    result, tape = replay("schema")
    assert {interaction.source.provenance for interaction in tape.interactions} == {"model"}
    assert not result.evidence.ok
    assert {finding.code for finding in result.evidence.errors} == {"references.unknown_enum"}
    assert len(result.evidence.errors) == 4


@pytest.mark.usefixtures("no_sockets")
def test_the_models_indexes_are_bounded_and_refused() -> None:
    """On the reference schema it listed as many indexes as it was let, on columns of other tables: not proven."""
    result, tape = replay("indexes", design("marketplace", "schema"))
    assert {interaction.source.provenance for interaction in tape.interactions} == {"model"}
    assert [turn.kind for turn in result.usage_by_turn] == ["ask", "repair", "repair"]
    assert not result.evidence.ok
    codes = Counter(finding.code for finding in result.evidence.errors)
    assert set(codes) == {"references.unknown_column", "indexes.query_unserved", "indexes.duplicate"}
    assert result.design.indexes is not None and len(result.design.indexes.indexes) <= 17


@pytest.mark.usefixtures("no_sockets")
def test_the_page_counts_what_the_model_got_right() -> None:
    """The table of docs/recordings.md is what the recordings say, each section at once and after its repairs."""
    from raw_and_repaired import FOLDER, rows

    told = [str(row) for row in rows()]
    shown = [line for line in (ROOT / "docs/recordings.md").read_text(encoding="utf-8").splitlines() if line in told]
    assert len(told) == len(list(FOLDER.glob("*.json"))) and shown == told
    sources = [one.source for path in FOLDER.glob("*.json") for one in Tape.open(path).interactions]
    assert {source.provenance for source in sources} == {"model"}


@pytest.mark.usefixtures("no_sockets")
def test_the_models_stream_gives_its_items_one_by_one() -> None:
    """A streamed answer of the model, replayed: each index is final before the next one begins."""
    from record_model import CASES, START, STREAMED, client

    paths = sorted(STREAMED.glob("*.json"))
    assert paths
    for path in paths:
        case, section = path.stem.split(".")
        tape = Tape.open(path)
        assert {one.source.provenance for one in tape.interactions} == {"model"}
        assert "text/event-stream" in tape.interactions[0].headers["content-type"]
        brief, start = Brief.load(CASES[case]), design(case, *START[section])
        seen: list[str] = []
        told = {"sections": [section], "start": start, "check_items": False}  # a replay does not wait for checks
        with client(tape, case, section) as asking, asking.stream_design(brief, **told) as stream:
            for event in stream:
                if isinstance(event, ItemDone):
                    assert event.value is not None
                    seen += [event.where]
                elif isinstance(event, TextDelta):
                    seen += ["text"]
            result = stream.result()
        items = [each for each in seen if each != "text"]
        assert len(items) == len(set(items)) > 1
        assert seen.index(items[0]) < len(seen) - 1 - seen[::-1].index("text")  # before the last words
        assert result.evidence.ok
