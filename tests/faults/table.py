"""What goes wrong between us and a model, and what the caller gets for it. `docs/faults.md` is written from this."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from dbprompt.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DbpromptError,
    DeadlineError,
    QuotaError,
    RateLimitError,
    RefusedError,
    RequestError,
    ServerError,
    TruncatedError,
    UnknownModelError,
    UnprovenError,
)

__all__ = ["ROWS", "TRIES", "Api", "End", "Fails", "Mode", "Right", "Row"]

Api: TypeAlias = Literal["anthropic", "openai", "compatible"]
Mode: TypeAlias = Literal["whole", "streamed"]

TRIES: Final = 4
"""Requests in all where a fault may pass (`RetryPolicy.attempts`), and where an answer may be mended (3 repairs)."""

TIMEOUT_S: Final = 0.5
DEADLINE_S: Final = 0.8


@dataclass(frozen=True, slots=True)
class Right:
    """The right object, after so many requests."""

    requests: int = 1


@dataclass(frozen=True, slots=True)
class Fails:
    """An error.

    Args:
        kind: exactly which.
        requests: how many the server saw.
        says: words of its message.
        status: the HTTP status that it carries.
        retry_after: the wait that it carries, in seconds.
        finding: the code of a finding that it carries.
        where: where that finding points.
        partial: how many finished items `error.partial` holds at least; None is no partial.
    """

    kind: type[DbpromptError]
    requests: int = 1
    says: tuple[str, ...] = ()
    status: int | None = None
    retry_after: float | None = None
    finding: str = ""
    where: str = ""
    partial: int | None = None


End: TypeAlias = Right | Fails


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    Args:
        name: what happens, as a reader of the docs knows it.
        fault: what the stub is told to do (`benchmarks/stub/faults.py`); empty is nothing.
        whole: how a call without a stream ends.
        streamed: how a streamed one ends, if otherwise.
        but: what ends otherwise with one API, by `api` or `api/mode`.
        within_s: the longest that it takes where nothing else runs.
        after_s: the shortest that it may take.
        sizes: what the answer has in the way of characters; more of it makes halves of it hold finished items.
        answers: texts that the model says instead of its own, one a request; the last one stays.
        deadline_s: of the call.
        prompt: what is asked.
        nobody: whether nobody listens at the address.
        checked: whether the SQL in the answer is checked.
        clock_jumps: whether the wall clock jumps a day ahead while the call runs.
    """

    name: str
    fault: str = ""
    whole: End = field(default_factory=Right)
    streamed: End | None = None
    but: Mapping[str, End] = field(default_factory=dict)
    within_s: float = 1.0
    after_s: float = 0.0
    size: str = ""
    answers: tuple[str, ...] = ()
    deadline_s: float | None = None
    timeout_s: float = 20.0
    prompt: str = "Which tables?"
    nobody: bool = False
    checked: bool = False
    clock_jumps: bool = False

    def end(self, api: Api, mode: Mode) -> End:
        """How a call ends."""
        usual = self.whole if mode == "whole" or self.streamed is None else self.streamed
        return self.but.get(f"{api}/{mode}", self.but.get(api, usual))


def tables(*names: str, size: str = "1", query: str = "SELECT 1") -> str:
    """An answer, as a model writes it."""
    items = ", ".join(f'{{"name": {json.dumps(name)}, "share": 1.0, "size": {size}}}' for name in names)
    return f'{{"tables": [{items}], "query": {json.dumps(query)}}}'


GOOD: Final = tables("value_0001")
WRONG_SQL: Final = tables("value_0001", query="SELECT name FROM")


def _mended(name: str, fault: str, finding: str, *, chat: Mapping[str, End] | None = None) -> tuple[Row, Row]:
    """A wrong answer is sent back: once, and until the repairs are used up (chat completions may end otherwise)."""
    fails = Fails(UnprovenError, TRIES, finding=finding)
    return (
        Row(f"{name}, once", f"{fault}*1", Right(2)),
        Row(f"{name}, for ever", fault, fails, but=chat or {}),
    )


