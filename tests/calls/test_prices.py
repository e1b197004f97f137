"""What requests cost: a dated table, one's own prices before it, and no guess."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from calls_wiring import GOOD, AsyncOnline, Online, aline, ask, line

from dbprompt import Client, Price, ScriptedProvider
from dbprompt.calls.prices import price_of, price_table
from dbprompt.errors import ServerError
from dbprompt.messages import Usage

OPUS = "anthropic:claude-opus-5"


def test_every_price_is_dated_and_has_a_source() -> None:
    """Each line says who told it and when, is plausible, and names a model once."""
    for model, price in price_table().items():
        assert re.fullmatch(r"(anthropic|openai):[\w.-]+", model)
        assert date(2026, 1, 1) < date.fromisoformat(price.as_of) and price.source.startswith("https://"), model
        assert price.cache_read is not None and price.cache_write is not None, model
        assert 0 < price.cache_read < price.input < price.cache_write < price.output, model
        assert (price.long is None) == (price.long_from is None)
        assert price.long is None or (price.long.input > price.input and price.long.output > price.output)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        (OPUS, True),
        (f"{OPUS}-20260724", True),
        ("openai:gpt-6-sol-2026-08-01", True),
        (f"{OPUS}-latest", False),
        (f"{OPUS}-5-5", False),
        ("openai:claude-opus-5", False),
        ("anthropic:claude-opus", False),
        (f"{OPUS}-2026072", False),
    ],
)
def test_a_name_fits_exactly_or_with_a_date(name: str, known: bool) -> None:
    """The price of a snapshot is that of its model; anything else that looks alike has none."""
    assert (price_of(name) is not None) is known


def test_ones_own_price_goes_before_the_table() -> None:
    """A price that is given counts instead of the shipped one, for the snapshots of a model too."""
    own = Price(1, 2)
    assert price_of(OPUS, {OPUS: own}) is own and price_of(f"{OPUS}-20260724", {OPUS: own}) is own
    assert price_of(OPUS, shipped=False) is None and price_of(OPUS, {OPUS: own}, shipped=False) is own


def test_cached_tokens_have_their_own_prices() -> None:
    """A million tokens, of which 600,000 were read from the cache and 100,000 written, and 10,000 of answer."""
    usage = Usage(1, 1_000_000, 10_000, cache_read_tokens=600_000, cache_write_tokens=100_000)
    assert Price(5, 25, cache_read=0.5, cache_write=6.25).of(usage) == pytest.approx(1.5 + 0.3 + 0.625 + 0.25)


def test_a_long_prompt_costs_what_long_ones_do() -> None:
    """Above the threshold the whole request has the other price, its answer too; at it, not yet."""
    haiku = price_of("anthropic:claude-haiku-5-5")
    assert haiku is not None
    assert haiku.of(Usage(1, 100_000, 1_000)) == pytest.approx(0.0105)
    assert haiku.of(Usage(1, 100_001, 1_000)) == pytest.approx(0.0500005 + 0.0025)
    assert haiku.most(100_001, 1_000) == pytest.approx(0.625 * 0.100001 + 0.0025)


@pytest.mark.parametrize("price", [Price(3, 15), Price(5, 25, 0.5, 6.25, long_from=900, long=Price(10, 37.5, 1, 12.5))])
def test_what_money_is_left_for_is_what_it_buys(price: Price) -> None:
    """So many tokens of an answer cost at most what was left for them, and one more would cost more."""
    for size in (10, 1_000):
        tokens = int(price.output_for(0.1, size))
        assert price.most(size, tokens) <= 0.1 < price.most(size, tokens + 1)


def test_a_batch_costs_its_share() -> None:
    """A batch halves every part of the price where its provider says so; of one's own price nobody told that."""
    opus = price_of(OPUS)
    assert opus is not None and (half := opus.in_a_batch()) is not None
    usage = Usage(1, 1_000, 500, cache_read_tokens=300, cache_write_tokens=200)
    assert half.of(usage) == pytest.approx(opus.of(usage) / 2)
    assert Price(1, 2).in_a_batch() is None


def test_a_call_tells_what_it_cost() -> None:
    """The answer's usage has its cost, with failed requests that cost nothing; without a price it stays unknown."""
    lines = [ServerError("busy", status=529), GOOD]
    reply = line(Online(lines), prices=[Price(1_000, 10_000)]).job().send(ask())
    assert reply.usage == Usage(2, 10, 5, cost_usd=pytest.approx(0.06))
    assert line(Online(lines)).job().send(ask()).usage.cost_usd is None
    calls = aline(AsyncOnline(lines), prices=[Price(1_000, 10_000)]).job()
    assert calls.meter.spent == Usage()


@pytest.mark.parametrize("usage", [Usage(1), Usage(1, 10), Usage(1, 0, 5)])
def test_the_cost_of_tokens_that_nobody_told_is_unknown(usage: Usage) -> None:
    """A price and no tokens make no cost of $0: it is None in the result and in every sum that it is a part of."""
    untold = replace(GOOD, usage=usage)
    reply = line(Online([untold]), prices=[Price(1_000, 10_000)]).job().send(ask())
    assert reply.usage.cost_usd is None and (reply.usage + Usage(1, 10, 5, cost_usd=1.0)).cost_text == "unknown"


def test_a_part_is_no_more_than_what_it_is_a_part_of() -> None:
    """A provider that tells more cached tokens than the prompt has makes no negative cost."""
    odd = replace(GOOD, usage=Usage(1, 100, 10, cache_read_tokens=60, cache_write_tokens=10**6, reasoning_tokens=99))
    reply = line(Online([odd]), prices=[Price(1_000, 10_000, cache_read=100, cache_write=2_000)]).job().send(ask())
    assert reply.usage == Usage(1, 100, 10, 60, 40, 10, cost_usd=pytest.approx(0.006 + 0.08 + 0.1))
    assert Price(5, 25, cache_read=0.5).of(Usage(1, 100, 0, cache_read_tokens=10**6)) >= 0


@pytest.mark.parametrize("price", [-5, float("nan"), float("inf"), 10**400, "5", True])
@pytest.mark.parametrize("name", ["input", "output", "cache_read", "cache_write", "batch"])
def test_what_is_no_price_is_refused(name: str, price: Any) -> None:
    """With its name and its value: a bound of money would hold nothing over it."""
    with pytest.raises(ValueError, match=rf"^{name} of a Price is .+: give "):
        Price(**{"input": 1, "output": 1, name: price})


def test_a_client_takes_prices_for_a_provider_of_ones_own() -> None:
    """A provider object has no price but a given one: its name may be anybody's."""
    provider = ScriptedProvider([], model="claude-opus-5")
    provider.name = "anthropic"
    with Client(provider) as client:
        assert client._aims[0].price is None
    with Client(provider, prices={OPUS: Price(1, 2)}) as client:
        assert client._aims[0].price == Price(1, 2)


def test_another_server_has_other_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table holds for the provider's own address, and not for a proxy or a server of one's own."""
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    with Client(OPUS, api_key="sk-test-3f9a1c77d2e84b60") as client:
        assert client._aims[0].price == price_of(OPUS)
    with Client(OPUS, api_key="sk-test-3f9a1c77d2e84b60", base_url="http://127.0.0.1:1") as client:
        assert client._aims[0].price is None
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    with Client(OPUS, api_key="sk-test-3f9a1c77d2e84b60") as client:
        assert client._aims[0].price is None
