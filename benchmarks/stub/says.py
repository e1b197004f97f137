"""What the three APIs say, as bytes: whole answers, streams, errors and headers. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any, Literal, TypeAlias

__all__ = [
    "DELTA",
    "Api",
    "Said",
    "chunk",
    "error",
    "event",
    "events",
    "head",
    "limit_headers",
    "response",
    "streamed",
    "whole",
]

Api: TypeAlias = Literal["messages", "responses", "chat"]
Json: TypeAlias = dict[str, Any]
Stop: TypeAlias = Literal["complete", "truncated", "refusal", "unknown"]

DELTA = 16
"""Characters of a piece of a stream."""

_LAST_CHUNK = b"0\r\n\r\n"
_STATUS_WORDS = {200: "OK", 302: "Found", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}
_ANTHROPIC_STOPS = {"complete": "end_turn", "truncated": "max_tokens", "refusal": "refusal", "unknown": "napping"}
_CHAT_STOPS = {"complete": "stop", "truncated": "length", "refusal": "stop", "unknown": "napping"}
_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class Said:
    """An answer.

    Args:
        api: whose words.
        model: who says it.
        text: what; of a refusal its reason.
        stop: why it ends.
        input_tokens: all of the prompt; `cached_tokens` and `written_tokens` are parts of it.
        usage: whether tokens are told.
        more: further fields of the body, as an API grows them.
    """

    api: Api
    model: str
    text: str
    stop: Stop = "complete"
    input_tokens: int = 100
    cached_tokens: int = 0
    written_tokens: int = 0
    usage: bool = True
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def output_tokens(self) -> int:
        """Tokens of the text."""
        return max(1, len(self.text) * 10 // 38)


def whole(said: Said) -> bytes:
    """The body of an answer that is sent in one piece."""
    made = {"messages": _message, "responses": _response, "chat": _completion}[said.api](said)
    return _json(made | dict(said.more))


def events(said: Said) -> list[bytes]:
    """The frames of an answer that is streamed, each with its event."""
    return {"messages": _message_events, "responses": _response_events, "chat": _chunks}[said.api](said)


def error(api: Api, status: int, message: str, *, kind: str = "", code: str | None = None) -> bytes:
    """The body of a refusal."""
    if api == "messages":
        kind = kind or _ANTHROPIC_ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return _json({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_stub"})
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    return _json({"error": {"message": message, "type": kind, "param": None, "code": code}})


def event(kind: str, data: Json) -> bytes:
    """One frame of a stream."""
    return b"event: " + kind.encode() + b"\ndata: " + _json(data) + b"\n\n"


def head(
    status: int = 200,
    *,
    length: int | None,
    headers: Iterable[tuple[str, str]] = (),
    content_type: str = "application/json",
) -> bytes:
    """The head of a response; without a length it comes in chunks."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = (
        f"HTTP/1.1 {status} {_STATUS_WORDS.get(status, 'Unknown')}",
        f"date: {formatdate(usegmt=True)}",
        f"content-type: {content_type}",
        framing,
        "request-id: req_stub",
        "x-request-id: req_stub",
        *(f"{name}: {value}" for name, value in headers),
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def response(body: bytes, status: int = 200, **told: Any) -> bytes:
    """A whole response."""
    return head(status, length=len(body), **told) + body


