"""Ten thousand calls through a server that fails one in five ways at random: `make soak`.

Both providers, plain threads and async tasks at once, some of them streamed. The server (`benchmarks/stub`, a process
of its own) throws dice of a known seed for each request: errors, resets, stalls, broken streams, answers that are not
JSON, half an answer, a refusal, no credit. What is promised, and looked at:

- each call ends, in a right object or in an error of dbprompt's own, and not after its deadline;
- no call passes its bound of requests, which the server counts too;
- memory and open sockets stay flat, and at the end nothing is left: no socket, no thread, no request.

It ends with 1 if a promise is broken, and says which.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table as Screen
from stub.handle import Stub

from dbprompt import AsyncClient, Client, DbpromptError, Message, RetryPolicy, Role
from dbprompt.calls.bounds import Bounds

KINDS = ("openai", "anthropic")
KEY = "sk-test-3f9a1c77d2e84b60"
THREADS = 8
TASKS = 24
ROUNDS = 10
DEADLINE_S = 3.0
LATE_S = 0.5
"""How much later than its deadline a call may be seen to end."""

LAGS = 4
"""How many times as late as a plain sleep it may end besides: where neighbours hold the cores, nothing ends in time."""

REQUESTS = 6
GROWTH_MB = 12.0
"""How much memory may grow from the third round to the last: 7,000 calls that each kept 2 KB would pass it."""

_NAME = re.compile(r"\w+_(ü€𝄞)?\d{4,}")


class Table(BaseModel):
    """A table of a design."""

    name: str
    purpose: str
    rows: int


class Design(BaseModel):
    """What is asked for."""

    tables: list[Table]


ASKED = (Message(Role.SYSTEM, "You design databases."), Message(Role.USER, "A shop that sells books."))


@dataclass(slots=True)
class Seen:
    """What came of the calls."""

    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    lag_s: float = 0.0
    longest_lag_s: float = 0.0
    most_requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ended(self) -> int:
        """Calls that came to an end."""
        return self.right + self.errors.total()

    def end(self, what: str, seconds: float, came: object) -> None:
        """One call has ended."""
        with self._lock:
            self.longest_s = max(self.longest_s, seconds)
            if seconds > DEADLINE_S + LATE_S + LAGS * self.lag_s:
                self.broken.append(f"{what} took {seconds:.1f} s, its deadline was {DEADLINE_S:g} s ({came!r:.200})")
            if isinstance(came, BaseException):
                self.errors[type(came).__name__] += 1
                if not isinstance(came, DbpromptError):
                    self.broken.append(f"{what} let a foreign error out: {came!r:.200}")
                return
            self.right += 1
            value, requests = came  # type: ignore[misc]
            self.most_requests = max(self.most_requests, requests)
            if requests > REQUESTS:
                self.broken.append(f"{what} sent {requests} requests, its bound was {REQUESTS}")
            if not isinstance(value, Design) or not is_right(value):
                self.broken.append(f"{what} gave what the server never said: {value!r:.200}")


def is_right(design: Design) -> bool:
    """Whether it is what the server says if nothing is wrong: whole, and nothing else in it."""
    names = {table.name for table in design.tables}
    return (
        18 <= len(design.tables) <= 40
        and len(names) == len(design.tables)
        and all(_NAME.fullmatch(table.name) and _NAME.fullmatch(table.purpose) for table in design.tables)
    )


async def beat(seen: Seen) -> None:
    """Keeps how late a plain sleep ends: the most of the last seconds, and of all."""
    lags = deque[float](maxlen=int(2 * DEADLINE_S / 0.05))
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.05)
        lags.append(time.monotonic() - began - 0.05)
        seen.lag_s = max(lags)
        seen.longest_lag_s = max(seen.longest_lag_s, seen.lag_s)


@dataclass(slots=True)
class Soak:
    """The calls, in rounds."""

    stub: Stub
    seen: Seen
    plain: dict[str, Client]
    awaited: dict[str, AsyncClient]
    pool: ThreadPoolExecutor

    async def round(self, calls: int) -> None:
        """So many calls: two in five plain, three in five awaited, one of five of either streamed."""
        plain = calls * 2 // 5
        loop = asyncio.get_running_loop()
        numbers = iter(range(plain))
        lock = threading.Lock()

        def next_one() -> int | None:
            with lock:
                return next(numbers, None)

        def thread() -> None:
            while (number := next_one()) is not None:
                self._call(number)

        others = iter(range(calls - plain))
        async with asyncio.TaskGroup() as group:
            for _ in range(THREADS):
                group.create_task(_done(loop.run_in_executor(self.pool, thread)))
            for _ in range(TASKS):
                group.create_task(self._task(others))

    def _call(self, number: int) -> None:
        kind, streamed = KINDS[number % 2], number % 5 == 0
        client, began = self.plain[kind], time.monotonic()
        try:
            came: object = self._streamed(client) if streamed else _told(client.run(ASKED, output=Design))
        except BaseException as error:
            came = error
        self.seen.end(f"{kind}, plain{', streamed' * streamed}", time.monotonic() - began, came)

    async def _task(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            kind, streamed = KINDS[number % 2], number % 5 == 0
            client, began = self.awaited[kind], time.monotonic()
            try:
                asked = self._astreamed(client) if streamed else client.run(ASKED, output=Design)
                came: object = await asked
                came = came if streamed else _told(came)
            except Exception as error:
                came = error
            self.seen.end(f"{kind}, awaited{', streamed' * streamed}", time.monotonic() - began, came)

    def _streamed(self, client: Client) -> object:
        with client.stream(ASKED, output=Design) as stream:
            for _ in stream:
                pass
            answer = stream.result()
        return _told(answer)

    async def _astreamed(self, client: AsyncClient) -> object:
        async with client.stream(ASKED, output=Design) as stream:
            async for _ in stream:
                pass
            answer = await stream.result()
        return _told(answer)


def _told(answer: object) -> tuple[object, int]:
    return answer.value, answer.usage.requests  # type: ignore[attr-defined]


async def _done(running: Awaitable[None]) -> None:
    await running


def memory_mb() -> float:
    """What this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def files() -> int:
    """What this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count


def options(kind: str, stub: Stub, seed: int) -> dict[str, object]:
    os.environ["OPENAI_BASE_URL"] = stub.v1
    where = {"base_url": stub.url} if kind == "anthropic" else {}
    return {
        "model": f"{kind}:{name_of(kind, seed)}",
        "api_key": KEY,
        "attempts": 2,
        "retry": RetryPolicy(attempts=4, first_wait_s=0.02, longest_wait_s=0.2),
        "per_job": Bounds(deadline_s=DEADLINE_S, requests=REQUESTS),
        **where,
    }


def name_of(kind: str, seed: int) -> str:
    return f"stub-2kb+chaos-{seed}~{kind}"


async def soak(calls: int, seed: int) -> tuple[Seen, list[tuple[object, ...]]]:
    """All of it."""
    seen, lines, held = Seen(), list[tuple[object, ...]](), list[float]()
    begun = time.monotonic()
    with Stub() as stub:
        open_files = files()
        with ExitStack() as stack:
            async with AsyncExitStack() as astack:
                plain = {kind: stack.enter_context(Client(**options(kind, stub, seed))) for kind in KINDS}
                awaited = {
                    kind: await astack.enter_async_context(AsyncClient(**options(kind, stub, seed))) for kind in KINDS
                }
                with ThreadPoolExecutor(THREADS) as pool:
                    beating = asyncio.create_task(beat(seen))
                    run = Soak(stub, seen, plain, awaited, pool)
                    for number in range(ROUNDS):
                        await run.round(calls // ROUNDS)
                        held.append(memory_mb())
                        sockets = stub.open_sockets()
                        if sockets > 2 * (THREADS + TASKS):
                            seen.broken.append(f"{sockets} sockets are open for {THREADS + TASKS} calls at a time")
                        sent = sum(stub.counts().values())
                        if sent > seen.ended * REQUESTS:
                            seen.broken.append(f"{sent} requests for {seen.ended} calls of at most {REQUESTS}")
                        took = time.monotonic() - begun
                        told = (seen.ended, sent, seen.right, seen.errors.total(), sockets, files())
                        lines.append((*told, f"{held[-1]:.0f}", f"{took:.0f}"))
                        print(f"round {number + 1}/{ROUNDS}: {seen.ended} calls in {took:.0f} s", file=sys.stderr)
                    beating.cancel()
        await asyncio.sleep(0.2)  # what was closed is gone
        _look_back(seen, stub, calls, held, open_files)
    return seen, lines


def _look_back(seen: Seen, stub: Stub, calls: int, held: list[float], open_files: int) -> None:
    if seen.ended != calls // ROUNDS * ROUNDS:
        seen.broken.append(f"{seen.ended} of {calls} calls came to an end")
    grown = max(held[-3:]) - held[2]
    if grown > GROWTH_MB:
        seen.broken.append(f"memory grew by {grown:.1f} MB from the third round on")
    left = {
        "sockets": stub.open_sockets(),
        "requests under way": sum(stub.now(name) for name in stub.counts()),
        "open files": max(0, files() - open_files),
    }
    seen.broken += [f"{count} {what} are left" for what, count in left.items() if count]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    seen, lines = asyncio.run(soak(asked.calls, asked.seed))
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    seen.broken += [f"threads are left: {', '.join(left)}"] if left else []
    screen = Console(width=120)
    table = Screen("calls", "requests", "right", "errors", "sockets", "files", "memory, MB", "s", title="soak")
    for line in lines:
        table.add_row(*map(str, line))
    screen.print(table)
    screen.print("errors: " + ", ".join(f"{name} {count}" for name, count in seen.errors.most_common()))
    most = f"the most requests of one call: {seen.most_requests} (bound {REQUESTS})"
    lag = f"a plain sleep was up to {seen.longest_lag_s:.2f} s late"
    screen.print(f"the longest call took {seen.longest_s:.2f} s (deadline {DEADLINE_S:g} s; {lag}), {most}")
    for wrong in seen.broken[:20]:
        screen.print(f"BROKEN: {wrong}", markup=False)
    screen.print(f"{len(seen.broken)} promises broken")
    return 1 if seen.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
