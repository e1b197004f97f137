"""Every way in which an answer can go wrong, by name: what is written to the socket, and when. Pure."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache, partial
from typing import Final, TypeAlias

from .says import Said, Stop, chunk, error, event, events, head, response, streamed, whole

__all__ = ["CHAOS", "FAULTS", "ODD", "Act", "Asked", "Close", "Reset", "Wait", "good"]

STATUSES: Final = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in to the network</body></html>"
_MORE = (("verbosity_index", 3), ("provenance", {"signed": True, "chain": [1, 2]}))
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is written for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset."""


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is closed."""


Act: TypeAlias = bytes | Wait | Reset | Close


@dataclass(frozen=True, slots=True)
class Asked:
    """What would be answered if nothing were wrong, and how long the fault lasts."""

    said: Said
    streamed: bool
    seconds: float | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def lasts(self, default: float) -> float:
        """Seconds of the fault."""
        return default if self.seconds is None else self.seconds


Fault: TypeAlias = Callable[[Asked], Sequence[Act]]


def good(asked: Asked) -> list[bytes]:
    """What is written if nothing goes wrong."""
    if asked.streamed:
        return streamed(events(asked.said), asked.headers)
    return [response(whole(asked.said), headers=asked.headers)]


# What the model says.


def _texts(change: Callable[[str], str], asked: Asked) -> Sequence[Act]:
    return good(replace(asked, said=replace(asked.said, text=change(asked.said.text))))


def _off_schema(text: str) -> str:
    """The first property of the first item of the first list is of another type; without a list, that of the whole."""
    document = json.loads(text)
    items = next((each for each in document.values() if isinstance(each, list) and each), None)
    target = items[0] if items and isinstance(items[0], dict) else document
    target[next(iter(target))] = {"off": ["the", "schema"]}
    return json.dumps(document, ensure_ascii=False)


def _number(value: str, text: str) -> str:
    """The first number is another; without one, a property is added that nobody asked for."""
    changed, count = re.subn(r'(?<=": )-?\d+(\.\d+)?(?=[,}\]])', value, text, count=1)
    return changed if count else f'{{"number": {value}, {text[1:]}'


def _twice(text: str) -> str:
    """The first property stands there twice, with another value first."""
    name = json.dumps(next(iter(json.loads(text))))
    return f"{{{name}: [], {text[1:]}"


def _deep(text: str) -> str:
    return f'{{"deep": {"[" * 20_000}{"]" * 20_000}, {text[1:]}'


TEXTS: Final[dict[str, Callable[[str], str]]] = {
    "not_json": lambda text: "I would begin with two tables, one for the users and one for what they order.",
    "off_schema": _off_schema,
    "off_schema_whole": lambda text: '{"nothing": "of it"}',
    "fenced": lambda text: f"```json\n{text}\n```",
    "fenced_bare": lambda text: f"Here you are:\n\n```\n{text}\n```\n\nTell me if you want more.",
    "text_around": lambda text: f"Here is what you asked for:\n\n{text}\n\nTell me if you want more.",
    "empty": lambda text: "",
    "duplicate_keys": _twice,
    "nan": partial(_number, "NaN"),
    "infinity": partial(_number, "-Infinity"),
    "big_int": partial(_number, str(10**30)),
    "deep": _deep,
}


def _stops(stop: Stop, text: Callable[[str], str], asked: Asked) -> Sequence[Act]:
    return good(replace(asked, said=replace(asked.said, text=text(asked.said.text), stop=stop)))


STOPS: Final[dict[str, tuple[Stop, Callable[[str], str]]]] = {
    "truncated": ("truncated", lambda text: text[: len(text) * 7 // 10]),
    "truncated_early": ("truncated", lambda text: text[:12]),
    "refusal": ("refusal", lambda text: "I can't help with that."),
    "stop_unknown": ("unknown", lambda text: text),
}


# What the API says.


def _status(status: int, asked: Asked, *, message: str = "", kind: str = "", code: str | None = None) -> Sequence[Act]:
    """An error; a length is told in Retry-After."""
    headers = [] if asked.seconds is None else [("retry-after", f"{asked.seconds:g}")]
    if status in (502, 504):  # a gateway's own page
        return [response(_PAGE, status, headers=headers, content_type="text/html")]
    body = error(asked.said.api, status, message or f"The stub was told to answer {status}.", kind=kind, code=code)
    return [response(body, status, headers=[*headers, *asked.headers])]


def _later_by_date(asked: Asked) -> Sequence[Act]:
    """The same with a date: so many seconds after the one in the answer's own `Date`."""
    body = error(asked.said.api, 429, "Slow down.", kind="", code="rate_limit_exceeded")
    while True:
        now = datetime.now(UTC).replace(microsecond=0)
        at = format_datetime(now + timedelta(seconds=asked.lasts(30)), usegmt=True)
        told = response(body, 429, headers=[("retry-after", at)])
        if datetime.now(UTC).replace(microsecond=0) == now:  # else another second has begun in between
            return [told]


