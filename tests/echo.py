"""A model that says a word again, on loopback: for what many requests at once do to each other."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dbprompt import AsyncClient, Client
from dbprompt.prompts.prompt import Prompt

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.stub.says import Said, error, limit_headers, response, whole

__all__ = ["Server", "Word", "amapped", "echo_prompt", "mapped", "threads_left", "told", "words"]

FILES = {
    "prompt.toml": """
name = "echo"
version = "1.0.0"
title = "Echo"
description = "Says a word again."
[[variables]]
name = "WORD"
type = "string"
description = "What to say."
trusted = true
required = true
""",
    "system.md.j2": "You say words again.\n",
    "context.md.j2": "The word is <{{ WORD }}>.\n",
    "alone.md.j2": "Say it.\n",
}


class Word(BaseModel):
    """An answer."""

    word: str


def echo_prompt(root: Path) -> Prompt:
    """A prompt with one slot."""
    folder = root / "echo/1.0.0"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Prompt.read(folder)


@dataclass
class Server:
    """A chat-completions server on loopback that says the word again; what it does besides is set by the test.

    Args:
        limit: requests in each `minute_s`, as its headers tell.
        takes_s: how long an answer takes.
        never: words that are never answered.
        wrong: words for which it says something else.
        refuse_at: the number of a request that is refused, and all for `refuse_s` after it.
    """

    limit: int | None = None
    minute_s: float = 60.0
    takes_s: float = 0.0
    never: frozenset[str] = frozenset()
    wrong: dict[str, bytes] = field(default_factory=dict)
    refuse_at: int = -1
    refuse_s: float = 1.0
    came: list[tuple[float, str]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    now: int = 0
    most: int = 0
    open: int = 0
    _window: deque[float] = field(default_factory=deque)

    def __enter__(self) -> Server:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(self, *error: object) -> None:
        async def end() -> None:
            while any("_accept_connection2" in str(task.get_coro()) for task in asyncio.all_tasks()):
                await asyncio.sleep(0)  # asyncio forgets to close what it is accepting while its server closes
            self._server.close()
            for _ in range(20):  # connections that were accepted just now get to where they close themselves
                await asyncio.sleep(0)
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    said = asyncio.ensure_future(self._said(body))
                    gone = asyncio.ensure_future(reader.read(1))
                    await asyncio.wait((said, gone), return_when=asyncio.FIRST_COMPLETED)
                    gone.cancel()
                    if not said.done():  # the client went away
                        said.cancel()
                        return
                    with suppress(asyncio.CancelledError):
                        await gone
                    writer.write(said.result())
                finally:
                    self.now -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _said(self, body: Any) -> bytes:
        found = re.search(r"<(\w+)>", json.dumps(body["messages"]))
        word = found[1] if found else ""
        at = time.monotonic()
        self.came.append((at, word))
        if len(self.came) - 1 == self.refuse_at or (self.refused and at < self.refused[0] + self.refuse_s - 0.05):
            return self._slow_down(at, self.refuse_s)
        while self._window and self._window[0] <= at - self.minute_s:
            self._window.popleft()
        self._window.append(at)
        headers: list[tuple[str, str]] = []
        if self.limit is not None:
            left = max(0, self.limit - len(self._window))
            headers = limit_headers("chat", {"requests": (self.limit, left, self.minute_s)})
        await asyncio.sleep(3600 if word in self.never else self.takes_s)
        if word in self.wrong:
            return self.wrong[word]
        return response(whole(Said("chat", body["model"], json.dumps({"word": word}))), headers=headers)

    def _slow_down(self, at: float, seconds: float) -> bytes:
        self.refused.append(at)
        return response(error("chat", 429, "Slow down."), 429, headers=[("retry-after", f"{seconds:.3f}")])

    def comes_to(self, what: Callable[[], bool], within_s: float = 10.0) -> bool:
        """Whether it becomes so soon."""
        end = time.monotonic() + within_s
        while not what() and time.monotonic() < end:
            time.sleep(0.01)
        return what()


_names = iter(range(10_000))


def told(server: Server, **more: Any) -> dict[str, Any]:
    """Options of a client; each server's model has a name of its own, so that no pace is shared by two tests."""
    return {"model": "openai:echo", "base_url": server.url, "api_key": f"sk-test-{next(_names)}", "attempts": 0} | more


def words(*said: str) -> list[dict[str, str]]:
    """Variables of the prompt."""
    return [{"WORD": word} for word in said]


def mapped(server: Server, echo: Prompt, said: list[str], client: dict[str, Any], **more: Any) -> list[Any]:
    """`Client.map` over words."""
    with Client(**told(server, **client)) as asked:
        return asked.map(words(*said), prompt=echo, output=Word, **more)


def amapped(server: Server, echo: Prompt, said: list[str], client: dict[str, Any], **more: Any) -> list[Any]:
    """`AsyncClient.map` over words."""

    async def run() -> list[Any]:
        async with AsyncClient(**told(server, **client)) as asked:
            return await asked.map(words(*said), prompt=echo, output=Word, **more)

    return asyncio.run(run())


def threads_left() -> list[str]:
    """Threads of dbprompt's that are still there after a while; the one that draws diagrams stays."""
    end = time.monotonic() + 10
    while (left := _threads_now()) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def _threads_now() -> list[str]:
    names = [one.name for one in threading.enumerate()]
    return [name for name in names if name.startswith("dbprompt") and not name.startswith("dbprompt-mermaid")]
