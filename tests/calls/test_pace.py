"""The pace: no limit is passed in any minute, nobody is forgotten, and what a provider says holds for everybody."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbprompt.calls import pace as module
from dbprompt.calls.pace import Pace, Place, pace_of
from dbprompt.errors import RateLimitError, ServerError
from dbprompt.messages import (
    Allowance,
    Message,
    OutputSchema,
    RateLimits,
    Reply,
    Request,
    Role,
    StopReason,
    Usage,
)

WORDS = Request((Message(Role.USER, "x" * 299),), OutputSchema("Out", {}), max_output_tokens=100, native=False)
"""A request of 100 tokens."""


def limits(**numbers: int) -> RateLimits:
    """So much a minute."""
    return RateLimits(**{name: Allowance(limit=number) for name, number in numbers.items()})


def reply(output: int = 50, told: RateLimits | None = None, given: int = 100) -> Reply:
    """An answer, and what its headers say."""
    return Reply("{}", StopReason.COMPLETE, Usage(1, given, output), limits=told)


@dataclass
class World:
    """Callers on a clock of their own: each comes, waits as it is told, sends, and has its answer after a while."""

    pace: Pace
    takes_s: float = 1.0
    output: int = 50
    request: Request = WORDS
    sent: list[tuple[float, int]] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)
    ended: list[tuple[float, int]] = field(default_factory=list)

    def run(self, comes: list[float]) -> None:
        """Lets callers come at these times, to their ends."""
        ticket = itertools.count()
        due: list[tuple[float, int, int, Place | None, str]] = []
        for caller, at in enumerate(comes):
            heapq.heappush(due, (at, next(ticket), caller, None, "comes"))
        while due:
            now, _, caller, place, what = heapq.heappop(due)
            if what == "has its answer":
                assert place is not None
                place.done(reply(self.output), now)
                self.ended.append((now, caller))
                continue
            place = place or self.pace.place(self.request)
            self.asked[caller] = self.asked.get(caller, 0) + 1
            assert self.asked[caller] < 5_000, "it asks and asks"
            seconds = place.wait_s(now)
            if seconds:
                heapq.heappush(due, (now + seconds, next(ticket), caller, place, "comes"))
            else:
                self.sent.append((now, caller))
                heapq.heappush(due, (now + self.takes_s, next(ticket), caller, place, "has its answer"))


def most_in_a_minute(moments: list[float], each: int = 1) -> int:
    """The most that any minute holds, wherever it begins."""
    return max(each * sum(start <= other < start + 60 for other in moments) for start in moments)


COMES = st.lists(st.floats(0, 200), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(comes=COMES, limit=st.integers(1, 20), takes_s=st.floats(0.01, 90))
def test_no_minute_holds_more_requests_than_the_limit(comes: list[float], limit: int, takes_s: float) -> None:
    """Whenever callers come and however long answers take: never one request more, and everyone is answered soon."""
    world = World(Pace(limits(requests=limit)), takes_s)
    world.run(comes)
    moments = sorted(at for at, _ in world.sent)
    assert most_in_a_minute(moments) <= limit
    assert len(moments) == len(comes)
    full_minutes = math.ceil(len(comes) / limit)
    assert moments[-1] <= max(comes) + 62 * full_minutes, "the limit is not used"


@settings(max_examples=60, deadline=None)
@given(
    comes=COMES,
    share=st.integers(1, 12),
    kind=st.sampled_from(["tokens", "input_tokens", "output_tokens"]),
    takes_s=st.floats(0.01, 90),
    output=st.integers(1, 100),
)
def test_no_minute_holds_more_tokens_than_the_limit(
    comes: list[float], share: int, kind: str, takes_s: float, output: int
) -> None:
    """Tokens are held back as long as nobody knows how many an answer has; then they count as what they are."""
    cost = {"tokens": 100 + output, "input_tokens": 100, "output_tokens": output}[kind]
    world = World(Pace(limits(**{kind: share * cost})), takes_s, output)
    world.run(comes)
    spent = world.ended if kind == "output_tokens" else world.sent
    assert most_in_a_minute([at for at, _ in spent], cost) <= share * cost
    assert len(world.ended) == len(comes)


@settings(max_examples=40, deadline=None)
@given(comes=st.lists(st.floats(0, 100), min_size=2, max_size=60), limit=st.integers(1, 10))
def test_first_come_first_served(comes: list[float], limit: int) -> None:
    """Nobody goes noticeably before one who came earlier (and may sleep for a moment), or asks all the time."""
    world = World(Pace(limits(requests=limit)), takes_s=0.5)
    world.run(sorted(comes))
    went = [at for at, _ in sorted(world.sent, key=lambda pair: pair[1])]
    assert all(at <= min(went[caller:]) + 1.5 for caller, at in enumerate(went))
    waited = {caller: at - sorted(comes)[caller] for at, caller in world.sent}
    assert all(world.asked[caller] <= 20 + 3 * waited[caller] for caller in waited), "a busy loop"


def test_without_limits_nobody_waits() -> None:
    """While nobody knows a limit, everything goes at once."""
    world = World(Pace())
    world.run([0.0] * 1000)
    assert {at for at, _ in world.sent} == {0.0}


def test_headers_are_learned() -> None:
    """One answer that tells its limit holds back whoever comes after it, and counts what went before."""
    pace = Pace()
    first, second = pace.place(WORDS), pace.place(WORDS)
    assert first.wait_s(0) == second.wait_s(1) == 0
    first.done(reply(told=limits(requests=3)), 2)
    third, fourth = pace.place(WORDS), pace.place(WORDS)
    assert third.wait_s(3) == 0
    assert fourth.wait_s(3) > 0
    assert "requests (3 a minute)" in fourth.why
    assert fourth.wait_s(61.1) == 0, "the first one is a minute old"


def test_what_others_use_of_it_counts() -> None:
    """`remaining` holds until its reset, less what was sent after the request that it answers."""
    pace = Pace()
    told = RateLimits(requests=Allowance(limit=1000, remaining=2, reset_s=10))
    places = [pace.place(WORDS) for _ in range(4)]
    assert [place.wait_s(0) for place in places[:2]] == [0, 0]
    places[0].done(reply(told=told), 1)  # the server had not seen the second one
    assert places[2].wait_s(1) == 0
    assert places[3].wait_s(1) > 0
    assert places[3].wait_s(11.1) == 0


def test_old_news_is_no_news() -> None:
    """An answer that took long tells what was left when others had not been sent: the newer one is right."""
    pace = Pace()
    slow, quick, after = pace.place(WORDS), pace.place(WORDS), pace.place(WORDS)
    assert slow.wait_s(0) == quick.wait_s(1) == 0
    quick.done(reply(told=RateLimits(requests=Allowance(remaining=0, reset_s=30))), 2)
    slow.done(reply(told=RateLimits(requests=Allowance(remaining=50, reset_s=30))), 3)
    assert after.wait_s(4) > 20


@pytest.mark.parametrize("reset_s", [math.nan, -5, math.inf, 1e300, None])
@pytest.mark.parametrize("number", [0, -3, 10**30, None])
def test_strange_headers_do_no_harm(reset_s: float | None, number: int | None) -> None:
    """Whatever a header says, nobody is held back for more than a minute because of it."""
    pace = Pace()
    strange = Allowance(limit=number, remaining=number, reset_s=reset_s)
    place, after = pace.place(WORDS), pace.place(WORDS)
    assert place.wait_s(0) == 0
    place.done(reply(told=RateLimits(strange, strange, strange, strange)), 1)
    seconds = after.wait_s(2)
    assert seconds <= 61.1
    assert seconds == 0 or after.wait_s(2 + seconds) == 0


def test_what_the_caller_says_goes_first() -> None:
    """A limit of the caller's counts more than one that headers tell."""
    pace = Pace(limits(requests=2))
    places = [pace.place(WORDS) for _ in range(3)]
    assert places[0].wait_s(0) == 0
    places[0].done(reply(told=limits(requests=1000)), 1)
    assert places[1].wait_s(2) == 0
    assert places[2].wait_s(2) > 50
    with pytest.raises(ValueError, match="0 requests a minute; give at least 1"):
        Pace(limits(requests=0))


