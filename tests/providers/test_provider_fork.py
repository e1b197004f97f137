"""A client that is used on both sides of a fork: each side has connections, locks and threads of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

_SCRIPT = """
import asyncio, json, os, sys
import dbprompt
from dbprompt.calls import pace
from pydantic import BaseModel

class Port(BaseModel):
    port: int

ASK = [dbprompt.Message(dbprompt.Role.USER, "From which port?")]
TOLD = dict(model="openai:m", base_url=sys.argv[1], per_call=dbprompt.Bounds(deadline_s=10))

def plain(client):
    return client.run(ASK, output=Port, checks=[lambda port: []]).value.port

def awaited(client):
    async def run():
        return (await client.run(ASK, output=Port, checks=[lambda port: []])).value.port
    return asyncio.Runner().run(run())

ask, kind = {"plain": (plain, dbprompt.Client), "awaited": (awaited, dbprompt.AsyncClient)}[sys.argv[2]]
client = kind(**TOLD)
before = ask(client)
read, write = os.pipe()
with pace._PACES_LOCK, client._aims[0].pace._lock:  # as a thread of the parent may have them
    pid = os.fork()
if not pid:
    other = kind(**TOLD)
    os.write(write, json.dumps([ask(client), ask(client), ask(other)]).encode())
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(json.dumps([before, *json.loads(os.read(read, 999)), ask(client)]))
"""


@pytest.fixture
def address() -> Iterator[str]:
    """Where a server is that keeps connections, and answers with the port that it was asked from."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            said = {"content": json.dumps({"port": self.client_address[1]})}
            body = json.dumps({"model": "m", "choices": [{"finish_reason": "stop", "message": said}]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def _ports(address: str, how: str) -> list[int]:
    """From where the parent asked, its child twice, another client of the child, and the parent again."""
    process = subprocess.run(
        [sys.executable, "-c", _SCRIPT, address, how],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert process.returncode == 0, process.stderr
    ports: list[int] = json.loads(process.stdout)
    return ports


def test_a_child_never_asks_over_its_parents_connection(address: str) -> None:
    """On a shared one, each would read the other's answers; and the parent's is still open afterwards."""
    before, first, second, other, after = _ports(address, "plain")
    assert first == second != before
    assert other not in (before, first)
    assert after == before


def test_an_async_client_asks_in_the_child_too(address: str) -> None:
    """With a loop, threads for its checks and connections of its own."""
    before, first, _, _, _ = _ports(address, "awaited")
    assert first != before
