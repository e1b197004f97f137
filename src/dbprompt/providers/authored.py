"""Answers written by a person, put on the wire as a provider would: how authored recordings are made."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import httpx2

from dbprompt.errors import RecordingError
from dbprompt.messages import Json
from dbprompt.providers.base import current_sending, estimate_tokens, in_pieces

__all__ = ["Answer", "authored_transport"]

Answer: TypeAlias = str | Mapping[str, Json]


def authored_transport(answers: Sequence[Answer] | Mapping[str, Sequence[Answer]]) -> httpx2.MockTransport:
    """A transport for `Tape.open(..., mode="record", provenance="authored", inner=...)` that gives these answers.

    Args:
        answers: in the order of the requests, or by section name, each in the order of its requests (sections that
            are asked side by side have no order between them).

    The bodies are those of Anthropic's Messages, OpenAI's Responses and chat completions, streamed where a stream is
    asked for, in pieces of 16 characters; tokens are estimated as characters / 3.8, which the recording says.
    """
    script = _Script(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        text, read = script.next(), estimate_tokens(request.content.decode())
        path = request.url.path
        if path.endswith("/messages"):
            whole = _message(body["model"], text, read)
            events = _message_events(whole, text)
        elif path.endswith("/responses"):
            whole = _response(body["model"], text, read)
            events = _response_events(whole, text)
        elif path.endswith("/chat/completions"):
            whole = _completion(body["model"], text, read)
            events = _completion_events(whole, text)
        else:
            raise RecordingError(f"Nobody knows how to author an answer for {path}.")
        return _streamed(events) if body.get("stream") else httpx2.Response(200, json=whole)

    return httpx2.MockTransport(answer)


class _Script:
    def __init__(self, answers: Sequence[Answer] | Mapping[str, Sequence[Answer]]) -> None:
        self._lock = threading.Lock()
        self._given = 0
        self._by_section = isinstance(answers, Mapping)
        sections: Mapping[str, Sequence[Answer]] = answers if isinstance(answers, Mapping) else {"": answers}
        self._left: dict[str, Iterator[Answer]] = {name: iter(texts) for name, texts in sections.items()}

    def next(self) -> str:
        sending = current_sending()
        section = sending.origin.section if self._by_section and sending else ""
        with self._lock:
            answer = next(self._left.get(section, iter(())), None)
            self._given += 1
        if answer is None:
            whose = f" of section {section!r}" if section else ""
            raise RecordingError(f"Request {self._given}{whose} has no authored answer: write one more.")
        return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


Event: TypeAlias = dict[str, object]


def _message(model: str, text: str, read: int) -> Event:
    return {
        "id": "msg_authored",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": read, "output_tokens": estimate_tokens(text)},
    }


def _streamed(events: Iterable[Event]) -> httpx2.Response:
    lines = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" if "type" in e else _chunk(e) for e in events)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=lines.encode())


def _chunk(event: Event) -> str:
    """A line of chat completions, which have no types of events and a word at their end."""
    return f"data: {json.dumps(event) if event else '[DONE]'}\n\n"


def _message_events(message: Event, text: str) -> Iterator[Event]:
    usage = message["usage"]
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for piece in in_pieces(text):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


def _response_events(response: Event, text: str) -> Iterator[Event]:
    where = {"item_id": "msg_authored", "output_index": 0, "content_index": 0}
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": [], "usage": None}}
    for piece in in_pieces(text):
        yield {"type": "response.output_text.delta", **where, "delta": piece}
    yield {"type": "response.completed", "response": response}


def _completion_events(completion: Event, text: str) -> Iterator[Event]:
    head = {**completion, "object": "chat.completion.chunk", "usage": None}
    for piece in in_pieces(text):
        yield {**head, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**head, "choices": [], "usage": completion["usage"]}
    yield {}


def _response(model: str, text: str, read: int) -> Event:
    written = estimate_tokens(text)
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "msg_authored", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "id": "resp_authored",
        "object": "response",
        "created_at": 0,
        "model": model,
        "status": "completed",
        "output": [item],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }


def _completion(model: str, text: str, read: int) -> Event:
    written = estimate_tokens(text)
    return {
        "id": "chatcmpl-authored",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }
