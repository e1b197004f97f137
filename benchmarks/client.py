"""The client beside the SDK called by hand, on one loopback server, in one run: `python benchmarks/client.py`.

By hand is what a careful person writes: one SDK client that is kept, a schema computed once, one request, and
`model_validate_json` on its text. Ours is `Client.run`, with its session, bounds, trace and evidence. Both ask the
server of `benchmarks/stub`, which runs in a process of its own, and take turns block by block (by hand, ours, ours, by
hand), so noise falls on both: compare the ratios. A ratio is the median of the rounds' ratios, with the middle half of
them in brackets; CPU is the processor time of the asking process.

Rows: importing, in fresh processes; one plain call at a time; many async calls, 200 in flight; a stream with partial
objects beside the SDK's stream that is validated once at its end; and how the request for a repair grows from round to
round. `--markdown` prints the table of the README. The share of cached input is `benchmarks/cache.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import anthropic
import openai
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table as Screen
from stub.handle import Stub

import dbprompt
from dbprompt.client.base_stream import TextDelta
from dbprompt.messages import Message, Request, Role
from dbprompt.providers.anthropic import encode as encode_anthropic
from dbprompt.providers.openai import encode as encode_openai
from dbprompt.sections import output_schema

KEY = "sk-test-3f9a1c77d2e84b60"
KINDS = ("openai", "anthropic")
TOKENS = 16_000
FLYING = 200


class Column(BaseModel):
    """A column of a table."""

    name: str
    type: str
    nullable: bool
    comment: str


class Table(BaseModel):
    """A table of a design."""

    name: str
    purpose: str
    columns: list[Column]


class Design(BaseModel):
    """What is asked for."""

    tables: list[Table]


ASKED = (
    Message(Role.SYSTEM, "You design databases. " + "Answer with what was asked for and nothing else. " * 8),
    Message(Role.USER, "A shop sells books to members who pay by invoice. " * 10),
)
SCHEMA = output_schema(Design)


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one block: of the clock, and of this process's processor time."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison."""

    kind: str
    what: str
    unit: str
    raw: float
    ours: float
    ratio: float
    low: float
    high: float
    aim: float | None
    note: str = ""

    @property
    def shown(self) -> str:
        """The ratio with its spread."""
        return f"{self.ratio:.2f} ({self.low:.2f}-{self.high:.2f})"


@contextmanager
def timed(into: list[Took]) -> Iterator[None]:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into.append(Took(time.perf_counter() - wall, time.process_time() - cpu))