def test_a_refusal_holds_everybody_back() -> None:
    """`Retry-After` is for all, those in the queue and those who come, and not only for whoever got it."""
    pace = Pace()
    refused, other = pace.place(WORDS), pace.place(WORDS)
    assert refused.wait_s(0) == 0
    refused.failed(RateLimitError("slow down", status=429, retry_after=7), 1)
    assert other.wait_s(1) == pytest.approx(7)
    assert other.why == "the provider asked to slow down"
    assert pace.place(WORDS).wait_s(2) >= 6
    assert refused.wait_s(8.01) == 0, "it keeps its number: it goes before those who came later"


def test_no_herd_after_a_hold() -> None:
    """When a hold ends, those who wait go one after the other, in order."""
    pace = Pace()
    refused = pace.place(WORDS)
    assert refused.wait_s(0) == 0
    refused.failed(RateLimitError("slow down", status=429, retry_after=5), 0)
    world = World(pace)
    world.run([0.1 + caller / 1000 for caller in range(200)] + [5.05] * 50)
    moments = [at for at, _ in sorted(world.sent)]
    assert moments[0] >= 5
    crowd = max(sum(start <= other < start + 0.5 for other in moments) for start in moments)
    assert crowd <= 30
    assert moments[-1] < 5 + 250 * 0.02 + 1
    assert max(world.asked.values()) < 10


