"""What is asked again, after how long, and until when."""

from __future__ import annotations

import asyncio
import time

import pytest
from provider_wiring import ask

from dbprompt.errors import (
    DeadlineError,
    NoRecordingError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
)
from dbprompt.messages import Reply, Request, StopReason, Usage
from dbprompt.providers import AsyncScriptedProvider, RetryPolicy, ScriptedProvider, Wait, asend, send
from dbprompt.providers.base import time_left
from dbprompt.providers.scripted import Line

GOOD = Reply("{}", StopReason.COMPLETE, Usage(1, 10, 5))


class Online(ScriptedProvider):
    """A script that counts as a network: waits are waited."""

    offline = False


class AsyncOnline(AsyncScriptedProvider):
    """The same, awaited."""

    offline = False


class Watch:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds
        self.slept.append(seconds)

    async def asleep(self, seconds: float) -> None:
        """Move on."""
        self.sleep(seconds)

    def read(self) -> float:
        """What it shows."""
        return self.now


def run(lines: list[Line], policy: RetryPolicy | None = None) -> tuple[Reply, list[float], int]:
    """The reply, the waits and the requests, which have to be the same from plain and from async code."""
    plain, watch = Online(lines), Watch()
    awaited, other = AsyncOnline(lines), Watch()
    try:
        reply = send(plain, ask(), policy=policy, sleep=watch.sleep, clock=watch.read)
    except ProviderError as error:
        with pytest.raises(type(error)) as caught:
            asyncio.run(asend(awaited, ask(), policy=policy, sleep=other.asleep, clock=other.read))
        assert len(caught.value.args[0]) == len(str(error)) and len(awaited.requests) == len(plain.requests)
        raise
    assert asyncio.run(asend(awaited, ask(), policy=policy, sleep=other.asleep, clock=other.read)) == reply
    assert len(other.slept) == len(watch.slept)
    return reply, watch.slept, len(plain.requests)


def test_retryable_errors_are_asked_again_with_growing_waits() -> None:
    """A failing server is asked again after about 1, 2 and 4 seconds, and the usage counts every request."""
    reply, slept, requests = run([ServerError("a"), ServerError("b"), ServerError("c"), GOOD])
    assert requests == 4 and reply.usage == Usage(4, 10, 5)
    assert [low <= wait <= low + 1 for low, wait in zip((1, 2, 4), slept, strict=True)] == [True] * 3


def test_retry_after_is_honoured() -> None:
    """What the provider asks for is waited, not what we would have guessed."""
    assert run([RateLimitError("slow", retry_after=42), GOOD])[1] == [42]


@pytest.mark.parametrize("error", [QuotaError("broke"), NoRecordingError("nothing"), DeadlineError("late")])
def test_other_errors_are_not_asked_again(error: Exception) -> None:
    """No credit, no recording and no time do not get better by asking again."""
    provider = Online([error, GOOD])
    with pytest.raises(type(error)) as caught:
        send(provider, ask(), sleep=Watch().sleep)
    assert caught.value is error and len(provider.requests) == 1


def test_attempts_end() -> None:
    """After the last attempt the last error comes out, with the number of attempts."""
    with pytest.raises(ServerError, match=r"^busy Gave up: 3 attempts\.$") as caught:
        run([ServerError("busy", status=529)] * 3, RetryPolicy(attempts=3))
    assert caught.value.status == 529


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """A Retry-After that passes the deadline ends the call at once and names both times."""
    with pytest.raises(RateLimitError, match="next try would come in 1200 s, the deadline in 600 s") as caught:
        run([RateLimitError("slow", retry_after=1200), GOOD])
    assert caught.value.retry_after == 1200


def test_the_deadline_ends_retries() -> None:
    """A server that keeps failing is a DeadlineError once its next wait would pass the deadline."""
    with pytest.raises(DeadlineError, match="busy Gave up"):
        run([ServerError("busy", retry_after=6)] * 4, RetryPolicy(deadline_s=10))


def test_waits_are_told() -> None:
    """Nobody waits silently: each wait is told before it begins."""
    told: list[Wait] = []
    send(Online([RateLimitError("slow", retry_after=3), GOOD]), ask(), on_wait=told.append, sleep=Watch().sleep)
    assert [(wait.seconds, wait.attempt, str(wait.error)) for wait in told] == [(3, 1, "slow")]


def test_offline_never_sleeps() -> None:
    """A script or a recording is retried without a wait, whatever it asks for."""
    watch, lines = Watch(), [RateLimitError("slow", retry_after=9_999), GOOD]
    assert send(ScriptedProvider(lines), ask(), sleep=watch.sleep).usage.requests == 2
    assert asyncio.run(asend(AsyncScriptedProvider(lines), ask(), sleep=watch.asleep)).usage.requests == 2
    assert watch.slept == []


def test_a_running_call_is_cut_off_at_the_deadline() -> None:
    """An async call that is still running at the deadline is cancelled; a plain one is told how long it may take."""
    left: list[float | None] = []

    class Slow(AsyncOnline):
        async def send(self, request: Request) -> Reply:
            await asyncio.sleep(5)
            return GOOD

    def note(_: Request) -> Reply:
        left.append(time_left())
        return GOOD

    begun = time.monotonic()
    with pytest.raises(DeadlineError, match=r"still answering at the deadline of this call \(0.05 s\)"):
        asyncio.run(asend(Slow([]), ask(), policy=RetryPolicy(deadline_s=0.05)))
    assert time.monotonic() - begun < 2
    send(Online([note]), ask(), policy=RetryPolicy(deadline_s=50))
    assert left[0] is not None and 49 < left[0] <= 50 and time_left() is None


def test_a_refused_schema_is_said_in_words() -> None:
    """An API that refuses the schema itself is asked once more with the schema in the last message."""
    refusal = RequestError("refused the request (400): The compiled grammar is too large", status=400)
    provider = ScriptedProvider([refusal, {"tables": []}])
    reply = send(provider, ask())
    first, second = provider.requests
    assert (first.native, second.native) == (True, False)
    assert second.messages[:-1] == first.messages
    assert '"tables"' in second.messages[-1].text
    assert reply.usage.requests == 2


def test_any_other_refusal_is_final() -> None:
    """A request that is refused for another reason is not asked again."""
    provider = ScriptedProvider([RequestError("refused the request (400): messages: too long", status=400), {}])
    with pytest.raises(RequestError):
        send(provider, ask())
    assert len(provider.requests) == 1
