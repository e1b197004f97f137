"""What goes over the wire to each API and what is made of its answers, through the real SDKs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest
from provider_wiring import KEY, SCHEMA, Handler, Wire, ask

from dbprompt.errors import ConnectionFailedError, RateLimitError, RequestError, ServerError
from dbprompt.messages import Json, Message, OutputSchema, Request, Role, StopReason, Usage
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.base import OncePerSchema
from dbprompt.providers.openai import strict_schema
from dbprompt.providers.tape import Tape

CLAUDE, GPT, LOCAL = "anthropic:claude-opus-5-5", "openai:gpt-6.2-sol", "openai:qwen2.5-coder"
BASE = "http://127.0.0.1:9/v1"


def answering(body: dict[str, object], seen: list[httpx2.Request] | None = None, status: int = 200) -> Handler:
    """A wire that gives one body and notes the requests."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        return httpx2.Response(status, json=body)

    return handler


def message(stop: str | None = "end_turn", text: str = '{"tables": []}', **more: object) -> dict[str, object]:
    """A body of the Messages API."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 30, "output_tokens": 5}
    content = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": text}]
    return {"id": "m", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": content,
            "stop_reason": stop, "usage": usage, **more}  # fmt: skip


def response(*parts: dict[str, object], status: str = "completed", **more: object) -> dict[str, object]:
    """A body of the Responses API."""
    item = {"id": "i", "type": "message", "role": "assistant", "status": "completed", "content": list(parts)}
    usage = {"input_tokens": 240, "input_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
             "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 245}  # fmt: skip
    return {"id": "r", "object": "response", "created_at": 0, "model": "gpt-6.2-sol", "status": status,
            "output": [{"id": "t", "type": "reasoning", "summary": []}, item], "usage": usage, **more}  # fmt: skip


def completion(finish: str | None = "stop", **said: object) -> dict[str, object]:
    """A body of chat completions."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": "{}", **said}}
    usage = {"prompt_tokens": 240, "completion_tokens": 5, "total_tokens": 245}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "q", "choices": [choice], "usage": usage}


def output_text(text: str = '{"tables": []}') -> dict[str, object]:
    """A text part of a response."""
    return {"type": "output_text", "text": text, "annotations": []}


def test_messages_request(wire: Wire) -> None:
    """Anthropic gets system blocks, merged user turns with their cache mark, and a schema that it takes."""
    seen: list[httpx2.Request] = []
    reply = wire.both(CLAUDE, answering(message(), seen), ask())
    body = json.loads(seen[0].content)
    assert seen[0].url.path == "/v1/messages" and KEY in seen[0].headers["authorization"]
    assert body == json.loads(seen[1].content)
    schema = body.pop("output_config")["format"]["schema"]
    assert body == {
        "model": "claude-opus-5-5",
        "max_tokens": 16_000,
        "system": [{"type": "text", "text": "You design databases."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "The brief.", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "Design it."},
                ],
            }
        ],
    }
    assert schema["properties"]["tables"]["description"] == "{maxItems: 40}"
    assert schema["$defs"]["Table"]["properties"]["title"]["description"] == "its name"
    assert "default" not in str(schema)
    assert reply.usage == Usage(1, 240, 5, 200, 30) and reply.text == '{"tables": []}'


def test_messages_keep_at_most_four_cache_marks(wire: Wire) -> None:
    """The API takes four cache marks: the last four stay."""
    seen: list[httpx2.Request] = []
    turns = tuple(Message(Role.USER, f"part {n}", cache=True) for n in range(6))
    wire.sync(CLAUDE, wire.tape(answering(message(), seen)), Request((*turns, Message(Role.USER, " ")), SCHEMA))
    blocks = json.loads(seen[0].content)["messages"][0]["content"]
    assert ["cache_control" in block for block in blocks] == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("end_turn", StopReason.COMPLETE),
        ("stop_sequence", StopReason.COMPLETE),
        ("max_tokens", StopReason.TRUNCATED),
        ("model_context_window_exceeded", StopReason.TRUNCATED),
        ("pause_turn", StopReason.TRUNCATED),
        ("refusal", StopReason.REFUSED),
    ],
)
def test_messages_stops(wire: Wire, stop: str, expected: StopReason) -> None:
    """Each stop reason of the Messages API has one meaning."""
    assert wire.sync(CLAUDE, wire.tape(answering(message(stop))), ask()).stop is expected


