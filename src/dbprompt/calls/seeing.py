"""What a job shows of itself while it runs: its trace, its spans and its log. One hook for each thing that happens.

No prompt, no answer and no error's own words go into a log or a span; those stand in the trace alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from dbprompt.calls.exchange import UNCOUNTED, error_type
from dbprompt.calls.telemetry import SpanHandle, Spans, Value, usage_values
from dbprompt.calls.trace import Trace
from dbprompt.errors import AskError, AuthenticationError, ProviderError, QuotaError, UnknownModelError
from dbprompt.messages import Reply, Request, Usage

if TYPE_CHECKING:
    from dbprompt.evidence import Report

__all__ = ["Opened", "Seeing", "Sent"]

C = TypeVar("C")

_log = logging.getLogger(__name__)
logging.getLogger("dbprompt").addHandler(logging.NullHandler())

_TO_BE_ACTED_ON = (AuthenticationError, QuotaError, UnknownModelError)
"""Why a model is left that will answer no sooner tomorrow, unless somebody does something."""

_LONG_S = 1.0
"""Shorter waits for room come many times a second."""


class Seeing:
    """What one job shows of itself. Threads and tasks may tell it things at once.

    Args:
        trace: takes in each request and answer; None if nobody wants them.
        spans: makes spans; None if nobody wants them.
        keys: what is blotted out wherever it turns up.
    """

    __slots__ = ("_job", "_keys", "_sections", "_spans", "_whole", "trace")

    def __init__(self, trace: Trace | None = None, spans: Spans | None = None, keys: tuple[str, ...] = ()) -> None:
        self.trace, self._spans, self._keys = trace, spans, keys
        self._job: Opened | None = None
        self._whole: Opened | None = None
        self._sections: dict[str, Opened] = {}

    def below(self, whole: Seeing) -> Self:
        """Itself, as what a part of that job shows: what it spends, the whole has spent."""
        self._whole = whole._job
        return self

    def job(self, kind: str, *, streamed: bool = False) -> Opened:
        """A context for the whole job.

        Args:
            kind: "design", "run", "map".
            streamed: whether its caller runs in between.
        """
        values = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": f"dbprompt.{kind}"}
        self._job = Opened(
            self._spans, f"invoke_workflow dbprompt.{kind}", values, under=self._whole, current=not streamed
        )
        return self._job

    def section(self, name: str, *, streamed: bool = False) -> Opened:
        """A context for the conversation about one section; say `ended(reason)` if it was given up."""
        values = {"dbprompt.section": name}
        opened = Opened(self._spans, f"section {name}", values, under=self._job, current=not streamed)
        self._sections[name] = opened
        return opened

    def checking(self, section: str, check: Callable[[C], Report]) -> Callable[[C], Report]:
        """The same check, seen."""

        def seen(candidate: C) -> Report:
            began, values = time.monotonic(), {"dbprompt.section": section}
            with Opened(self._spans, f"check {section or 'answer'}", values, under=self._above(section)) as opened:
                report = check(candidate)
                errors, verdicts = len(report.errors), len(report.verdicts)
                opened.said({"dbprompt.check.errors": errors, "dbprompt.check.verdicts": verdicts})
            took = time.monotonic() - began
            _log.debug("%s: checked in %.2f s, %d verdicts, %d errors", section or "answer", took, verdicts, errors)
            return report

        return seen

    def request(
        self,
        request: Request,
        *,
        asked: str,
        attempt: int = 1,
        waited_s: float = 0.0,
        streamed: bool = False,
        failed: Usage = UNCOUNTED,
    ) -> Sent:
        """A context for one request: say `replied(reply)` inside. An error that passes through is noted by itself.

        Args:
            request: what is sent.
            asked: to whom, as `provider:model`.
            attempt: number of this request within its call, from 1.
            waited_s: how long was waited right before it.
            streamed: whether its caller runs in between.
            failed: what it counts for if it fails.
        """
        return Sent(self, request, asked, attempt, waited_s, streamed, failed)

    def collected(self, request: Request, end: Reply | AskError, *, asked: str, attempt: int, since: datetime) -> None:
        """A request of a batch came to its end. When the provider worked on it, nobody knows.

        Args:
            request: what was sent.
            end: its answer, or why there is none.
            asked: to whom, as `provider:model`.
            attempt: number of this request among those for the same answer, from 1.
            since: when it was handed in.
        """
        how = end.stop.value if isinstance(end, Reply) else _named(end)
        _log.debug("%s: a batch of %s ended it (%s)", _about(request), asked, how)
        if self._spans is not None:
            above = self._above(request.origin.section)
            under = above.span if above else None
            self._spans.ended(self._spans.request(request, asked=asked, attempt=attempt, under=under, since=since), end)
            if above is not None:
                above.spend(end.usage if isinstance(end, Reply) else UNCOUNTED)
        if self.trace is not None:
            self.trace.add(request, end, asked=asked, attempt=attempt, started_at=since, seconds=None, keys=self._keys)

    def waits(self, seconds: float, why: Exception | None = None) -> None:
        """A wait begins: before the next try, or without a reason until limits and bounds have room again."""
        level = logging.INFO if why is not None or seconds >= _LONG_S else logging.DEBUG
        _log.log(level, "waits %.2f s: %s", seconds, "no room in limits or bounds" if why is None else _named(why))

    def falls_back(self, asked: str, to: str, why: Exception) -> None:
        """A model did not answer, and the next one is asked."""
        level = logging.WARNING if isinstance(why, _TO_BE_ACTED_ON) else logging.INFO
        _log.log(level, "%s did not answer (%s): asks %s instead", asked, _named(why), to)

    def in_words(self, request: Request, why: Exception) -> None:
        """A model did not take the schema, and is told it in words."""
        _log.info("%s: the schema was not taken (%s), so it is said in words", _about(request), _named(why))

    def _above(self, section: str) -> Opened | None:
        return self._sections.get(section, self._job)

    def _begin(self, sent: Sent) -> None:
        """A request goes out."""
        request = sent.request
        _log.debug("%s: asks %s (request %d)", _about(request), sent.asked, sent.attempt)
        if self._spans is not None:
            above = self._above(request.origin.section)
            sent.span = self._spans.request(
                request,
                asked=sent.asked,
                attempt=sent.attempt,
                waited_s=sent.waited_s,
                streamed=sent.streamed,
                under=above.span if above else None,
            )

    def _end(self, sent: Sent, end: Reply | BaseException) -> None:
        """A request came to its end."""
        request, seconds = sent.request, time.monotonic() - sent.began
        refused = end.refused if isinstance(end, ProviderError) else 0
        failed = replace(sent.failed, requests=sent.failed.requests + refused)
        if isinstance(end, Reply):
            how = (seconds, end.stop.value, end.usage.input_tokens, end.usage.output_tokens)
            _log.debug(
                "%s: %s answered in %.2f s (%s), %d input and %d output tokens", _about(request), sent.asked, *how
            )
        else:
            _log.debug("%s: %s failed in %.2f s (%s)", _about(request), sent.asked, seconds, _named(end))
        if self._spans is not None and sent.span is not None:
            self._spans.ended(sent.span, end)
            if (above := self._above(request.origin.section)) is not None:
                above.spend(end.usage if isinstance(end, Reply) else failed)
        if self.trace is not None:
            self.trace.add(
                request,
                end,
                asked=sent.asked,
                attempt=sent.attempt,
                waited_s=sent.waited_s,
                started_at=sent.started_at,
                seconds=seconds,
                keys=self._keys,
                failed=failed,
            )


class Sent:
    """One request that is under way."""

    __slots__ = (
        "_reply",
        "_seeing",
        "asked",
        "attempt",
        "began",
        "failed",
        "request",
        "span",
        "started_at",
        "streamed",
        "waited_s",
    )

    def __init__(
        self, seeing: Seeing, request: Request, asked: str, attempt: int, waited_s: float, streamed: bool, failed: Usage
    ) -> None:
        self._seeing, self.request, self.asked = seeing, request, asked
        self.attempt, self.waited_s, self.streamed, self.failed = attempt, waited_s, streamed, failed
        self.span: SpanHandle | None = None
        self._reply: Reply | None = None

    def replied(self, reply: Reply) -> None:
        """It was answered."""
        self._reply = reply

    def __enter__(self) -> Self:
        """It goes out."""
        self.started_at, self.began = datetime.now(UTC), time.monotonic()
        self._seeing._begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """It is over."""
        self._seeing._end(self, self._reply or error or GeneratorExit())


class Opened:
    """A stretch of a job that has a span, if spans are wanted.

    Args:
        spans: makes it.
        name: its name.
        values: what is known of it at its beginning.
        under: what it is part of.
        current: whether what runs inside, in this thread or task, is below it.
    """

    __slots__ = ("_current", "_name", "_reason", "_spans", "_under", "_usage", "_values", "span")

    def __init__(
        self,
        spans: Spans | None,
        name: str,
        values: Mapping[str, Value],
        *,
        under: Opened | None = None,
        current: bool = True,
    ) -> None:
        self._spans, self._name, self._values, self._under, self._current = spans, name, values, under, current
        self.span: SpanHandle | None = None
        self._usage: list[Usage] = []  # list.append is safe between threads
        self._reason = ""

    def said(self, values: Mapping[str, Value]) -> None:
        """More is known of it."""
        if self.span is not None:
            self.span.set(values)

    def ended(self, reason: str) -> None:
        """It did not come to what was wanted, though no error was raised."""
        self._reason = reason

    def spend(self, usage: Usage) -> None:
        """Something was spent in it."""
        self._usage.append(usage)
        if self._under is not None:
            self._under.spend(usage)

    def __enter__(self) -> Self:
        """It begins."""
        if self._spans is not None:
            under = self._under.span if self._under is not None else None
            self.span = self._spans.begin(self._name, self._values, under=under, current=self._current)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """It is over."""
        self.close(self._reason if error is None else error_type(error))

    def close(self, reason: str = "") -> None:
        """It is over, if it was not before: well, or for a reason."""
        span, self.span = self.span, None
        if span is not None:
            if self._usage:
                span.set(usage_values(sum(self._usage, Usage())))
            span.end(reason)


def _about(request: Request) -> str:
    return request.origin.section or "answer"


def _named(error: BaseException) -> str:
    """An error without its words: they may quote what was sent."""
    status = error.status if isinstance(error, ProviderError) else None
    return error_type(error) if status is None else f"{error_type(error)} {status}"
