"""Many at once: over real HTTP, sync and async, in order, each by itself, and gone when called off."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import answer
from echo import Server, Word, amapped, echo_prompt, mapped, threads_left, told, words

from benchmarks.stub.says import error, response
from dbprompt import (
    AskError,
    AsyncClient,
    AsyncScriptedProvider,
    Bounds,
    Brief,
    Client,
    EngineError,
    QuotaError,
    RateLimitError,
    RequestError,
    RetryPolicy,
    ScriptedProvider,
    VariableError,
)
from dbprompt.evidence import Finding, Severity
from dbprompt.jobs.ask import Answer
from dbprompt.prompts.prompt import Prompt

SHOP = Brief.load(Path(__file__).parents[1] / "examples/marketplace.yaml")
both = pytest.mark.parametrize("client", [mapped, amapped])


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    """The prompt."""
    return echo_prompt(tmp_path_factory.mktemp("prompts"))


@pytest.fixture(autouse=True)
def _no_thread_behind() -> Iterator[None]:
    """Whatever happens, no thread of a map is left when it is over."""
    yield
    assert not threads_left()


@both
def test_ends_are_in_order_and_one_failure_is_one(client: Any, echo: Prompt) -> None:
    """Results stand where their items stood; one that is refused stands there as its error, the others are whole."""
    refused = response(error("chat", 400, "no such word"), 400)
    told_of: list[tuple[int, bool]] = []
    said = [f"w{number}" for number in range(30)]
    with Server(takes_s=0.01, wrong={"w7": refused}) as server:
        ends = client(
            server, echo, said, {}, at_once=5, on_end=lambda n, end: told_of.append((n, isinstance(end, AskError)))
        )
    assert isinstance(ends.pop(7), RequestError)
    assert [end.value.word for end in ends] == [word for word in said if word != "w7"]
    assert sorted(told_of) == [(number, number == 7) for number in range(30)]
    assert server.most <= 5


@both
def test_nothing_to_do(client: Any, echo: Prompt) -> None:
    """No items, no ends, no request."""
    with Server() as server:
        assert client(server, echo, [], {}) == []
    assert not server.came


@both
def test_a_wrong_input_is_an_error_before_anything_is_asked(client: Any, echo: Prompt) -> None:
    """Every item whose variables do not fill the prompt is named by its number, at once."""
    with Server() as server, Client(**told(server)) as asked:
        with pytest.raises(
            VariableError, match=r"nothing was asked.*2 problems\n.*item 1: WORD.*\n.*item 2: "
        ) as caught:
            asked.map([{"WORD": "a"}, {}, {"WORD": "a", "OTHER": 1}], prompt=echo, output=Word)
        assert len(caught.value.problems) >= 2
        with pytest.raises(TypeError, match="takes briefs, or variables together with output=") as mixed:
            asked.map([SHOP, {"WORD": "a"}], sections=["selection"])  # type: ignore[list-item]
        assert mixed.value.__notes__ == ["map: this is item 1 (the first is 0); nothing was asked."]
        with pytest.raises(ValueError, match="at_once is 0"):
            asked.map(words("a"), prompt=echo, output=Word, at_once=0)
    assert not server.came


@both
def test_bounds_hold_for_all_together_and_for_each(client: Any, echo: Prompt) -> None:
    """`bounds` is for the whole map: what it leaves no room for ends as BudgetError, and nothing more is sent."""
    said = [f"w{number}" for number in range(20)]
    with Server() as server:
        ends = client(server, echo, said, {}, at_once=4, bounds=Bounds(requests=7))
        assert len(server.came) == 7
        assert sum(isinstance(end, Answer) for end in ends) == 7
        assert {end.bound for end in ends if isinstance(end, AskError)} == {"requests"}  # type: ignore[attr-defined]
        ends = client(server, echo, said, {"per_job": Bounds(requests=1)}, at_once=4)
        assert all(isinstance(end, Answer) for end in ends)


@both
def test_a_wrong_key_is_not_tried_on_every_item(client: Any, echo: Prompt) -> None:
    """What no item could do better is asked by those that were under way, and by no one else."""
    said = [f"w{number}" for number in range(50)]
    denied = response(error("chat", 401, "no such key"), 401)
    with Server(wrong=dict.fromkeys(said, denied)) as server:
        ends = client(server, echo, said, {}, at_once=4)
    assert len(server.came) <= 4
    assert all(isinstance(end, AskError) for end in ends)
    assert "this one was not asked" in str(ends[-1])


def test_one_model_without_credit_does_not_end_a_list(echo: Prompt) -> None:
    """The last model's missing credit says nothing of the first: each item asks it again."""
    busy, broke = RateLimitError("slow"), QuotaError("no credit")
    models = [ScriptedProvider([busy, *[{"word": "on"}] * 4], model="a"), ScriptedProvider([broke] * 5, model="b")]
    with Client(models, retry=RetryPolicy(attempts=1)) as client:
        ends = client.map(words(*"abcd"), prompt=echo, output=Word, at_once=1)
    assert [type(end).__name__ for end in ends] == ["QuotaError", "Answer", "Answer", "Answer"]


