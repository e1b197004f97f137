"""Finds the recording of a case: adding a file adds a case.

`CASE.FAMILY.json` in one of the folders, or `CASE.FAMILY@VERSION.json` for one version only; the second repeat and
those after it have their number before the ending: `CASE.FAMILY.2.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dbprompt.errors import RecordingError
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers.base_cassette import load

__all__ = ["Recorded", "find_recording", "recording_path", "who_answered"]

CHAT = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording says of itself: its hash, the model that answered, and the server if it was not the usual."""

    hash: str
    model: str
    base_url: str | None


def find_recording(folders: Sequence[Path], case: str, prompt: Prompt, repeat: int) -> Path | None:
    """The first of the folders' files for a case."""
    for folder in folders:
        for family in (str(prompt), prompt.name):
            path = recording_path(folder, case, family, repeat)
            if path.is_file():
                return path
    return None


def recording_path(folder: Path, case: str, family: str, repeat: int) -> Path:
    """Where the recording of a case stands."""
    return folder / (f"{case}.{family}.json" if repeat == 1 else f"{case}.{family}.{repeat}.json")


def who_answered(path: Path) -> Recorded:
    """Reads a recording's own words.

    Raises:
        RecordingError: it is empty, or holds the answers of several models: say which is meant.
    """
    cassette = load(path)
    interactions = cassette.interactions
    models = {f"{one.source.provider}:{one.source.model}" for one in interactions}
    if len(models) != 1:
        raise RecordingError(f"{path} holds answers of {len(models)} models; say which one is meant (--model)")
    uri = interactions[0].uri
    base_url = uri.removesuffix(CHAT) if uri.endswith(CHAT) else None
    return Recorded(cassette.hash, models.pop(), base_url)