ANSWERS: Final = (
    *_mended("not JSON", "not-json", "answer.malformed"),
    *_mended("one item off schema", "off-schema", "shape.missing"),
    *_mended("nothing on schema", "off-schema-whole", "shape.missing"),
    Row("JSON in a code fence", "fenced"),
    Row("JSON in a fence, words around it", "fenced-bare"),
    Row("JSON with words around it", "text-around"),
    Row(
        "two JSON objects",
        answers=(f"{GOOD}\n\nOr, better:\n\n{GOOD}", GOOD),
        whole=Right(2),
    ),
    Row("valid JSON with wrong SQL, once", answers=(WRONG_SQL, GOOD), whole=Right(2), checked=True),
    Row(
        "valid JSON with wrong SQL, for ever",
        answers=(WRONG_SQL,),
        whole=Fails(UnprovenError, TRIES, finding="sql.unparsed", where="/query"),
        checked=True,
    ),
    Row(
        "cut off at the limit, some items finished",
        "truncated",
        Fails(TruncatedError, says=("cut off", "max_output_tokens")),
        Fails(TruncatedError, says=("cut off", "max_output_tokens"), partial=3),
        size="-1kb",
    ),
    Row(
        "cut off at the limit, nothing finished",
        "truncated-early",
        Fails(TruncatedError, says=("cut off", "max_output_tokens")),
    ),
    Row("a refusal", "refusal", Fails(RefusedError, says=("I can't help with that",))),
    *_mended("an empty answer", "empty", "answer.empty"),
    *_mended(
        "an answer without content",
        "no-content",
        "answer.empty",
        chat={  # a completion without a choice is no answer; a stream without one is an empty text
            "compatible/whole": Fails(ServerError, TRIES, says=("without a choice",)),
            "compatible/streamed": Fails(ServerError, 1 + TRIES, says=("without a choice",)),
        },
    ),
    *_mended("one key twice in an object", "duplicate-keys", "answer.contradicts"),
    *_mended("NaN", "nan", "answer.malformed"),
    *_mended("Infinity", "infinity", "answer.malformed"),
    Row("a number beyond int64", answers=(tables("value_0001", "value_0002", size=str(2**63)),)),
    Row(
        "a number beyond any float",
        answers=(GOOD.replace("1.0", "1e999"), GOOD),
        whole=Right(2),
    ),
    *_mended("20,000 brackets deep", "deep", "answer.malformed"),
    Row(
        "half of a letter (a lone surrogate)",
        answers=(GOOD.replace("value_0001", "\\ud83d"), GOOD),
        whole=Right(2),
    ),
)

_FOR_EVER = {
    "500": "fails, 500",
    "502": "a gateway's page, 502",
    "503": "unavailable, 503",
    "529": "overloaded, 529",
}

STATUSES: Final = (
    Row("400", "400", Fails(RequestError, status=400, says=("refused the request",))),
    Row("400 that blames the schema, once", "400-schema*1", Right(2)),
    Row(
        "400 that blames the schema, for ever",
        "400-schema",
        Fails(RequestError, 2, status=400),
        but={"compatible": Fails(RequestError, 3, status=400)},  # two response formats, then in words
    ),
    Row("401", "401", Fails(AuthenticationError, status=401, says=("api_key",))),
    Row("403", "403", Fails(AuthenticationError, status=403, says=("api_key",))),
    Row("404", "404", Fails(RequestError, status=404, says=("base_url",))),
    Row("404: no such model", "no-model", Fails(UnknownModelError, status=404, says=("is not known",))),
    Row("408, once", "408*1", Right(2)),
    Row("409, once", "409*1", Right(2)),
    Row("413", "413", Fails(RequestError, status=413)),
    Row("422", "422", Fails(RequestError, status=422)),
    Row("429, Retry-After in seconds, once", "429-0.1s*1", Right(2), after_s=0.1),
    Row("429, Retry-After as a date, once", "429-date-1s*1", Right(2), after_s=0.9, within_s=2.0),
    Row("429 without Retry-After, once", "429*1", Right(2)),
    Row("429 without Retry-After, for ever", "429", Fails(RateLimitError, TRIES, status=429)),
    Row(
        "429, Retry-After: 30 under a shorter deadline",
        "429-30s",
        Fails(RateLimitError, 1, status=429, retry_after=30, says=("30 s", "deadline")),
        deadline_s=10,
        within_s=1.0,
    ),
    Row("429: quota used up", "quota", Fails(QuotaError, says=("no credit left",))),
    *(Row(f"{words}, once", f"{status}*1", Right(2)) for status, words in _FOR_EVER.items()),
    *(
        Row(f"{words}, for ever", status, Fails(ServerError, TRIES, status=int(status), says=("4 attempts",)))
        for status, words in _FOR_EVER.items()
    ),
    Row("a redirect", "redirect", Fails(RequestError, status=307, says=("leads elsewhere", "base_url"))),
)

BROKE_OFF = Fails(ConnectionFailedError, 1, says=("broke off",), partial=3)

