"""How far a call and a job go: requests, tokens, money and time; nothing is sent that could pass a bound."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from calls_wiring import GOOD, REFUSED, AsyncOnline, Online, Watch, aline, ask, line
from hypothesis import given, settings
from hypothesis import strategies as st

from dbprompt.calls.bounds import Bounds, Meter, Reservation, most_tokens
from dbprompt.calls.prices import Price
from dbprompt.errors import BudgetError, ConnectionFailedError, DeadlineError, RateLimitError, ServerError
from dbprompt.messages import Message, Reply, Request, Role, StopReason, Usage

PRICE = Price(input=1_000, output=10_000)
"""A thousandth of a dollar a token of the prompt, a hundredth a token of the answer."""


def sent(bounds: Bounds, *lines: Any, price: Price | None = None, tokens: int = 100) -> tuple[Any, Online, Watch]:
    """A job that asks until a bound ends it, from plain code and from async code: both have to end alike."""
    ends = []
    for provider, told, watch in ((Online(lines), line, Watch()), (AsyncOnline(lines), aline, Watch())):
        calls = told(provider, prices=[price], watch=watch, per_call=Bounds()).job(bounds)
        end: Any = None
        try:
            while True:
                answer = calls.send(ask(tokens=tokens))
                end = answer if isinstance(answer, Reply) else asyncio.run(answer)
        except Exception as error:
            end = error
        ends.append((end, provider, watch))
    (end, provider, watch), (other, awaited, _) = ends
    assert (type(end), str(end)) == (type(other), str(other)) and provider.requests == awaited.requests
    return end, provider, watch


def reply(text: str = "{}", *, read: int = 10, written: int = 5, stop: StopReason = StopReason.COMPLETE) -> Reply:
    """An answer that costs so much."""
    return Reply(text, stop, Usage(1, read, written))


def test_requests_are_bounded_failed_ones_included() -> None:
    """Of three requests one may fail: then two answers are had, and the fourth is never sent."""
    error, provider, _ = sent(Bounds(requests=3), GOOD, ServerError("busy", status=529), GOOD, GOOD)
    assert isinstance(error, BudgetError) and len(provider.requests) == 3
    assert (error.bound, error.limit, error.spent) == ("requests", 3, 3)
    assert "has spent 3 of its bound requests=3" in str(error)


def test_a_prompt_that_may_have_too_many_tokens_is_not_sent() -> None:
    """A prompt counts as one token for two bytes until somebody counted; what was counted then counts."""
    most = most_tokens(ask())
    error, provider, _ = sent(Bounds(input_tokens=most + 15), GOOD, GOOD, GOOD)
    assert isinstance(error, BudgetError) and error.bound == "input_tokens"
    assert len(provider.requests) == 2 and error.spent == 20


def test_an_answer_is_cut_off_where_the_bound_is() -> None:
    """The second answer may have what the first left; one that ends there is an error that holds what was had."""
    cut = reply('{"tab', written=40, stop=StopReason.TRUNCATED)
    error, provider, _ = sent(Bounds(output_tokens=100), reply(written=60), cut)
    assert [request.max_output_tokens for request in provider.requests] == [100, 40]
    assert isinstance(error, BudgetError) and (error.bound, error.text) == ("output_tokens", '{"tab')
    assert "cut off at 40 tokens" in str(error) and "output_tokens=100" in str(error)


def test_an_answer_that_is_cut_off_where_it_was_asked_to_is_no_matter_of_bounds() -> None:
    """A truncation at the request's own limit goes on as one."""
    cut = reply("{", written=100, stop=StopReason.TRUNCATED)
    assert line(Online([cut])).job(Bounds(output_tokens=1_000)).send(ask(tokens=100)).stop is StopReason.TRUNCATED


def test_fewer_tokens_than_an_api_takes_are_not_asked_for() -> None:
    """With ten tokens left nothing is sent: the API would refuse the request, and that would be a user's mistake."""
    error, provider, _ = sent(Bounds(output_tokens=110), reply(written=100), GOOD)
    assert isinstance(error, BudgetError) and len(provider.requests) == 1 and "at least" in str(error)


