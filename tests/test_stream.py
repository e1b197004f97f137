"""Streams: events in order, items checked beside the stream, and what is left of one that breaks off."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from answers import answer, design
from pydantic import BaseModel
from stub import KEY, KINDS, Stub, asked_of, stub_server

from dbprompt import (
    Answer,
    AskError,
    AsyncClient,
    AsyncScriptedProvider,
    Bounds,
    Brief,
    BudgetError,
    Client,
    ConnectionFailedError,
    DeadlineError,
    Finding,
    Message,
    RefusedError,
    Result,
    RetryPolicy,
    Role,
    ScriptedProvider,
    Severity,
    Status,
    TruncatedError,
    UnprovenError,
    load_prompt,
)
from dbprompt.cli import main
from dbprompt.client import base_telling
from dbprompt.client.base_stream import ItemDone, Repairing, TextDelta
from dbprompt.evidence import Tier
from dbprompt.jobs.items import section_items
from dbprompt.messages import Reply, Request, StopReason, Usage
from dbprompt.partial import PartialAnswer, Unfinished
from dbprompt.providers.base_halt import Halt
from dbprompt.sections import SECTIONS

ASK = [Message(Role.USER, "Plan the move.")]


class Step(BaseModel):
    name: str
    hours: int = 1


class Plan(BaseModel):
    title: str
    steps: list[Step]


GOOD = {"title": "Move", "steps": [{"name": "pack"}, {"name": "load", "hours": 3}]}
SLOW = {"title": "Move", "steps": [{"name": "pack"}, {"name": "load", "hours": 30}]}


def no_long_step(step: Step) -> Iterable[Finding]:
    """At most ten hours."""
    if step.hours > 10:
        yield Finding("steps.long", Severity.ERROR, "/hours", "at most ten hours")


class Pieces:
    """A provider whose stream is these pieces, and then this end. Sync and async."""

    name, model, offline = "pieces", "test", True

    def __init__(self, *pieces: str, end: Exception | Callable[[], Reply] | Reply) -> None:
        self.pieces, self.end = pieces, end
        self.closed = threading.Event()
        self.sent = 0

    def _said(self) -> Iterator[str | Reply]:
        self.sent += 1
        try:
            yield from self.pieces
            end = self.end() if callable(self.end) else self.end
            if isinstance(end, Exception):
                raise end
            yield end
        finally:
            self.closed.set()

    def _reply(self) -> Reply:
        *_, reply = self._said()
        assert isinstance(reply, Reply)
        return reply


class SyncPieces(Pieces):
    def stream(self, request: Request) -> Iterator[str | Reply]:
        """Its pieces, then its end."""
        return self._said()

    def send(self, request: Request) -> Reply:
        """All of it."""
        return self._reply()

    def close(self) -> None:
        """Nothing is open."""


class AsyncPieces(Pieces):
    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Its pieces, then its end."""
        said = self._said()
        try:
            for piece in said:
                yield piece
        finally:
            said.close()  # type: ignore[attr-defined]

    async def send(self, request: Request) -> Reply:
        """All of it."""
        return self._reply()

    async def aclose(self) -> None:
        """Nothing is open."""


def reply(text: str, stop: StopReason = StopReason.COMPLETE) -> Reply:
    """A reply with some usage."""
    return Reply(text, stop, Usage(requests=1, input_tokens=10, output_tokens=20), "test")


def streamed(script: Sequence[Any], **options: Any) -> tuple[list[Any], list[Any]]:
    """The events of the same script, sync and async; both clients get the same options."""
    client_options = options.pop("client", {})
    with Client(ScriptedProvider(script), **client_options).stream(ASK, output=Plan, **options) as stream:
        events = list(stream)
    assert stream.usage == events[-1].usage

    async def run() -> list[Any]:
        client = AsyncClient(AsyncScriptedProvider(script), **client_options)
        async with client.stream(ASK, output=Plan, **options) as stream:
            return [event async for event in stream]

    return events, asyncio.run(run())