def test_messages_refusal_is_explained(wire: Wire) -> None:
    """A refusal without text carries the explanation that came with it."""
    details = {"type": "refusal", "category": "cyber", "explanation": "No malware."}
    reply = wire.both(CLAUDE, answering(message("refusal", "", stop_details=details)), ask())
    assert (reply.stop, reply.text) == (StopReason.REFUSED, "No malware.")


def test_long_answers_are_streamed(wire: Wire, tmp_path: Path) -> None:
    """An answer too long for one body is streamed and collected: the same reply, and no time-out sum of the SDK."""
    for tokens in (16_000, 64_000):
        inner = authored_transport(['{"tables": ["é"]}'] * 2)
        tape = Tape.open(tmp_path / "live.json", mode="live", inner=inner)
        reply = wire.sync(CLAUDE, tape, ask(tokens=tokens))
        assert (reply.text, reply.stop) == ('{"tables": ["é"]}', StopReason.COMPLETE)
        assert wire.awaited(CLAUDE, tape, ask(tokens=tokens)) == reply


@pytest.mark.parametrize(
    ("tail", "error"),
    [
        ("", ConnectionFailedError),
        ('event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n', ServerError),
        ('event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"x"}}\n\n', RateLimitError),
    ],
)
def test_broken_streams_are_errors(wire: Wire, tail: str, error: type[Exception]) -> None:
    """A stream that ends early, politely or not, never gives half an answer."""
    start = {"type": "message_start", "message": message(None, "") | {"content": []}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": '{"tables": []}'}}
    text = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in (start, block)) + tail

    def handler(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())

    for world in (wire.sync, wire.awaited):
        with pytest.raises(error):
            world(CLAUDE, wire.tape(handler), ask(tokens=64_000))


def test_responses_request(wire: Wire) -> None:
    """OpenAI gets instructions, turns, a strict schema and the wish to store nothing."""
    seen: list[httpx2.Request] = []
    reply = wire.both(GPT, answering(response(output_text()), seen), ask())
    body = json.loads(seen[0].content)
    assert seen[0].url.path == "/v1/responses" and body == json.loads(seen[1].content)
    form = body.pop("text")["format"]
    assert len(body.pop("prompt_cache_key")) == 32
    assert body == {
        "model": "gpt-6.2-sol",
        "instructions": "You design databases.",
        "input": [{"role": "user", "content": "The brief."}, {"role": "user", "content": "Design it."}],
        "max_output_tokens": 16_000,
        "store": False,
    }
    assert (form["type"], form["name"], form["strict"]) == ("json_schema", "schema", True)
    assert reply.usage == Usage(1, 240, 5, 200, 30, 2) and reply.text == '{"tables": []}'


def test_strict_schema() -> None:
    """Strict mode's schema requires everything, unites instead of choosing, and tells in words what it cannot say."""
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {
            "default": {"type": "string", "minLength": 2, "format": "uri", "description": "A value."},
            "table": {"$ref": "#/$defs/T", "description": "Which."},
            "kind": {"oneOf": [{"$ref": "#/$defs/T"}, {"const": 1}], "discriminator": {"propertyName": "k"}},
        },
        "required": ["table"],
        "$defs": {"T": {"type": "object", "properties": {}}},
    }
    strict = strict_schema(schema)
    assert strict == {
        "type": "object",
        "properties": {
            "default": {"type": "string", "description": "A value. (minLength: 2, format: uri)"},
            "table": {"anyOf": [{"$ref": "#/$defs/T"}], "description": "Which."},
            "kind": {"anyOf": [{"$ref": "#/$defs/T"}, {"const": 1}]},
        },
        "required": ["default", "table", "kind"],
        "additionalProperties": False,
        "$defs": {"T": {"type": "object", "properties": {}, "required": [], "additionalProperties": False}},
    }


