"""Many at once and a provider's rate limits: learned from its answers, kept by all threads and tasks together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from echo import Server, amapped, echo_prompt, mapped, threads_left

from dbprompt import Bounds, RateLimitError
from dbprompt.calls import base_window
from dbprompt.calls.pace import Pace, Place
from dbprompt.jobs.ask import Answer
from dbprompt.messages import Allowance, RateLimits
from dbprompt.prompts.prompt import Prompt

MINUTE_S = 1.0
"""A minute of these tests."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each request was let go; what the network and a busy machine make of that is not the pace's."""
    moments: list[float] = []
    real = base_window.Windows.send

    def send(self: base_window.Windows, amounts: base_window.Amounts, now: float) -> base_window.Passed:
        moments.append(now)
        return real(self, amounts, now)

    monkeypatch.setattr(base_window, "MINUTE_S", MINUTE_S)
    monkeypatch.setattr(base_window.Windows, "send", send)
    return moments


def most_in_a_minute(moments: list[float]) -> int:
    """The most that any minute holds, wherever it begins."""
    return max(sum(start <= other < start + MINUTE_S for other in moments) for start in moments)


both = pytest.mark.parametrize("client", [mapped, amapped])


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    """The prompt."""
    return echo_prompt(tmp_path_factory.mktemp("prompts"))


@pytest.fixture(autouse=True)
def _no_thread_behind() -> Iterator[None]:
    """Whatever happens, no thread of a map is left when it is over."""
    yield
    assert not threads_left()


@both
def test_limits_from_headers_are_kept(client: Any, echo: Prompt, sent: list[float]) -> None:
    """Once an answer has told the limit, no minute holds a request more, with 16 threads or 200 tasks that want to."""
    at_once, count, limit = (16, 85, 45) if client is mapped else (200, 195, 100)
    said, key = [f"w{number}" for number in range(count)], {"api_key": f"sk-test-{client.__name__}"}
    with Server(limit=limit, minute_s=MINUTE_S) as server:
        client(server, echo, ["first"], key)
        ends = client(server, echo, said, key, at_once=at_once)
    assert [end.value.word for end in ends] == said
    assert len(sent) == len(server.came) == count + 1
    assert most_in_a_minute(sent) <= limit


def test_threads_and_tasks_share_a_limit(echo: Prompt, sent: list[float]) -> None:
    """Two clients of one account, 16 threads here and 58 tasks there, together keep to one limit."""
    said, key = [f"w{number}" for number in range(58)], {"api_key": "sk-test-for-two-clients"}
    ends: list[Any] = []
    with Server(limit=60, minute_s=MINUTE_S) as server:
        mapped(server, echo, ["first"], key)
        other = threading.Thread(target=lambda: ends.extend(mapped(server, echo, said, key, at_once=16)))
        other.start()
        ends += amapped(server, echo, said, key, at_once=200)
        other.join()
    assert sum(isinstance(end, Answer) for end in ends) == 116
    assert most_in_a_minute(sent) <= 60


@both
def test_a_refusal_pauses_all(client: Any, echo: Prompt, sent: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """One 429 with Retry-After: nobody asks until it is over, and everyone is answered in the end."""
    heard: list[float] = []
    real = Pace._hold

    def hold(self: Pace, place: Place, asked: float | None, now: float) -> None:
        heard.append(now)
        real(self, place, asked, now)

    monkeypatch.setattr(Pace, "_hold", hold)
    said = [f"w{number}" for number in range(60)]
    with Server(refuse_at=20, refuse_s=1.0) as server:
        ends = client(server, echo, said, {}, at_once=16)
    assert [end.value.word for end in ends] == said
    assert heard
    assert not [at for at in sent if any(began < at < began + 0.999 for began in heard)]
    assert len(server.refused) <= 16, "only those that were under way"


@both
def test_a_limit_that_outlasts_the_deadline_is_told_at_once(client: Any, echo: Prompt) -> None:
    """`Retry-After: 300` under a deadline of 60 s: every item ends now, and says why."""
    with Server(refuse_at=0, refuse_s=300.0) as server:
        began = time.monotonic()
        ends = client(server, echo, ["a", "b", "c", "d"], {"per_job": Bounds(deadline_s=60)}, at_once=2)
    assert time.monotonic() - began < 30
    assert all(isinstance(end, RateLimitError) for end in ends)
    assert len(server.came) <= 2


def test_limits_of_the_callers(echo: Prompt) -> None:
    """`limits` of a client holds from the first request on: the next would come after the deadline, and is not sent."""
    limits = RateLimits(requests=Allowance(limit=3))
    with Server() as server:
        ends = mapped(
            server, echo, ["a", "b", "c", "d"], {"limits": limits, "per_job": Bounds(deadline_s=30)}, at_once=1
        )
    assert len(server.came) == 3
    assert isinstance(ends[3], RateLimitError)
    assert "3 a minute" in str(ends[3])


def test_items_are_begun_when_there_is_room(echo: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 64 at once and a limit that lets ten through, eight wait at most: the others' own time has not begun."""
    monkeypatch.setattr(base_window, "MINUTE_S", MINUTE_S)
    queues: list[int] = []
    real = Pace._wait

    def wait(self: Pace, place: Place, now: float) -> float:
        queues.append(len(self._queue))
        return real(self, place, now)

    monkeypatch.setattr(Pace, "_wait", wait)
    limits, said = RateLimits(requests=Allowance(limit=10)), [f"w{number}" for number in range(30)]
    with Server() as server:
        ends = amapped(server, echo, said, {"limits": limits}, at_once=64)
    assert [end.value.word for end in ends] == said
    assert max(queues) == 8