def _quota(asked: Asked) -> Sequence[Act]:
    if asked.said.api == "messages":
        return _status(400, asked, message="Your credit balance is too low to access the API.")
    words = "You exceeded your current quota, please check your plan and billing details."
    return _status(429, asked, message=words, kind="insufficient_quota", code="insufficient_quota")


def _no_model(asked: Asked) -> Sequence[Act]:
    if asked.said.api == "messages":
        return _status(404, asked, message=f"model: {asked.said.model}")
    words = f"The model `{asked.said.model}` does not exist or you do not have access to it."
    return _status(404, asked, message=words, code="model_not_found")


def _schema_refused(asked: Asked) -> Sequence[Act]:
    names = {"messages": "output_config.format", "responses": "text.format.schema", "chat": "response_format"}
    words = f"{names[asked.said.api]}: Schema is too complex for compilation."
    return _status(400, asked, message=words)


def _redirect(asked: Asked) -> Sequence[Act]:
    path = {"messages": "/v1/messages", "responses": "/v1/responses", "chat": "/v1/chat/completions"}[asked.said.api]
    return [response(b"", 307, headers=[("location", path)])]


def _no_content(asked: Asked) -> Sequence[Act]:
    name = {"messages": "content", "responses": "output", "chat": "choices"}[asked.said.api]
    if not asked.streamed:
        return [response(json.dumps(json.loads(whole(asked.said)) | {name: []}).encode())]
    frames = events(replace(asked.said, text=""))
    return streamed([each for each in frames if b"content_block" not in each and b"content_part" not in each])


def _unknown_fields(asked: Asked) -> Sequence[Act]:
    told = replace(asked, said=replace(asked.said, more=_MORE))
    if not asked.streamed:
        return good(told)
    first, *others = events(told.said)
    new = (
        [] if asked.said.api == "chat" else [event("hologram.begun", {"type": "hologram.begun", "sequence_number": 1})]
    )
    return streamed([first, *new, *others])


def _gzipped(asked: Asked) -> Sequence[Act]:
    headers = [("content-encoding", "gzip")]
    if asked.streamed:
        body = gzip.compress(b"".join(events(asked.said)))
        return streamed([body[at : at + 100] for at in range(0, len(body), 100)], headers)
    return [response(gzip.compress(whole(asked.said)), headers=headers)]


@lru_cache(1)
def _bomb() -> bytes:
    return gzip.compress(b"[" + b" " * 64_000_000 + b"]", 1)


def _gzip_bomb(asked: Asked) -> Sequence[Act]:
    kind = "text/event-stream" if asked.streamed else "application/json"
    return [response(_bomb(), headers=[("content-encoding", "gzip")], content_type=kind)]


def _huge(asked: Asked) -> Sequence[Act]:
    """Fifty million characters more in the last text of the answer, in large pieces."""
    at = asked.said.text.rindex('"', 0, -1)
    mark, piece, count = "HUGE", b"x" * _PIECE, 50_000_000 // _PIECE
    if not asked.streamed:
        said = replace(asked.said, text=f"{asked.said.text[:at]}{mark}{asked.said.text[at:]}")
        begin, _, end = whole(said).partition(mark.encode())
        return [head(length=len(begin) + count * _PIECE + len(end)), begin, *[piece] * count, end]
    first, *pieces, last = events(replace(asked.said, text=mark))
    grown = next(frame for frame in pieces if mark.encode() in frame).replace(mark.encode(), piece)
    return streamed([first, *(frame for frame in pieces if mark.encode() not in frame), *[grown] * count, last])


def _split(asked: Asked) -> Sequence[Act]:
    """Letters beyond ASCII, cut in their middle: a chunk ends after each seventh byte."""
    text = re.sub(r"_(?=\d{4})", "_ü€𝄞", asked.said.text)
    said = replace(asked.said, text=text)
    body = b"".join(events(said)) if asked.streamed else whole(said)
    kind = "text/event-stream" if asked.streamed else "application/json"
    pieces = [chunk(body[at : at + 7]) for at in range(0, len(body), 7)]
    return [head(length=None, content_type=kind), *pieces, chunk(b"")]


def _bad_utf8(asked: Asked) -> Sequence[Act]:
    said = replace(asked.said, text=asked.said.text.replace("_", "_\ue001", 1))
    bad = [each.replace("\ue001".encode(), b"\xff") for each in (events(said) if asked.streamed else [whole(said)])]
    return streamed(bad) if asked.streamed else [response(bad[0])]


def _typed(kind: str, asked: Asked) -> Sequence[Act]:
    return [response(b"".join(events(asked.said)) if asked.streamed else whole(asked.said), content_type=kind)]


# What the network does.


def _broken(end: Act, asked: Asked) -> Sequence[Act]:
    """Half of the answer, and then its end."""
    first, second = _halves(asked)
    return [*first, Wait(0.02), end] if second else [end]  # what was written must be out before the reset


