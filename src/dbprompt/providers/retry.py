"""The one retry policy: what may be asked again, after how long, and until when. The SDKs' own retries are off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dbprompt.errors import DeadlineError, NoRecordingError, ProviderError, RateLimitError, RequestError
from dbprompt.messages import Reply, Request, Usage
from dbprompt.providers.base import AsyncProvider, Provider, before
from dbprompt.providers.in_words import in_words, refuses_schema

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["RetryPolicy", "Wait", "asend", "send"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long one request is tried.

    Args:
        attempts: requests in all.
        deadline_s: from the first request to the end of the last answer, waits included.
        first_wait_s: the middle of the first wait; it doubles from there, with jitter.
        longest_wait_s: where doubling ends. What a provider asks for in Retry-After is waited in full.
    """

    attempts: int = 4
    deadline_s: float = 600.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait that is about to begin, for progress displays."""

    seconds: float
    attempt: int
    error: ProviderError


def send(
    provider: Provider,
    request: Request,
    *,
    policy: RetryPolicy | None = None,
    on_wait: Callable[[Wait], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Reply:
    """Ask until there is a reply, an error that asking again does not help, or no time left."""
    from tenacity import Retrying

    plan = _Plan(policy or RetryPolicy(), offline=provider.offline, clock=clock, on_wait=on_wait)

    def once() -> Reply:
        with before(time.monotonic() + plan.left()):
            return provider.send(request)

    retrying = Retrying(
        retry=plan.again,
        wait=plan.wait,
        stop=plan.stop,
        before_sleep=plan.tell,
        retry_error_callback=plan.give_up,
        sleep=plan.pause if provider.offline else sleep,
    )
    try:
        return plan.counted(retrying(once))
    except (RequestError, NoRecordingError) as refusal:
        if not refuses_schema(refusal, request, offline=provider.offline):
            raise
        try:
            reply = send(provider, in_words(request), policy=policy, on_wait=on_wait, sleep=sleep, clock=clock)
        except NoRecordingError:
            raise refusal from None
        return _after(refusal, reply)


async def asend(
    provider: AsyncProvider,
    request: Request,
    *,
    policy: RetryPolicy | None = None,
    on_wait: Callable[[Wait], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Reply:
    """The same, awaited; a call that is still running at the deadline is cancelled."""
    from tenacity import AsyncRetrying

    plan = _Plan(policy or RetryPolicy(), offline=provider.offline, clock=clock, on_wait=on_wait)

    async def once() -> Reply:
        try:
            async with asyncio.timeout(plan.left()) as bound:
                with before(time.monotonic() + plan.left()):
                    return await provider.send(request)
        except TimeoutError as error:
            if not bound.expired():
                raise
            raise DeadlineError(
                f"{provider.name}:{provider.model} was still answering at the deadline of this call"
                f" ({plan.policy.deadline_s:g} s)."
            ) from error

    async def pause(seconds: float) -> None:
        plan.pause(seconds)

    retrying = AsyncRetrying(
        retry=plan.again,
        wait=plan.wait,
        stop=plan.stop,
        before_sleep=plan.tell,
        retry_error_callback=plan.give_up,
        sleep=pause if provider.offline else sleep,
    )
    try:
        return plan.counted(await retrying(once))
    except (RequestError, NoRecordingError) as refusal:
        if not refuses_schema(refusal, request, offline=provider.offline):
            raise
        try:
            reply = await asend(provider, in_words(request), policy=policy, on_wait=on_wait, sleep=sleep, clock=clock)
        except NoRecordingError:
            raise refusal from None
        return _after(refusal, reply)


def _after(refusal: Exception, reply: Reply) -> Reply:
    """The reply with the refused request counted, if there was one."""
    refused = Usage(requests=int(isinstance(refusal, RequestError)))
    return replace(reply, usage=reply.usage + refused)


class _Plan:
    """One request's way through the policy, as tenacity asks for it."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        offline: bool,
        clock: Callable[[], float],
        on_wait: Callable[[Wait], None] | None,
    ) -> None:
        from tenacity import wait_exponential_jitter

        self.policy, self._clock, self._on_wait, self._offline = policy, clock, on_wait, offline
        self._end = clock() + policy.deadline_s
        self._failed = 0
        self._backoff = wait_exponential_jitter(
            initial=policy.first_wait_s, max=policy.longest_wait_s, jitter=policy.first_wait_s
        )

    def left(self) -> float:
        """Seconds until the deadline."""
        return self._end - self._clock()

    def again(self, state: RetryCallState) -> bool:
        """Whether this outcome is a failure that asking again may help."""
        error = _error(state)
        retry = isinstance(error, ProviderError) and error.retryable
        self._failed += retry
        return retry

    def wait(self, state: RetryCallState) -> float:
        """What the provider asks for, else twice the last time; nothing where a script or a file answers."""
        error = _error(state)
        if self._offline:
            return 0.0
        asked = error.retry_after if isinstance(error, ProviderError) else None
        return self._backoff(state) if asked is None else asked

    def stop(self, state: RetryCallState) -> bool:
        """Whether the attempts are used up, or the wait would pass the deadline."""
        return state.attempt_number >= self.policy.attempts or state.upcoming_sleep >= self.left()

    def tell(self, state: RetryCallState) -> None:
        """Say that a wait begins."""
        error = _error(state)
        if self._on_wait is not None and isinstance(error, ProviderError):
            self._on_wait(Wait(state.upcoming_sleep, state.attempt_number, error))

    def give_up(self, state: RetryCallState) -> Reply:
        """The error to end with: the last one, which also says what stood in the way of one more try."""
        error = _error(state)
        assert isinstance(error, ProviderError)  # noqa: S101  only these are retried
        kind: type[ProviderError] = type(error)
        why = f"{state.attempt_number} attempts"
        if state.attempt_number < self.policy.attempts:
            kind = RateLimitError if isinstance(error, RateLimitError) else DeadlineError
            left = max(0.0, self.left())
            why = f"the next try would come in {state.upcoming_sleep:.0f} s, the deadline in {left:.0f} s"
        raise kind(f"{error} Gave up: {why}.", status=error.status, retry_after=error.retry_after) from error

    def pause(self, seconds: float) -> None:
        """Wait without waiting: nothing offline gets better with time."""

    def counted(self, reply: Reply) -> Reply:
        """The reply with the failed requests in its usage."""
        return replace(reply, usage=reply.usage + Usage(requests=self._failed)) if self._failed else reply


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
