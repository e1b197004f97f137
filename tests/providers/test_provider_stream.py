"""Answers that are read while they are written: through the real SDKs, over fake wires and a loopback socket."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from contextvars import copy_context
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import httpx2
import openai
import pytest
from provider_wiring import KEY, ORIGIN, FaultServer, Handler, Wire, ask

from dbprompt.errors import (
    ConnectionFailedError,
    DeadlineError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
)
from dbprompt.messages import Reply, Request, StopReason, Usage
from dbprompt.providers import AsyncScriptedProvider, ScriptedProvider, open_async_provider, open_provider
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.base import AsyncStreamingProvider, StreamingProvider, before
from dbprompt.providers.tape import Tape

CLAUDE, GPT, LOCAL = "anthropic:claude-opus-5-5", "openai:gpt-6.2-sol", "openai:qwen"
MODELS = (CLAUDE, GPT, LOCAL)
BASE = "http://127.0.0.1:9/v1"
TEXT = '{"tables": [{"title": "Möbel 🪑, ein sehr langer Name"}], "note": null}'


def streamed(model: str, tape: Tape | None, request: Request | None = None, **options: object) -> list[str | Reply]:
    """All that a stream gives to plain code."""
    base = options.pop("base_url", BASE if model == LOCAL else None)
    provider = open_provider(model, tape=tape, **{"api_key": KEY, "base_url": base, **options})  # type: ignore[arg-type]
    assert isinstance(provider, StreamingProvider)
    try:
        return list(provider.stream(request or ask()))
    finally:
        provider.close()


def astreamed(model: str, tape: Tape | None, request: Request | None = None, **options: object) -> list[str | Reply]:
    """The same from async code."""

    async def run() -> list[str | Reply]:
        base = options.pop("base_url", BASE if model == LOCAL else None)
        made = {"api_key": KEY, "base_url": base, **options}
        provider = open_async_provider(model, tape=tape, **made)  # type: ignore[arg-type]
        assert isinstance(provider, AsyncStreamingProvider)
        try:
            return [piece async for piece in provider.stream(request or ask())]
        finally:
            await provider.aclose()

    return asyncio.run(run())


WORLDS = (streamed, astreamed)


def events(*each: dict[str, object] | str) -> bytes:
    """A body of server-sent events."""
    lines = (
        f"data: {event}\n\n" if isinstance(event, str) else f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n"
        for event in each
    )
    return "".join(lines).encode()


def sse(body: bytes, kind: str = "text/event-stream", **headers: str) -> Handler:
    """A wire that gives this body."""
    return lambda _: httpx2.Response(200, headers={"content-type": kind, **headers}, content=body)


def start(model: str) -> list[dict[str, object]]:
    """The beginning of a good answer `{"a` as each API streams it."""
    if model == CLAUDE:
        usage = {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": []}
        return [
            {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
            {"type": "ping"},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": '{"a'}},
        ]
    if model == GPT:
        return [
            {"type": "response.created", "response": {"id": "r", "status": "in_progress", "model": "g", "output": []}},
            {"type": "response.output_text.delta", "delta": '{"a'},
        ]
    return [{"model": "q", "choices": [{"index": 0, "delta": {"role": "assistant", "content": '{"a'}}]}]


def end(model: str, stop: str) -> list[dict[str, object] | str]:
    """The end of an answer that stopped for a reason."""
    if model == CLAUDE:
        delta = {"stop_reason": stop, "stop_details": {"explanation": "No."} if stop == "refusal" else None}
        usage = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}}
        return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]
    if model == GPT:
        status = {"max_output_tokens": "incomplete", "content_filter": "incomplete"}.get(stop, "completed")
        usage = {"input_tokens": 14, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7,
                 "output_tokens_details": {"reasoning_tokens": 3}}  # fmt: skip
        body = {"status": status, "model": "g", "output": [], "usage": usage, "incomplete_details": {"reason": stop}}
        return [{"type": f"response.{status}", "response": body}]
    usage = {"prompt_tokens": 14, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4},
             "completion_tokens_details": {"reasoning_tokens": 3}}  # fmt: skip
    return [{"choices": [{"delta": {}, "finish_reason": stop}]}, {"choices": [], "usage": usage}, "[DONE]"]


STOPS = {
    CLAUDE: ("end_turn", "max_tokens", "refusal"),
    GPT: ("", "max_output_tokens", "content_filter"),
    LOCAL: ("stop", "length", "content_filter"),
}


@pytest.mark.parametrize("model", MODELS)
def test_pieces_then_the_reply(wire: Wire, model: str) -> None:
    """The pieces are the text, the last thing is the reply, and it is the one that waiting for it gives."""
    for world, whole in zip(WORLDS, (wire.sync, wire.awaited), strict=True):
        tape = Tape.open("unused.json", mode="live", inner=authored_transport([TEXT, TEXT]))
        *pieces, reply = world(model, tape)
        assert isinstance(reply, Reply) and "".join(map(str, pieces)) == TEXT == reply.text
        assert len(pieces) == -(-len(TEXT) // 16)
        other = whole(model, tape, ask(), base_url=BASE if model == LOCAL else None)
        assert (reply.stop, reply.model) == (other.stop, other.model)
        assert reply.usage.output_tokens == other.usage.output_tokens


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("number", "stop"), list(enumerate(StopReason)))
def test_how_a_stream_ends(wire: Wire, model: str, number: int, stop: StopReason) -> None:
    """Truncation and refusal are told in the reply, with all that was counted."""
    body = events(*start(model), *end(model, STOPS[model][number]))
    for world in WORLDS:
        *_, reply = world(model, wire.tape(sse(body)))
        assert isinstance(reply, Reply) and reply.stop is stop and reply.text == '{"a'
        assert reply.usage == Usage(1, 14, 7, 4, 0, 3)


def test_chat_pieces_in_parts(wire: Wire) -> None:
    """Text comes in parts at Mistral, among thoughts; and a space behind the last line takes no answer away."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": '": 1}'}]
    last = {"choices": [{"delta": {"content": parts}, "finish_reason": "stop"}]}
    for world in WORLDS:
        *pieces, reply = world(LOCAL, wire.tape(sse(events(*start(LOCAL), last, "[DONE] "))))
        assert pieces == ['{"a', '": 1}'] and isinstance(reply, Reply) and reply.text == '{"a": 1}'