def test_no_herd_at_the_end_of_a_minute() -> None:
    """A queue behind a used-up limit leaves at twice its speed at most, though a whole minute's worth is free."""
    world = World(Pace(limits(requests=60)), takes_s=0.1)
    world.run([0.0] * 180)
    later = sorted(at for at, _ in world.sent if at > 1)
    assert max(sum(start <= other < start + 5 for other in later) for start in later) <= 11
    assert later[-1] <= 3 * 61


def test_a_refusal_that_says_no_time_waits_longer_each_time() -> None:
    """One second, two, four; many that are refused together are one refusal; a good answer begins anew."""
    pace, now, waits = Pace(), 0.0, []
    bare = RateLimitError("slow down", status=429)
    for _ in range(8):
        together = [pace.place(WORDS) for _ in range(5)]
        for place in together:
            while seconds := place.wait_s(now):
                now += seconds
        for place in together:
            place.failed(bare, now)
        waits.append(pace.place(WORDS).wait_s(now))
        now += 40
    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30])
    good, again = pace.place(WORDS), pace.place(WORDS)
    assert good.wait_s(now + 40) == 0
    good.done(reply(), now + 41)
    assert again.wait_s(now + 42) == 0
    again.failed(bare, now + 43)
    assert pace.place(WORDS).wait_s(now + 43) == pytest.approx(1)


def test_a_failing_server_may_ask_for_time_too() -> None:
    """503 with `Retry-After` holds everybody back; without one it is nobody else's business."""
    pace = Pace()
    one, two = pace.place(WORDS), pace.place(WORDS)
    assert one.wait_s(0) == two.wait_s(0) == 0
    one.failed(ServerError("failed", status=503), 1)
    assert one.wait_s(1) == 0
    two.failed(ServerError("failed", status=503, retry_after=9), 2)
    assert pace.place(WORDS).wait_s(2) == pytest.approx(9)


def test_an_endless_retry_after_is_looked_at_again() -> None:
    """A wish for a day holds everybody back for five minutes; then one finds out."""
    pace = Pace()
    one = pace.place(WORDS)
    assert one.wait_s(0) == 0
    one.failed(RateLimitError("slow down", status=429, retry_after=86_400), 0)
    assert one.wait_s(0) == pytest.approx(300)
    assert one.wait_s(300.1) == 0


def test_who_leaves_makes_room() -> None:
    """A call that is cancelled gives back its place, and the tokens that were held back for its answer."""
    pace = Pace(limits(output_tokens=100))
    with pace.place(WORDS) as sent:
        assert sent.wait_s(0) == 0
        with pace.place(WORDS) as waiting:
            assert waiting.wait_s(0) > 0
            third = pace.place(WORDS)
            assert third.wait_s(0) > 0
        assert pace.waiting(0) == 1
    assert third.wait_s(0.1) == 0


