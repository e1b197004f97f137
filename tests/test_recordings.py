"""The shipped recordings: they replay, say who wrote them, and fit nothing but the prompts that they were made from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbprompt import Brief, Client, NoRecordingError, load_prompt
from dbprompt.library import check_prompts
from dbprompt.providers.tape import Tape

ROOT = Path(__file__).parents[1]
BRIEF = Brief.load(ROOT / "examples/marketplace.yaml")
MODEL = "anthropic:claude-opus-4-8"
FAMILIES = ("database_architect", "design_framework")
AUTHORED = [ROOT / f"evals/recordings/postgres/marketplace.{family}.json" for family in FAMILIES]


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("path", AUTHORED, ids=lambda path: path.stem)
def test_authored_recordings_replay_to_a_proven_design(path: Path) -> None:
    """Both families replay offline, through real repairs, to a proven design that says a person wrote the answers."""
    family = path.stem.split(".")[1]
    with Client(MODEL, recording=path) as client:
        result = client.design(BRIEF, prompt=family)
    assert result.evidence.ok
    assert {turn.kind for turn in result.usage_by_turn} == {"ask", "repair"}
    assert "authored" in result.provenance and "replayed" in result.provenance
    assert {i.source.provenance for i in Tape.open(path).interactions} == {"authored"}


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The shipped prompts with one character more in one file."""
    prompts = tmp_path / "prompts"
    shutil.copytree(ROOT / "prompts", prompts)
    file = prompts / "database_architect/2.0.0/sections/indexes.md.j2"
    file.write_text(file.read_text() + ".")
    return prompts


def test_one_changed_character_fails_the_lock(changed: Path) -> None:
    """`prompts lock --check` names the file that changed, and exits with 1."""
    assert [change.part for change in check_prompts(root=changed)] == ["sections/indexes.md.j2"]
    command = [sys.executable, "-m", "dbprompt", "prompts", "lock", "--check", "--root", str(changed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "sections/indexes.md.j2" in done.stdout


@pytest.mark.usefixtures("no_sockets")
def test_one_changed_character_finds_no_recording(changed: Path) -> None:
    """Replay with a changed prompt is an error that says what changed, before any network."""
    prompt = load_prompt("database_architect", root=changed)
    with pytest.raises(NoRecordingError, match="prompt") as caught, Client(MODEL, recording=AUTHORED[0]) as client:
        client.design(BRIEF, prompt=prompt)
    assert "database_architect@2.0.0" in caught.value.wanted or "database_architect@2.0.0" in str(caught.value)


@pytest.mark.usefixtures("no_sockets")
def test_a_changed_brief_finds_no_recording() -> None:
    """A recording answers the brief that it was made for, and no other."""
    other = Brief.parse(BRIEF.model_dump_json(by_alias=True).replace("handmade", "homemade"))
    with pytest.raises(NoRecordingError), Client(MODEL, recording=AUTHORED[0]) as client:
        client.design(other)


def test_shipped_prompts_are_as_locked() -> None:
    """Every published version is as it was."""
    assert check_prompts() == ()
