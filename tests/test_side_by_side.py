"""Sections that do not need each other are asked for at once, and what one of them does is no other's business."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from answers import answer, design

from dbprompt import (
    AskError,
    AsyncClient,
    AsyncScriptedProvider,
    Brief,
    Client,
    EngineError,
    Reply,
    RequestError,
    ScriptedProvider,
    Usage,
    load_prompt,
)
from dbprompt.evidence import Report
from dbprompt.messages import Request, StopReason

SHOP = Brief.load(Path(__file__).parents[1] / "examples/marketplace.yaml")
PROMPT = load_prompt("database_architect")
WAVE = ("views", "lifecycle", "security")
"""What needs no more than the schema."""
JOB: dict[str, Any] = {"prompt": PROMPT, "start": design("marketplace", "selection", "schema"), "sections": WAVE}
REFUSED = Reply("I would rather not", StopReason.REFUSED, Usage(1, 5, 5))


@pytest.fixture(autouse=True)
def _no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How sections are asked for is looked at here; what is checked of them takes an engine, and seconds."""
    monkeypatch.setattr("dbprompt.jobs.design.design_checks", lambda *_, **__: ())


class Room:
    """Lines that are said when `together` of them are asked for at once, or never; counts how many were at most."""

    def __init__(self, together: int, said: Mapping[str, object]) -> None:
        self.lock, self.inside, self.most = threading.Lock(), 0, 0
        self.barrier = threading.Barrier(together, timeout=5)
        self.said = {name: answer("marketplace", name) for name in WAVE} | dict(said)
        self.lines: dict[str, list[Any]] = {name: [self._line] for name in WAVE}

    def _line(self, request: Request) -> Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.barrier.wait()
        time.sleep(0.02)  # for whoever comes though they should not
        with self.lock:
            self.inside -= 1
        return self.said[request.origin.section]


class AsyncRoom(AsyncScriptedProvider):
    """The same, awaited."""

    def __init__(self, together: int, said: Mapping[str, object]) -> None:
        super().__init__({name: [said.get(name, answer("marketplace", name))] for name in WAVE})
        self.together, self.inside, self.most, self.full = together, 0, 0, asyncio.Event()

    async def send(self, request: Request) -> Reply:
        """The next line, when everyone is there."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.together:
            self.full.set()
        await asyncio.wait_for(self.full.wait(), 5)
        self.inside -= 1
        return await super().send(request)


def ask(together: int, *, bound: int = 4, **said: object) -> tuple[Any, int, list[str]]:
    """A wave by the sync client: the result, how many were under way at most, and in which order they were asked."""
    room = Room(together, said)
    with Client(provider := ScriptedProvider(room.lines), side_by_side=bound, attempts=0) as client:
        result = client.design(SHOP, **JOB)
    return result, room.most, [request.origin.section for request in provider.requests]


def aask(together: int, *, bound: int = 4, **said: object) -> tuple[Any, int, list[str]]:
    """The same by the async client."""

    async def run() -> tuple[Any, int, list[str]]:
        provider = AsyncRoom(together, said)
        async with AsyncClient(provider, side_by_side=bound, attempts=0) as client:
            result = await client.design(SHOP, **JOB)
        return result, provider.most, [request.origin.section for request in provider.requests]

    return asyncio.run(run())


@pytest.mark.parametrize("client", [ask, aask])
def test_a_wave_goes_at_once(client: Any) -> None:
    """Three sections that need the schema alone are under way together; one after the other would never end."""
    result, most, asked = client(3)
    assert (most, set(asked)) == (3, set(WAVE))
    assert result.design == design("marketplace", "selection", "schema", *WAVE)


@pytest.mark.parametrize("client", [ask, aask])
def test_one_at_a_time(client: Any) -> None:
    """With `side_by_side=1` no two are under way, and they go in the design's order."""
    result, most, asked = client(1, bound=1)
    assert (most, asked) == (1, list(WAVE))
    assert result.design == design("marketplace", "selection", "schema", *WAVE)


@pytest.mark.parametrize("client", [ask, aask])
@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("failing", [("views",), ("lifecycle",), ("security",), ("views", "security")])
def test_one_that_fails_lets_its_neighbours_finish(client: Any, failing: tuple[str, ...], refused: bool) -> None:
    """Whatever of a wave fails, the others end and stand in the partial result, with what it cost."""
    with pytest.raises(AskError, match=f"^{failing[0]}: the model declined|no such model") as caught:
        client(3, **dict.fromkeys(failing, REFUSED if refused else RequestError("no such model")))
    partial: Any = caught.value.partial
    finished = set(WAVE) - set(failing)
    assert partial.design == design("marketplace", "selection", "schema", *finished)
    assert {turn.section for turn in partial.usage_by_turn} == (set(WAVE) if refused else finished)


@pytest.mark.parametrize("client", [ask, aask])
def test_a_failing_engine_loses_nothing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that fails under one section leaves the neighbours' answers in the error; both failures are told."""

    def broken(_: object) -> Report:
        raise EngineError("the server is gone")

    monkeypatch.setattr(
        "dbprompt.jobs.design.design_checks", lambda name, **_: (broken,) if name == "lifecycle" else ()
    )
    with pytest.raises(EngineError, match="the server is gone") as caught:
        client(3, security=RequestError("no such model"))
    partial: Any = caught.value.partial
    assert partial.design == design("marketplace", "selection", "schema", "views")
    assert any("no such model" in note for note in caught.value.__notes__)