def chunk(data: bytes) -> bytes:
    """A piece of a response that comes in chunks; nothing is the end."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else _LAST_CHUNK


def streamed(frames: Iterable[bytes], headers: Iterable[tuple[str, str]] = ()) -> list[bytes]:
    """A response whose frames are sent as they are said: its head, a chunk for each, its end."""
    begin = head(length=None, headers=headers, content_type="text/event-stream; charset=utf-8")
    return [begin, *map(chunk, frames), _LAST_CHUNK]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _pieces(text: str) -> list[str]:
    return [text[at : at + DELTA] for at in range(0, len(text), DELTA)]


def _message(said: Said) -> Json:
    refused = said.stop == "refusal"
    return {
        "model": said.model,
        "id": "msg_stub",
        "type": "message",
        "role": "assistant",
        "content": [] if refused else [{"type": "text", "text": said.text}],
        "stop_reason": _ANTHROPIC_STOPS[said.stop],
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": "cyber", "explanation": said.text} if refused else None,
        "usage": _message_usage(said, said.output_tokens),
    }


def _message_usage(said: Said, output: int) -> Json:
    if not said.usage:
        return {"input_tokens": 0, "output_tokens": 0}
    return {
        "input_tokens": said.input_tokens - said.cached_tokens - said.written_tokens,
        "cache_creation_input_tokens": said.written_tokens,
        "cache_read_input_tokens": said.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": said.written_tokens, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _message_events(said: Said) -> list[bytes]:
    whole = _message(said)
    begun = whole | {"content": [], "stop_reason": None, "stop_details": None, "usage": _message_usage(said, 1)}
    pieces = [] if said.stop == "refusal" else _pieces(said.text)
    deltas = [
        event(
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}},
        )
        for piece in pieces
    ]
    last = {key: whole[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    return [
        event("message_start", {"type": "message_start", "message": begun}),
        event("content_block_start", block),
        event("ping", {"type": "ping"}),
        *deltas,
        event("content_block_stop", {"type": "content_block_stop", "index": 0}),
        event(
            "message_delta", {"type": "message_delta", "delta": last, "usage": {"output_tokens": said.output_tokens}}
        ),
        event("message_stop", {"type": "message_stop", **dict(said.more)}),
    ]


def _response(said: Said) -> Json:
    cut = {"truncated": "max_output_tokens", "unknown": "napping"}.get(said.stop)
    status = "incomplete" if cut else "completed"
    return {
        "id": "resp_stub",
        "object": "response",
        "created_at": 1795334400,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": cut} if cut else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": said.model,
        "output": [_item(said, status, _part(said, said.text))],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _response_usage(said),
        "user": None,
        "metadata": {},
    }


def _item(said: Said, status: str, *content: Json) -> Json:
    return {"id": "msg_stub", "type": "message", "status": status, "content": list(content), "role": "assistant"}


def _part(said: Said, text: str) -> Json:
    if said.stop == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _response_usage(said: Said) -> Json | None:
    if not said.usage:
        return None
    return {
        "input_tokens": said.input_tokens,
        "input_tokens_details": {"cached_tokens": said.cached_tokens, "cache_write_tokens": said.written_tokens},
        "output_tokens": said.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": said.input_tokens + said.output_tokens,
    }


def _response_events(said: Said) -> list[bytes]:
    whole = _response(said)
    begun = whole | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    kind = "refusal" if said.stop == "refusal" else "output_text"
    where = {"item_id": "msg_stub", "output_index": 0, "content_index": 0}
    extra = {} if kind == "refusal" else {"logprobs": []}
    told: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": _item(said, "in_progress")},
        {"type": "response.content_part.added", **where, "part": _part(said, "")},
        *({"type": f"response.{kind}.delta", **where, "delta": piece, **extra} for piece in _pieces(said.text)),
        {"type": f"response.{kind}.done", **where, "refusal" if kind == "refusal" else "text": said.text, **extra},
        {"type": "response.content_part.done", **where, "part": _part(said, said.text)},
        {"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]},
        {
            "type": "response.incomplete" if whole["incomplete_details"] else "response.completed",
            "response": whole | dict(said.more),
        },
    ]
    return [event(each["type"], each | {"sequence_number": at}) for at, each in enumerate(told)]


def _completion(said: Said) -> Json:
    refused = said.stop == "refusal"
    message = {
        "role": "assistant",
        "content": None if refused else said.text,
        "refusal": said.text if refused else None,
        "annotations": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _CHAT_STOPS[said.stop]}
    return _named(said, "chat.completion", [choice]) | ({"usage": _chat_usage(said)} if said.usage else {})


def _named(said: Said, kind: str, choices: list[Json]) -> Json:
    return {
        "id": "chatcmpl-stub",
        "object": kind,
        "created": 1795334400,
        "model": said.model,
        "choices": choices,
        "service_tier": "default",
        "system_fingerprint": "fp_stub",
    }


def _chat_usage(said: Said) -> Json:
    return {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.input_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chunks(said: Said) -> list[bytes]:
    """Chat completions: usage is told whether or not it was asked for, as most servers do."""
    key = "refusal" if said.stop == "refusal" else "content"
    deltas: list[Json] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{key: piece} for piece in _pieces(said.text)]
    ends: list[str | None] = [None] * len(deltas) + [_CHAT_STOPS[said.stop]]
    told = [
        _named(
            said,
            "chat.completion.chunk",
            [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}],
        )
        for delta, end in zip([*deltas, {}], ends, strict=True)
    ]
    if said.usage:
        told.append(_named(said, "chat.completion.chunk", []) | {"usage": _chat_usage(said)} | dict(said.more))
    return [*(b"data: " + _json(each) + b"\n\n" for each in told), b"data: [DONE]\n\n"]


def limit_headers(api: Api, limits: Mapping[str, tuple[int, float, float]]) -> list[tuple[str, str]]:
    """Rate-limit headers: for `requests` and `tokens` the limit, what is left, and the seconds until all is there."""
    told = []
    for name, (limit, left, reset) in limits.items():
        if api == "messages":
            at = (datetime.now(UTC) + timedelta(seconds=reset)).isoformat(timespec="seconds").replace("+00:00", "Z")
            told += [
                (f"anthropic-ratelimit-{name}-limit", str(limit)),
                (f"anthropic-ratelimit-{name}-remaining", str(max(0, int(left)))),
                (f"anthropic-ratelimit-{name}-reset", at),
            ]
        else:
            told += [
                (f"x-ratelimit-limit-{name}", str(limit)),
                (f"x-ratelimit-remaining-{name}", str(max(0, int(left)))),
                (f"x-ratelimit-reset-{name}", f"{reset * 1000:.0f}ms" if reset < 1 else f"{reset:.3f}s"),
            ]
    return told