NETWORK: Final = (
    Row("nobody listens", nobody=True, whole=Fails(ConnectionFailedError, 0, says=("4 attempts",))),
    Row("reset before the headers, once", "reset-head*1", Right(2)),
    Row("reset before the headers, for ever", "reset-head", Fails(ConnectionFailedError, TRIES)),
    Row("closed before the headers, once", "close-head*1", Right(2)),
    Row("reset in the body or stream, once", "reset-body*1", Right(2), BROKE_OFF, size="-1kb"),
    Row("reset in the body, for ever", "reset-body", Fails(ConnectionFailedError, TRIES), BROKE_OFF, size="-1kb"),
    Row("closed in the body or stream, once", "close-body*1", Right(2), BROKE_OFF, size="-1kb"),
    Row("a stream that ends without its last event", "stream-no-end*1", Right(2), BROKE_OFF, size="-1kb"),
    Row("a slow first byte, within timeout_s", "slow-first-100ms", after_s=0.1),
    Row(
        "a first byte slower than timeout_s",
        "slow-first-5s",
        Fails(DeadlineError, says=("timeout_s",)),
        timeout_s=TIMEOUT_S,
        after_s=TIMEOUT_S - 0.02,
        within_s=2.0,
    ),
    Row(
        "a stall in the middle, longer than timeout_s",
        "stall-5s",
        Fails(DeadlineError, says=("timeout_s",)),
        Fails(DeadlineError, says=("timeout_s",), partial=3),
        size="-1kb",
        timeout_s=TIMEOUT_S,
        after_s=TIMEOUT_S - 0.02,
        within_s=2.0,
    ),
    Row(
        "a body that trickles past the deadline",
        "trickle-50ms",
        Fails(DeadlineError, says=("deadline",)),
        Fails(DeadlineError, says=("deadline",)),
        size="-10kb",
        deadline_s=DEADLINE_S,
        after_s=DEADLINE_S - 0.05,
        within_s=DEADLINE_S + 0.4,
    ),
    Row(
        "headers that trickle past the deadline",
        "trickle-head-50ms",
        Fails(DeadlineError, says=("deadline",)),
        deadline_s=DEADLINE_S,
        after_s=DEADLINE_S - 0.05,
        within_s=DEADLINE_S + 0.4,
    ),
    Row(
        "an error event before the first piece, once",
        "error-event-first*1",
        Right(2),
    ),
    Row(
        "an error event in the middle of a stream",
        "error-event",
        Fails(ServerError, TRIES, status=529, says=("Overloaded",)),
        Fails(ServerError, says=("Overloaded",), partial=3),
        size="-1kb",
    ),
    Row(
        "a rate limit in the middle of a stream",
        "error-event-rate",
        Fails(RateLimitError, TRIES, status=429),
        Fails(RateLimitError, says=("Rate limit",), partial=3),
        size="-1kb",
    ),
)

BODIES: Final = (
    Row("gzip", "gzip"),
    Row("an answer of 50 MB", "huge", Fails(ServerError, says=("larger than", "max_output_tokens")), within_s=2.0),
    Row("gzip that unpacks to 64 MB", "gzip-bomb", Fails(ServerError, says=("larger than",)), within_s=2.0),
    Row("letters split across chunks", "split-unicode"),
    Row("a byte that is no UTF-8", "bad-utf8*1", Right(2)),
    Row("a web page with status 200", "html", Fails(ServerError, TRIES)),
    Row("the right body as text/plain", "text-plain", streamed=Fails(ServerError, TRIES, says=("text/plain",))),
    Row("an empty body, once", "empty-body*1", Right(2)),
    Row("an empty body, for ever", "empty-body", Fails(ServerError, TRIES)),
    Row(
        "an unknown stop reason",
        "stop-unknown",
        but={"openai": Fails(TruncatedError)},  # there it is a reason for being incomplete
    ),
    Row("unknown fields and events", "unknown-fields"),
    Row("no usage", "no-usage"),
)

OURSELVES: Final = (
    Row(
        "the wall clock jumps a day ahead, and back",
        "429-date-1s*1",
        Right(2),
        deadline_s=10,
        after_s=0.9,
        within_s=2.0,
        clock_jumps=True,
    ),
    Row(
        "half of a letter in the prompt",
        prompt="Which tables? \ud83d",
        whole=Fails(RequestError, 0, says=("surrogates",)),
    ),
)

GROUPS: Final[Mapping[str, tuple[Row, ...]]] = {
    "What the model says": ANSWERS,
    "What the API says": STATUSES,
    "What the network does": NETWORK,
    "What a body is made of": BODIES,
    "What is wrong on our side": OURSELVES,
}

ROWS: Final[tuple[Row, ...]] = tuple(row for rows in GROUPS.values() for row in rows)
