"""A job on its way through the rounds of a batch run, and the conversations that it holds side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar, assert_never

from pydantic import BaseModel

from dbprompt.batch.base import Ended
from dbprompt.calls.exchange import error_type
from dbprompt.calls.in_words import in_words, refuses_schema
from dbprompt.calls.seeing import Opened, Seeing
from dbprompt.drivers import Watch, tell
from dbprompt.errors import AskError, NoRecordingError, ProviderError
from dbprompt.evidence import Report
from dbprompt.messages import Reply, Request, Usage
from dbprompt.session import Ask, Candidate, Check, Done, GaveUp, Session, Step

__all__ = ["Course", "SessionEnd", "Talk", "Waves"]

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")

SessionEnd: TypeAlias = "Done[T] | GaveUp[T] | ProviderError | NoRecordingError"
Waves: TypeAlias = "Generator[Sequence[Talk[Any]], None, R]"
"""A job as the driver sees it: talks that go side by side, then the next ones; at last its result, or an `AskError`."""


@dataclass(slots=True)
class Talk(Generic[T]):
    """One session on its way.

    Args:
        session: the conversation.
        check: judges its candidates.
        seen: ends with it.
        end: how it ended; None until it has.
        request: what it waits for; None if it waits for nothing.
        since: when it began to.
    """

    session: Session[T]
    check: Callable[[Candidate[T]], Report]
    seen: Opened | None = None
    end: SessionEnd[T] | None = None
    request: Request | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    _failed: int = 0
    _refused: int = 0

    @property
    def attempt(self) -> int:
        """Number of what it waits for, among the requests for the same answer."""
        return self._failed + self._refused + 1

    def begin(self, watch: Watch | None) -> None:
        """Goes on to the first request, or to the end."""
        self._go(self.session.begin(), watch)

    def take(self, ended: Ended, *, attempts: int, watch: Watch | None) -> None:
        """Goes on with what came of the request, to the next one or to the end."""
        request, self.request = self.request, None
        assert request is not None  # noqa: S101  only who asked is answered
        if isinstance(ended, Reply):
            others = self._failed + self._refused  # each cost nothing, as far as anybody can price this model
            cost = None if ended.usage.cost_usd is None else 0.0
            spent = ended.usage + Usage(requests=others, cost_usd=cost)
            self._failed = self._refused = 0
            self._go(self.session.replied(replace(ended, usage=spent)), watch)
        elif isinstance(ended, NoRecordingError):
            self._over(ended)
        elif refuses_schema(ended, request, offline=False):
            self._refused += 1
            self._ask(in_words(request))
        elif ended.retryable and self._failed + 1 < attempts:
            self._failed += 1
            self._ask(request)
        elif ended.retryable:
            self._over(type(ended)(f"{ended} Gave up: {attempts} batches.", status=ended.status))
        else:
            # One error can stand for a whole batch, and each job puts its own `partial` into it. Not by copy(): with
            # tblib, which Dask brings, two copies share their attributes.
            self._over(type(ended)(str(ended), status=ended.status, retry_after=ended.retry_after))

    def _ask(self, request: Request) -> None:
        self.request, self.since = request, datetime.now(UTC)

    def _over(self, end: SessionEnd[T]) -> None:
        self.end = end
        if self.seen is not None:
            self.seen.close("" if isinstance(end, Done) else end.reason if isinstance(end, GaveUp) else error_type(end))

    def _go(self, step: Step[T], watch: Watch | None) -> None:
        while True:
            tell(watch, self.session.origin.section, step)
            match step:
                case Ask(request=request):
                    self._ask(request)
                    return
                case Check(candidate=candidate):
                    step = self.session.checked(self.check(candidate))
                case Done() | GaveUp():
                    self._over(step)
                    return
                case _:
                    assert_never(step)


@dataclass(slots=True)
class Course(Generic[R]):
    """One job on its way.

    Args:
        waves: the job.
        lane: tells it apart from another job that asks the same.
        watch: is told the section and each step.
        seeing: is told each request and what came of it.
        in_words: whether its schemas are said in words.
        end: its result, or why there is none; None until then.
    """

    waves: Waves[R]
    lane: str
    watch: Watch | None = None
    seeing: Seeing = field(default_factory=Seeing)
    in_words: bool = False
    end: R | AskError | None = None
    _talks: Sequence[Talk[Any]] = field(default=())

    def waiting(self) -> list[Talk[Any]]:
        """The talks that wait for an answer."""
        return [talk for talk in self._talks if talk.request is not None]

    def next_wave(self) -> Sequence[Talk[Any]]:
        """The talks that may begin now; none if others are still on their way, or if the job is over."""
        if self.end is not None or any(talk.end is None for talk in self._talks):
            return ()
        try:
            self._talks = next(self.waves)
        except StopIteration as stop:
            self.end = stop.value
            return ()
        except AskError as error:
            self.end = error
            return ()
        return self._talks

    def begin(self, talk: Talk[Any]) -> None:
        """Goes on to what the talk asks first."""
        talk.begin(self.watch)
        self._put(talk)

    def take(self, talk: Talk[Any], ended: Ended, attempts: int, asked: str) -> None:
        """Hands an answer of `asked` to the talk that waits for it."""
        if talk.request is not None:
            self.seeing.collected(talk.request, ended, asked=asked, attempt=talk.attempt, since=talk.since)
        talk.take(ended, attempts=attempts, watch=self.watch)
        self._put(talk)

    def close(self) -> None:
        """Ends what is still seen of it."""
        self.waves.close()

    def _put(self, talk: Talk[Any]) -> None:
        if self.in_words and talk.request is not None:
            talk.request = in_words(talk.request)
