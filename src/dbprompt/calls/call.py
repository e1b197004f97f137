"""One call: who is asked, how often, within what bounds. Pure: it says what to send and is told what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Generic, TypeAlias, TypeVar

from dbprompt.calls.bounds import Meter, Reservation
from dbprompt.calls.fallback import Standing, falls_over
from dbprompt.calls.in_words import in_words, refuses_schema
from dbprompt.calls.pace import Pace, Place
from dbprompt.calls.prices import Price, priced
from dbprompt.calls.retry import RetryPolicy, Tries, Wait
from dbprompt.calls.seeing import Seeing
from dbprompt.calls.steps import Begun, Call, Pause, Send
from dbprompt.errors import (
    AskError,
    BudgetError,
    NoRecordingError,
    ProviderError,
    RateLimitError,
    RefusedError,
    RequestError,
)
from dbprompt.messages import Reply, Request, StopReason, Usage
from dbprompt.providers.base import AsyncProvider, Provider

__all__ = ["Aim", "Asking"]

P = TypeVar("P", Provider, AsyncProvider)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Aim(Generic[P]):
    """A model that can be asked.

    Args:
        provider: asks it.
        price: what it costs; None if nobody told.
        pace: how fast it may be asked; None if there is nothing to keep to.
        in_words: whether it is told the schema in words from the start.
    """

    provider: P
    price: Price | None = None
    pace: Pace | None = None
    in_words: bool = False

    @property
    def name(self) -> str:
        """`provider:model`."""
        return f"{self.provider.name}:{self.provider.model}"


AnyAim: TypeAlias = "Aim[Provider] | Aim[AsyncProvider]"
Steps: TypeAlias = "Generator[Send | Pause, Reply | Begun | None, R]"


@dataclass(slots=True)
class Asking:
    """What a call needs to know, and how it stands.

    Args:
        aims: the models.
        standing: which of them are worth asking now.
        policy: how often each is tried.
        meters: of this call, and of all that it is a part of.
        seeing: is told everything.
        on_wait: is told of each wait.
        streamed: whether the pieces of the answer are handed on as they come.
    """

    aims: Sequence[Aim[Provider]] | Sequence[Aim[AsyncProvider]]
    standing: Standing
    policy: RetryPolicy
    meters: Sequence[Meter]
    seeing: Seeing
    on_wait: Callable[[Wait], None] | None = None
    streamed: bool = False
    clock: Callable[[], float] = time.monotonic
    _failed: Usage = field(default_factory=Usage)
    _requests: int = 0
    _waited_s: float = 0.0
    _begun: bool = False

    def call(self, request: Request) -> Call:
        """The models in turn, until one answers.

        Raises:
            AskError: none did; of the last one that was asked, with a note of each before it.
        """
        order = self.standing.order()
        instead = self.standing.passed_over(order) if len(self.aims) > 1 else {}
        nothing_recorded: NoRecordingError | None = None
        for model, following in zip(order, (*order[1:], None), strict=True):
            try:
                reply = yield from self._answered(model, request)
                if following is None or self._begun or reply.stop is not StopReason.REFUSED:
                    return self._told(reply, model, instead)
                self._failed += reply.usage
                why: AskError = RefusedError(reply.text[:200] or "it declined to answer")
            except NoRecordingError as error:  # what failed is in no recording: the model that answered then is
                nothing_recorded, why = nothing_recorded or error, error
                if following is None or not self.aims[model].provider.offline:
                    raise nothing_recorded from None
            except (ProviderError, BudgetError) as error:
                why = error
                if following is None or self._begun or self._time_is_up() or not falls_over(error):
                    for told in instead.values():
                        error.add_note(f"Before it, {told}")
                    raise
            self.standing.fell_over(model, why)
            instead[model] = self.standing.reason(model, why)
            self.seeing.falls_back(self.aims[model].name, self.aims[following].name, why)
        raise AssertionError("a client has at least one model")

    def _told(self, reply: Reply, model: int, instead: dict[int, str]) -> Reply:
        self.standing.answered(model)
        if not instead and not self._failed.requests:
            return reply
        others = tuple(why for one, why in instead.items() if one != model)
        return replace(reply, usage=reply.usage + self._failed, instead_of=others)

    def _answered(self, model: int, request: Request) -> Steps[Reply]:
        """One model's answer; with the schema in words, if its API refuses the schema itself."""
        if self.aims[model].in_words:
            request = in_words(request)
        try:
            return (yield from self._tried(model, request))
        except (RequestError, NoRecordingError) as refusal:
            if self._begun or not refuses_schema(refusal, request, offline=self.aims[model].provider.offline):
                raise
            self.seeing.in_words(request, refusal)
            try:
                return (yield from self._tried(model, in_words(request)))
            except NoRecordingError:
                raise refusal from None

    def _tried(self, model: int, request: Request) -> Steps[Reply]:
        """One model's answer, asked again while that may help; its place in the model's queue stays the same."""
        aim, tries = self.aims[model], None
        with nullcontext() if aim.pace is None else aim.pace.place(request) as place:
            while True:
                try:
                    return (yield from self._once(model, aim, request, place))
                except ProviderError as error:
                    if not error.retryable:
                        raise
                    tries = tries or Tries(self.policy, offline=aim.provider.offline, left_s=self._left_s)
                    wait = tries.after(error)
                if self.on_wait is not None:
                    self.on_wait(wait)
                yield from self._pause(wait.seconds, wait.error)

    def _once(self, model: int, aim: AnyAim, request: Request, place: Place | None) -> Steps[Reply]:
        """One request, within its bounds; what it cost is counted whatever becomes of it."""
        self._check_time()
        held = yield from self._held(aim, request)
        used: Usage | None = Usage()
        refused = 0
        try:
            if place is not None:
                yield from self._paced(aim, place)
            send = Send(model, held[-1].request, *self._until())
            used = None  # from here on nobody knows what it costs until it has answered
            reply = yield from self._sent(send, aim, place)
            used, refused = (reply.usage, 0) if reply.counted else (None, max(0, reply.usage.requests - 1))
        except NoRecordingError:
            used = Usage()
            raise
        except ProviderError as error:
            refused = error.refused
            if used is None and not error.in_doubt:
                used = _failed(aim, refused)
            raise
        finally:
            for meter, reserved in zip(self.meters, held, strict=True):
                meter.settle(reserved, used, refused=refused)
        self._check_answer(reply, held)
        return reply

    def _sent(self, send: Send, aim: AnyAim, place: Place | None) -> Steps[Reply]:
        """What came of one request, seen by all that want to see it."""
        self._requests += 1
        waited_s, self._waited_s = self._waited_s, 0.0
        seen = self.seeing.request(
            send.request,
            asked=aim.name,
            attempt=self._requests,
            waited_s=waited_s,
            streamed=self.streamed,
            failed=_failed(aim),
        )
        try:
            with seen:
                heard = yield send
                reply = self._heard(heard)
                reply = replace(reply, usage=priced(reply, aim.price), asked=aim.name)
                seen.replied(reply)
        except ProviderError as error:
            self._failed += _failed(aim, error.refused)
            if place is not None:
                place.failed(error, self.clock())
            raise
        if place is not None:
            place.done(reply, self.clock())
        return reply

    def _heard(self, heard: Reply | Begun | None) -> Reply:
        end = heard.end if isinstance(heard, Begun) else heard
        self._begun = isinstance(heard, Begun)
        if isinstance(end, ProviderError):
            end.retryable = False  # the reader has pieces that another answer would not go on from
        if isinstance(end, Exception):
            raise end
        assert end is not None  # noqa: S101  a driver answers a Send with a reply
        return end

    def _paced(self, aim: AnyAim, place: Place) -> Steps[None]:
        """Waits until the model's rate limits have room."""
        while (seconds := place.wait_s(self.clock())) > 0:
            left = self._left_s()
            if seconds >= left:
                told = f"{aim.name} cannot be asked for {seconds:.0f} s: {place.why}"
                late = RateLimitError(f"{told}. The deadline is in {left:.0f} s.")
                late.retryable = late.in_doubt = False
                raise late
            yield from self._pause(seconds, None)

    def _held(self, aim: AnyAim, request: Request) -> Steps[list[Reservation]]:
        """What every meter sets aside; each may cut the answer off earlier than the one before."""
        while True:
            held: list[Reservation] = []
            try:
                for meter in self.meters:
                    kept = meter.reserve(held[-1].request if held else request, aim.price)
                    if not isinstance(kept, Reservation):
                        break
                    held.append(kept)
                else:
                    return held
            except BudgetError:
                self._give_back(held)
                raise
            self._give_back(held)
            self._check_time()
            yield from self._pause(kept, None)

    def _give_back(self, held: Sequence[Reservation]) -> None:
        for meter, reserved in zip(self.meters, held, strict=False):
            meter.settle(reserved, Usage())

    def _check_answer(self, reply: Reply, held: Sequence[Reservation]) -> None:
        """An answer that a bound cut off, or that passed one, is an error that holds what was had."""
        cut_by = next((one.cut_by for one in held if one.cut_by), "")
        try:
            for meter in self.meters:
                meter.check_spent()
        except BudgetError as error:
            error.text = reply.text
            raise
        if cut_by and reply.stop is StopReason.TRUNCATED:
            meter = next(meter for meter, one in zip(self.meters, held, strict=True) if one.cut_by)
            cut = meter.cut_off(cut_by, held[-1].request.max_output_tokens)
            cut.text = reply.text
            raise cut

    def _pause(self, seconds: float, why: ProviderError | None) -> Steps[None]:
        if seconds > 0:
            self.seeing.waits(seconds, why)
            self._waited_s += seconds
            yield Pause(seconds)

    def _left_s(self) -> float:
        return min(meter.left_s() for meter in self.meters)

    def _until(self) -> tuple[float, Meter]:
        nearest = min(self.meters, key=Meter.left_s)
        nearest.check_time()
        return nearest.left_s(), nearest

    def _time_is_up(self) -> bool:
        return self._left_s() <= 0

    def _check_time(self) -> None:
        for meter in self.meters:
            meter.check_time()


def _failed(aim: AnyAim, refused: int = 0) -> Usage:
    """A request without a counted token, and those that were refused before it."""
    return Usage(requests=1 + refused, cost_usd=None if aim.price is None else 0.0)