def test_a_gateway_tells_in_a_stream_that_the_model_behind_it_failed(wire: Wire) -> None:
    """It is an error of the server, and no end of an answer."""
    last = {"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "upstream died"}}]}
    for world in WORLDS:
        with pytest.raises(ServerError, match="upstream died"):
            world(LOCAL, wire.tape(sse(events(*start(LOCAL), last, "[DONE]"))))


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_without_its_end(wire: Wire, model: str) -> None:
    """A body that ends politely before the answer does is a broken connection, whatever had come."""
    bodies = [events(*start(model)), b""]
    if model == CLAUDE:
        bodies.append(events(*start(model), end(model, "end_turn")[0]))  # a reason to stop, and no stop
    for world, body in product(WORLDS, bodies):
        with pytest.raises(ConnectionFailedError, match="broke off"):
            world(model, wire.tape(sse(body)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", ServerError),
        ("rate_limit_error", RateLimitError),
        ("insufficient_quota", QuotaError),
        ("invalid_request_error", RequestError),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_error_events(wire: Wire, model: str, kind: str, expected: type[ProviderError]) -> None:
    """An error in the middle of a stream is the error that its words tell."""
    told = {"error": {"type": kind, "message": f"sorry {KEY}"}} | ({} if model == LOCAL else {"type": "error"})
    for world in WORLDS:
        with pytest.raises(expected, match=r"sorry \[key\]"):
            world(model, wire.tape(sse(events(*start(model), told))))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("body", [b"data: {\n\n", b"data: []\n\n", b'event: message_start\ndata: {"type":\n\n'])
def test_events_that_are_none(wire: Wire, model: str, body: bytes) -> None:
    """Events that are not what the API promises are our error."""
    for world in WORLDS:
        with pytest.raises((ServerError, ConnectionFailedError)):
            world(model, wire.tape(sse(body)))


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_in_one_body_is_no_stream(wire: Wire, model: str) -> None:
    """A server that does not stream is said to, instead of taken for one that broke off."""
    for world in WORLDS:
        with pytest.raises(ServerError, match="answered with text/html"):
            world(model, wire.tape(sse(b"<html>", "text/html")))


def test_servers_that_do_not_tell_usage(wire: Wire) -> None:
    """Usage is asked for at the end of chat completions; a server that refuses the wish is asked without it, once."""
    asked: list[object] = []
    body = events(*start(LOCAL), {"choices": [{"delta": {}, "finish_reason": "stop"}]}, "[DONE]")

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(json.loads(request.content).get("stream_options"))
        if asked[-1]:
            return httpx2.Response(400, json={"error": {"message": "Extra inputs are not permitted: stream_options"}})
        return sse(body)(request)

    provider = open_provider(LOCAL, base_url=BASE, tape=wire.tape(handler))
    assert isinstance(provider, StreamingProvider)
    first, second = (list(provider.stream(ask()))[-1] for _ in range(2))
    assert asked == [{"include_usage": True}, None, None]
    assert isinstance(first, Reply) and isinstance(second, Reply)
    assert (first.usage, second.usage) == (Usage(requests=2), Usage(requests=1))


@pytest.mark.parametrize("model", (CLAUDE, LOCAL))
def test_pieces_come_as_they_are_written(faults: FaultServer, model: str) -> None:
    """The first piece is there long before the last, and a reader that leaves hangs up."""
    base = faults.url if model == CLAUDE else f"{faults.url}/v1"
    slow = [events(each) for each in (*start(model), *[{"type": "ping"}] * 2_000)]  # a minute, if nobody hangs up

    def plain() -> None:
        provider = open_provider(model, base_url=base, api_key=KEY)
        assert isinstance(provider, StreamingProvider)
        with closing(provider.stream(ask())) as pieces:  # type: ignore[type-var]
            assert next(pieces) == '{"a'
        assert faults.hung_up.wait(10)
        provider.close()

    async def awaited() -> None:
        provider = open_async_provider(model, base_url=base, api_key=KEY)
        assert isinstance(provider, AsyncStreamingProvider)
        async with aclosing(provider.stream(ask())) as pieces:  # type: ignore[type-var]
            assert await anext(pieces) == '{"a'
        assert await asyncio.to_thread(faults.hung_up.wait, 10)
        await provider.aclose()

    for world in (plain, lambda: asyncio.run(awaited())):
        faults.trickles(*slow, pause_s=0.03)
        world()


@pytest.mark.parametrize("tokens", [16_000, 64_000])
def test_a_body_that_trickles_meets_the_deadline(faults: FaultServer, tokens: int) -> None:
    """A server that sends a little now and then does not outlast the deadline: not in one body, not in events."""
    kind = "application/json" if tokens < 20_000 else "text/event-stream"
    faults.trickles(*[b" "] * 600, pause_s=0.05, kind=kind)  # half a minute
    provider = open_provider(CLAUDE, base_url=faults.url, api_key=KEY)
    begun = time.monotonic()
    with pytest.raises(DeadlineError), before(begun + 0.4):
        provider.send(ask(tokens=tokens))
    assert time.monotonic() - begun < 10  # 0.41 s on a quiet machine
    provider.close()


def test_a_connection_is_used_again(faults: FaultServer, wire: Wire) -> None:
    """What follows the last event is read too, or every stream would cost a connection."""
    left: list[bool] = []

    class Body(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield events(*start(LOCAL), *end(LOCAL, "stop"))
            yield b"\n"
            left.append(True)

    streamed(LOCAL, wire.tape(lambda _: httpx2.Response(200, headers=SSE, stream=Body())))
    assert left == [True]


@pytest.mark.parametrize("more", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"])
def test_what_a_server_sends_behind_an_answer_is_no_answer(more: bytes) -> None:
    """A connection with more in it than was asked for is not used again; any other one is."""
    ports: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            ports.append(self.client_address[1])
            choice = {"finish_reason": "stop", "message": {"content": str(len(ports))}}
            body = json.dumps({"model": "q", "choices": [choice]}).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body + more))

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/v1"

        async def awaited() -> list[str]:
            provider = open_async_provider(LOCAL, base_url=base)
            try:
                return [(await provider.send(ask())).text for _ in range(3)]
            finally:
                await provider.aclose()

        plain = open_provider(LOCAL, base_url=base)
        assert [plain.send(ask()).text for _ in range(3)] == ["1", "2", "3"]
        plain.close()
        assert asyncio.run(awaited()) == ["4", "5", "6"]
        server.shutdown()
    assert len(set(ports)) == (6 if more else 2)


def test_a_finished_answer_is_not_withheld_by_a_client_of_yours() -> None:
    """Over the user's own HTTP client, which keeps to no deadline of ours, nothing behind the answer is waited for."""
    seen: list[str] = []

    class Body(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield events(*start(LOCAL), *end(LOCAL, "stop"))
            seen.append("read on")
            yield b"\n"

        def close(self) -> None:
            seen.append("closed")

    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=SSE, stream=Body())))
    with openai.OpenAI(api_key=KEY, base_url=BASE, http_client=http) as sdk:
        provider = open_provider("openai-compatible:qwen", sdk=sdk)
        assert isinstance(provider, StreamingProvider)
        *_, reply = provider.stream(ask())
    assert isinstance(reply, Reply) and reply.text == '{"a' and set(seen) == {"closed"}


def test_what_follows_an_answer_is_in_no_log(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """Of what goes wrong behind the end of an answer only the kind is logged: its words have the body's."""
    body = events(*start(LOCAL), *end(LOCAL, "stop"), '["top secret"]')
    with caplog.at_level(logging.DEBUG, "dbprompt"):
        for world in WORLDS:
            world(LOCAL, wire.tape(sse(body)))
    assert caplog.text.count("could not be read: ServerError") == len(WORLDS)
    assert "secret" not in "".join(record.getMessage() for record in caplog.records)


SSE = {"content-type": "text/event-stream"}


def test_scripts_stream_too() -> None:
    """A script gives its text in pieces, so that loops over streams can be tested without a server."""
    plain = list(ScriptedProvider([TEXT]).stream(ask()))

    async def awaited() -> list[str | Reply]:
        return [piece async for piece in AsyncScriptedProvider([TEXT]).stream(ask())]

    assert asyncio.run(awaited()) == plain
    assert plain[0] == TEXT[:16] and "".join(map(str, plain[:-1])) == TEXT
    with pytest.raises(RequestError):
        list(ScriptedProvider([RequestError("no")]).stream(ask()))


class Slow(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body whose pieces are noted when they are taken."""

    def __init__(self, pieces: list[bytes], taken: list[str]) -> None:
        self._pieces, self._taken = pieces, taken

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self._pieces):
            self._taken.append(f"wire {number}")
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@pytest.mark.parametrize("model", MODELS)
def test_a_tape_hands_on_what_it_records(tmp_path: Path, model: str) -> None:
    """While a stream is recorded, its pieces arrive one by one; the replay gives the same pieces and reply."""
    parts = [events(each) for each in (*start(model), *end(model, STOPS[model][0]))]
    for world in WORLDS:
        taken: list[str] = []
        inner = httpx2.MockTransport(lambda _, t=taken: httpx2.Response(200, headers=SSE, stream=Slow(parts, t)))
        path = tmp_path / f"{world.__name__}.json"
        base = BASE if model == LOCAL else None
        if world is streamed:
            tape = Tape.open(path, mode="record", inner=inner)
            provider = open_provider(model, tape=tape, api_key=KEY, base_url=base)
            assert isinstance(provider, StreamingProvider)
            pieces = provider.stream(ask())
            first = next(pieces)
            assert first == '{"a' and len(taken) < len(parts)
            recorded = [first, *pieces]
        else:
            recorded = world(model, Tape.open(path, mode="record", inner=inner))
        assert [each(model, Tape.open(path)) for each in WORLDS] == [recorded, recorded]


@pytest.mark.parametrize("model", MODELS)
def test_a_broken_stream_is_not_recorded(tmp_path: Path, model: str) -> None:
    """What broke off, politely or not, or was left in its middle, is in no recording."""

    class Broken(Slow):
        def __iter__(self) -> Iterator[bytes]:
            yield from super().__iter__()
            raise httpx2.ReadError("reset")

    for number, kind in enumerate((Slow, Broken)):
        for world in WORLDS:
            inner = httpx2.MockTransport(
                lambda _, k=kind: httpx2.Response(200, headers=SSE, stream=k([events(*start(model))], []))
            )
            tape = Tape.open(tmp_path / f"{number}.json", mode="record", inner=inner)
            with pytest.raises(ConnectionFailedError):
                world(model, tape)
            assert not tape.interactions
    inner = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers=SSE, stream=Slow([events(each) for each in start(model)] * 2, []))
    )
    tape = Tape.open(tmp_path / "left.json", mode="record", inner=inner)
    provider = open_provider(model, tape=tape, api_key=KEY, base_url=BASE if model == LOCAL else None)
    assert isinstance(provider, StreamingProvider)
    with closing(provider.stream(ask())) as pieces:  # type: ignore[type-var]
        next(pieces)
    assert not tape.interactions


def test_streams_in_threads_and_tasks_at_once(tmp_path: Path) -> None:
    """Both SDKs, plain and awaited, streamed and whole, all at once on one tape: each gets its own answer, twice."""
    asked = [ask(f"brief {n}", origin=replace(ORIGIN, section=f"s{n}")) for n in range(36)]
    said = {f"s{n}": [f'{{"n": "{n} {"x" * 40}"}}'] for n in range(36)}

    def run(tape: Tape) -> dict[str, str]:
        key = None if tape.mode == "replay" else KEY
        plain = [
            open_provider(each, tape=tape, api_key=key, base_url=BASE if each == LOCAL else None) for each in MODELS
        ]

        def whole(number: int) -> str:
            provider = plain[number % 3]
            if number % 2:
                return provider.send(asked[number]).text
            assert isinstance(provider, StreamingProvider)
            return "".join(piece for piece in provider.stream(asked[number]) if isinstance(piece, str))

        async def awaited(number: int) -> str:
            model = MODELS[number % 3]
            provider = open_async_provider(model, tape=tape, api_key=key, base_url=BASE if model == LOCAL else None)
            assert isinstance(provider, AsyncStreamingProvider)
            if number % 2:
                return (await provider.send(asked[number])).text
            return "".join([piece async for piece in provider.stream(asked[number]) if isinstance(piece, str)])

        async def tasks() -> list[str]:
            with ThreadPoolExecutor(6) as pool:
                loop = asyncio.get_running_loop()
                threads = [loop.run_in_executor(pool, copy_context().run, whole, n) for n in range(18)]
                return await asyncio.gather(*threads, *(awaited(n) for n in range(18, 36)))

        return dict(zip(said, asyncio.run(tasks()), strict=True))

    path = tmp_path / "t.json"
    tape = Tape.open(path, mode="record", provenance="authored", inner=authored_transport(said))
    expected = {section: answers[0] for section, answers in said.items()}
    assert run(tape) == expected
    replay = Tape.open(path)
    assert run(replay) == expected and run(replay) == expected
    assert sorted(each.source.section for each in replay.interactions) == sorted(said)
