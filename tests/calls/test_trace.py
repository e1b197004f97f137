"""The trace: everything that was said, to be looked at, kept and read again; and no key in it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dbprompt.calls.seeing import Seeing
from dbprompt.calls.trace import Exchange, Trace
from dbprompt.errors import OutputError, RateLimitError
from dbprompt.messages import Message, Origin, OutputSchema, Reply, Request, Role, StopReason, Usage

KEY = "sk-ant-0123456789abcdef"
SYSTEM = Message(Role.SYSTEM, "You design databases. <b>&</b>", cache=True)
SCHEMA = OutputSchema("answer", {"type": "object"})


def request(section: str, text: str) -> Request:
    """A request of a design: every one of them begins with the same message."""
    return Request((SYSTEM, Message(Role.USER, text)), SCHEMA, 500, Origin("p", "1.0.0", section=section))


def reply(text: str, stop: StopReason = StopReason.COMPLETE) -> Reply:
    """What a model says."""
    return Reply(text, stop, Usage(1, 1200, 30), model="claude-x")


@pytest.fixture
def trace() -> Trace:
    """A job of two sections: one asked after a failure and a wait, one answered with what would be HTML."""
    seeing = Seeing(Trace())
    with pytest.raises(RateLimitError), seeing.request(request("schema", "Tables!"), asked="anthropic:x"):
        raise RateLimitError("slow down", status=429)
    with seeing.request(request("schema", "Tables!"), asked="anthropic:x", attempt=2, waited_s=1.5) as sent:
        sent.replied(reply('{"tables": []}'))
    with seeing.request(request("views", "Views!"), asked="openai:y") as sent:
        sent.replied(reply("</pre><script>alert(1)</script>\n```\n# out", StopReason.TRUNCATED))
    assert seeing.trace is not None
    return seeing.trace


def test_every_request_is_in_it_with_what_came_of_it(trace: Trace) -> None:
    """A failed try is an exchange as an answered one is; each says when, how long and after which wait."""
    failed, answered, cut = trace
    assert (failed.ended, failed.error, failed.answer) == ("RateLimitError", "slow down", "")
    assert (answered.attempt, answered.waited_s, answered.answer) == (2, 1.5, '{"tables": []}')
    assert (answered.schema, answered.schema_hash, answered.max_output_tokens) == ("answer", SCHEMA.hash, 500)
    assert (cut.asked, cut.model, cut.ended, cut.usage.output_tokens) == ("openai:y", "claude-x", "truncated", 30)
    assert trace.of("schema") == (failed, answered) and trace.failed == (failed,) and trace.shared == (SYSTEM,)
    assert trace.usage == Usage(3, 2400, 60)
    assert all(one.started_at.tzinfo is UTC and one.seconds is not None and 0 <= one.seconds < 5 for one in trace)


def test_a_saved_trace_is_read_back_as_it_was(trace: Trace, tmp_path: Path) -> None:
    """One file, written whole, in which the text that all requests share stands once."""
    file = trace.save(tmp_path / "deep" / "trace.json")
    assert Trace.load(file) == trace
    assert file.read_text(encoding="utf-8").count("You design databases") == 1
    with pytest.raises(OutputError, match="cannot be written"):
        trace.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no trace"),
        ("[]", "is no trace"),
        ('{"format": 2, "texts": [], "exchanges": []}', "of format 2; this version reads 1"),
        ('{"format": 1, "texts": [], "exchanges": [{"messages": [{"role": "user", "text": 7}]}]}', "is no trace"),
        ('{"format": 1, "texts": [], "exchanges": [{"messages": [], "section": 7}]}', "0.section"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """A file that something else wrote is named, and said to be none."""
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(OutputError, match=told) as caught:
        Trace.load(tmp_path / "t.json")
    assert "t.json" in str(caught.value)


def test_no_key_is_in_it(tmp_path: Path) -> None:
    """Not even where a prompt quotes it, or a server says it back, in an answer or in an error."""
    seeing = Seeing(Trace(), keys=(KEY,))
    with seeing.request(request("schema", f"mine is {KEY}"), asked="a:b") as sent:
        sent.replied(reply(f"so it is {KEY}"))
    with pytest.raises(RateLimitError), seeing.request(request("schema", "Tables!"), asked="a:b"):
        raise RateLimitError(f"no more for {KEY}")
    trace = seeing.trace
    assert trace is not None
    shown = (trace.save(tmp_path / "t").read_text(), trace._repr_html_(), trace._repr_markdown_(), repr(list(trace)))
    assert not any(KEY in text for text in shown)
    assert [one.messages[1].text for one in trace] == ["mine is [key]", "Tables!"]
    assert (trace[0].answer, trace[1].error) == ("so it is [key]", "no more for [key]")


def test_half_a_letter_does_not_keep_it_from_being_kept_or_shown(tmp_path: Path) -> None:
    """A prompt, an answer and an error may hold one; the file gives it back, and each view can be sent on."""
    seeing = Seeing(Trace())
    with seeing.request(request("schema", "half \ud83d"), asked="a:b") as sent:
        sent.replied(reply('{"name": "\ud800"}'))
    with pytest.raises(ValueError, match="half"), seeing.request(request("schema", "?"), asked="a:b"):
        raise ValueError("half \udfff")
    trace = seeing.trace
    assert trace is not None and Trace.load(trace.save(tmp_path / "t")) == trace
    assert trace[0].answer == '{"name": "\ud800"}'
    for shown in (trace._repr_html_(), trace._repr_markdown_()):
        assert all(half in shown.encode() for half in (rb"half \ud83d", rb"\ud800", rb"half \udfff"))


def test_a_request_that_nobody_waits_for_is_told_apart() -> None:
    """A stream that is closed in the middle is no answer and no failure of the provider."""
    seeing = Seeing(Trace())

    def call() -> Any:
        with seeing.request(request("", "?"), asked="a:b", streamed=True):
            yield

    running = call()
    next(running)
    running.close()
    assert seeing.trace is not None
    assert seeing.trace[0].ended == "Cancelled"


def test_threads_add_at_once() -> None:
    """Nothing is lost, and who reads meanwhile sees a trace of that moment."""
    trace, seen = Trace(), 0
    asked, said, now = request("schema", "?"), reply("{}"), datetime.now(UTC)

    def add() -> None:
        for _ in range(500):
            trace.add(asked, said, asked="a:b", started_at=now, seconds=0.1)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen = max(seen, sum(1 for _ in trace))
    assert len(trace) == 4000 and seen <= 4000


def test_a_notebook_shows_what_was_said_as_text(trace: Trace) -> None:
    """Prompt and answer are folded away and escaped; what all requests share is shown once; a repr says nothing."""
    html = trace._repr_html_()
    assert html.count("<details") == 1 + 2 * 3 and html.count("You design databases") == 1
    assert "<script>" not in html and "&lt;script&gt;alert(1)" in html and "RateLimitError: slow down" in html
    said = trace._repr_markdown_()
    assert (
        said.count("<details>") == 1 + 3 and "````\n</pre><script>" in said and "| schema, try 2 after 1.5 s |" in said
    )
    assert repr(trace) == "Trace(3 requests, 1 failed; 2,400 input and 60 output tokens)"
    assert "Tables" not in repr(list(trace)) and "schema, anthropic:x, request 2: complete" in repr(trace[1])


def test_an_empty_trace_can_be_shown_and_kept() -> None:
    """A job that failed before its first request has one too."""
    assert repr(Trace()) == "Trace(0 requests; 0 input and 0 output tokens)"
    assert Trace.from_json(Trace().to_json()) == Trace() and "<table" in Trace()._repr_html_()
    assert list[Exchange](Trace()) == []
