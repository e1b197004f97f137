"""`result.trace`: what a client's jobs keep of what was said, however they end and however they are asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import pytest
from answers import answer
from pydantic import BaseModel

from dbprompt import (
    AsyncClient,
    AsyncScriptedProvider,
    Brief,
    Client,
    Message,
    Price,
    QuotaError,
    Role,
    ScriptedProvider,
    ServerError,
    Trace,
    UnprovenError,
)
from dbprompt.messages import OutputSchema, Request

ROOT = Path(__file__).parents[2]
TAPE = ROOT / "evals/recordings/postgres/marketplace.database_architect.json"
SHOP = Brief.load(ROOT / "examples/marketplace.yaml")
ASK = [Message(Role.USER, "A title?")]
LINES: list[Any] = [ServerError("overloaded", status=529), "no JSON", {"title": "Tea"}]
KEY = "sk-ant-0123456789abcdef"


class Title(BaseModel):
    title: str


def told(trace: Trace | None) -> list[tuple[str, int, str, str]]:
    """What a trace has, without the clock."""
    assert trace is not None
    return [(one.section, one.attempt, one.ended, one.answer) for one in trace]


def test_an_answer_has_the_failed_try_and_the_repair() -> None:
    """In the order in which they ended; sync and async alike."""
    wanted = [("", 1, "ServerError", ""), ("", 2, "complete", "no JSON"), ("", 1, "complete", '{"title": "Tea"}')]
    with Client(ScriptedProvider(LINES)) as client:
        assert told(client.run(ASK, output=Title).trace) == wanted

    async def awaited() -> Trace | None:
        async with AsyncClient(AsyncScriptedProvider(LINES)) as client:
            return (await client.run(ASK, output=Title)).trace

    assert told(asyncio.run(awaited())) == wanted


def test_a_failed_try_does_not_hide_the_cost() -> None:
    """Where the price is known, what the trace adds up to is what the answer cost."""
    prices = {"scripted:script": Price(5, 25)}
    with Client(ScriptedProvider(LINES), prices=prices) as client:
        answer = client.run(ASK, output=Title)
    assert answer.trace is not None and answer.usage.cost_usd
    assert answer.trace.usage.cost_usd == pytest.approx(answer.usage.cost_usd)


def test_a_streamed_answer_has_the_same() -> None:
    """A failed try and a repair are in it, whether somebody read along or not."""
    with Client(ScriptedProvider(LINES)) as client, client.stream(ASK, output=Title) as stream:
        assert told(stream.result().trace) == told(client_run_trace())


def client_run_trace() -> Trace | None:
    """Of the same script, waited for."""
    with Client(ScriptedProvider(LINES)) as client:
        return client.run(ASK, output=Title).trace


def test_a_design_has_every_section_and_their_costs_are_the_results() -> None:
    """Replayed from the recording: as many requests as were paid for, each begun with the same messages."""
    with Client("anthropic:claude-opus-4-8", recording=TAPE) as client:
        result = client.design(SHOP, sections=["selection", "schema", "views"])
    assert result.trace is not None and result.trace.usage == result.usage
    assert {one.section for one in result.trace} == {"selection", "schema", "views"}
    assert len(result.trace.of("schema")) == sum(turn.section == "schema" for turn in result.usage_by_turn)
    assert [message.role for message in result.trace.shared][:1] == [Role.SYSTEM]
    assert Trace.from_json(result.trace.to_json()) == result.trace


def test_a_failed_job_has_one_too() -> None:
    """On the error, and on what was finished before it: a provider that gave up, an answer that was never right."""
    with Client(ScriptedProvider([QuotaError("no credit")])) as client, pytest.raises(QuotaError) as caught:
        client.run(ASK, output=Title)
    assert told(caught.value.trace) == [("", 1, "QuotaError", "")]  # type: ignore[arg-type]
    script = ScriptedProvider({"selection": [answer("marketplace", "selection")], "schema": ["no JSON"] * 2})
    with Client(script, attempts=1) as client, pytest.raises(UnprovenError) as given_up:
        client.design(SHOP, sections=["selection", "schema"])
    partial: Any = given_up.value.partial
    assert [one[0] for one in told(partial.trace)] == ["selection", "schema", "schema"]
    assert given_up.value.trace is partial.trace


def test_who_wants_no_trace_has_none() -> None:
    """`Client(trace=False)`, for many thousand calls."""
    with Client(ScriptedProvider(LINES), trace=False) as client:
        assert client.run(ASK, output=Title).trace is None


def test_a_result_is_equal_and_small_without_its_trace() -> None:
    """Times differ from run to run, results do not; and a printed answer does not print its prompts."""
    with Client(ScriptedProvider([{"title": "Tea"}] * 2)) as client:
        first, second = (client.run(ASK, output=Title) for _ in range(2))
    assert first == second and "A title?" not in repr(first) and "Trace" not in repr(first)


@pytest.mark.parametrize("where", ["environment", "option", "sdk"])
def test_the_clients_key_is_in_no_trace(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Wherever it is from: a proxy says it back in its answer."""
    given: dict[str, Any] = {"option": {"api_key": KEY}, "sdk": {"sdk": anthropic.Anthropic(api_key=KEY)}}.get(
        where, {}
    )
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY if where == "environment" else "")
    with Client("anthropic:claude-opus-4-8", **given) as client:
        calls = client._calls()
        calls.line.providers = [ScriptedProvider([f"your key is {KEY}"])]
        calls.send(Request(tuple(ASK), OutputSchema("t", {"type": "object"})))
    assert told(calls.trace) == [("", 1, "complete", "your key is [key]")]