def test_money_is_bounded_by_the_dearest_that_a_request_can_cost() -> None:
    """The answer is cut off where the money ends; when the prompt alone could cost more, nothing is sent."""
    most = most_tokens(ask()) / 1_000
    error, provider, _ = sent(Bounds(cost_usd=most + 1), reply(written=50), reply(written=49), GOOD, price=PRICE)
    assert provider.requests[0].max_output_tokens == 100
    assert provider.requests[1].max_output_tokens == 49  # 1.00 + most - 0.51 - most, a hundredth each
    assert isinstance(error, BudgetError) and error.bound == "cost_usd" and "$" in str(error)
    assert error.spent is not None and error.spent <= most + 1


def test_money_without_a_price_refuses_to_start() -> None:
    """Nobody can hold a bound of money over a model whose price is unknown: nothing is sent, and the model is named."""
    provider = Online([GOOD])
    with pytest.raises(BudgetError, match="nobody told what scripted:script costs: give its price") as caught:
        line(provider).job(Bounds(cost_usd=1))
    assert caught.value.spent is None and provider.requests == []
    with pytest.raises(BudgetError, match="scripted:script"):
        line(provider, Online([GOOD]), prices=[PRICE], per_call=Bounds(cost_usd=1)).job()


def test_an_answer_is_not_lost_to_a_setting_that_was_refused() -> None:
    """A provider that had to ask twice for it has passed the bound of one request, and its answer is had."""
    twice = replace(GOOD, usage=replace(GOOD.usage, requests=2))
    calls = line(Online([twice, GOOD])).job(Bounds(requests=1))
    assert calls.send(ask()).usage.requests == 2
    with pytest.raises(BudgetError, match="requests=1"):
        calls.send(ask())


def test_an_estimate_that_was_too_low_is_found_out_after_the_answer() -> None:
    """A prompt of more tokens than two bytes each ends the job; the answer that was paid for is in the error."""
    error, provider, _ = sent(Bounds(input_tokens=1_000), reply('{"a": 1}', read=1_001), GOOD)
    assert isinstance(error, BudgetError) and error.text == '{"a": 1}' and len(provider.requests) == 1
    assert (error.limit, error.spent) == (1_000, 1_001)


def test_a_request_that_broke_off_counts_at_its_most() -> None:
    """Nobody knows what a lost answer cost, so a bound takes it for its most; a clear refusal costs nothing."""
    lost, provider, _ = sent(Bounds(output_tokens=150), ConnectionFailedError("reset"), reply(written=50), GOOD)
    assert [request.max_output_tokens for request in provider.requests[:2]] == [100, 50]
    assert isinstance(lost, BudgetError)
    _, provider, _ = sent(Bounds(output_tokens=150), ServerError("busy", status=503), GOOD)
    assert [request.max_output_tokens for request in provider.requests[:2]] == [100, 100]


@pytest.mark.parametrize("usage", [Usage(1), Usage(1, 10), Usage(1, 10**400, 10**400)])
def test_an_answer_whose_tokens_nobody_told_counts_at_its_most(usage: Usage) -> None:
    """A bound holds over a provider that tells no usage, too little of it or nonsense; the answers are had."""
    untold = Reply("{}", StopReason.COMPLETE, usage)
    error, provider, _ = sent(Bounds(output_tokens=250), *[untold] * 9)
    assert isinstance(error, BudgetError) and error.text == ""
    assert [request.max_output_tokens for request in provider.requests] == [100, 100, 50]
    most = most_tokens(ask()) / 1_000 + 1  # 100 tokens of an answer cost a dollar
    error, provider, _ = sent(Bounds(cost_usd=2 * most), *[untold] * 9, price=PRICE)
    assert isinstance(error, BudgetError) and len(provider.requests) == 2 and error.spent == pytest.approx(2 * most)


