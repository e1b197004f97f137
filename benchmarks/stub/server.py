"""The server: reads requests, counts them, and writes what the model's name asks for."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .answers import answer_for, schema_of
from .faults import CHAOS, FAULTS, ODD, Act, Asked, Close, Reset, Wait, good
from .knobs import Knobs, Step, knobs_of, step_of
from .says import Api, Said, error, limit_headers, response

__all__ = ["serve"]

Json = dict[str, Any]

APIS: Final[dict[bytes, Api]] = {
    b"/v1/messages": "messages",
    b"/v1/responses": "responses",
    b"/v1/chat/completions": "chat",
}
KNOWN: Final = frozenset({*FAULTS, "chaos", "cache", "limit"})
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_KEPT_BODIES = 500
_KEPT_ANSWERS = 256
_CHAOS_SHARE, _ODD_SHARE = 0.2, 0.05


@dataclass(slots=True)
class Bucket:
    """A rate limit of so much a minute, which fills up again by the second."""

    limit: int
    left: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.left = self.limit

    def take(self, count: float) -> float:
        """Takes so much, or says in how many seconds it can be had."""
        now = time.monotonic()
        self.left = min(self.limit, self.left + (now - self.since) * self.limit / 60)
        self.since = now
        if self.left < count:
            return (count - self.left) * 60 / self.limit
        self.left -= count
        return 0.0

    @property
    def told(self) -> tuple[int, float, float]:
        """The limit, what is left, and seconds until all of it is there."""
        return self.limit, self.left, (self.limit - self.left) * 60 / self.limit


@dataclass(slots=True)
class Model:
    """What is known of one model's name."""

    knobs: Knobs
    count: int = 0
    now: int = 0
    peak: int = 0
    dropped: int = 0
    bodies: deque[bytes] = field(default_factory=lambda: deque(maxlen=_KEPT_BODIES))
    answers: deque[str] = field(default_factory=deque)
    faults: deque[Step | None] = field(default_factory=deque)
    limits: dict[str, Bucket] = field(default_factory=dict)
    prefixes: set[str] = field(default_factory=set)

    @property
    def plain(self) -> bool:
        """Whether it answers each request well, and always the same."""
        return not (self.knobs.steps or self.answers or self.faults or self.limits)

    def fault(self) -> Step | None:
        """What goes wrong with the request that has just been counted."""
        step = self.faults.popleft() if self.faults else self.knobs.at(self.count - 1)
        if step is None or step.name != "chaos":
            return step
        chance = random.Random(f"{step.seconds} {self.count}")  # noqa: S311  dice, not secrets
        dice = chance.random() - _CHAOS_SHARE
        return step_of(chance.choice(CHAOS if dice < 0 else ODD), KNOWN) if dice < _ODD_SHARE else None


