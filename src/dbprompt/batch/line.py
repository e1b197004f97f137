"""Brings requests to a batch API and their answers back, whatever breaks off in between."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbprompt.batch.base import BatchPolicy, BatchWait, Ended, OnWait, Pending, StillWaitingError
from dbprompt.batch.base_folder import BatchFolder, Collected, Submission
from dbprompt.calls.prices import Price, priced
from dbprompt.errors import DeadlineError, ProviderError, RateLimitError, ServerError
from dbprompt.messages import Request
from dbprompt.providers.base import Sending, naming
from dbprompt.providers.base_batch import BatchApi, BatchItem, Body, dumped, refused_for_good

if TYPE_CHECKING:
    from dbprompt.providers.tape import Tape

__all__ = ["BatchLine"]

_TORN = 3
"""How often results that lack a line are fetched; what they still lack then is asked again."""


@dataclass(slots=True)
class _Asked:
    """A request under its name: which job asks it, in which turn, and what exactly."""

    key: str
    body: str
    request: Request


class BatchLine:
    """One model behind one batch API, with its state in one folder.

    Args:
        api: the model.
        folder: what was handed in and collected before.
        policy: bounds.
        sleep: waits so many seconds, or less if somebody wants this to end.
        stopped: whether somebody wants this to end.
        on_wait: is told of each wait.
        tape: in mode `record`, keeps each exchange as if it had been a call by itself.
        price: what the model costs in a batch; None if nobody told.
    """

    def __init__(
        self,
        api: BatchApi,
        folder: BatchFolder,
        policy: BatchPolicy,
        *,
        sleep: Callable[[float], object] = time.sleep,
        stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        on_wait: OnWait | None = None,
        tape: Tape | None = None,
        price: Price | None = None,
    ) -> None:
        self._price = price
        self._api, self._folder, self._policy = api, folder, policy
        self._sleep, self._stopped, self._clock, self._on_wait = sleep, stopped, clock, on_wait
        self._tape = tape if tape is not None and tape.mode == "record" else None
        self._model = f"{api.name}:{api.model}"
        self._end = clock() + policy.deadline_s
        self._torn: Counter[str] = Counter()
        self._slow_down = False

    def ask(self, pending: Sequence[Pending]) -> list[Ended]:
        """How each request ended; it blocks until all have, or until the deadline.

        A request that is in the folder is not handed in again, whether its answer is there or not. One that a batch
        ended without an answer for is a retryable error; asked again, it goes into another batch.
        """
        round_ = _Round()
        names = [self._named(one) for one in pending]
        asked = {one.key: one for one in names if isinstance(one, _Asked)}
        if self._slow_down:  # the provider said so about the last round, and would say it again
            self._slow_down = False
            self._pause(self._policy.longest_poll_s, asked, None)
        self._hand_in(asked, round_)
        self._wait(asked, round_)
        return [self._end_of(one, round_) if isinstance(one, _Asked) else one for one in names]

    def _named(self, pending: Pending) -> _Asked | ProviderError:
        try:
            body = self._api.encode(pending.request)
        except ProviderError as error:  # a schema that the API cannot take
            return error
        section = pending.request.origin.section
        name = "\n".join((self._api.name, pending.lane, section, str(pending.turn), body))
        return _Asked(hashlib.sha256(name.encode()).hexdigest()[:40], body, pending.request)

    def _end_of(self, asked: _Asked, round_: _Round) -> Ended:
        found = self._folder.answer(asked.key)
        if found is not None and found.body:
            body: Body = json.loads(found.body)
            try:
                reply = self._api.decode(body)
            except ProviderError as error:
                return error
            self._record(asked, found.body)
            return replace(reply, usage=priced(reply, self._price), asked=self._model)
        if found is not None and (refusal := found.error()) is not None:
            return refusal
        return round_.errors.get(asked.key) or self._too_late()

    def _hand_in(self, asked: dict[str, _Asked], round_: _Round) -> None:
        """Hands in what is neither answered nor under way; first finds out what an earlier attempt left in doubt."""
        for attempt in range(1, self._policy.tries + 1):
            try:
                for submission in self._open():
                    if not submission.id:
                        self._look_for(submission)
                for part in self._parts(self._fresh(asked, round_)):
                    self._submit(part)
            except ProviderError as error:
                again = error.retryable or _in_doubt(error)
                if not again or attempt == self._policy.tries or self._left() <= 0:
                    under_way = {key for one in self._open() if one.id for key in one.keys}
                    round_.errors |= {key: error for key in asked if key not in under_way}
                    return
                self._pause(self._backoff(attempt, error), asked, error)
            else:
                return

    def _fresh(self, asked: dict[str, _Asked], round_: _Round) -> list[_Asked]:
        if self._left() <= 0:
            return []
        over = {key for one in self._open() for key in one.keys} | set(round_.errors)
        return [one for one in asked.values() if one.key not in over and self._folder.answer(one.key) is None]

    def _parts(self, fresh: Iterable[_Asked]) -> Iterator[list[_Asked]]:
        """As many requests a batch as the API takes."""
        part: list[_Asked] = []
        size = 0
        for one in fresh:
            bytes_ = len(one.body.encode()) + 200
            if part and (len(part) == self._api.most_items or size + bytes_ > self._api.most_bytes):
                yield part
                part, size = [], 0
            part.append(one)
            size += bytes_
        if part:
            yield part

    def _submit(self, part: Sequence[_Asked]) -> None:
        submission = self._folder.intend(self._model, (one.key for one in part), self._api.newest())
        items = [BatchItem(_custom_id(submission, one.key), one.body) for one in part]
        try:
            batch_id = self._api.submit(submission.mark, items)
        except ProviderError as error:
            if not _in_doubt(error):  # refused in so many words: there is no such batch
                self._folder.drop(submission)
            raise
        self._folder.received(submission, batch_id)

    def _look_for(self, submission: Submission) -> None:
        """Finds the batch whose id nobody received; if the provider never got it, it is forgotten."""
        besides = self._folder.ids() | set(submission.others)
        while True:
            found = self._api.find(
                submission.mark, count=len(submission.keys), after=submission.after, besides=frozenset(besides)
            )
            if found is not None:
                self._folder.received(submission, found)
                return
            young = self._policy.settle_s - (datetime.now(UTC) - submission.at).total_seconds()
            if young <= 0 or self._left() <= 0:
                break
            self._sleep(min(young, self._policy.first_poll_s, max(0.0, self._left())))
        if young <= 0:
            self._folder.drop(submission)

    def _wait(self, asked: dict[str, _Asked], round_: _Round) -> None:
        """Until every batch that holds one of these requests is collected."""
        pause, failures = self._policy.first_poll_s, 0
        while waited := self._under_way(asked, round_):
            error: ProviderError | None = None
            collected = False
            for submission in waited:
                try:
                    if self._api.ended(submission.id):
                        self._collect(submission, round_)
                        collected = True
                except ProviderError as failed:
                    error = failed
                    if not (failed.retryable or _in_doubt(failed)) or failures + 1 >= self._policy.tries:
                        round_.errors |= dict.fromkeys(submission.keys, self._cannot_see(submission, failed))
            failures = failures + 1 if error else 0
            if self._left() <= 0:
                return
            if collected:
                self._hand_in(asked, round_)  # a batch that turned out to be somebody else's leaves ours to be found
                continue
            wanted = error.retry_after if error is not None and error.retry_after is not None else pause
            self._pause(wanted, asked, error, batches=len(waited))
            pause = min(pause * 1.5, self._policy.longest_poll_s)

    def _under_way(self, asked: dict[str, _Asked], round_: _Round) -> list[Submission]:
        open_ = (one for one in self._open() if one.id)
        return [one for one in open_ if any(key in asked and key not in round_.errors for key in one.keys)]

    def _collect(self, submission: Submission, round_: _Round) -> None:
        custom_ids = [_custom_id(submission, key) for key in submission.keys]
        found = self._api.results(submission.id, custom_ids)
        if not any(one in found for one in custom_ids) and found:
            self._folder.disown(submission)
            return
        lacking = sum(one not in found for one in custom_ids)
        self._torn[submission.mark] += 1
        if lacking and self._torn[submission.mark] < min(_TORN, self._policy.tries):
            raise ServerError(
                f"{self._model}: the results of {submission.id} lack {lacking} of {len(custom_ids)} lines."
            )
        lost = ServerError(f"{self._model}: the results of {submission.id} have no line for this request.")
        ends = [(key, found.get(one, lost)) for key, one in zip(submission.keys, custom_ids, strict=True)]
        self._folder.collected(submission, [self._kept(key, end, round_) for key, end in ends])

    def _kept(self, key: str, end: Body | ProviderError, round_: _Round) -> Collected:
        """What is written down: an answer that can be read, or a refusal that would only be repeated."""
        if not isinstance(end, ProviderError):
            try:
                self._api.decode(end)
            except ProviderError as error:
                end = error
            else:
                return Collected(key, body=dumped(end))
        round_.errors[key] = end
        self._slow_down |= isinstance(end, RateLimitError)
        return Collected(key, refused=str(end), status=end.status) if refused_for_good(end) else Collected(key)

    def _record(self, asked: _Asked, body: str) -> None:
        if self._tape is None:
            return
        import httpx2

        origin = asked.request.origin
        origin = origin if origin.schema_hash else replace(origin, schema_hash=asked.request.output.hash)
        with naming(Sending(self._api.name, self._api.model, origin)):
            request = httpx2.Request("POST", self._api.url, content=asked.body.encode())
            kind = {"content-type": "application/json"}
            self._tape.record(request, httpx2.Response(200, headers=kind, content=body.encode()))

    def _open(self) -> tuple[Submission, ...]:
        return self._folder.open(self._model)

    def _left(self) -> float:
        return 0.0 if self._stopped() else self._end - self._clock()

    def _backoff(self, attempt: int, error: ProviderError) -> float:
        wanted = min(self._policy.first_poll_s * 2.0 ** (attempt - 1), self._policy.longest_poll_s)
        return wanted if error.retry_after is None else error.retry_after

    def _pause(self, seconds: float, asked: dict[str, _Asked], error: ProviderError | None, batches: int = 0) -> None:
        seconds = max(0.0, min(seconds, self._left()))
        if self._on_wait is not None:
            self._on_wait(BatchWait(len(asked), batches, seconds, error))
        self._sleep(seconds)

    def _cannot_see(self, submission: Submission, error: ProviderError) -> ProviderError:
        """Not asked again: it may well be answered, and would be paid for twice."""
        file = self._folder.home / "submissions" / f"{submission.mark}.json"
        told = f"{error} The batch is {submission.id}; start again to go on, or remove {file} to ask anew."
        return type(error)(told, status=None, retry_after=None) if not error.retryable else StillWaitingError(told)

    def _too_late(self) -> StillWaitingError:
        return StillWaitingError(
            f"{self._model} has not answered by the deadline of this call ({self._policy.deadline_s:g} s)."
            f" The same call with the folder {self._folder.home} goes on waiting."
        )


@dataclass(slots=True)
class _Round:
    """What came of one round, beside the answers."""

    errors: dict[str, ProviderError] = field(default_factory=dict)


def _custom_id(submission: Submission, key: str) -> str:
    return f"{submission.mark}-{key}"


def _in_doubt(error: ProviderError) -> bool:
    """Whether the provider may have taken it all the same: nobody heard a clear no."""
    return isinstance(error, DeadlineError) or (error.retryable and (error.status is None or error.status >= 500))
