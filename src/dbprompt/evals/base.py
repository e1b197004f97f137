"""What the parts of an eval share: the errors, and the small things that are written the same way everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from dbprompt import disk
from dbprompt.errors import DbpromptError, Problem
from dbprompt.messages import Json

__all__ = ["RunError", "SuiteError", "digest", "write_whole"]


class SuiteError(DbpromptError):
    """A suite is wrong; `problems` lists every place at once."""

    def __init__(self, subject: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{subject}: {count} problem{'s' if count != 1 else ''}{lines}")


class RunError(DbpromptError):
    """A run's folder cannot be read or written, or somebody else is writing to it."""


def digest(data: Json) -> str:
    """sha256 of canonical JSON, 16 digits of it."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_whole(path: Path, text: str) -> None:
    """Writes a file all or nothing: a reader sees the old text or the new one, and so does who starts after a kill."""
    try:
        disk.write_whole(path, text)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