class Stub:
    """All that the server knows."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.open = 0
        self.accepted = 0
        self._ready: dict[tuple[bytes, bytes], tuple[Model, bytes]] = {}

    def ready(self, path: bytes, body: bytes) -> bytes | None:
        """The bytes of an answer that was given before and is always the same."""
        known = self._ready.get((path, body))
        if known is None:
            return None
        model, data = known
        model.count += 1
        model.peak = max(model.peak, 1)
        model.bodies.append(body)
        return data

    def model(self, name: str) -> Model:
        """What is known of a name."""
        found = self.models.get(name)
        if found is None:
            found = self.models[name] = Model(knobs_of(name, KNOWN))
        return found

    def asked(self, path: bytes, body: bytes) -> tuple[Model, Sequence[Act]]:
        """Whom a request is for, and what is done about it."""
        api, told = APIS[path], json.loads(body)
        model = self.model(told["model"])
        model.count += 1
        model.bodies.append(body)
        text = self._text(model, told)
        said = Said(api, told["model"], text, input_tokens=len(body) // 4 + 1)
        slower = self._held_up(model, said)
        if slower:
            asked = Asked(said, False, seconds=slower, headers=self._headers(api, model))
            return model, FAULTS["rate_limited"](asked)
        step = model.fault()
        said = self._cached(model, told, said) if step and step.name == "cache" else said
        said = self._cut(told, said) if step and step.name == "limit" else said
        asked = Asked(said, bool(told.get("stream")), step.seconds if step else None, self._headers(api, model))
        acts = FAULTS[step.name](asked) if step and step.name in FAULTS else good(asked)
        if model.plain:
            if len(self._ready) >= _KEPT_ANSWERS:
                self._ready.clear()
            self._ready[path, body] = model, b"".join(good(asked))
        return model, acts

    def _text(self, model: Model, told: Json) -> str:
        if model.answers:
            return model.answers.popleft() if len(model.answers) > 1 else model.answers[0]
        return answer_for(schema_of(told), model.knobs.size)

    def _held_up(self, model: Model, said: Said) -> float:
        """Seconds until the rate limits let this request through; 0 lets it through now."""
        counts = {"requests": 1, "tokens": said.input_tokens + said.output_tokens}
        for name, bucket in model.limits.items():
            seconds = bucket.take(counts[name])
            if seconds:
                return seconds
        return 0.0

    def _headers(self, api: Api, model: Model) -> tuple[tuple[str, str], ...]:
        limits = {name: bucket.told for name, bucket in model.limits.items()}
        return tuple(limit_headers(api, limits or {"requests": (10**7, 10**7, 0.0), "tokens": (10**10, 10**10, 0.0)}))

    def _cached(self, model: Model, told: Json, said: Said) -> Said:
        """The share of a prompt that was there before: up to a mark (Anthropic), or in whole units (OpenAI)."""
        from .cache import share

        return share(model.prefixes, told, said)

    def _cut(self, told: Json, said: Said) -> Said:
        most = told.get("max_tokens") or told.get("max_output_tokens") or said.output_tokens
        return replace(said, text=said.text[: most * 38 // 10], stop="truncated") if said.output_tokens > most else said

    def control(self, told: Json) -> Json:
        """What the process that asks wants to know, or tells."""
        match told:
            case {"ask": "state"}:
                names = ("count", "now", "peak", "dropped")
                models = {name: {each: getattr(one, each) for each in names} for name, one in self.models.items()}
                return {"open": self.open, "accepted": self.accepted, "models": models}
            case {"ask": "bodies", "model": name}:
                return {"bodies": [json.loads(body) for body in self.model(name).bodies]}
            case {"ask": "script", "model": name, **script}:
                model = self.model(name)
                model.answers = deque(script.get("answers", ()))
                model.faults = deque(step_of(each, KNOWN) if each else None for each in script.get("faults", ()))
                limits = {each: script.get(f"{each}_per_minute") for each in ("requests", "tokens")}
                model.limits = {each: Bucket(limit) for each, limit in limits.items() if limit}
                self._ready.clear()
                return {}
            case {"ask": "forget"}:
                self.models.clear()
                self._ready.clear()
                return {}
            case _:
                raise ValueError(f"no such question: {told}")


class Connection(asyncio.Protocol):
    """One socket."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._counted:
            self._stub.open -= 1

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        while data and self._task is None:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                break
            length = _LENGTH.search(data, 0, end)
            whole = end + (int(length[1]) if length else 0)
            if len(data) < whole:
                break
            path = data[: data.index(b"\r")].split(b" ")[1].partition(b"?")[0]
            self._called(path, data[end:whole])
            data = data[whole:]
        self._buffer = data

    def _called(self, path: bytes, body: bytes) -> None:
        if path == b"/stub":
            self._transport.write(response(json.dumps(self._stub.control(json.loads(body))).encode()))
            return
        if not self._counted:
            self._counted = True
            self._stub.open += 1
            self._stub.accepted += 1
        known = self._stub.ready(path, body)
        if known is not None:
            self._transport.write(known)
            return
        if path not in APIS:
            self._transport.write(response(error("chat", 404, f"There is nothing at {path.decode()}."), 404))
            return
        try:
            model, acts = self._stub.asked(path, body)
        except Exception as wrong:  # a misspelt knob, a body that no API takes: told, not hidden
            print(f"stub: {wrong!r}", file=sys.stderr, flush=True)
            self._transport.write(response(error(APIS[path], 418, f"the stub: {wrong!r}"), 418))
            return
        model.now += 1
        model.peak = max(model.peak, model.now)
        if all(isinstance(act, bytes) for act in acts):
            self._transport.writelines(acts)
            model.now -= 1
        else:
            self._task = asyncio.get_running_loop().create_task(self._act(model, acts))

    async def _act(self, model: Model, acts: Sequence[Act]) -> None:
        try:
            for act in acts:
                match act:
                    case bytes():
                        self._transport.write(act)
                    case Wait(seconds=seconds):
                        await asyncio.sleep(seconds)
                    case Reset():
                        plain: socket.socket = self._transport.get_extra_info("socket")
                        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        self._transport.abort()
                    case Close():
                        self._transport.close()
        except asyncio.CancelledError:
            model.dropped += 1
            return
        finally:
            model.now -= 1
        self._task = None
        if self._buffer:
            self.data_received(b"")


async def serve(port: int = 0) -> None:
    """Serves on loopback until standard input ends, which it does with the process that started this one."""
    loop, stub = asyncio.get_running_loop(), Stub()
    server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", port, backlog=1_024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