def side_by_side(raw: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[list[Took], list[Took]]:
    """Each round of both, which take turns; the first of each warms up."""
    took: tuple[list[Took], list[Took]] = ([], [])
    for number in range(2 * (rounds + 1)):
        side = (number + number // 2) % 2  # raw, ours, ours, raw: neither always comes first
        with timed(took[side]):
            (raw, ours)[side]()
    return took[0][1:], took[1][1:]


def row(
    kind: str, what: str, took: tuple[list[Took], list[Took]], *, scale: float, unit: str, aim: float | None, clock: str
) -> Row:
    """The medians of both, and of the ratio of each round."""
    sides = [[getattr(one, clock) * scale for one in side] for side in took]
    ratios = sorted(mine / theirs for theirs, mine in zip(*sides, strict=True))
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 2 else (ratios[0], 0.0, ratios[-1])
    medians = [statistics.median(side) for side in sides]
    return Row(kind, what, unit, *medians, statistics.median(ratios), low, high, aim)


# By hand.


def params(kind: str, model: str) -> dict[str, object]:
    """The arguments of the SDK's call: those that ours sends, so that both ask the same."""
    asked = Request(ASKED, SCHEMA, TOKENS)
    return dict(encode_anthropic(asked, model) if kind == "anthropic" else encode_openai(asked, model))


def text_of(kind: str, answer: object) -> str:
    return answer.content[0].text if kind == "anthropic" else answer.output_text  # type: ignore[attr-defined]


def by_hand(kind: str, stub: Stub, model: str, stack: ExitStack) -> Callable[[], Design]:
    given = params(kind, model)
    if kind == "anthropic":
        client = stack.enter_context(anthropic.Anthropic(api_key=KEY, base_url=stub.url))
        return lambda: Design.model_validate_json(text_of(kind, client.messages.create(**given)))  # type: ignore[call-overload]
    other = stack.enter_context(openai.OpenAI(api_key=KEY, base_url=stub.v1))
    return lambda: Design.model_validate_json(text_of(kind, other.responses.create(**given)))  # type: ignore[call-overload]


def ours(kind: str, stub: Stub, model: str, stack: ExitStack) -> Callable[[], Design]:
    client = stack.enter_context(dbprompt.Client(f"{kind}:{model}", **address(kind, stub)))
    return lambda: client.run(ASKED, output=Design).value


def address(kind: str, stub: Stub) -> dict[str, str]:
    """Where the server is; OpenAI's own API has it by name."""
    os.environ["OPENAI_BASE_URL"] = stub.v1
    return {"api_key": KEY} | ({"base_url": stub.url} if kind == "anthropic" else {})


def one_at_a_time(stub: Stub, kind: str, size: int, rounds: int, calls: int) -> list[Row]:
    model = f"stub-{size}kb"
    with ExitStack() as stack:
        hand, mine = by_hand(kind, stub, model, stack), ours(kind, stub, model, stack)
        assert hand() == mine()
        took = side_by_side(lambda: repeat(hand, calls), lambda: repeat(mine, calls), rounds)
    what = f"one sync call, {size} KB"
    return [
        row(kind, what, took, scale=1000 / calls, unit="ms", aim=1.10, clock="wall"),
        row(kind, f"{what}, CPU", took, scale=1000 / calls, unit="ms", aim=1.10, clock="cpu"),
    ]


def repeat(call: Callable[[], object], calls: int) -> None:
    for _ in range(calls):
        call()


# Many at once.


def flock(call: Callable[[], Awaitable[object]], calls: int) -> Awaitable[None]:
    """So many calls, 200 in flight."""
    left = iter(range(calls))

    async def fly() -> None:
        for _ in left:
            await call()

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(FLYING):
                group.create_task(fly())

    return all_of_them()


def many_by_hand(kind: str, stub: Stub, calls: int, kept: int | None = None) -> Took:
    """The SDK's own client, as it comes; `kept` lets it keep so many connections."""
    import httpx2

    given, took = params(kind, "stub-1kb"), list[Took]()
    limits = None if kept is None else httpx2.Limits(max_connections=kept, max_keepalive_connections=kept)
    options = {} if limits is None else {"http_client": httpx2.AsyncClient(limits=limits, timeout=600)}

    async def run() -> None:
        if kind == "anthropic":
            async with anthropic.AsyncAnthropic(api_key=KEY, base_url=stub.url, **options) as client:
                await measured(lambda: client.messages.create(**given))  # type: ignore[call-overload]
        else:
            async with openai.AsyncOpenAI(api_key=KEY, base_url=stub.v1, **options) as other:
                await measured(lambda: other.responses.create(**given))  # type: ignore[call-overload]

    async def measured(ask: Callable[[], Awaitable[object]]) -> None:
        async def call() -> None:
            Design.model_validate_json(text_of(kind, await ask()))

        await call()
        with timed(took):
            await flock(call, calls)

    asyncio.run(run())
    return took[0]


def many_of_ours(kind: str, stub: Stub, calls: int) -> Took:
    took = list[Took]()

    async def run() -> None:
        async with dbprompt.AsyncClient(f"{kind}:stub-1kb", **address(kind, stub)) as client:

            async def call() -> None:
                await client.run(ASKED, output=Design)

            await call()
            with timed(took):
                await flock(call, calls)

    asyncio.run(run())
    return took[0]


def many_at_once(stub: Stub, kind: str, rounds: int, calls: int) -> list[Row]:
    sides: tuple[list[Took], list[Took], list[Took]] = ([], [], [])
    ways = (
        lambda: many_by_hand(kind, stub, calls),
        lambda: many_of_ours(kind, stub, calls),
        lambda: many_by_hand(kind, stub, calls, kept=1_000),
    )
    for number in range(rounds):
        for side in (0, 1, 2) if number % 2 else (2, 1, 0):
            sides[side].append(ways[side]())
    what = f"{calls:,} async calls, {FLYING} in flight"
    hand, mine, kept = sides
    speed = [f"{calls / statistics.median(one.wall for one in side):,.0f}" for side in sides]
    rows = [row(kind, what, (hand, mine), scale=1.0, unit="s", aim=1.0, clock="wall")]
    rows.append(row(kind, f"{what}, CPU", (hand, mine), scale=1.0, unit="s", aim=1.0, clock="cpu"))
    rows.append(
        row(kind, "the same, by hand with 1,000 kept alive", (kept, mine), scale=1.0, unit="s", aim=1.0, clock="wall")
    )
    Console().print(f"{kind}: calls/s by hand {speed[0]}, ours {speed[1]}, by hand with 1,000 kept alive {speed[2]}")
    return rows


# A stream with partial objects.


def stream_by_hand(kind: str, stub: Stub, model: str, stack: ExitStack) -> Callable[[], Design]:
    """The SDK's stream, its deltas joined, validated once at the end."""
    given = params(kind, model) | {"stream": True}
    if kind == "anthropic":
        client = stack.enter_context(anthropic.Anthropic(api_key=KEY, base_url=stub.url))

        def ask() -> Design:
            pieces = []
            for event in client.messages.create(**given):  # type: ignore[call-overload]
                if event.type == "content_block_delta":
                    pieces.append(event.delta.text)
            return Design.model_validate_json("".join(pieces))

        return ask
    other = stack.enter_context(openai.OpenAI(api_key=KEY, base_url=stub.v1))

    def ask_other() -> Design:
        pieces = []
        for event in other.responses.create(**given):  # type: ignore[call-overload]
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
        return Design.model_validate_json("".join(pieces))

    return ask_other


@dataclass(slots=True)
class Partials:
    """What came of our stream before its end: objects that differ, and how much of the text the first one needed."""

    count: int = 0
    first_share: float = 1.0


def stream_of_ours(kind: str, stub: Stub, model: str, stack: ExitStack, seen: Partials) -> Callable[[], Design]:
    """The typed partial object is looked at after each piece of the text."""
    client = stack.enter_context(dbprompt.Client(f"{kind}:{model}", **address(kind, stub), max_output_tokens=64_000))

    def ask() -> Design:
        letters = first = count = 0
        last: Design | None = None
        with client.stream(ASKED, output=Design) as stream:
            for event in stream:
                if isinstance(event, TextDelta):
                    letters += len(event.text)
                    partial = stream.partial
                    if partial is not last:
                        count, last = count + 1, partial
                        first = first or (letters if partial.tables else 0)
            answer = stream.result()
        seen.count, seen.first_share = count, first / letters
        return answer.value

    return ask


def streams(stub: Stub, kind: str, rounds: int, sizes: Sequence[int]) -> list[Row]:
    rows = []
    for size in sizes:
        model, seen = f"stub-{size}kb", Partials()
        with ExitStack() as stack:
            hand = stream_by_hand(kind, stub, model, stack)
            mine = stream_of_ours(kind, stub, model, stack, seen)
            assert hand() == mine()
            took = side_by_side(hand, mine, rounds)
        made = row(kind, f"stream, {size} KB, CPU", took, scale=1.0, unit="s", aim=1.5, clock="cpu")
        rows.append(replace(made, note=f"{seen.count:,} partial objects, the first table at {seen.first_share:.1%}"))
    if len(rows) > 1:
        last, before = rows[-1], rows[-2]
        growth = (
            f"growth {sizes[-2]} to {sizes[-1]} KB: {last.ours / before.ours:.1f} (by hand {last.raw / before.raw:.1f})"
        )
        rows[-1] = replace(last, note=f"{last.note}; {growth}")
    return rows


# Importing, and repairing.

IMPORTS = {
    "python": "pass",
    "openai": "import openai",
    "anthropic": "import anthropic",
    "dbprompt": "import dbprompt",
    "openai by hand": "import openai; openai.OpenAI(api_key='sk-x').responses",
    "openai of ours": "import dbprompt; dbprompt.Client('openai:x', api_key='sk-x')",
    "anthropic by hand": "import anthropic; anthropic.Anthropic(api_key='sk-x').messages",
    "anthropic of ours": "import dbprompt; dbprompt.Client('anthropic:x', api_key='sk-x')",
}


def imports(rounds: int) -> list[Row]:
    """Fresh processes: importing, and importing until a client is open. What Python itself takes is taken off."""
    took: dict[str, list[Took]] = {name: [] for name in IMPORTS}
    for number in range(rounds + 1):
        for name in IMPORTS if number % 2 else reversed(IMPORTS):
            before, began = os.times(), time.perf_counter()
            subprocess.run([sys.executable, "-c", IMPORTS[name]], check=True)
            wall, after = time.perf_counter() - began, os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            took[name].append(Took(wall, spent))
    bare = Took(*(statistics.median(getattr(one, clock) for one in took["python"]) for clock in ("wall", "cpu")))
    net = {
        name: [Took(max(0.001, one.wall - bare.wall), max(0.001, one.cpu - bare.cpu)) for one in each[1:]]
        for name, each in took.items()
    }
    rows = []
    for kind in KINDS:
        pairs = (
            ("import", net[kind], net["dbprompt"]),
            ("client open", net[f"{kind} by hand"], net[f"{kind} of ours"]),
        )
        for what, hand, mine in pairs:
            aim = 0.5 if what == "import" and kind == "openai" else None
            for clock in ("wall", "cpu"):
                name = what if clock == "wall" else f"{what}, CPU"
                rows.append(row(kind, name, (hand, mine), scale=1000, unit="ms", aim=aim, clock=clock))
    return rows


def repairs(stub: Stub, kind: str, rounds: int = 4) -> list[int]:
    """Bytes of each request: the first ask of 40 KB, and then repairs of one item that comes back wrong each time."""
    model = f"stub-40kb+off_schema~{kind}"
    with dbprompt.Client(f"{kind}:{model}", attempts=rounds, **address(kind, stub)) as client:
        try:
            client.run(ASKED, output=Design)
        except dbprompt.UnprovenError:
            return [len(json.dumps(body)) for body in stub.bodies(model)]
    raise AssertionError("an answer that never fits was taken")


# The tables.


def shown(rows: Sequence[Row], sizes: dict[str, list[int]], *, markdown: bool) -> None:
    columns = ("API", "what", "SDK by hand", "dbprompt", "ratio (middle half)", "aim", "")
    lines = [
        (
            each.kind,
            each.what,
            f"{each.raw:.3g} {each.unit}",
            f"{each.ours:.3g} {each.unit}",
            each.shown,
            "" if each.aim is None else f"{each.aim:g}{'' if each.ratio <= each.aim else ' missed'}",
            each.note,
        )
        for each in rows
    ]
    grown = [f"{kind}: bytes of a request from round to round: {', '.join(map(str, of))}" for kind, of in sizes.items()]
    if markdown:
        print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
        print("\n".join("| " + " | ".join(line) + " |" for line in lines))
        print("\n" + "\n".join(grown))
        return
    table = Screen(*columns)
    for line in lines:
        table.add_row(*line)
    if lines:
        Console(width=150).print(table)
    print("\n".join(grown))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    parser.add_argument("--markdown", action="store_true", help="the table as the README has it")
    parser.add_argument("--only", choices=("import", "sync", "async", "stream", "repair"))
    parser.add_argument("--kind", choices=KINDS)
    asked = parser.parse_args()
    quick, rows, sizes = asked.quick, list[Row](), dict[str, list[int]]()
    wanted = lambda part: asked.only in (None, part)  # noqa: E731
    kinds = (asked.kind,) if asked.kind else KINDS
    before = os.getloadavg()[0]
    if wanted("import"):
        rows += [each for each in imports(3 if quick else 11) if each.kind in kinds]
    with Stub() as stub:
        for kind in kinds:
            if wanted("sync"):
                for size in (1, 40):
                    rows += one_at_a_time(stub, kind, size, 4 if quick else 15, 50 if quick else 200)
            if wanted("async"):
                rows += many_at_once(stub, kind, 2 if quick else 6, 400 if quick else 2_000)
            if wanted("stream"):
                rows += streams(stub, kind, 3 if quick else 9, (10, 40) if quick else (10, 40, 160))
            if wanted("repair"):
                sizes[kind] = repairs(stub, kind)
    shown(rows, sizes, markdown=asked.markdown)
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} cores"
    print(f"{load}; Python {sys.version.split()[0]}, openai {openai.__version__}, anthropic {anthropic.__version__}")


if __name__ == "__main__":
    main()