def test_a_forked_child_waits_for_nobody_of_its_parent() -> None:
    """Limits are known in the child; a lock that was held, a queue, answers under way are its parent's."""
    pace = Pace(limits(requests=5, output_tokens=100))
    with pace.place(WORDS) as sent, pace.place(WORDS) as waiting:
        assert sent.wait_s(0) == 0 and waiting.wait_s(0) > 0
        pace._lock.acquire()
        pace.begin_anew()  # as in the child, which this thread is then in
        assert pace.waiting(1) == 0
        child = pace.place(WORDS)
        assert child.wait_s(1) == 0
        assert pace.place(WORDS).wait_s(1) > 0
    child.done(reply(1), 2)
    assert pace.place(WORDS).wait_s(2) == 0


def test_leaving_never_waits_for_the_lock() -> None:
    """A call may be thrown away by the garbage collector while this very thread has the lock."""
    pace = Pace(limits(requests=1))
    first, second = pace.place(WORDS), pace.place(WORDS)
    assert first.wait_s(0) == 0
    assert second.wait_s(0) > 0
    with pace._lock:
        began = time.monotonic()
        second.__exit__(None, None, None)
        assert time.monotonic() - began < 1
    pace.place(WORDS).wait_s(1)
    assert pace.waiting(1) == 1


def test_who_does_not_come_back_is_passed() -> None:
    """A caller that was never heard of again holds nobody up; should it come after all, it has its old number."""
    pace = Pace(limits(requests=1))
    first, lost, last = (pace.place(WORDS) for _ in range(3))
    assert first.wait_s(0) == 0
    assert lost.wait_s(0) > 0
    seconds = last.wait_s(0)
    assert seconds > 60
    assert last.wait_s(200) == 0
    assert lost.wait_s(201) > 0
    assert pace.place(WORDS).wait_s(202) > lost.wait_s(202)


def test_a_clock_that_goes_back_does_no_harm() -> None:
    """Threads read the clock before they have the lock, so that times come in any order."""
    world = World(Pace(limits(requests=5)))
    place = world.pace.place(WORDS)
    assert place.wait_s(1000) == 0
    place.done(reply(), 1)
    world.run([float(at) for at in range(40)])
    assert len(world.sent) == 40


def test_what_is_more_than_the_limit_goes_alone() -> None:
    """A request that no minute has room for goes when nothing else is under way, and not never."""
    pace = Pace(limits(output_tokens=60))
    one, two = pace.place(WORDS), pace.place(WORDS)
    assert one.wait_s(0) == 0
    assert two.wait_s(0) > 0
    one.done(reply(output=10), 30)
    assert two.wait_s(31) == 0, "now it is known how long answers are"


def test_what_a_cache_gives_back_counts_as_the_provider_counts() -> None:
    """Where input is limited by itself (Anthropic), tokens from its cache do not count; in a sum of both they do."""
    cached = Reply("{}", StopReason.COMPLETE, Usage(1, 100, 10, cache_read_tokens=95))
    for kind, limit, waits in (("input_tokens", 150, False), ("tokens", 200, True)):
        pace = Pace(limits(**{kind: limit}))
        one, two = pace.place(WORDS), pace.place(replace(WORDS, max_output_tokens=100))
        assert one.wait_s(0) == 0
        one.done(cached, 1)
        assert (two.wait_s(2) > 0) is waits


def test_one_pace_for_each_account() -> None:
    """The same model with the same address and key has one pace in the whole process; and no key is kept."""
    provider: Any = SimpleNamespace(name="openai", model="m1")
    other: Any = SimpleNamespace(name="openai", model="m2")
    one = pace_of(provider, account="https://a\nsk-secret-1")
    assert pace_of(provider, account="https://a\nsk-secret-1") is one
    assert pace_of(provider, account="https://a\nsk-secret-2") is not one
    assert pace_of(other, account="https://a\nsk-secret-1") is not one
    assert pace_of(provider) is not pace_of(provider), "nobody can tell whose limits these are"
    assert "sk-secret" not in repr(module._PACES)
    pace_of(provider, account="https://a\nsk-secret-1", limits=limits(requests=1))
    assert one.place(WORDS).wait_s(0) == 0
    assert one.place(WORDS).wait_s(0) > 0