def test_schemas_are_prepared_once() -> None:
    """A schema is prepared once for its hash, however often and in however many objects it is sent."""
    counted: list[Mapping[str, Json]] = []
    once = OncePerSchema(lambda schema: counted.append(schema) or dict(schema))
    for name in ("a", "b", "a"):
        once(OutputSchema(name, {"type": "object", "properties": {}}))
    once(OutputSchema("a", {"type": "object"}))
    assert len(counted) == 2


def test_strict_schema_needs_an_object(wire: Wire) -> None:
    """A schema that strict mode cannot take is an error of ours before any request."""
    request = Request((Message(Role.USER, "x"),), OutputSchema("list", {"type": "array"}))
    with pytest.raises(RequestError, match="put the value into a field"):
        wire.sync(GPT, wire.tape(answering(response())), request)


@pytest.mark.parametrize(
    ("body", "stop", "text"),
    [
        (response({"type": "refusal", "refusal": "I will not."}), StopReason.REFUSED, "I will not."),
        (
            response(output_text("{"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            StopReason.TRUNCATED,
            "{",
        ),
        (
            response(status="incomplete", incomplete_details={"reason": "content_filter"}),
            StopReason.REFUSED,
            "",
        ),
        (response(status="failed", error={"code": "bio_policy", "message": "No."}), StopReason.REFUSED, "No."),
        (response(), StopReason.COMPLETE, ""),
    ],
)
def test_responses_stops(wire: Wire, body: dict[str, object], stop: StopReason, text: str) -> None:
    """Each way in which a response ends has one meaning."""
    reply = wire.sync(GPT, wire.tape(answering(body)), ask())
    assert (reply.stop, reply.text) == (stop, text)


@pytest.mark.parametrize(
    ("code", "error"),
    [("server_error", ServerError), ("rate_limit_exceeded", RateLimitError), ("invalid_prompt", RequestError)],
)
def test_failed_responses(wire: Wire, code: str, error: type[Exception]) -> None:
    """A response that failed after 200 is the error that its code names."""
    body = response(status="failed", error={"code": code, "message": "sorry"})
    with pytest.raises(error, match="sorry"):
        wire.sync(GPT, wire.tape(answering(body)), ask())


BUILDABLE = {
    **SCHEMA.schema,
    "properties": {
        "tables": {"type": "array", "items": {"$ref": "#/$defs/Table"}, "maxItems": 40},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["tables"],
}
"""The schema without lengths of text, which llama.cpp cannot build a grammar of; what has a default may be left out."""


def test_chat_request(wire: Wire) -> None:
    """A compatible server gets what all of them know: max_tokens, temperature 0 and a JSON schema."""
    seen: list[httpx2.Request] = []
    reply = wire.both(LOCAL, answering(completion(), seen), ask(), base_url=BASE, api_key=None)
    body = json.loads(seen[0].content)
    assert seen[0].url.path == "/v1/chat/completions" and seen[0].headers["authorization"] == "Bearer not-needed"
    assert [turn["role"] for turn in body["messages"]] == ["system", "user", "user"]
    assert (body["max_tokens"], body["temperature"], body["model"]) == (16_000, 0, "qwen2.5-coder")
    assert body["response_format"]["json_schema"]["schema"] == BUILDABLE
    assert reply.usage == Usage(1, 240, 5)


@pytest.mark.parametrize("status", [400, 422, 500])
def test_chat_format_is_found_out_once(wire: Wire, status: int) -> None:
    """A server that refuses json_schema is asked with json_object + schema, once, and from then on only so."""
    from dbprompt.providers import open_provider

    forms: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        form = json.loads(request.content)["response_format"]
        forms.append(form["type"])
        if form["type"] == "json_schema":
            return httpx2.Response(status, json={"error": {"message": "('body', 'response_format', 'type') is wrong"}})
        assert form["schema"] == BUILDABLE
        return httpx2.Response(200, json=completion())

    provider = open_provider(LOCAL, base_url=BASE, tape=wire.tape(handler))
    first, second = provider.send(ask()), provider.send(ask())
    provider.close()
    assert forms == ["json_schema", "json_object", "json_object"]
    assert (first.usage.requests, second.usage.requests) == (2, 1)


@pytest.mark.parametrize(
    ("told", "counted"),
    [(100.0, 100), (100.5, 0), (10**400, 0), (-3, 0), (True, 0), ("100", 0), (None, 0), (1e300, 0)],
)
def test_tokens_are_whole_numbers_that_can_be(wire: Wire, told: object, counted: int) -> None:
    """A server that writes 100.0 counts; what no request can have is told by nobody, and nothing computes with it."""
    body = completion() | {"usage": {"prompt_tokens": told, "completion_tokens": told}}
    handler = lambda _: httpx2.Response(200, content=json.dumps(body))  # noqa: E731
    reply = wire.sync(LOCAL, wire.tape(handler), ask(), base_url=BASE)
    assert reply.usage == Usage(1, counted, counted) and reply.counted is (counted > 0)


def test_chat_format_as_told(wire: Wire) -> None:
    """A response format that the user names is never changed."""
    refusal = {"error": {"message": "response_format?"}}
    seen: list[httpx2.Request] = []
    with pytest.raises(RequestError):
        wire.sync(LOCAL, wire.tape(answering(refusal, seen, 400)), ask(), base_url=BASE, response_format="json_schema")
    assert len(seen) == 1


IN_PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    *({"type": "text", "text": each} for each in "{}"),
]
"""How models answer that think aloud at Mistral."""


@pytest.mark.parametrize(
    ("finish", "said", "stop", "text"),
    [
        ("stop", {}, StopReason.COMPLETE, "{}"),
        ("length", {}, StopReason.TRUNCATED, "{}"),
        (None, {}, StopReason.TRUNCATED, "{}"),
        ("content_filter", {"content": None}, StopReason.REFUSED, ""),
        ("stop", {"content": None, "refusal": "No."}, StopReason.REFUSED, "No."),
        ("stop", {"content": None}, StopReason.COMPLETE, ""),
        ("stop", {"content": IN_PARTS}, StopReason.COMPLETE, "{}"),
    ],
)
def test_chat_stops(wire: Wire, finish: str, said: dict[str, object], stop: StopReason, text: str) -> None:
    """Each finish reason of chat completions has one meaning; no text is an empty answer, not a crash."""
    reply = wire.sync(LOCAL, wire.tape(answering(completion(finish, **said))), ask(), base_url=BASE)
    assert (reply.stop, reply.text) == (stop, text)


@pytest.mark.parametrize(
    ("told", "words"), [({"error": {"code": 502, "message": "upstream died"}}, r"upstream died \[502\]"), ({}, "error")]
)
def test_a_gateway_tells_that_the_model_behind_it_failed(wire: Wire, told: dict[str, object], words: str) -> None:
    """In the place of an answer: that is worth another try, and no empty answer for the model to repair."""
    body = completion("error", content="")
    body["choices"] = [{**choice, **told} for choice in body["choices"]]  # type: ignore[attr-defined]
    with pytest.raises(ServerError, match=words):
        wire.sync(LOCAL, wire.tape(answering(body)), ask(), base_url=BASE)


@pytest.mark.parametrize("model", [CLAUDE, GPT, LOCAL])
@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>a login page</html>", headers={"content-type": "text/html"}),
        httpx2.Response(200, json={}),
        httpx2.Response(200, json=["surprise"]),
        httpx2.Response(200, content=b'{"id": ', headers={"content-type": "application/json"}),
        httpx2.Response(200, content=b"", headers={"content-type": "application/json"}),
    ],
    ids=["html", "empty-object", "list", "half", "nothing"],
)
def test_foreign_bodies_are_our_errors(wire: Wire, model: str, answer: httpx2.Response) -> None:
    """A 200 that is not what the API promises is a ServerError or a broken connection, never a crash or an answer."""
    base = BASE if model == LOCAL else None
    with pytest.raises((ServerError, ConnectionFailedError)):
        wire.sync(model, wire.tape(lambda _: answer), ask(), base_url=base)