def test_a_refusal_without_a_word_is_counted_as_told() -> None:
    """A model that declines may have written nothing: then nothing is held against a bound for it."""
    silent = Reply("against our rules", StopReason.REFUSED, Usage(1, 8, 0))
    calls = line(Online([silent])).job(Bounds(output_tokens=1_000))
    calls.send(ask(tokens=100))
    assert calls.meter.spent == Usage(1, 8, 0)


@pytest.mark.parametrize("value", [10**400, float("nan"), -1, 0, "60", True, pytest.param(10**5000, id="huge")])
@pytest.mark.parametrize("name", ["deadline_s", "requests", "cost_usd"])
def test_a_bound_that_bounds_nothing_is_refused(name: str, value: Any) -> None:
    """With its name and its value, before anything is asked; infinity is as good as None."""
    with pytest.raises(ValueError, match=rf"^{name} is .+: a bound is a number of more than 0"):
        Bounds(**{name: value})
    assert sent(Bounds(**{name: float("inf")}), GOOD, ServerError("end", status=400), price=PRICE)[0] is not None


def test_a_connection_that_never_stood_costs_nothing() -> None:
    """A server that could not be reached has worked on nothing."""
    refused = ConnectionFailedError("connection refused")
    refused.in_doubt = False
    _, provider, _ = sent(Bounds(output_tokens=150), refused, GOOD)
    assert [request.max_output_tokens for request in provider.requests[:2]] == [100, 100]


def test_a_refusal_of_the_model_is_counted() -> None:
    """A model that declines has used tokens too."""
    calls = line(Online([REFUSED, GOOD])).job(Bounds(output_tokens=1_000))
    calls.send(ask(tokens=100))
    assert calls.meter.spent == Usage(1, 8, 4)


def test_the_time_of_a_job_includes_its_waits() -> None:
    """A deadline of the job ends a wait that would pass it, though each call alone has time enough."""
    slow = RateLimitError("slow", retry_after=6)
    error, provider, watch = sent(Bounds(deadline_s=10), slow, GOOD, slow, GOOD)
    assert isinstance(error, RateLimitError) and "the next try would come in 6 s, the deadline in 4 s" in str(error)
    assert watch.slept == [6] and len(provider.requests) == 3


def test_no_request_begins_after_the_deadline_of_the_job() -> None:
    """When the time is up nothing is sent, and no check begins."""
    provider, watch = Online([GOOD]), Watch()
    calls = line(provider, watch=watch).job(Bounds(deadline_s=10), what="this design")
    watch.sleep(10)
    with pytest.raises(DeadlineError, match=r"the deadline of this design \(10 s\) has passed"):
        calls.send(ask())
    with pytest.raises(DeadlineError):
        calls.checking("schema", lambda _: pytest.fail("it began"))(None)
    assert provider.requests == []


def test_a_part_keeps_to_the_bounds_of_the_whole() -> None:
    """Jobs of one map share its meter: the third request is one too many, whoever sends it."""
    whole = line(Online([GOOD] * 3)).job(Bounds(requests=2))
    whole.part(Bounds(requests=1)).send(ask())
    second = whole.part(Bounds(requests=2))
    second.send(ask())
    with pytest.raises(BudgetError, match="requests=2"):
        second.send(ask())
    assert whole.meter.spent.requests == 2 and second.meter.spent.requests == 1


def test_what_is_held_for_a_call_that_ends_is_given_back() -> None:
    """A call that is broken off (Ctrl-C) leaves nothing held: what it may have cost is counted, and no more."""

    def interrupted(_: Request) -> Reply:
        raise KeyboardInterrupt

    calls = line(Online([interrupted, GOOD])).job(Bounds(output_tokens=1_000))
    with pytest.raises(KeyboardInterrupt):
        calls.send(ask(tokens=100))
    assert calls.meter.spent.output_tokens == 100
    kept = calls.meter.reserve(ask(tokens=900), None)
    assert isinstance(kept, Reservation) and kept.request.max_output_tokens == 900


