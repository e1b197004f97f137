"""Batches: the same answers as one by one, in few batches; nothing is handed in twice, and no answer is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_stub import (
    KEY,
    KINDS,
    QUICK,
    BatchStub,
    Word,
    client,
    is_repair,
    little_prompt,
    no_shouting,
    repeated,
    word_of,
)
from spans import Seen, values

from dbprompt import Answer, AskError, AsyncClient, Brief, Client, OutputError, Price, RequestError, ScriptedProvider
from dbprompt.batch import BatchWait, StillWaitingError
from dbprompt.errors import AuthenticationError, ServerError

Ends = list[Answer[Word] | AskError]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchStub]:
    """A server of this test alone."""
    server = BatchStub()
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    yield server
    server.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the APIs that know batches."""
    return str(request.param)


def run(kind: str, stub: BatchStub, home: Path, *words: str, **options: Any) -> Ends:
    """Asks for each word; the same folder goes on."""
    options = {"policy": QUICK} | options
    with client(kind, stub.url) as asked:
        batch = asked.batch(home / "state", **options)
        return batch.run(little_prompt(home), [{"SAID": word} for word in words], output=Word, checks=[no_shouting])


def words(ends: Ends) -> list[str]:
    """The words that came back, or which error did."""
    return [type(end).__name__ if isinstance(end, AskError) else end.value.word for end in ends]


