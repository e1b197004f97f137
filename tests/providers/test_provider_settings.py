"""What is learned from headers and refusals, and what a model that reasons is told."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest
from provider_wiring import Handler, Wire, ask
from pydantic import BaseModel
from test_provider_wire import answering, completion, message, output_text, response

from dbprompt import Bounds, Client, RetryPolicy, Trace
from dbprompt.errors import BudgetError, ProviderError, RateLimitError, RequestError
from dbprompt.messages import Allowance, Message, RateLimits, Role
from dbprompt.providers import open_provider
from dbprompt.providers.base_limits import limits_of
from dbprompt.providers.tape import Tape


class Word(BaseModel):
    """An answer."""

    word: str


CLAUDE, GPT, LOCAL = "anthropic:claude-opus-5-5", "openai:gpt-6.2-sol", "openai:qwen"
BASE = "http://127.0.0.1:9/v1"
GOOD: dict[str, Callable[[], dict[str, object]]] = {
    CLAUDE: message,
    GPT: lambda: response(output_text()),
    LOCAL: completion,
}

ANTHROPIC = {
    "date": "Sun, 22 Nov 2026 08:00:00 GMT",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-11-22T08:00:15Z",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1999000",
    "anthropic-ratelimit-output-tokens-reset": "2026-11-22T07:59:59Z",
}
OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1m0.5s",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-reset-tokens": "6ms",
}
TOLD = [
    (
        ANTHROPIC,
        RateLimits(
            requests=Allowance(4000, 3999, 15.0),
            input_tokens=Allowance(2_000_000, 1_999_000),
            output_tokens=Allowance(reset_s=0.0),
        ),
    ),
    (OPENAI, RateLimits(requests=Allowance(60, 59, 60.5), tokens=Allowance(150_000, None, 0.006))),
    ({"x-ratelimit-limit-requests": "many", "x-ratelimit-reset-requests": "NaN"}, None),
    ({"x-ratelimit-limit-requests": "-5", "x-ratelimit-reset-tokens": "2026-99-99T00:00:00Z"}, None),
    ({"x-request-id": "r"}, None),
]


@pytest.mark.parametrize(("headers", "limits"), TOLD)
def test_limits_from_headers(headers: dict[str, str], limits: RateLimits | None) -> None:
    """Both vendors' headers are read; a moment counts from the answer's own date; nonsense is nothing."""
    assert limits_of(httpx2.Response(200, headers=headers)) == limits


@pytest.mark.parametrize("model", [CLAUDE, GPT, LOCAL])
def test_limits_come_with_replies_and_errors(wire: Wire, model: str) -> None:
    """What the headers say is in the reply, and in the error of a refusal."""
    base = BASE if model == LOCAL else None
    good = wire.both(model, lambda _: httpx2.Response(200, json=GOOD[model](), headers=OPENAI), ask(), base_url=base)
    assert good.limits == TOLD[1][1]
    for world in (wire.sync, wire.awaited):
        with pytest.raises(RateLimitError) as caught:
            world(model, wire.tape(lambda _: httpx2.Response(429, json={}, headers=OPENAI)), ask(), base_url=base)
        assert caught.value.limits == good.limits


def refusing(setting: str, words: str, good: dict[str, object], seen: list[dict[str, object]]) -> Handler:
    """A wire that takes no such setting."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content))
        if setting in seen[-1]:
            return httpx2.Response(400, json={"error": {"type": "invalid_request_error", "message": words}})
        return httpx2.Response(200, json=good)

    return handler


REFUSALS = [
    (CLAUDE, "`temperature` is deprecated for this model."),
    (CLAUDE, "`temperature` may only be set to 1 when thinking is enabled."),
    (GPT, "Unsupported parameter: 'temperature' is not supported with this model."),
    (LOCAL, "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."),
]


@pytest.mark.parametrize(("model", "words"), REFUSALS)
def test_a_refused_temperature_is_left_out(wire: Wire, model: str, words: str) -> None:
    """One refusal is enough: it is counted, the setting is left out, and from then on not sent any more."""
    seen: list[dict[str, object]] = []
    tape = wire.tape(refusing("temperature", words, GOOD[model](), seen))
    provider = open_provider(
        model, tape=tape, api_key="k" * 20, base_url=BASE if model == LOCAL else None, temperature=0.3
    )
    assert [provider.send(ask()).usage.requests for _ in range(2)] == [2, 1]
    assert [body.get("temperature") for body in seen] == [0.3, None, None]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("model", "words"), REFUSALS[1:])
def test_what_was_refused_counts_in_a_bound(wire: Wire, model: str, words: str, streamed: bool) -> None:
    """A server that refuses a setting and then fails sees no more requests than the bound; the trace has all."""
    seen: list[dict[str, object]] = []
    refuse = refusing("temperature", words, {}, seen)

    def handler(request: httpx2.Request) -> httpx2.Response:
        refusal = refuse(request)
        return refusal if refusal.status_code == 400 else httpx2.Response(500, json={})

    base = BASE if model == LOCAL else None
    policy = RetryPolicy(attempts=9, first_wait_s=0.001, longest_wait_s=0.001)
    tape = wire.tape(handler)
    with (
        Client(model, recording=tape, api_key="k" * 20, base_url=base, temperature=0.3, retry=policy) as client,
        pytest.raises(BudgetError, match="requests=4") as caught,
    ):
        asked = [Message(Role.USER, "Which?")]
        if streamed:
            client.stream(asked, output=Word, bounds=Bounds(requests=4)).result()
        else:
            client.run(asked, output=Word, bounds=Bounds(requests=4))
    assert [body.get("temperature") for body in seen] == [0.3, None, None, None]
    assert isinstance(caught.value.trace, Trace)
    assert caught.value.trace.usage.requests == 4


def test_a_wrong_temperature_is_the_users_mistake(wire: Wire) -> None:
    """A value that is out of range is refused and not quietly left out."""
    seen: list[dict[str, object]] = []
    words = "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 5 instead."
    with pytest.raises(RequestError, match="above maximum"):
        wire.sync(GPT, wire.tape(refusing("temperature", words, GOOD[GPT](), seen)), ask(), temperature=5.0)
    assert len(seen) == 1


def test_what_was_learned_is_replayed(wire: Wire, tmp_path: object) -> None:
    """A recording made after a refusal holds only what was taken, and a new provider finds it."""
    seen: list[dict[str, object]] = []
    path = f"{tmp_path}/t.json"
    inner = httpx2.MockTransport(refusing("temperature", REFUSALS[-1][1], completion(), seen))
    tape = Tape.open(path, mode="record", inner=inner)
    recorded = wire.sync(LOCAL, tape, ask(), base_url=BASE)
    replayed = wire.sync(LOCAL, Tape.open(path), ask(), base_url=BASE, api_key=None)
    assert (replayed.text, replayed.usage.requests, recorded.usage.requests) == (recorded.text, 1, 2)


def test_the_name_of_the_limit(wire: Wire) -> None:
    """OpenAI's own chat endpoint and Azure's get the new name at once, other servers when they ask for it."""
    seen: list[dict[str, object]] = []
    for address in ("https://api.openai.com/v1", "https://x.openai.azure.com/openai/v1"):
        wire.sync(LOCAL, wire.tape(refusing("max_tokens", "?", completion(), seen)), ask(), base_url=address)
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    reply = wire.sync(LOCAL, wire.tape(refusing("max_tokens", words, completion(), seen)), ask(), base_url=BASE)
    assert [("max_tokens" in body, body.get("max_completion_tokens")) for body in seen] == [
        (False, 16_000),
        (False, 16_000),
        (True, None),
        (False, 16_000),
    ]
    assert reply.usage.requests == 2


def test_effort_passes_through(wire: Wire) -> None:
    """Each API gets the effort in its own field; without one nothing is said of it."""
    bodies: dict[str, dict[str, object]] = {}
    for model, good in GOOD.items():
        seen: list[httpx2.Request] = []
        base = BASE if model == LOCAL else None
        wire.both(model, answering(good(), seen), ask(), base_url=base, effort="low")
        bodies[model] = json.loads(seen[0].content)
        seen.clear()
        wire.sync(model, wire.tape(answering(good(), seen)), ask(), base_url=base)
        assert not {"thinking", "reasoning", "reasoning_effort"} & set(json.loads(seen[0].content))
    output = bodies[CLAUDE]["output_config"]
    assert isinstance(output, dict) and (output["effort"], output["format"]["type"]) == ("low", "json_schema")
    assert bodies[CLAUDE]["thinking"] == {"type": "adaptive"}
    assert bodies[GPT]["reasoning"] == {"effort": "low"} and bodies[LOCAL]["reasoning_effort"] == "low"


def test_models_that_cannot_think_by_themselves(wire: Wire) -> None:
    """An older model that refuses adaptive thinking still gets the effort."""
    seen: list[dict[str, object]] = []
    words = "adaptive thinking is not supported on this model"
    reply = wire.sync(CLAUDE, wire.tape(refusing("thinking", words, message(), seen)), ask(), effort="high")
    assert reply.usage.requests == 2 and "thinking" not in seen[1]
    output = seen[1]["output_config"]
    assert isinstance(output, dict) and output["effort"] == "high"


@pytest.mark.parametrize("model", [CLAUDE, GPT, LOCAL])
def test_a_refusal_that_goes_on(wire: Wire, model: str) -> None:
    """A server that refuses whatever is asked is not asked for ever."""
    seen: list[httpx2.Request] = []
    words = "temperature, thinking, max_completion_tokens, stream_options, response_format: not supported"
    refusal = answering({"error": {"message": words}}, seen, 400)
    with pytest.raises(ProviderError):
        wire.sync(model, wire.tape(refusal), ask(), temperature=0.1, effort="low", base_url=BASE)
    assert len(seen) <= 5
