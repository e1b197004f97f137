"""The one retry policy: what may be asked again, after how long, and how often. The SDKs' own retries are off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, cast

from dbprompt.errors import DeadlineError, ProviderError, RateLimitError

if TYPE_CHECKING:
    from tenacity import DoSleep, RetryCallState

__all__ = ["RetryPolicy", "Tries", "Wait"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often one request is tried. Until when is said by `Bounds`.

    Args:
        attempts: requests in all.
        first_wait_s: the middle of the first wait; it doubles from there, with jitter.
        longest_wait_s: where doubling ends. What a provider asks for in Retry-After is waited in full, up to
            a day.
    """

    attempts: int = 4
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait that is about to begin, for progress displays."""

    seconds: float
    attempt: int
    error: ProviderError


class Tries:
    """One request's way through the policy, made when it first failed: tenacity decides, and somebody else waits.

    Args:
        policy: how often, and how long the waits are.
        offline: whether a script or a file answers: nothing gets better there with time.
        left_s: seconds until the deadline.
    """

    def __init__(self, policy: RetryPolicy, *, offline: bool, left_s: Callable[[], float]) -> None:
        from tenacity import RetryCallState, Retrying, wait_exponential_jitter

        self._policy, self._offline, self._left_s = policy, offline, left_s
        # In units of the first wait: tenacity 9.1 and 9.2 name it differently, and the newer warns of the older.
        self._backoff = wait_exponential_jitter(max=policy.longest_wait_s / max(policy.first_wait_s, 1e-9), jitter=1)
        self._retrying = Retrying(
            retry=lambda _: True, wait=self._wait, stop=self._stop, retry_error_callback=self._give_up
        )
        self._retrying.begin()
        self._state = RetryCallState(self._retrying, None, (), {})

    def after(self, error: ProviderError) -> Wait:
        """The wait before the next try.

        Raises:
            ProviderError: there is none: the attempts are used up, or it would come after the deadline. It is the last
                error, which also says what stood in the way.
        """
        self._state.set_exception((type(error), error, error.__traceback__))
        seconds = float(cast("DoSleep", self._retrying.iter(self._state)))
        wait = Wait(seconds, self._state.attempt_number, error)
        self._state.prepare_for_next_attempt()
        return wait

    def _wait(self, state: RetryCallState) -> float:
        """What the provider asks for, else twice the last time; nothing where a script or a file answers."""
        if self._offline:
            return 0.0
        asked = _error(state).retry_after
        return self._policy.first_wait_s * self._backoff(state) if asked is None else asked

    def _stop(self, state: RetryCallState) -> bool:
        """Whether the attempts are used up, or the wait would pass the deadline."""
        return state.attempt_number >= self._policy.attempts or state.upcoming_sleep >= self._left_s()

    def _give_up(self, state: RetryCallState) -> NoReturn:
        error = _error(state)
        kind: type[ProviderError] = type(error)
        why = f"{state.attempt_number} attempts"
        if state.attempt_number < self._policy.attempts:
            kind = RateLimitError if isinstance(error, RateLimitError) else DeadlineError
            left = max(0.0, self._left_s())
            why = f"the next try would come in {state.upcoming_sleep:.0f} s, the deadline in {left:.0f} s"
        end = kind(f"{error} Gave up: {why}.", status=error.status, retry_after=error.retry_after)
        end.in_doubt, end.limits = error.in_doubt, error.limits
        raise end from error


def _error(state: RetryCallState) -> ProviderError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, ProviderError)  # noqa: S101  only these are handed in
    return error