def failing(provider: type[Pieces], *pieces: str, end: Any, **client: Any) -> tuple[AskError, Pieces]:
    """The error of a stream that ends so, whichever provider it is."""
    asked = provider(*pieces, end=end)
    retry = RetryPolicy(attempts=1)
    with pytest.raises(AskError) as caught:
        if isinstance(asked, SyncPieces):
            with Client(asked, retry=retry, **client).stream(ASK, output=Plan) as stream:
                stream.result()
        else:

            async def run() -> None:
                async with AsyncClient(asked, retry=retry, **client).stream(ASK, output=Plan) as stream:  # type: ignore[arg-type]
                    await stream.result()

            asyncio.run(run())
    return caught.value, asked


BOTH = pytest.mark.parametrize("provider", [SyncPieces, AsyncPieces])


def kinds(events: Iterable[object]) -> list[str]:
    """What came, without the text."""
    return [type(event).__name__ for event in events if not isinstance(event, TextDelta)]


def test_text_items_and_the_answer_come_in_order() -> None:
    """The deltas are the text, each item comes once it is complete, the answer comes last; async tells the same."""
    events, same = streamed([GOOD])
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == json.dumps(GOOD)
    assert kinds(events) == ["ItemDone", "ItemDone", "Answer"]
    first = next(event for event in events if isinstance(event, ItemDone))
    assert first == ItemDone("/steps/0", Step(name="pack"), (), Status.NOT_CHECKED)
    before = "".join(event.text for event in events[: events.index(first)] if isinstance(event, TextDelta))
    assert len(before) < len(json.dumps(GOOD)) - 16
    assert events[-1].value == Plan.model_validate(GOOD)
    assert same[:-1] == events[:-1]
    assert (same[-1].value, same[-1].usage) == (events[-1].value, events[-1].usage)


def test_partial_grows_and_is_the_answer_in_the_end() -> None:
    """`partial` has what is final at any time, and the repaired answer at the end."""
    seen = []
    repaired = {"steps_1": {"name": "load", "hours": 3}}
    client = Client(ScriptedProvider([SLOW, repaired]))
    with client.stream(ASK, output=Plan, item_checks={"/steps": no_long_step}) as stream:
        for _ in stream:
            seen.append((stream.partial.title, len(stream.partial.steps)))
    assert seen[0] == (None, 0)
    assert ("Move", 1) in seen
    assert stream.partial == Plan.model_validate(GOOD)


def test_a_wrong_item_is_told_while_it_streams_and_repaired_at_the_end() -> None:
    """An item's check speaks with the item, counts for the whole, and what is wrong is asked for again unstreamed."""
    repaired = {"steps_1": {"name": "load", "hours": 3}}
    for events in streamed([SLOW, repaired], item_checks={"/steps": no_long_step}):
        assert kinds(events) == ["ItemDone", "ItemDone", "Repairing", "Answer"]
        passed, failed = (event for event in events if isinstance(event, ItemDone))
        assert (passed.status, failed.status) == (Status.PASSED, Status.FAILED)
        told = Finding("steps.long", Severity.ERROR, "/steps/1/hours", "at most ten hours")
        assert failed.findings == (told,)
        assert next(event for event in events if isinstance(event, Repairing)).findings == (told,)
        assert events[-1].value == Plan.model_validate(GOOD)
        assert {verdict.where for verdict in events[-1].evidence.verdicts} == {"", "/steps/0", "/steps/1"}


def test_a_misshapen_item_is_told_and_repaired() -> None:
    """An item that does not fit its type is told as such, and only it is asked for again."""
    wrong = {"title": "Move", "steps": [{"name": "pack"}, {"name": "load", "hours": "many"}]}
    repaired = {"steps_1": {"name": "load", "hours": 3}}
    for events in streamed([wrong, repaired], item_checks={"/steps": no_long_step}):
        _, misshapen = (event for event in events if isinstance(event, ItemDone))
        assert (misshapen.value, misshapen.status) == (None, Status.FAILED)
        assert misshapen.findings[0].where == "/steps/1/hours"
        assert events[-1].value == Plan.model_validate(GOOD)


