"""What is asked again, after how long, and until when."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from calls_wiring import GOOD, AsyncOnline, Online, Watch, aline, ask, line
from pydantic import BaseModel

from dbprompt import Client
from dbprompt.calls.bounds import Bounds
from dbprompt.calls.retry import RetryPolicy, Wait
from dbprompt.errors import (
    DeadlineError,
    NoRecordingError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
)
from dbprompt.messages import Message, Reply, Request, Role, Usage
from dbprompt.providers import AsyncScriptedProvider, ScriptedProvider
from dbprompt.providers.base import time_left
from dbprompt.providers.scripted import Line


def run(
    lines: list[Line], policy: RetryPolicy | None = None, deadline_s: float = 600
) -> tuple[Reply, list[float], int]:
    """The reply, the waits and the requests, which have to be the same from plain and from async code."""
    plain, watch = Online(lines), Watch()
    awaited, other = AsyncOnline(lines), Watch()
    calls = line(plain, policy=policy, per_call=Bounds(deadline_s), watch=watch).job()
    acalls = aline(awaited, policy=policy, per_call=Bounds(deadline_s), watch=other).job()
    try:
        reply = calls.send(ask())
    except ProviderError as error:
        with pytest.raises(type(error)) as caught:
            asyncio.run(acalls.send(ask()))
        assert len(caught.value.args[0]) == len(str(error)) and len(awaited.requests) == len(plain.requests)
        raise
    assert asyncio.run(acalls.send(ask())) == reply
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
        line(provider).job().send(ask())
    assert caught.value is error and len(provider.requests) == 1


def test_an_error_that_says_it_is_final_is_not_asked_again() -> None:
    """Whether asking again may help is told by the error, not by its class."""
    error = ServerError("an answer of 50 MB")
    error.retryable = False
    with pytest.raises(ServerError) as caught:
        run([error, GOOD])
    assert caught.value is error


def test_attempts_end() -> None:
    """After the last attempt the last error comes out, with the number of attempts."""
    with pytest.raises(ServerError, match=r"^busy Gave up: 3 attempts\.$") as caught:
        run([ServerError("busy", status=529)] * 3, RetryPolicy(attempts=3))
    assert caught.value.status == 529


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """A Retry-After of 30 s under a deadline of 10 s ends the call at once, and names both times."""
    watch = Watch()
    calls = line(
        Online([RateLimitError("slow", retry_after=30), GOOD]), per_call=Bounds(deadline_s=10), watch=watch
    ).job()
    with pytest.raises(RateLimitError, match="next try would come in 30 s, the deadline in 10 s") as caught:
        calls.send(ask())
    assert caught.value.retry_after == 30 and watch.slept == []


def test_the_deadline_ends_retries() -> None:
    """A server that keeps failing is a DeadlineError once its next wait would pass the deadline."""
    with pytest.raises(DeadlineError, match="busy Gave up"):
        run([ServerError("busy", retry_after=6)] * 4, deadline_s=10)


def test_waits_are_told() -> None:
    """Nobody waits silently: each wait is told before it begins."""
    told: list[Wait] = []
    line(Online([RateLimitError("slow", retry_after=3), GOOD]), on_wait=told.append).job().send(ask())
    assert [(wait.seconds, wait.attempt, str(wait.error)) for wait in told] == [(3, 1, "slow")]


def test_offline_never_sleeps() -> None:
    """A script or a recording is retried without a wait, whatever it asks for."""
    watch, lines = Watch(), [RateLimitError("slow", retry_after=9_999), GOOD]
    assert line(ScriptedProvider(lines), watch=watch).job().send(ask()).usage.requests == 2
    assert asyncio.run(aline(AsyncScriptedProvider(lines), watch=watch).job().send(ask())).usage.requests == 2
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
        asyncio.run(aline(Slow([]), per_call=Bounds(deadline_s=0.05)).job().send(ask()))
    assert time.monotonic() - begun < 2
    line(Online([note]), per_call=Bounds(deadline_s=50)).job().send(ask())
    assert left[0] is not None and 49 < left[0] <= 50 and time_left() is None


def test_a_refused_schema_is_said_in_words() -> None:
    """An API that refuses the schema itself is asked once more with the schema in the last message."""
    refusal = RequestError("refused the request (400): The compiled grammar is too large", status=400)
    provider = ScriptedProvider([refusal, {"tables": []}])
    reply = line(provider).job().send(ask())
    first, second = provider.requests
    assert (first.native, second.native) == (True, False)
    assert second.messages[:-1] == first.messages
    assert '"tables"' in second.messages[-1].text
    assert reply.usage.requests == 2


def test_a_schema_is_said_in_words_by_wish() -> None:
    """From the first request on, to the models that it is said of, and only once, whatever else comes."""

    class Named(BaseModel):
        names: list[str]

    busy, refusal = ServerError("busy"), RequestError("refused the request (400): json_schema", status=400)
    provider = ScriptedProvider([busy, refusal])
    with (
        Client(provider, response_format="text") as client,
        pytest.raises(RequestError),
    ):
        client.run([Message(Role.USER, "Which tables?")], output=Named)
    for asked in provider.requests:
        assert not asked.native and [message.text.count("JSON Schema") for message in asked.messages] == [0, 1]
    assert len(provider.requests) == 2
    with pytest.raises(ValueError, match="response_format is 'xml': say one of 'json_schema', 'json_object', 'text'"):
        Client(provider, response_format="xml")  # type: ignore[arg-type]


def test_any_other_refusal_is_final() -> None:
    """A request that is refused for another reason is not asked again."""
    provider = ScriptedProvider([RequestError("refused the request (400): messages: too long", status=400), {}])
    with pytest.raises(RequestError):
        line(provider).job().send(ask())
    assert len(provider.requests) == 1


def test_the_good_way_loads_no_retries() -> None:
    """Tenacity is loaded when something failed, and not before."""
    code = (
        "import sys; sys.path.insert(0, 'tests/calls'); from calls_wiring import *; from dbprompt.errors import *\n"
        "line(ScriptedProvider([GOOD])).job().send(ask()); before = 'tenacity' in sys.modules\n"
        "line(ScriptedProvider([ServerError('busy'), GOOD])).job().send(ask()); print(before)\n"
        "print('tenacity' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