def _halves(asked: Asked) -> tuple[list[bytes], list[bytes]]:
    acts = good(asked)
    if len(acts) == 1:
        at = len(acts[0]) // 2
        return [acts[0][:at]], [acts[0][at:]]
    return acts[: len(acts) // 2], acts[len(acts) // 2 :]


def _stalled(asked: Asked) -> Sequence[Act]:
    first, second = _halves(asked)
    return [*first, Wait(asked.lasts(3_600)), *second]


def _trickled(asked: Asked) -> Sequence[Act]:
    acts = good(asked)
    parts = acts if len(acts) > 1 else [acts[0][at : at + 256] for at in range(0, len(acts[0]), 256)]
    return [act for part in parts for act in (part, Wait(asked.lasts(0.01)))][:-1]


def _head_trickled(asked: Asked) -> Sequence[Act]:
    data = b"".join(good(asked))
    end = data.index(b"\r\n\r\n") + 4
    slow = [act for at in range(end) for act in (data[at : at + 1], Wait(asked.lasts(0.01)))]
    return [*slow, data[end:]]


def _error_event(asked: Asked, *, first: bool = False, rate: bool = False) -> Sequence[Act]:
    """An error in the stream, in its middle or before anything; without a stream, an error at once."""
    if not asked.streamed:
        return _status(429 if rate else 529, asked, message="Overloaded")
    kind, code = ("rate_limit_error", "rate_limit_exceeded") if rate else ("overloaded_error", "server_error")
    words = "Rate limit reached." if rate else "Overloaded"
    frame = {
        "messages": event("error", {"type": "error", "error": {"type": kind, "message": words}}),
        "responses": event(
            "error", {"type": "error", "code": code, "message": words, "param": None, "sequence_number": 9}
        ),
        "chat": b"data: " + error("chat", 500, words, code=code) + b"\n\n",
    }[asked.said.api]
    frames = events(asked.said)
    return streamed([*([] if first else frames[: len(frames) // 2]), frame])


def _no_end(asked: Asked) -> Sequence[Act]:
    """A stream that ends well, but without what the API ends it with."""
    if not asked.streamed:
        return _broken(Close(), asked)
    frames = events(asked.said)
    last = {"messages": b"message_delta", "responses": b"response.completed", "chat": b'"finish_reason":"stop"'}
    at = next(at for at, frame in enumerate(frames) if last[asked.said.api] in frame)
    return streamed(frames[:at])


FAULTS: Final[dict[str, Fault]] = {
    **{name: partial(_texts, change) for name, change in TEXTS.items()},
    **{name: partial(_stops, *how) for name, how in STOPS.items()},
    **{f"status_{status}": partial(_status, status) for status in STATUSES},
    "rate_limited": partial(_status, 429),
    "rate_limited_date": _later_by_date,
    "status_429_date": _later_by_date,
    "quota": _quota,
    "no_model": _no_model,
    "status_400_schema": _schema_refused,
    "redirect": _redirect,
    "no_content": _no_content,
    "no_usage": lambda asked: good(replace(asked, said=replace(asked.said, usage=False))),
    "unknown_fields": _unknown_fields,
    "gzip": _gzipped,
    "gzip_bomb": _gzip_bomb,
    "huge": _huge,
    "split_unicode": _split,
    "bad_utf8": _bad_utf8,
    "html": lambda asked: [response(_PAGE, content_type="text/html")],
    "text_plain": partial(_typed, "text/plain"),
    "empty_body": lambda asked: [response(b"")],
    "reset_head": lambda asked: [Reset()],
    "close_head": lambda asked: [Close()],
    "reset_body": partial(_broken, Reset()),
    "close_body": partial(_broken, Close()),
    "slow_first": lambda asked: [Wait(asked.lasts(3_600)), *good(asked)],
    "stall": _stalled,
    "trickle": _trickled,
    "trickle_head": _head_trickled,
    "error_event": _error_event,
    "error_event_first": partial(_error_event, first=True),
    "error_event_rate": partial(_error_event, rate=True),
    "stream_no_end": _no_end,
}
"""Name to what is written."""

CHAOS: Final = (
    *("status_500", "status_502", "status_503", "status_529", "rate_limited_50ms", "reset_head", "close_head"),
    *("reset_body", "close_body", "slow_first_100ms", "stall_100ms", "slow_first_60s", "stall_60s", "trickle_30ms"),
    *("error_event", "error_event_rate", "error_event_first", "stream_no_end", "empty_body", "html", "bad_utf8"),
    *("not_json", "off_schema", "off_schema_whole", "truncated", "truncated_early", "refusal", "empty", "no_content"),
    *("nan", "big_int", "duplicate_keys", "status_400", "quota"),
)
"""What goes wrong at random: faults that pass, faults that a repair heals, and faults that are final."""

ODD: Final = (
    "fenced",
    "fenced_bare",
    "text_around",
    "gzip",
    "split_unicode",
    "unknown_fields",
    "no_usage",
    "trickle_head_1ms",
)
"""What is right, and only looks wrong."""