def test_an_item_check_never_holds_up_the_stream() -> None:
    """While a check of an item runs, the text goes on; the item is told when it is judged."""
    may_end = threading.Event()
    text = '{"title": "Move", "steps": [{"name": "pack"}, ' + " " * 160 + '{"name": "load"}]}'

    def slow(step: Step) -> None:
        if step.name == "pack":
            assert may_end.wait(10)

    with Client(ScriptedProvider([text])).stream(ASK, output=Plan, item_checks={"/steps": slow}) as stream:
        heard = ""
        for event in stream:
            if isinstance(event, TextDelta):
                heard += event.text
            if len(heard) > 150:
                may_end.set()
            assert len(heard) > 150 or not isinstance(event, ItemDone)
    assert [type(event) for event in [stream.result()]] == [Answer]


def test_item_checks_for_a_list_that_is_not_there_ask_nothing() -> None:
    """A wrong pointer is an error before any request."""
    provider = ScriptedProvider([GOOD])
    with pytest.raises(ValueError, match="no list of items at '/step'; lists: /steps"):
        Client(provider).stream(ASK, output=Plan, item_checks={"/step": no_long_step})
    assert provider.requests == []


@BOTH
def test_a_stream_that_breaks_carries_what_was_complete(provider: type[Pieces]) -> None:
    """A connection that is lost in the middle: the error has the finished items and the final fields; no retry."""
    text = ('{"title": "Move", "steps": [{"name": "pack"}, ', '{"name": "lo')
    error, asked = failing(provider, *text, end=ConnectionFailedError("reset"))
    assert isinstance(error, ConnectionFailedError)
    assert isinstance(error.partial, Unfinished)
    assert error.partial.value == Plan(title="Move", steps=[Step(name="pack")])
    assert error.partial.final == ("/title",)
    assert not error.partial.evidence.ok
    assert asked.sent == 1


@BOTH
@pytest.mark.parametrize(("stop", "kind"), [("truncated", TruncatedError), ("refused", RefusedError)])
def test_an_answer_that_is_cut_off_carries_what_was_complete(
    provider: type[Pieces], stop: str, kind: type[AskError]
) -> None:
    """Cut off at the limit, or stopped by the provider: an error with the finished items, and what it cost."""
    text = '{"title": "Move", "steps": [{"name": "pack"}, {"na'
    error, _ = failing(provider, text, end=reply(text, StopReason(stop)))
    assert isinstance(error, kind)
    assert isinstance(error.partial, Unfinished)
    assert error.partial.value.steps == [Step(name="pack")]
    assert error.partial.usage.output_tokens == 20


@BOTH
def test_a_stream_that_fails_before_its_first_piece_is_asked_again(provider: type[Pieces]) -> None:
    """Nothing was handed on yet, so a retry repeats nothing; where it does not help, the partial answer is empty."""
    error, asked = failing(provider, end=ConnectionFailedError("refused"))
    assert isinstance(error.partial, Unfinished)
    assert error.partial.final == ()
    once = SyncPieces(end=ConnectionFailedError("refused"))
    client = Client(once, retry=RetryPolicy(attempts=3))
    with pytest.raises(ConnectionFailedError), client.stream(ASK, output=Plan) as stream:
        stream.result()
    assert (asked.sent, once.sent) == (1, 3)


@BOTH
def test_a_deadline_holds_inside_a_stream(provider: type[Pieces]) -> None:
    """A stream that goes on past its deadline is an error with what was complete."""

    def late() -> Reply:
        time.sleep(0.15)
        return reply("")

    pieces = '{"title": "Move", "steps": [{"name": "pack"}, '
    slow = provider(pieces, *[" "] * 3, end=late)
    said = slow._said

    def trickle() -> Iterator[str | Reply]:
        for piece in said():
            yield piece
            time.sleep(0.8)

    slow._said = trickle  # type: ignore[method-assign]
    with pytest.raises(DeadlineError) as caught:
        bounds = Bounds(deadline_s=2.0)
        if isinstance(slow, SyncPieces):
            Client(slow).stream(ASK, output=Plan, bounds=bounds).result()
        else:
            asyncio.run(_result(AsyncClient(slow).stream(ASK, output=Plan, bounds=bounds)))  # type: ignore[arg-type]
    assert isinstance(caught.value.partial, Unfinished)
    assert caught.value.partial.value.steps == [Step(name="pack")]
    assert slow.closed.is_set()


