"""The state of a batch run on disk: what was handed in under which id, and every answer that was collected.

```
FOLDER/batch.json             the day that the run counts from
FOLDER/submissions/MARK.json  one batch: its requests, and its id as soon as the provider has told it
FOLDER/answers/MARK.jsonl     how each request of that batch ended; there once the batch is collected
```
Each file is written whole or not at all. A submission is written before the batch is handed in: after a kill in
between, the provider is asked whether it has it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from dbprompt.disk import take_lock, write_whole
from dbprompt.errors import OutputError, RequestError

__all__ = ["BatchFolder", "Collected", "Submission", "open_folder"]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Submission:
    """One batch.

    Args:
        mark: its name here; the provider is told it.
        model: who is asked, such as `anthropic:claude-opus-4-8`.
        keys: its requests, in the order in which they were handed in.
        at: when, in UTC.
        after: the provider's newest batch before it; empty if there was none.
        id: the provider's name for it; empty until that was received.
        others: batches that were taken for this one, and were not.
    """

    mark: str
    model: str
    keys: tuple[str, ...]
    at: datetime
    after: str = ""
    id: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Collected:
    """How a request ended: the provider's answer in JSON, or why it will not be asked again. Neither: it may be."""

    key: str
    body: str = ""
    refused: str = ""
    status: int | None = None

    def error(self) -> RequestError | None:
        """The refusal as it was first raised."""
        return RequestError(self.refused, status=self.status) if self.refused else None


@dataclass(frozen=True, slots=True)
class _About:
    as_of: date
    version: int = 1


_SUBMISSION, _COLLECTED, _ABOUT = TypeAdapter(Submission), TypeAdapter(Collected), TypeAdapter(_About)


@contextmanager
def open_folder(path: str | Path) -> Iterator[BatchFolder]:
    """The folder, for this process alone; made if it is not there.

    Raises:
        OutputError: it cannot be written, another process is at it, or a file in it was damaged.
    """
    home = Path(path)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "batch.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{home} cannot be written: {error.strerror or error}") from error
    with lock:  # the system frees the lock of a killed process
        if who := take_lock(lock):
            raise OutputError(f"{home} is being driven by {who}: wait for it, or give another folder")
        yield BatchFolder(home)


class BatchFolder:
    """What stands in the folder. Made by `open_folder`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._submissions = {one.mark: one for one in self._read_submissions()}
        self._answers: dict[str, Collected] = {}
        for mark in self._submissions:
            if self._answers_file(mark).exists():
                self._keep(self._read_answers(mark))

    def as_of(self, wished: date | None) -> date:
        """The day that the run counts from: as wished, or as it was at the first start."""
        file = self.home / "batch.json"
        if wished is None and file.exists():
            wished = _read(_ABOUT, file, file.read_bytes()).as_of
        about = _About(wished or date.today())
        _write(file, _ABOUT.dump_json(about).decode())
        return about.as_of

    def answer(self, key: str) -> Collected | None:
        """What was collected for a request; None if nothing that ends it was."""
        return self._answers.get(key)

    def open(self, model: str) -> tuple[Submission, ...]:
        """The batches of a model that were not collected yet, those whose id nobody received included."""
        mine = (one for one in self._submissions.values() if one.model == model)
        return tuple(one for one in mine if not self._answers_file(one.mark).exists())

    def ids(self) -> frozenset[str]:
        """The provider's names of all batches that are known here."""
        return frozenset(one.id for one in self._submissions.values() if one.id)

    def intend(self, model: str, keys: Iterable[str], after: str) -> Submission:
        """Writes down that a batch is about to be handed in."""
        return self._write(Submission(secrets.token_hex(8), model, tuple(keys), datetime.now(UTC), after))

    def received(self, submission: Submission, batch_id: str) -> Submission:
        """Writes down the provider's name for a batch."""
        return self._write(replace(submission, id=batch_id))

    def disown(self, submission: Submission) -> Submission:
        """Writes down that this is somebody else's batch: ours is to be looked for again."""
        return self._write(replace(submission, id="", others=(*submission.others, submission.id)))

    def drop(self, submission: Submission) -> None:
        """Forgets a batch that the provider never got."""
        self._submission_file(submission.mark).unlink(missing_ok=True)
        self._submissions.pop(submission.mark, None)

    def collected(self, submission: Submission, ends: Sequence[Collected]) -> None:
        """Writes down how each request of a batch ended; with that, the batch is done with."""
        kept = [replace(end, body=_writable(end.body), refused=_writable(end.refused)) for end in ends]
        _write(self._answers_file(submission.mark), (f"{_COLLECTED.dump_json(end).decode()}\n" for end in kept))
        self._keep(kept)

    def _keep(self, ends: Iterable[Collected]) -> None:
        self._answers |= {end.key: end for end in ends if end.body or end.refused}

    def _write(self, submission: Submission) -> Submission:
        text = json.dumps(_SUBMISSION.dump_python(submission, mode="json"), indent=1)
        _write(self._submission_file(submission.mark), f"{text}\n")
        self._submissions[submission.mark] = submission
        return submission

    def _read_submissions(self) -> Iterator[Submission]:
        for file in sorted((self.home / "submissions").glob("*.json")):
            yield _read(_SUBMISSION, file, file.read_bytes())

    def _read_answers(self, mark: str) -> list[Collected]:
        file = self._answers_file(mark)
        with file.open("rb") as lines:
            return [_read(_COLLECTED, file, line) for line in lines]

    def _submission_file(self, mark: str) -> Path:
        return self.home / "submissions" / f"{mark}.json"

    def _answers_file(self, mark: str) -> Path:
        return self.home / "answers" / f"{mark}.jsonl"


def _writable(text: str) -> str:
    """The text with each half of a letter as `\\ud800`: a file cannot hold it, and in JSON that means the same."""
    return text.encode("utf-8", "backslashreplace").decode()


def _read(adapter: TypeAdapter[T], file: Path, data: bytes) -> T:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise OutputError(f"{file} is damaged: {where}: {first['msg']}; put it back, or give another folder") from error


def _write(file: Path, text: str | Iterable[str]) -> None:
    try:
        write_whole(file, text)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}") from error
