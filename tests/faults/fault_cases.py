"""One fault, met through the public face: what came of it, how many requests were seen, and in what time."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel
from stub import Stub, asked_of
from table import Api, Fails, Mode, Right, Row

import dbprompt
from dbprompt import Message, RetryPolicy, Role
from dbprompt.calls import pace
from dbprompt.calls.bounds import Bounds
from dbprompt.evidence import Finding, Severity

__all__ = ["APIS", "Met", "Tables", "checks", "judge", "meeting", "messages", "warm_up"]

APIS: tuple[Api, ...] = ("anthropic", "openai", "compatible")
A_DAY_S = 86_400
PATIENCE = 10
"""How much slower a busy machine may be than the quiet one that the table's times are of."""
_LABELS = itertools.count(1)


class Table(BaseModel):
    """One item."""

    name: str
    share: float
    size: int


class Tables(BaseModel):
    """What is asked for."""

    tables: list[Table]
    query: str


@dataclass(slots=True)
class Met:
    """A call to a stub that fails: how to make it, and how it ended.

    Args:
        options: of the client.
        model: as the stub counts it.
    """

    options: dict[str, Any]
    model: str
    end: Tables | Exception | None = None
    seconds: float = 0.0
    began_at: float = 0.0
    events: list[object] = field(default_factory=list)

    def begin(self) -> None:
        """The time counts from here: opening a client is not what is measured."""
        self.began_at = time.monotonic()


@contextmanager
def meeting(row: Row, api: Api, stub: Stub, patch: pytest.MonkeyPatch) -> Iterator[Met]:
    """The way to a stub that does what the row says; it notes how the block ends."""
    name = "stub" + row.size + (f"+{row.fault}" if row.fault else "") + f"~{next(_LABELS)}"
    options: dict[str, Any] = dict(asked_of(api, stub, name, patch))
    if row.nobody:
        patch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        options |= {"base_url": "http://127.0.0.1:9/v1"} if "base_url" in options else {}
    if row.answers:
        stub.script(name, answers=row.answers)
    options |= {
        "timeout_s": row.timeout_s,
        "retry": RetryPolicy(first_wait_s=0.005, longest_wait_s=0.01),
        "per_call": Bounds(deadline_s=row.deadline_s or 30),
    }
    patch.setattr(pace, "_FIRST_BARE_HOLD_S", 0.01)
    met = Met(options, name)
    met.begin()
    if row.clock_jumps:
        real = time.time
        jumps = itertools.count()
        patch.setattr(time, "time", lambda: real() + A_DAY_S * (-1) ** next(jumps))
    try:
        yield met
    except Exception as error:  # what it is, the row knows
        met.end = error
    met.seconds = time.monotonic() - met.began_at


def warm_up(stub: Stub, patch: pytest.MonkeyPatch) -> None:
    """Loads what a first call loads, on either path."""
    for api in APIS:
        for row in (Row("good"), Row("bad", "503*1"), Row("wrong", answers=("{}",), checked=True)):
            with meeting(row, api, stub, patch) as met, dbprompt.Client(**met.options) as client:
                client.run(messages(row), output=Tables, checks=checks(row))


def messages(row: Row) -> list[Message]:
    """What is asked."""
    return [Message(Role.USER, row.prompt)]


def checks(row: Row) -> list[Any]:
    """The checks of the answer."""
    return [_parses] if row.checked else []


def _parses(answer: Tables) -> list[Finding]:
    evidence = dbprompt.verify(answer.query, dialect="mysql")
    return [Finding(found.code, Severity.ERROR, "/query", found.message) for found in evidence.findings]


def judge(row: Row, api: Api, mode: Mode, met: Met, stub: Stub) -> None:
    """Holds the end to the row: type, content, requests, time; and nothing is left open."""
    end = row.end(api, mode)
    if isinstance(end, Right):
        if isinstance(met.end, Exception):
            raise met.end
        assert isinstance(met.end, Tables) and _as_said(met.end)
    else:
        _judge_error(end, met.end)
    assert stub.count(met.model) == end.requests
    assert row.after_s <= met.seconds <= PATIENCE * row.within_s
    assert _closed(stub), "a connection stays open"


def _judge_error(due: Fails, error: object) -> None:
    if not isinstance(error, Exception):
        pytest.fail(f"{due.kind.__name__} is due, not {error!r}")
    if type(error) is not due.kind:
        raise AssertionError(f"{due.kind.__name__} is due, not {error!r}") from error
    told = str(error)
    assert all(words in told for words in due.says), told
    assert len(told) < 4_000
    assert due.status is None or getattr(error, "status", None) == due.status
    assert due.retry_after is None or getattr(error, "retry_after", None) == due.retry_after
    findings = {(found.code, found.where) for found in getattr(error, "findings", ())}
    assert not due.finding or due.finding in {code for code, _ in findings}, findings
    assert not due.where or (due.finding, due.where) in findings, findings
    partial = getattr(error, "partial", None)
    if due.partial is not None:
        finished = partial.value.tables
        assert len(finished) >= due.partial and all(_is_right(each) for each in finished)


def _as_said(value: Tables) -> bool:
    """Whether this is what the stub said, every table of it."""
    return bool(value.tables) and all(_is_right(table) for table in value.tables)


def _is_right(table: Table) -> bool:
    name = re.fullmatch(r"(name|value)_(ü€𝄞)?\d{4}", table.name)
    return name is not None and table.size in (1, 2**63, 10**30) and table.share == 1.0


def _closed(stub: Stub) -> bool:
    """Whether all connections are closed, some moments later."""
    end = time.monotonic() + PATIENCE
    while stub.open_sockets() and time.monotonic() < end:
        time.sleep(0.005)
    return stub.open_sockets() == 0