async def _result(stream: Any) -> Any:
    async with stream:
        return await stream.result()


def test_a_stall_ends_at_the_deadline_and_a_cancellation_stays_one() -> None:
    """An async stream that says nothing more is an error at its deadline; who cancels from outside is heard as that."""

    class Stalls(AsyncPieces):
        async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
            """A piece, and then nothing."""
            try:
                yield '{"steps": [{"name": "pack"}, '
                await asyncio.sleep(60)
            finally:
                self.closed.set()

    async def run(deadline_s: float, cancelled_after_s: float) -> tuple[type[BaseException], bool, int]:
        asked = Stalls(end=reply(""))
        client = AsyncClient(asked)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(cancelled_after_s):
                await _result(client.stream(ASK, output=Plan, bounds=Bounds(deadline_s=deadline_s)))
        except (DeadlineError, TimeoutError) as error:
            task = asyncio.current_task()
            return type(error), asked.closed.is_set(), task.cancelling() if task else -1
        raise AssertionError("it has to end")

    assert asyncio.run(run(1, 30)) == (DeadlineError, True, 0)
    assert asyncio.run(run(30, 1)) == (TimeoutError, True, 0)


def test_bounds_hold_inside_a_stream() -> None:
    """Requests are bounded in a stream as elsewhere: the repair that would pass the bound is not sent."""
    provider = ScriptedProvider([SLOW])
    client = Client(provider, per_job=Bounds(requests=1))
    with pytest.raises(BudgetError) as caught:
        client.stream(ASK, output=Plan, item_checks={"/steps": no_long_step}).result()
    assert len(provider.requests) == 1
    assert caught.value.partial is not None
    assert caught.value.partial.value == Plan.model_validate(SLOW)  # type: ignore[attr-defined]


def test_leaving_the_block_closes_the_connection() -> None:
    """A stream that is left early is closed where it is; nothing more is asked."""
    endless = SyncPieces('{"title": "Move", ', *["  "] * 1_000, end=reply(""))
    with Client(endless).stream(ASK, output=Plan) as stream:
        next(stream)
    assert endless.closed.is_set()
    with pytest.raises(RuntimeError, match="closed before its end"):
        stream.result()

    async def run() -> AsyncPieces:
        asked = AsyncPieces('{"title": "Move", ', *["  "] * 1_000, end=reply(""))
        async with AsyncClient(asked).stream(ASK, output=Plan) as stream:  # type: ignore[arg-type]
            await anext(stream)
        return asked

    assert asyncio.run(run()).closed.is_set()


def test_what_is_still_wrong_in_the_end_is_the_same_error_as_without_a_stream() -> None:
    """After the last repair the error has the findings, and the last answer as partial."""
    script = [SLOW, {"steps_1": {"name": "load", "hours": 20}}]
    client = Client(ScriptedProvider(script), attempts=1)
    with pytest.raises(UnprovenError) as caught:
        client.stream(ASK, output=Plan, item_checks={"/steps": no_long_step}).result()
    assert [finding.code for finding in caught.value.findings] == ["steps.long"]  # type: ignore[attr-defined]
    assert isinstance(caught.value.partial, Answer)


def test_a_provider_without_streams_answers_in_one_piece() -> None:
    """A provider of your own that can only send is streamed all the same: one delta, then its items."""

    class Whole:
        name, model, offline = "whole", "test", True

        def send(self, request: Request) -> Reply:
            """All of it."""
            return reply(json.dumps(GOOD))

        def close(self) -> None:
            """Nothing is open."""

    events = list(Client(Whole()).stream(ASK, output=Plan))
    assert kinds(events) == ["ItemDone", "ItemDone", "Answer"]
    assert sum(isinstance(event, TextDelta) for event in events) == 1