def test_a_request_waits_for_those_that_hold_what_is_left() -> None:
    """While one is in flight that holds the tokens, the next one waits for what it leaves instead of failing."""
    meter = Meter(Bounds(output_tokens=100))
    first = meter.reserve(ask(tokens=100), None)
    assert isinstance(first, Reservation)
    assert meter.reserve(ask(tokens=100), None) == pytest.approx(0.05)
    meter.settle(first, Usage(1, 10, 30))
    second = meter.reserve(ask(tokens=100), None)
    assert isinstance(second, Reservation) and (second.request.max_output_tokens, second.cut_by) == (
        70,
        "output_tokens",
    )


def test_tasks_side_by_side_keep_to_one_bound() -> None:
    """Ten tasks at once send no more than the bound allows, and each that is refused says so."""

    class Slow(AsyncOnline):
        async def send(self, request: Request) -> Reply:
            await asyncio.sleep(0.001)
            return reply(written=request.max_output_tokens)

    async def ten() -> list[Any]:
        calls = aline(provider).job(Bounds(output_tokens=250))
        return await asyncio.gather(*(calls.send(ask(tokens=100)) for _ in range(10)), return_exceptions=True)

    provider = Slow([])
    ends = asyncio.run(ten())
    had = [one.usage.output_tokens for one in ends if isinstance(one, Reply)]
    assert sorted(had) == [50, 100, 100]
    assert all(isinstance(one, BudgetError) for one in ends if not isinstance(one, Reply))


@pytest.mark.parametrize("field", ["deadline_s", "requests", "input_tokens", "output_tokens", "cost_usd"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_bound_is_more_than_nothing(field: str, value: float) -> None:
    """A bound of 0 or less is a mistake, and the field is named."""
    with pytest.raises(ValueError, match=field):
        Bounds(**{field: value})


def _request(size: int, tokens: int) -> Request:
    return Request((Message(Role.USER, "x" * size),), ask().output, tokens)


@settings(deadline=None, max_examples=150)
@given(
    bounds=st.builds(
        Bounds,
        requests=st.none() | st.integers(1, 6),
        input_tokens=st.none() | st.integers(1, 2_000),
        output_tokens=st.none() | st.integers(1, 500),
        cost_usd=st.none() | st.floats(0.01, 20),
    ),
    steps=st.lists(
        st.tuples(st.integers(0, 600), st.integers(1, 200), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3)),
        max_size=30,
    ),
)
def test_no_interleaving_passes_a_bound(bounds: Bounds, steps: list[tuple[int, int, float, float, int]]) -> None:
    """Whatever is reserved and settled in whatever order, what is spent keeps to every bound while estimates hold."""
    meter = Meter(bounds)
    flying: list[Reservation] = []
    for size, tokens, read, written, settled in steps:
        try:
            kept = meter.reserve(_request(size, tokens), PRICE)
        except BudgetError:
            kept = 0.0
        if isinstance(kept, Reservation):
            assert kept.request.max_output_tokens <= tokens
            flying.append(kept)
        else:
            assert kept == 0.0 or flying, "nobody waits while nothing is in flight"
        for turn in range(min(settled, len(flying))):
            one = flying.pop((settled + turn) % len(flying))
            usage = Usage(1, int(one.usage.input_tokens * read), int(one.usage.output_tokens * written))
            # whole cents of cost are lost in floats: the price of what was used is compared with a hair of room
            meter.settle(one, None if turn == 2 else Usage(*_fields(usage), cost_usd=PRICE.of(usage)))
        spent = meter.spent
        for field in ("requests", "input_tokens", "output_tokens", "cost_usd"):
            limit = getattr(bounds, field)
            assert limit is None or (getattr(spent, field) or 0) <= limit + 1e-9, field


def _fields(usage: Usage) -> tuple[int, int, int]:
    return usage.requests, usage.input_tokens, usage.output_tokens
