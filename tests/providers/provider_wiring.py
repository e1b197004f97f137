"""What the provider tests share: one request, one way to fake a wire, one server that fails on demand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2

from dbprompt.messages import Message, Origin, OutputSchema, Reply, Request, Role
from dbprompt.providers import open_async_provider, open_provider
from dbprompt.providers.tape import Tape

KEY = "sk-test-3f9a1c77d2e84b60"

SCHEMA = OutputSchema(
    "schema",
    {
        "type": "object",
        "properties": {
            "tables": {"type": "array", "items": {"$ref": "#/$defs/Table"}, "maxItems": 40},
            "note": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "default": None},
        },
        "required": ["tables", "note"],
        "additionalProperties": False,
        "$defs": {
            "Table": {
                "type": "object",
                "properties": {"title": {"type": "string", "title": "Title", "description": "its name"}},
                "required": ["title"],
                "additionalProperties": False,
            }
        },
    },
)

ORIGIN = Origin("database_architect", "1.3.0", "cd12ab34" * 8, "", "schema")


def ask(text: str = "Design it.", *, origin: Origin = ORIGIN, tokens: int = 16_000) -> Request:
    """A request with a cached context and a turn of its own."""
    messages = (
        Message(Role.SYSTEM, "You design databases."),
        Message(Role.USER, "The brief.", cache=True),
        Message(Role.USER, text),
    )
    return Request(messages, SCHEMA, tokens, origin)


Handler = Callable[[httpx2.Request], httpx2.Response]


class Wire:
    """Opens providers over a fake or a loopback wire, and asks in both worlds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tape(self, handler: Handler) -> Tape:
        """A tape that only passes on to this handler."""
        return Tape.open(self._folder / "unused.json", mode="live", inner=httpx2.MockTransport(handler))

    def sync(self, model: str, tape: Tape | None, request: Request, **options: object) -> Reply:
        """One request from plain code."""
        provider = open_provider(model, tape=tape, **{"api_key": KEY, **options})  # type: ignore[arg-type]
        try:
            return provider.send(request)
        finally:
            provider.close()

    def awaited(self, model: str, tape: Tape | None, request: Request, **options: object) -> Reply:
        """One request from async code."""

        async def run() -> Reply:
            provider = open_async_provider(model, tape=tape, **{"api_key": KEY, **options})  # type: ignore[arg-type]
            try:
                return await provider.send(request)
            finally:
                await provider.aclose()

        return asyncio.run(run())

    def both(self, model: str, handler: Handler, request: Request, **options: object) -> Reply:
        """The reply, which has to be the same from plain and from async code."""
        reply = self.sync(model, self.tape(handler), request, **options)
        assert self.awaited(model, self.tape(handler), request, **options) == reply
        return reply


class FaultServer:
    """A loopback HTTP server that gives one raw response as told, at once or in pieces with a pause after each."""

    def __init__(self) -> None:
        self.raw = b""
        self.pause_s = 0.0
        self.hung_up = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.wfile.write(server.raw)
                self.close_connection = True
                try:
                    for piece in server.pieces:
                        time.sleep(server.pause_s)
                        self.wfile.write(piece)
                except OSError:
                    server.hung_up.set()

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def raw(self) -> bytes:
        """What is written at once."""
        return self._raw

    @raw.setter
    def raw(self, raw: bytes) -> None:
        self._raw, self.pieces = raw, list[bytes]()

    def says(self, status: str, body: str = "", *headers: str, length: int | None = None) -> None:
        """What to answer; a `length` beyond the body breaks off in its middle."""
        data = body.encode()
        head = [f"HTTP/1.1 {status}", f"content-length: {len(data) if length is None else length}", *headers]
        if not any(header.startswith("content-type") for header in headers):
            head.append("content-type: application/json")
        self.raw = "\r\n".join([*head, "connection: close", "", ""]).encode() + data

    def trickles(self, *pieces: bytes, pause_s: float, kind: str = "text/event-stream") -> None:
        """Answer 200 with these pieces, each after a pause."""
        size = sum(map(len, pieces))
        head = ("HTTP/1.1 200 OK", f"content-length: {size}", f"content-type: {kind}", "connection: close", "", "")
        self.raw = "\r\n".join(head).encode()
        self.pieces, self.pause_s = list(pieces), pause_s
        self.hung_up.clear()

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
