"""A provider that answers from a script: for tests of loops, and for people who test their own prompts."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from dbprompt.errors import RequestError
from dbprompt.messages import Json, Reply, Request, StopReason, Usage
from dbprompt.providers.base import estimate_tokens, in_pieces

__all__ = ["AsyncScriptedProvider", "Line", "ScriptedProvider"]

Said: TypeAlias = "str | Mapping[str, Json] | Reply | Exception"
Line: TypeAlias = "Said | Callable[[Request], Said]"
Lines: TypeAlias = "Sequence[Line] | Mapping[str, Sequence[Line]]"


class _Script:
    name = "scripted"
    offline = True

    def __init__(self, answers: Lines, *, model: str = "script") -> None:
        self.model = model
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._by_section = isinstance(answers, Mapping)
        lines: Mapping[str, Sequence[Line]] = answers if isinstance(answers, Mapping) else {"": answers}
        self._left: dict[str, Iterator[Line]] = {section: iter(said) for section, said in lines.items()}

    def _next(self, request: Request) -> Reply:
        section = request.origin.section if self._by_section else ""
        with self._lock:
            self.requests.append(request)
            count = len(self.requests)
            line = next(self._left.get(section, iter(())), None)
        if line is None:
            whose = f" for section {section!r}" if self._by_section else ""
            raise RequestError(f"The script has run out{whose}: request {count} ({request.origin}) has no answer.")
        said = line(request) if callable(line) else line
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Reply) else self._reply(request, said)

    def _reply(self, request: Request, said: str | Mapping[str, Json]) -> Reply:
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        asked = "".join(message.text for message in request.messages)
        usage = Usage(requests=1, input_tokens=estimate_tokens(asked), output_tokens=estimate_tokens(text))
        return Reply(text=text, stop=StopReason.COMPLETE, usage=usage, model=self.model)

    def _said(self, request: Request) -> Iterator[str | Reply]:
        reply = self._next(request)
        yield from in_pieces(reply.text)
        yield reply


class ScriptedProvider(_Script):
    """Answers in order, or by section name where sections are asked side by side; remembers `requests`.

    A line is a text, an object (sent as JSON), a `Reply`, an exception to raise, or a function of the request that
    gives one of these. Tokens are estimated as characters / 3.8.

    >>> from dbprompt.messages import OutputSchema, Request
    >>> provider = ScriptedProvider([{"answer": 42}])
    >>> provider.send(Request((), OutputSchema("answer", {"type": "object"}))).text
    '{"answer": 42}'
    """

    def send(self, request: Request) -> Reply:
        """The next line."""
        return self._next(request)

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """The next line in pieces of 16 characters."""
        return self._said(request)

    def close(self) -> None:
        """Nothing is open."""


class AsyncScriptedProvider(_Script):
    """The same, awaited."""

    async def send(self, request: Request) -> Reply:
        """The next line."""
        return self._next(request)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """The next line in pieces of 16 characters."""
        for piece in self._said(request):
            yield piece

    async def aclose(self) -> None:
        """Nothing is open."""