def test_a_cancelled_task_closes_its_stream() -> None:
    """Cancelling the task that reads a stream closes the connection, and cancels nothing else."""

    async def run() -> AsyncPieces:
        asked = AsyncPieces('{"title": "Move", ', *["  "] * 100_000, end=reply(""))
        begun = asyncio.Event()

        async def read() -> None:
            async with AsyncClient(asked).stream(ASK, output=Plan) as stream:  # type: ignore[arg-type]
                async for _ in stream:
                    begun.set()
                    await asyncio.sleep(0)

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asked

    assert asyncio.run(run()).closed.is_set()


def test_an_error_of_a_check_of_yours_comes_out_as_it_is() -> None:
    """A check that fails by itself ends the stream with its own error."""

    def broken(step: Step) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        Client(ScriptedProvider([GOOD])).stream(ASK, output=Plan, item_checks={"/steps": broken}).result()


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    """A server on loopback that speaks all three APIs."""
    with stub_server() as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_leaving_a_real_stream_ends_its_request(stub: Stub, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the wire of each API: the server sees the connection go, sync and async."""
    model = f"stub-40kb+trickle-5ms~leave-{kind}"
    with Client(**asked_of(kind, stub, model, monkeypatch)) as client, client.stream(ASK, output=Plan) as stream:
        while not isinstance(next(stream), ItemDone):
            pass

    async def run() -> None:
        client = AsyncClient(**asked_of(kind, stub, model, monkeypatch))
        async with client, client.stream(ASK, output=Plan) as stream:
            while not isinstance(await anext(stream), ItemDone):
                pass

    asyncio.run(run())
    for _ in range(100):
        if stub.dropped(model) == 2:
            break
        time.sleep(0.05)
    assert (stub.count(model), stub.dropped(model)) == (2, 2)


# Designs

BRIEF = Brief.load(Path(__file__).parents[1] / "examples/marketplace.yaml")
BASE = ("selection", "schema", "indexes")


def design_script(**changed: Any) -> dict[str, list[Any]]:
    """Right answers, but for those that are given."""
    return {name: changed.get(name, [answer("marketplace", name)]) for name in BASE}


def broken_schema() -> dict[str, Any]:
    """The reference schema with a table that PostgreSQL refuses."""
    schema = answer("marketplace", "schema")
    schema["tables"][1]["checks"] = [{"name": "too_dear", "expression": "no_such_column > 0"}]
    return schema


def of_items(events: Iterable[object], section: str) -> dict[str, ItemDone]:
    """The items of a section by their place."""
    return {event.where: event for event in events if isinstance(event, ItemDone) and event.section == section}


@pytest.mark.parametrize("which", ["sync", "async"])
def test_a_design_is_streamed_section_by_section(which: str) -> None:
    """Each table and index is told with its section and the engine's word; the end is what `design` gives."""
    if which == "sync":
        with Client(ScriptedProvider(design_script())).stream_design(BRIEF, sections=BASE) as stream:
            events: list[Any] = list(stream)
            usage, partial = stream.usage, stream.partial
    else:

        async def run() -> tuple[list[Any], Usage, Any]:
            client = AsyncClient(AsyncScriptedProvider(design_script()))
            async with client.stream_design(BRIEF, sections=BASE) as stream:
                return [event async for event in stream], stream.usage, stream.partial

        events, usage, partial = asyncio.run(run())
    result = events[-1]
    assert isinstance(result, Result)
    assert result.evidence.ok
    assert result.design.schema and result.design.indexes
    assert (usage, partial) == (result.usage, result.design)
    tables = {where: event for where, event in of_items(events, "schema").items() if where.startswith("/tables/")}
    assert [event.value for event in tables.values()] == list(result.design.schema.tables)
    assert {event.status for event in tables.values()} == {Status.PASSED}
    assert [event.value for event in of_items(events, "indexes").values()] == list(result.design.indexes.indexes)
    text = "".join(event.text for event in events if isinstance(event, TextDelta) and event.section == "indexes")
    assert json.loads(text) == answer("marketplace", "indexes")


class Gated(ScriptedProvider):
    """A script whose schema goes on, behind its third table, only when the gate is opened."""

    def __init__(self, lines: Mapping[str, Sequence[Any]]) -> None:
        super().__init__(lines)
        self.gate = threading.Event()
        self.opened = False

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """Its pieces, then its end."""
        whole = self._next(request)
        if request.origin.section != "schema":
            yield whole.text
        else:
            behind = whole.text.index(json.dumps(json.loads(whole.text)["tables"][3]))
            yield whole.text[:behind]
            for _ in range(400):
                yield " "
                if self.gate.wait(0.05):
                    self.opened = True
                    break
            yield whole.text[behind:]
        yield whole


def test_a_table_is_checked_while_the_next_one_is_still_being_written() -> None:
    """PostgreSQL's word on a wrong table comes before the schema's text has ended; the whole is judged again."""
    repaired = {"tables_1": answer("marketplace", "schema")["tables"][1]}
    provider = Gated(design_script(schema=[broken_schema(), repaired]))
    seen: dict[str, ItemDone] = {}
    with Client(provider).stream_design(BRIEF, sections=BASE[:2]) as stream:
        for event in stream:
            if isinstance(event, ItemDone) and event.section == "schema" and not provider.gate.is_set():
                seen[event.where] = event
                if event.where == "/tables/1":
                    assert stream.partial.schema and not stream.partial.schema.table("orders")
                    provider.gate.set()
            elif isinstance(event, Repairing):
                assert {finding.where.split("/")[2] for finding in event.findings} == {"1"}
    assert provider.opened
    assert seen["/tables/0"].status is Status.PASSED
    wrong = seen["/tables/1"]
    assert wrong.status is Status.FAILED
    assert "no_such_column" in wrong.findings[0].message
    assert isinstance(event, Result)
    assert event.evidence.ok


def test_what_has_not_come_is_no_mistake_of_a_table_that_has() -> None:
    """A foreign key to a later table is left out, and a table that uses a later enum is not checked yet."""
    job = Client(ScriptedProvider([]))._design_job(BRIEF, "database_architect", None, None, None, None, (), None)
    check = section_items(job, "schema")
    assert check is not None
    schema = answer("marketplace", "schema")
    schema["tables"].reverse()
    items = PartialAnswer(SECTIONS["schema"]).feed(json.dumps({"tables": schema["tables"], "enums": schema["enums"]}))
    tables = [item for item in items if item.where.startswith("/tables/")]
    assert any(item.value.foreign_keys for item in tables[:2])  # type: ignore[attr-defined]
    report = check(tables[:3], tables[:3])
    assert not report.errors
    passed = [verdict for verdict in report.verdicts if verdict.status is Status.PASSED]
    checked = {verdict.where for verdict in passed if verdict.tier is Tier.ENGINE}
    by_enum = {item.where for item in tables[:3] if any(column.enum for column in item.value.columns)}  # type: ignore[attr-defined]
    assert checked == {item.where for item in tables[:3]} - by_enum
    assert by_enum


def test_a_design_that_breaks_off_has_the_finished_sections() -> None:
    """The error has the sections that were finished; the stream has what was complete of the one that broke off."""
    text = json.dumps(answer("marketplace", "schema"))
    cut = Reply(text[: len(text) // 2], StopReason.TRUNCATED, Usage(1, 5, 5), "script")
    client = Client(ScriptedProvider(design_script(schema=[cut])))
    with client.stream_design(BRIEF, sections=BASE) as stream, pytest.raises(TruncatedError) as caught:
        stream.result()
    partial = caught.value.partial
    assert isinstance(partial, Result)
    assert partial.design.selection is not None
    assert partial.design.schema is None
    unfinished = stream.unfinished["schema"]
    assert "/enums" in unfinished.final
    assert unfinished.value.tables  # type: ignore[attr-defined]
    assert unfinished.usage == cut.usage


def test_a_section_that_is_repaired_from_its_draft_is_shown_as_it_was() -> None:
    """Nothing of it is streamed, but it is there."""
    draft = SECTIONS["schema"].model_validate(broken_schema())
    start = design("marketplace", "selection").with_section("schema", draft)
    repaired = {"tables_1": answer("marketplace", "schema")["tables"][1]}
    client = Client(ScriptedProvider({"schema": [repaired]}))
    shown = []
    with client.stream_design(BRIEF, sections=("schema",), start=start) as stream:
        for event in stream:
            if isinstance(event, Repairing):
                shown.append(stream.partial.schema)
    assert shown == [draft]


@pytest.mark.parametrize("leave", ["at the end", "at the result", "early"])
def test_connections_are_shut_only_if_something_is_under_way(leave: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that has ended shuts nothing: its connections are in the pool, and somebody else may have them."""
    halted: list[bool] = []

    class Seen(Halt):
        def set(self) -> None:
            halted.append(True)
            super().set()

    monkeypatch.setattr(base_telling, "Halt", Seen)
    script = {"selection": [answer("marketplace", "selection")]}
    provider = Endless(1) if leave == "early" else ScriptedProvider(script)
    with Client(provider).stream_design(BRIEF, sections=BASE[:1]) as stream:
        for event in stream:
            if leave == "early" or (leave == "at the result" and isinstance(event, Result)):
                break
    if isinstance(provider, Endless):
        provider.closed.wait(5)
    assert bool(halted) is (leave == "early")


def test_a_connection_is_not_taken_over_while_it_is_being_shut() -> None:
    """Whoever takes over a connection of a halt waits until it is shut, or the halt does not know it any more."""
    halt, waited = Halt(), []

    class Connection:
        def get_extra_info(self, info: str) -> object:
            taker = threading.Thread(target=halt.release, args=(self,))
            taker.start()
            taker.join(0.1)
            waited.append(taker.is_alive())
            return None

    connection = Connection()
    halt.hold(connection)
    halt.set()
    assert waited == [True]


class Endless(ScriptedProvider):
    """Sections side by side that never end by themselves."""

    def __init__(self, sections: int = 2) -> None:
        super().__init__([])
        self.closed = threading.Barrier(sections + 1)

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """Its pieces, then its end."""
        try:
            yield "{"
            while True:
                yield " "
                time.sleep(0.001)
        finally:
            self.closed.wait(5)


def test_leaving_a_design_ends_all_sections_that_go_side_by_side() -> None:
    """Leaving the block calls off what the threads have under way."""
    provider = Endless()
    job: dict[str, Any] = {"start": design("marketplace", "selection", "schema"), "sections": ("views", "lifecycle")}
    client = Client(provider)
    with client.stream_design(BRIEF, prompt=load_prompt("database_architect"), check_items=False, **job) as stream:
        sections = set()
        for event in stream:
            if isinstance(event, TextDelta):
                sections.add(event.section)
            if len(sections) == 2:
                break
    provider.closed.wait(5)


def test_the_command_line_shows_tables_as_they_are_written(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`dbprompt design --stream` prints each item with its mark while it streams, and the result as ever."""
    model = "stub~command-line"
    stub.script(model, answers=[json.dumps(answer("marketplace", name)) for name in BASE])
    options = ["--model", f"openai:{model}", "--base-url", stub.v1, "--stream"]
    sections = [word for name in BASE for word in ("--section", name)]
    brief = str(Path(__file__).parents[1] / "examples/marketplace.yaml")
    monkeypatch.setattr(sys, "argv", ["dbprompt", "design", brief, *options, *sections])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    out = capsys.readouterr().out
    assert "✓ /tables/0 buyers" in out
    assert "· /options/0 postgresql" in out
    assert out.index("/tables/0 buyers") < out.index("/tables/5 payments") < out.index("schema         proven")
    assert "proven on an engine" in out