def test_all_wrong_items_are_named(echo: Prompt) -> None:
    """The first with what is wrong, the others by their numbers."""
    with Client(ScriptedProvider([])) as client, pytest.raises(VariableError) as caught:
        client.map([{}] * 30, prompt=echo, output=Word)
    assert all(f"item {number}: " in str(caught.value) for number in range(20))
    assert caught.value.problems[-1].value == ", ".join(map(str, range(20, 30)))


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal, though a run in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_leaves_nothing_behind(echo: Prompt) -> None:
    """Ctrl-C ends requests under way and waits at once; what had ended was told, and the client can still be used."""
    ended: list[int] = []
    never = [f"n{number}" for number in range(6)]
    with Server(never=frozenset(never)) as server, Client(**told(server)) as client:

        def press() -> None:
            server.comes_to(lambda: server.now == 4 and len(ended) == 3)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        other = threading.Thread(target=press)
        other.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt) as caught:
            client.map(
                words("a", "b", "c", *never), prompt=echo, output=Word, at_once=4, on_end=lambda n, _: ended.append(n)
            )
        other.join()
        assert time.monotonic() - began < 30
        assert sorted(ended) == [0, 1, 2]
        assert caught.value.__notes__ == ["map: 3 of 9 had ended by then; on_end was told of each."]
        assert server.comes_to(lambda: server.now == 0 and server.open <= 1), "a request is left"
        assert not threads_left()
        assert client.run(echo, {"WORD": "on"}, output=Word).value.word == "on"
        assert len(server.came) == 3 + 4 + 1


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_ends_a_wait(echo: Prompt) -> None:
    """A thread that waits for the provider's limits does not sleep on."""
    waits = threading.Event()
    with (
        Server(refuse_at=0, refuse_s=300.0) as server,
        Client(**told(server, on_wait=lambda _: waits.set())) as client,
    ):

        def press() -> None:
            waits.wait(10)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        other = threading.Thread(target=press)
        other.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.map(words("a", "b", "c"), prompt=echo, output=Word)
        other.join()
        assert time.monotonic() - began < 30


def test_a_cancelled_task_leaves_nothing_behind(echo: Prompt) -> None:
    """Cancelling an async map closes every connection under way before it comes out."""
    never = [f"n{number}" for number in range(50)]

    async def run(server: Server) -> None:
        async with AsyncClient(**told(server)) as client:
            task = asyncio.create_task(client.map(words("a", *never), prompt=echo, output=Word, at_once=40))
            while server.now < 40:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert caught.value.__notes__ == ["map: 1 of 51 had ended by then; on_end= is told of each as it ends."]
            assert len(asyncio.all_tasks()) == 1
            assert await asyncio.to_thread(server.comes_to, lambda: server.now == 0 and server.open <= 1)
            assert (await client.run(echo, {"WORD": "on"}, output=Word)).value.word == "on"

    with Server(never=frozenset(never)) as server:
        asyncio.run(run(server))
        assert len(server.came) <= 43


@both
def test_an_error_of_on_end_stops_it(client: Any, echo: Prompt) -> None:
    """An error of the caller's own comes out, and nothing goes on behind it."""

    def on_end(number: int, end: object) -> None:
        raise OSError("disk full")

    with Server(never=frozenset({"n"})) as server:
        with pytest.raises(OSError, match="disk full"):
            client(server, echo, ["a", "n", "n", "n"], {}, at_once=2, on_end=on_end)
        assert server.comes_to(lambda: server.now == 0)


@both
def test_many_checks_wait_at_the_same_time(client: Any, echo: Prompt) -> None:
    """Checks that wait (for an engine) do so side by side, more of them than asyncio has threads of its own."""
    together = threading.Barrier(16, timeout=60)

    def check(word: Word) -> list[Finding]:
        together.wait()
        return [] if word.word else [Finding("word.empty", Severity.ERROR, "/word", "say it")]

    said = [f"w{number}" for number in range(16)]
    with Server() as server:
        ends = client(server, echo, said, {}, at_once=16, checks=[check])
    assert [end.value.word for end in ends] == said


def test_designs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Briefs become designs; each with a result of its own, one that fails with its partial."""
    monkeypatch.setattr("dbprompt.jobs.design.design_checks", lambda *_, **__: ())
    said = answer("marketplace", "selection")
    lines = [said, RequestError("no such model"), said]
    with Client(ScriptedProvider({"selection": lines})) as client:
        ends = client.map([SHOP] * 3, sections=["selection"], at_once=1)
    failed = ends.pop(1)
    assert isinstance(failed, RequestError)
    assert failed.partial is not None
    assert all(not isinstance(end, AskError) and end.design.selection is not None for end in ends)

    async def run() -> list[Any]:
        async with AsyncClient(AsyncScriptedProvider({"selection": [said, said]})) as client:
            return await client.map([SHOP] * 2, sections=["selection"])

    assert [end.design.selection is not None for end in asyncio.run(run())] == [True, True]


def test_an_engine_that_fails_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """An EngineError is no item's end: it would be every item's. It comes out, and says how far it came."""

    def broken(_: object) -> Any:
        raise EngineError("the server is gone")

    monkeypatch.setattr("dbprompt.jobs.design.design_checks", lambda *_, **__: (broken,))
    said = answer("marketplace", "selection")
    provider = ScriptedProvider({"selection": [said] * 9})
    with Client(provider) as client, pytest.raises(EngineError, match="the server is gone") as caught:
        client.map([SHOP] * 9, sections=["selection"], at_once=2)
    assert "0 of 9 had ended by then" in "".join(caught.value.__notes__)
    assert len(provider.requests) <= 2


def test_retries_of_one_item_are_its_own(echo: Prompt) -> None:
    """A server that fails for one item is asked again for it while the others go on."""
    broken = response(error("chat", 500, "oh"), 500)
    with Server(wrong={"w1": broken}) as server:
        policy = RetryPolicy(attempts=3, first_wait_s=0.05)
        ends = mapped(server, echo, ["w0", "w1", "w2"], {"retry": policy}, at_once=3)
    assert [isinstance(end, AskError) for end in ends] == [False, True, False]
    assert sum(word == "w1" for _, word in server.came) == 3
