"""Answers that nobody thought of: good ones with pieces replaced, dropped, doubled or overwritten, by dice."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fault_cases import Tables

from benchmarks.stub.answers import answer_for
from benchmarks.stub.says import Api, Said, events, whole
from dbprompt import AsyncClient, Client, Message, RetryPolicy, Role
from dbprompt.errors import DbpromptError
from dbprompt.providers.tape import Tape
from dbprompt.sections import output_schema

APIS: dict[Api, dict[str, Any]] = {
    "messages": {"model": "anthropic:m"},
    "responses": {"model": "openai:m"},
    "chat": {"model": "openai:m", "base_url": "http://127.0.0.1:9/v1"},
}
TEXT = answer_for(dict(output_schema(Tables).schema), 200)
BODIES = 60
GONE = object()
JUNK = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "x",
    "",
    [],
    {},
    [1],
    {"a": 1},
    [[]],
    [None],
    "\ud800",
    {"type": "text", "text": 5},
)
FRAMES = (
    b"data: [1]\n\n",
    b"data: {\n\n",
    b"\xff\xfe\n\n",
    b"event: error\ndata: oops\n\n",
    b"data: null\n\n",
    b": hi\n\n",
)
QUESTION = [Message(Role.USER, "Which tables?")]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_every_answer_ends_well(api: Api, streamed: bool, tmp_path: Path) -> None:
    """Whatever comes, it is the object or an error of ours; to plain and async code it is the same."""
    ends: set[str] = set()
    for body in _bodies(api, streamed, random.Random(f"{api} {streamed}")):  # noqa: S311  dice, not secrets
        kind = "text/event-stream" if streamed else "application/json"
        answer = httpx2.MockTransport(lambda _, kind=kind, body=body: _response(kind, body))
        options = APIS[api] | {"api_key": "sk-test-3f9a1c77d2e84b60", "retry": RetryPolicy(attempts=1), "attempts": 0}
        options["recording"] = Tape.open(tmp_path / "unused.json", mode="live", inner=answer)
        plain = _end(options, streamed)
        assert asyncio.run(_aend(options, streamed)) == plain
        ends.add(plain.partition(":")[0])
    assert {"right", "ServerError"} <= ends


def _response(kind: str, body: bytes) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": kind}, content=body)


def _end(options: dict[str, Any], streamed: bool) -> str:
    with Client(**options) as client:
        try:
            if not streamed:
                return f"right: {client.run(QUESTION, output=Tables).value}"
            with client.stream(QUESTION, output=Tables) as stream:
                return f"right: {stream.result().value}"
        except DbpromptError as error:
            return f"{type(error).__name__}: {error}"


async def _aend(options: dict[str, Any], streamed: bool) -> str:
    async with AsyncClient(**options) as client:
        try:
            if not streamed:
                return f"right: {(await client.run(QUESTION, output=Tables)).value}"
            async with client.stream(QUESTION, output=Tables) as stream:
                return f"right: {(await stream.result()).value}"
        except DbpromptError as error:
            return f"{type(error).__name__}: {error}"


def _bodies(api: Api, streamed: bool, dice: random.Random) -> Iterator[bytes]:
    said = Said(api, "m", TEXT)
    good = events(said) if streamed else [whole(said)]
    yield b"".join(good)
    for _ in range(BODIES):
        frames = list(good)
        at = dice.randrange(len(frames))
        head, data, told = frames[at].rpartition(b"data: ")
        match dice.choice(["value", "value", "bytes", "frame"]):
            case "value" if told.startswith(b"{"):
                frames[at] = head + data + _changed(json.loads(told), dice) + b"\n\n"
            case "frame" if streamed:
                frames[at : at + 1] = dice.choice(
                    [[], [frames[at]] * 2, [dice.choice(FRAMES)], frames[at : at + 2][::-1]]
                )
            case _:
                frames = [_overwritten(b"".join(frames), dice)]
        yield b"".join(frames)


def _changed(document: Any, dice: random.Random) -> bytes:
    """With something else in the place of one of its values, or nothing."""
    holder, key = dice.choice(list(_places(document)))
    value = dice.choice([*JUNK, GONE])
    if value is GONE:
        del holder[key]
    else:
        holder[key] = value
    return json.dumps(document).encode()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inside:
        yield node, key
        yield from _places(value)


def _overwritten(raw: bytes, dice: random.Random) -> bytes:
    body = bytearray(raw)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(body))
        body[at : at + dice.randrange(20)] = dice.randbytes(dice.randrange(6))
    return bytes(body)
