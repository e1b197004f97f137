"""The log: each request, step, wait and repair, under "dbprompt"; nothing that was said, and no key."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dbprompt import (
    Brief,
    Client,
    Message,
    QuotaError,
    RateLimitError,
    RequestError,
    RetryPolicy,
    Role,
    ScriptedProvider,
    ServerError,
)

ROOT = Path(__file__).parents[1]
TAPE = ROOT / "evals/recordings/postgres/marketplace.database_architect.json"
KEY = "sk-ant-0123456789abcdef"
ASK = [Message(Role.USER, "Titles for the Quince & Sons shop?")]


class Title(BaseModel):
    title: str


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="dbprompt")


def ours(caplog: pytest.LogCaptureFixture, level: int = logging.DEBUG) -> list[str]:
    """What was said under "dbprompt", at this level or above."""
    return [one.getMessage() for one in caplog.records if one.name.startswith("dbprompt") and one.levelno >= level]


def test_a_whole_design_says_nothing_of_anybody(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    """With DEBUG on: no word of the brief beyond our own, no SQL, no name of a table, no key."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    brief = Brief.load(ROOT / "examples/marketplace.yaml")
    with Client("anthropic:claude-opus-4-8", recording=TAPE) as client:
        result = client.design(brief)
    said = "\n".join(f"{one.name} {one.getMessage()} {one.exc_text or ''}" for one in caplog.records)
    assert len(ours(caplog)) >= 2 * result.usage.requests and result.design.schema is not None
    known = {"section", "schema", "views"}
    hidden = {table.name for table in result.design.schema.tables} | {brief.app_name} | {q.id for q in brief.queries}
    told = {name for name in hidden - known if re.search(rf"\b{re.escape(name)}\b", said)}
    assert not told and KEY not in said
    assert not re.search(r"(?i)\b(create|select|alter|insert|references)\b \w", said)


def test_each_request_and_what_came_of_it_is_in_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    """Who was asked, how it ended, how long it took and what it cost."""
    with Client(ScriptedProvider([{"title": "x"}])) as client:
        client.run(ASK, output=Title)
    asked, answered = [one for one in ours(caplog) if "scripted:script" in one]
    assert asked == "answer: asks scripted:script (request 1)"
    assert re.fullmatch(
        r"answer: scripted:script answered in \d\.\d\d s \(complete\), \d+ input and 4 output tokens", answered
    )
    assert not ours(caplog, logging.INFO)


def test_a_repair_is_told_with_its_codes(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO: how many findings, and which; their words quote the answer and stay out."""
    with Client(ScriptedProvider([{"titel": "Quince"}, {"title": "Quince"}])) as client:
        client.run(ASK, output=Title)
    (told,) = ours(caplog, logging.INFO)
    assert told.startswith("answer: asks for a repair, 1 finding: ") and "Quince" not in told


def test_a_wait_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO, without the words of the provider."""
    lines: list[Any] = [RateLimitError("Quince is too much", status=429, retry_after=0.02), {"title": "x"}]
    script = ScriptedProvider(lines)
    script.offline = False  # where nothing answers over a network, nothing is waited for
    with Client(script) as client:
        answer = client.run(ASK, output=Title)
    told = ours(caplog, logging.INFO)
    assert told[0] == "waits 0.02 s: RateLimitError 429" and "Quince" not in "".join(ours(caplog))
    assert answer.trace is not None and answer.trace[1].waited_s >= 0.02


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ServerError("overloaded: Quince", status=529), logging.INFO),
        (QuotaError("pay: Quince", status=429), logging.WARNING),
    ],
)
def test_a_fallback_is_told(caplog: pytest.LogCaptureFixture, error: Exception, level: int) -> None:
    """At WARNING where the first model answers no sooner tomorrow unless somebody acts."""
    first, second = ScriptedProvider([error], model="one"), ScriptedProvider([{"title": "x"}], model="two")
    with Client([first, second], retry=RetryPolicy(attempts=1)) as client:
        client.run(ASK, output=Title)
    (told,) = [one for one in caplog.records if "instead" in one.getMessage()]
    assert told.levelno == level and "Quince" not in told.getMessage()
    assert told.getMessage().startswith("scripted:one did not answer (") and "asks scripted:two" in told.getMessage()


def test_a_schema_that_is_not_taken_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """It costs a second request each time, so somebody may want to know."""
    lines: list[Any] = [RequestError("The compiled grammar is too large", status=400), {"title": "x"}]
    with Client(ScriptedProvider(lines)) as client:
        client.run(ASK, output=Title)
    assert ours(caplog, logging.INFO) == ["answer: the schema was not taken (RequestError 400), so it is said in words"]


def test_nothing_is_printed_unless_somebody_listens() -> None:
    """A library configures no logging: without a handler of the user's, not even a warning reaches stderr."""
    code = (
        "import logging, dbprompt.calls.seeing as s; from dbprompt import QuotaError\n"
        "s.Seeing().falls_back('a:b', 'c:d', QuotaError('no'))\n"
        "print(logging.root.handlers, [type(h).__name__ for h in logging.getLogger('dbprompt').handlers])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[] ['NullHandler']\n", "")