def test_many_are_asked_in_few_batches(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Three questions are one batch, the one repair a second; answers come in the order of the questions, counted."""
    ends = run(kind, stub, tmp_path, "tea", "MILK", "sugar")
    assert words(ends) == ["tea", "milk", "sugar"]
    assert stub.sent() == [["tea", "MILK", "sugar"], ["MILK"]]
    costs = [[(turn.kind, turn.usage.requests, turn.usage.output_tokens) for turn in end.usage_by_turn] for end in ends]  # type: ignore[union-attr]
    assert costs == [[("ask", 1, 5)], [("ask", 1, 5), ("repair", 1, 5)], [("ask", 1, 5)]]


def test_a_batch_asks_what_a_call_asks(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """The exchanges of a batch are recorded as calls: replayed one by one or as a batch, they give the same answers."""
    with client(kind, stub.url, recording=tmp_path / "tape.json", mode="record") as asked:
        batch = asked.batch(tmp_path / "state", policy=QUICK)
        made = batch.run(little_prompt(tmp_path), [{"SAID": "TEA"}], output=Word, checks=[no_shouting])
    assert KEY not in (tmp_path / "tape.json").read_text()
    with client(kind, stub.url, recording=tmp_path / "tape.json") as replaying:
        again = replaying.run(little_prompt(tmp_path), {"SAID": "TEA"}, output=Word, checks=[no_shouting])
    assert made == [again]
    with client(kind, stub.url, recording=tmp_path / "tape.json") as replaying:
        batch = replaying.batch(tmp_path / "again")
        ends = batch.run(
            little_prompt(tmp_path), [{"SAID": "TEA"}, {"SAID": "milk"}], output=Word, checks=[no_shouting]
        )
    assert words(ends) == ["tea", "NoRecordingError"]
    assert isinstance(ends[0], Answer) and ends[0].usage.requests == 2 and len(ends[0].trace or ()) == 2
    assert not [file for file in (tmp_path / "again").iterdir() if file.is_dir()]  # nothing was handed in


def test_a_wait_grows_and_hands_nothing_in(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """A batch that is still in progress is looked at again, later each time, up to the longest wait."""
    stub.busy = 6
    waits: list[BatchWait] = []
    assert words(run(kind, stub, tmp_path, "tea", "milk", on_wait=waits.append)) == ["tea", "milk"]
    assert len(stub.batches) == 1 and len(waits) == 6
    seconds = [wait.seconds for wait in waits]
    assert seconds == sorted(seconds) and seconds[0] == 0.01 and seconds[-1] == 0.05
    assert {(wait.requests, wait.batches) for wait in waits} == {(2, 1)}


def test_what_expired_is_asked_again_and_nothing_else(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """The next round has the expired request, and the repair that is due; the answered one is left alone."""
    stub.fate = lambda body, batch: "expired" if word_of(body) == "milk" and batch == 0 else "succeeded"
    ends = run(kind, stub, tmp_path, "tea", "milk", "SUGAR")
    assert words(ends) == ["tea", "milk", "sugar"]
    assert stub.sent() == [["tea", "milk", "SUGAR"], ["milk", "SUGAR"]]
    assert ends[1].usage.requests == 2  # type: ignore[union-attr]


def test_what_never_works_ends_after_three_batches(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """An overloaded provider is asked three times; the others have their answers all the same."""
    stub.fate = lambda body, batch: "overloaded_error" if word_of(body) == "milk" else "succeeded"
    ends = run(kind, stub, tmp_path, "tea", "milk")
    assert words(ends) == ["tea", "ServerError"]
    assert "Gave up: 3 batches" in str(ends[1]) and KEY not in str(ends[1])
    assert stub.sent() == [["tea", "milk"], ["milk"], ["milk"]]


def test_a_users_mistake_is_not_asked_again(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """A refused request ends its job, not the others, and is not handed in by the next start either."""
    stub.fate = lambda body, batch: "invalid_request_error" if word_of(body) == "milk" else "succeeded"
    stub.answer = lambda body: json.dumps({"word": word_of(body)})
    for _ in range(2):
        ends = run(kind, stub, tmp_path, "tea", "milk")
        assert words(ends) == ["tea", "RequestError"]
        assert isinstance(ends[1], RequestError) and ends[1].status == 400 and KEY not in str(ends[1])
    # the refusal blames the schema, so the same is asked in words, once, and refused as well
    assert stub.sent() == [["tea", "milk"], ["milk"]]
    assert not any(name in body for name in ("output_config", "text", "response_format") for body in [_last(stub)])


def test_a_schema_is_said_in_words_by_wish(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """From the first request on, and in repairs: no request brings a schema of its own."""
    with client(kind, stub.url, response_format="text") as asked:
        batch = asked.batch(tmp_path / "state", policy=QUICK)
        ends = batch.run(little_prompt(tmp_path), [{"SAID": "TEA"}], output=Word, checks=[no_shouting])
    assert words(ends) == ["tea"] and len(stub.batches) == 2
    bodies = [body for batch in stub.batches for body in batch.requests.values()]
    assert not any(name in body for name in ("output_config", "text", "response_format") for body in bodies)
    assert all("JSON Schema" in json.dumps(body) for body in bodies)


def test_a_batch_is_one_tree_of_spans(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Jobs below the batch, requests and checks below their jobs; an answer that an earlier start kept is seen too."""
    stub.fate = lambda body, batch: "expired" if word_of(body) == "milk" and batch == 0 else "succeeded"
    job = "invoke_workflow dbprompt.run"
    for chats, errors in (4, ["ServerError"]), (3, []):
        seen = Seen()
        with client(kind, stub.url, telemetry=seen.provider) as asked:
            batch = asked.batch(tmp_path / "state", policy=QUICK)
            said = [{"SAID": "TEA"}, {"SAID": "milk"}]
            batch.run(little_prompt(tmp_path), said, output=Word, checks=[no_shouting])
        (chat,) = {span.name for span in seen.named("chat")}
        tree = {"": ["invoke_workflow dbprompt.batch"], "invoke_workflow dbprompt.batch": [job] * 2}
        assert seen.tree() == tree | {job: [*[chat] * chats, *["check answer"] * 3]}
        assert [why for span in seen.named("chat") if (why := values(span).get("error.type"))] == errors
        whole = values(seen.named("invoke_workflow dbprompt.batch")[0])
        assert whole["dbprompt.usage.requests"] == chats


def test_sections_of_a_design_in_a_batch_are_seen(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Each section has a span, which ends with it and says why it was given up."""
    seen, stub.answer = Seen(), lambda _: "{}"
    shop = Brief.load(Path(__file__).parents[2] / "examples/marketplace.yaml")
    with client(kind, stub.url, telemetry=seen.provider, attempts=1) as asked:
        (end,) = asked.batch(tmp_path / "state", policy=QUICK).design([shop], sections=["selection"])
    assert isinstance(end, AskError)
    (section,) = seen.named("section ")
    assert section.name == "section selection" and values(section)["dbprompt.usage.requests"] == 2
    assert values(section)["error.type"]


def _last(stub: BatchStub) -> dict[str, Any]:
    return next(iter(stub.batches[-1].requests.values()))


def test_a_key_that_is_refused_is_no_answer(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """It ends what was asked; with the right key, the next start asks again."""
    stub.fate = lambda body, batch: "authentication_error" if batch == 0 else "succeeded"
    ends = run(kind, stub, tmp_path, "tea")
    assert isinstance(ends[0], AuthenticationError)
    assert words(run(kind, stub, tmp_path, "tea")) == ["tea"]


def test_the_same_question_twice_has_two_answers(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Repeats are samples of their own; a list that grew asks for what is new alone."""
    said = iter(["one", "two", "three"])
    stub.answer = lambda body: json.dumps({"word": next(said)})
    first = words(run(kind, stub, tmp_path, "tea", "tea"))
    assert sorted(first) == ["one", "two"]
    assert words(run(kind, stub, tmp_path, "tea", "tea", "tea")) == [*first, "three"]
    assert [len(sent) for sent in stub.sent()] == [2, 1]


def test_a_line_that_lacks_is_fetched_again_then_asked_again(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Results that were cut short are fetched again, since what they lack may be paid for; three times, then asked."""
    fetched: list[int] = []

    def fate(body: dict[str, Any], batch: int) -> str:
        fetched.extend([batch] if word_of(body) == "milk" else [])
        return "missing" if word_of(body) == "milk" and len(fetched) <= lacking else "succeeded"

    stub.fate = fate
    lacking = 2  # OpenAI's has two files, each of which asks for the fate of all
    assert words(run(kind, stub, tmp_path, "tea", "milk")) == ["tea", "milk"]
    assert stub.sent() == [["tea", "milk"]]
    fetched.clear()
    lacking = 3 if kind == "anthropic" else 6
    assert words(run(kind, stub, tmp_path / "other", "tea", "milk")) == ["tea", "milk"]
    assert stub.sent()[1:] == [["tea", "milk"], ["milk"]]


@pytest.mark.parametrize("tries", [1, 2])
def test_few_tries_do_not_lose_what_was_answered(kind: str, stub: BatchStub, tmp_path: Path, tries: int) -> None:
    """Who looks less often than a lacking line is fetched has the other answers all the same, at the first start."""
    stub.fate = lambda body, batch: "missing" if (word_of(body), batch) == ("milk", 0) else "succeeded"
    ends = run(kind, stub, tmp_path, "tea", "milk", policy=replace(QUICK, tries=tries))
    assert words(ends) == ["tea", "milk"] and stub.sent() == [["tea", "milk"], ["milk"]]


SPOILED = {
    "no JSON": lambda _: "{garbage",
    "too deep": lambda _: "[" * 100_000,
    "no object": lambda _: "[1]",
    "no name": lambda line: line.replace("custom_id", "id"),
    "another status": lambda line: line.replace('"status_code": 200', '"status_code": "200"').replace(
        '"type": "succeeded", "message": {', '"type": "succeeded", "message": "200", "rest": {'
    ),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_one_bad_line_of_the_results_harms_no_other(kind: str, stub: BatchStub, tmp_path: Path, spoiled: str) -> None:
    """What was answered beside it is had and kept; only the request of that line goes into another batch."""
    stub.spoil = lambda line, body, batch: SPOILED[spoiled](line) if (word_of(body), batch) == ("milk", 0) else line
    assert words(run(kind, stub, tmp_path, "tea", "milk", "sugar")) == ["tea", "milk", "sugar"]
    assert stub.sent() == [["tea", "milk", "sugar"], ["milk"]]


def test_half_a_letter_in_an_answer_is_kept(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """No file can hold it as it is; it is written as JSON escapes it, and the next start reads the same."""
    stub.answer = lambda body: '{"word": "\ud800"}' if word_of(body) == "milk" else repeated(body)
    ends = []
    for start in "12":
        with client(kind, stub.url, recording=tmp_path / f"{start}.json", mode="record") as asked:
            batch = asked.batch(tmp_path / "state", policy=QUICK)
            ends = batch.run(little_prompt(tmp_path), [{"SAID": "tea"}, {"SAID": "milk"}], output=Word)
        assert ends[1].trace is not None and ends[1].trace[0].answer == '{"word": "\ud800"}'
    assert words(ends)[0] == "tea" and not any("tea" in sent for sent in stub.sent()[1:])
    with client(kind, stub.url, recording=tmp_path / "2.json") as replaying:
        again = replaying.batch(tmp_path / "again").run(
            little_prompt(tmp_path), [{"SAID": "tea"}, {"SAID": "milk"}], output=Word
        )
    assert words(again) == words(ends)


def test_at_the_deadline_nothing_is_lost(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """The error says how to go on; the same call later takes the answers of the batch that was handed in."""
    stub.busy = 10_000
    short = replace(QUICK, deadline_s=0.3)
    ends = run(kind, stub, tmp_path, "tea", "MILK", policy=short)
    assert all(isinstance(end, StillWaitingError) for end in ends)
    assert "goes on waiting" in str(ends[0])
    stub.busy = 0
    assert words(run(kind, stub, tmp_path, "tea", "MILK")) == ["tea", "milk"]
    assert stub.sent() == [["tea", "MILK"], ["MILK"]]


def test_a_provider_that_stumbles_is_asked_again(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Errors while handing in, looking and collecting cost time, and no second batch."""
    stub.busy = 1
    stub.fail = [500, 0, 429] if kind == "anthropic" else [500, 0, 429, 0, 0]
    assert words(run(kind, stub, tmp_path, "tea")) == ["tea"]
    assert len(stub.batches) == 1
    stub.fail = [503] * 50
    ends = run(kind, stub, tmp_path, "other")
    assert isinstance(ends[0], ServerError) and KEY not in str(ends[0])


@pytest.mark.parametrize("foreign", [False, True])
def test_a_batch_whose_id_never_came_is_found_again(kind: str, stub: BatchStub, tmp_path: Path, foreign: bool) -> None:
    """The provider took it, the connection broke: it is found in the list, and nobody else's batch is taken for it."""
    if foreign:  # handed in meanwhile by somebody else, of the same size
        other = tmp_path / "other"
        taken = BatchStub._make

        def make(self: BatchStub, http: Any, batch: Any) -> None:
            mine = self.swallow > 0
            taken(self, http, batch)
            if mine:
                run(kind, self, other, "foe")

        stub._make = make.__get__(stub)  # type: ignore[method-assign]
    stub.swallow = 1
    assert words(run(kind, stub, tmp_path, "tea")) == ["tea"]
    assert sorted(stub.sent()) == ([["foe"], ["tea"]] if foreign else [["tea"]])


@pytest.mark.parametrize("when", ["while it is handed in", "while it is waited for"])
def test_a_killed_process_hands_nothing_in_twice(kind: str, stub: BatchStub, tmp_path: Path, when: str) -> None:
    """SIGKILL before the id came or before the answers did: the next start has all answers from the one batch."""
    little_prompt(tmp_path)
    stub.busy = 10_000
    stub.swallow, stub.hang = (1, True) if when == "while it is handed in" else (0, False)
    script = Path(__file__).with_name("batch_stub.py")
    command = [sys.executable, str(script), kind, stub.url, str(tmp_path), "tea", "milk"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    held = time.monotonic() + 20
    while not (stub.batches and (stub.swallow or stub.hang or stub.batches[0].looks > 1)):
        assert process.poll() is None and time.monotonic() < held
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    known = [json.loads(file.read_text()) for file in (tmp_path / "state/submissions").glob("*.json")]
    assert [bool(one["id"]) for one in known] == [when == "while it is waited for"]
    stub.busy, stub.hang = 0, False
    assert words(run(kind, stub, tmp_path, "tea", "milk")) == ["tea", "milk"]
    assert stub.sent() == [["tea", "milk"]]


def test_a_batch_that_is_gone_is_not_asked_again(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """With another key, say, it cannot be seen: asking anew would pay twice, so the error says what to do."""
    stub.busy = 10_000
    run(kind, stub, tmp_path, "tea", policy=replace(QUICK, deadline_s=0.2))
    kept, stub.batches = stub.batches, []
    ends = run(kind, stub, tmp_path, "tea")
    assert isinstance(ends[0], RequestError) and "start again to go on, or remove" in str(ends[0])
    assert stub.batches == []
    stub.batches, stub.busy = kept, 0
    assert words(run(kind, stub, tmp_path, "tea")) == ["tea"] and len(kept) == 1


def test_more_than_a_batch_holds_are_several(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Five requests are three batches of at most two, all waited for together."""
    cut = pytest.MonkeyPatch()
    for name in ("anthropic_batch.AnthropicBatches", "openai_batch.OpenAIBatches"):
        cut.setattr(f"dbprompt.providers.{name}.most_items", 2)
    try:
        assert words(run(kind, stub, tmp_path, *"abcde")) == [*"abcde"]
    finally:
        cut.undo()
    assert stub.sent() == [["a", "b"], ["c", "d"], ["e"]]


def test_the_folder_never_holds_the_key(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """Not even where a server sends it back, in an answer or in a refusal."""
    stub.answer = lambda body: json.dumps({"word": f"the key is {KEY}"})
    stub.fate = lambda body, batch: "invalid_request_error" if word_of(body) == "milk" else "succeeded"
    ends = run(kind, stub, tmp_path, "tea", "milk")
    assert words(ends) == ["the key is [key]", "RequestError"]
    files = [file for file in (tmp_path / "state").rglob("*") if file.is_file()]
    assert len(files) > 3
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_the_trace_of_a_batch_never_holds_the_key(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """As that of a call: not even where the user says it in the question."""
    (end,) = run(kind, stub, tmp_path, f"tea, and {KEY}")
    assert not isinstance(end, AskError) and end.trace is not None
    assert KEY not in end.trace.to_json() and "tea, and [key]" in end.trace.to_json()


def test_one_process_at_a_time(stub: BatchStub, tmp_path: Path) -> None:
    """A second one on the same folder would hand in the same again."""
    from dbprompt.batch import open_folder

    with open_folder(tmp_path / "state"), pytest.raises(OutputError, match=f"process {os.getpid()}"):
        run("anthropic", stub, tmp_path, "tea")
    assert not stub.batches


def test_a_damaged_folder_is_said_and_not_asked_past(stub: BatchStub, tmp_path: Path) -> None:
    """An answer that somebody cut short is no reason to pay for it again."""
    run("anthropic", stub, tmp_path, "tea")
    file = next((tmp_path / "state/answers").iterdir())
    file.write_text(file.read_text()[:40])
    with pytest.raises(OutputError, match="is damaged"):
        run("anthropic", stub, tmp_path, "tea")


def test_openai_gives_a_batch_up_for_one_line(stub: BatchStub, tmp_path: Path) -> None:
    """The line that was wrong is refused; what stood beside it is asked again."""
    stub.whole = lambda batch: [{"code": "bad_line", "message": "no", "line": 2}] if batch == 0 else None
    ends = run("openai", stub, tmp_path, "tea", "milk", "sugar")
    assert words(ends) == ["tea", "RequestError", "sugar"]
    assert stub.sent() == [["tea", "milk", "sugar"], ["tea", "sugar"]]


def test_openai_has_too_much_to_do(stub: BatchStub, tmp_path: Path) -> None:
    """A full queue is waited for, the longest wait at once; another reason ends all, and the next start asks again."""
    full = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}]
    stub.whole = lambda batch: full if batch == 0 else None
    waits: list[BatchWait] = []
    assert words(run("openai", stub, tmp_path, "tea", on_wait=waits.append)) == ["tea"]
    assert QUICK.longest_poll_s in [wait.seconds for wait in waits]
    stub.whole = lambda batch: [{"code": "strange", "message": "no", "line": None}] if batch == 2 else None
    assert words(run("openai", stub, tmp_path, "milk")) == ["RequestError"]
    assert words(run("openai", stub, tmp_path, "milk")) == ["milk"]


def test_an_expired_openai_batch_keeps_what_it_finished(stub: BatchStub, tmp_path: Path) -> None:
    """Its output file is read, though there is no error file that names the rest."""
    stub.status = "expired"
    stub.fate = lambda body, batch: "missing" if word_of(body) == "milk" and batch == 0 else "succeeded"
    assert words(run("openai", stub, tmp_path, "tea", "milk")) == ["tea", "milk"]
    assert stub.sent() == [["tea", "milk"], ["milk"]]


def test_awaited_it_is_the_same_and_ends_with_its_task(stub: BatchStub, tmp_path: Path) -> None:
    """An async client's batch gives the same; cancelled, it looks no more, and a later call goes on."""

    async def asked(seconds: float) -> Ends:
        async with AsyncClient("anthropic:claude-x", base_url=stub.url, api_key=KEY) as known:
            batch = known.batch(tmp_path / "state", policy=replace(QUICK, first_poll_s=0.05))
            call = batch.run(little_prompt(tmp_path), [{"SAID": "TEA"}], output=Word, checks=[no_shouting])
            return await asyncio.wait_for(call, seconds)

    stub.busy = 10_000
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(asked(1.0))
    assert time.monotonic() - began < QUICK.deadline_s / 2
    looks = stub.batches[0].looks
    time.sleep(0.2)
    assert stub.batches[0].looks == looks
    stub.busy = 0
    assert words(asyncio.run(asked(10))) == ["tea"]
    assert [is_repair(next(iter(batch.requests.values()))) for batch in stub.batches] == [False, True]


def test_a_provider_of_your_own_has_no_batches(tmp_path: Path) -> None:
    """It is said before anything is asked."""
    with pytest.raises(TypeError, match="not a provider of your own"):
        Client(ScriptedProvider([])).batch(tmp_path)


def test_a_batch_is_priced_as_one(kind: str, stub: BatchStub, tmp_path: Path) -> None:
    """What a batch costs is its share of the price; without one nobody claims to know."""
    for share, cost in ((0.5, pytest.approx(5 * 10 / 1e6 / 2)), (None, None)):
        with client(kind, stub.url) as asked:
            name = asked._aims[0].name
            prices = {name: Price(input=0, output=10, batch=share)}
        with client(kind, stub.url, prices=prices) as asked:
            batch = asked.batch(tmp_path / f"state{share}", policy=QUICK)
            ends = batch.run(little_prompt(tmp_path), [{"SAID": "tea"}], output=Word, checks=[no_shouting])
        (turn,) = ends[0].usage_by_turn  # type: ignore[union-attr]
        assert turn.cost == cost and turn.model == name
