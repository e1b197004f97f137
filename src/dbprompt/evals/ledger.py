"""results.jsonl: one line a case, appended and synced, by one writer at a time.

A kill can tear the last line only. A torn line is ended and ignored, so its case is done again; all others stand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from dbprompt.disk import sync_folder, take_lock
from dbprompt.evals.base import RunError
from dbprompt.evals.outcomes import Outcome, outcome_from_line

__all__ = ["RESULTS", "Ledger", "read_lines"]

RESULTS = "results.jsonl"
LOCK = "run.lock"


def read_lines(folder: Path) -> tuple[tuple[Outcome, ...], int]:
    """Every outcome in a run's folder, oldest first, and how many lines could not be read.

    Raises:
        RunError: the file cannot be read.
    """
    file = folder / RESULTS
    if not file.exists():
        return (), 0
    try:
        lines = [line for line in file.read_bytes().split(b"\n") if line.strip()]
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}") from error
    found = [outcome_from_line(line) for line in lines]
    return tuple(one for one in found if one is not None), found.count(None)


class Ledger:
    """The only writer of a run's results, from `with` to its end. The system frees the lock of a killed process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str] | None = None
        self._file = -1

    def __enter__(self) -> Self:
        """Takes the lock, and ends a line that a kill has torn.

        Raises:
            RunError: another process holds the lock, or the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / LOCK).open("a+", encoding="utf-8")
            if who := take_lock(self._lock):
                raise RunError(f"{self._folder} is being written by {who}; wait for it, or give another folder")
            self._file = os.open(self._folder / RESULTS, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)
            self._end_torn_line()
            sync_folder(self._folder)
        except OSError as error:
            self._close()
            raise RunError(f"{self._folder} cannot be written: {error.strerror or error}") from error
        except RunError:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Gives the lock back."""
        self._close()

    def append(self, *outcomes: Outcome) -> None:
        """Writes a line each; when this returns, they are on the disk."""
        left = memoryview("".join(f"{outcome.line()}\n" for outcome in outcomes).encode())
        try:
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError as error:
            raise RunError(f"{self._folder / RESULTS} cannot be written: {error.strerror or error}") from error

    def set_aside(self) -> None:
        """Begins the results anew; the old ones are kept beside, under the first free number."""
        old = next(name for name in _numbered(self._folder) if not name.exists())
        (self._folder / RESULTS).rename(old)
        os.close(self._file)
        self._file = os.open(self._folder / RESULTS, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)
        sync_folder(self._folder)

    def _end_torn_line(self) -> None:
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _numbered(folder: Path) -> Iterator[Path]:
    at = 1
    while True:
        yield folder / f"results.{at}.jsonl"
        at += 1
