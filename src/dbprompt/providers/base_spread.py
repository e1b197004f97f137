"""One HTTP transport over many small ones: with hundreds of requests in flight, one pool of connections is slow.

A pool looks at each of its connections twice a request. With 200 in flight that is a third of what a call costs; over
pools of a few connections each it is nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx2

from dbprompt.providers.base_fork import anew_in_a_child

__all__ = ["SIDE_BY_SIDE", "AsyncSpread"]

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 8
"""Requests that one transport has under way before the next one takes over."""

MOST_PARTS = 125
"""Transports: a thousand requests under way, as the SDKs' own clients have it. Beyond that they queue."""

UNUSED_S = 60.0
"""How long a transport is kept that nobody needed: its connections end with it."""


@dataclass(eq=False, slots=True)
class _Part:
    """One of the transports."""

    transport: httpx2.AsyncBaseTransport
    busy: int = 0
    used_at: float = field(default_factory=time.monotonic)


class AsyncSpread(httpx2.AsyncBaseTransport):
    """Gives each request to the first transport that has room, and makes one where none has.

    Args:
        make: makes a transport.
    """

    def __init__(self, make: Callable[[], httpx2.AsyncBaseTransport]) -> None:
        self._make = make
        self._parts: list[_Part] = []
        anew_in_a_child(self)

    def begin_anew(self) -> None:
        """In a forked child: transports of its own. The parent's are not closed, as its loop watches them."""
        self._parts = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response of one of them; its place is free again when the response is closed."""
        await self._drop_unused()  # before there is a response that would have to be closed if this were cancelled
        part = self._with_room()
        part.busy += 1
        try:
            response = await part.transport.handle_async_request(request)
        except BaseException:
            part.busy -= 1
            raise
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101  what an async transport gives
        response.stream = _Counted(stream, part)
        return response

    def _with_room(self) -> _Part:
        for part in self._parts:
            if part.busy < SIDE_BY_SIDE:
                return part
        if len(self._parts) >= MOST_PARTS:
            return min(self._parts, key=lambda part: part.busy)
        part = _Part(self._make())
        self._parts.append(part)
        return part

    async def _drop_unused(self) -> None:
        """Closes the last one once nobody has needed it for a while; those before it are used first."""
        if len(self._parts) < 2:
            return
        last = self._parts[-1]
        if not last.busy and time.monotonic() - last.used_at > UNUSED_S:
            self._parts.pop()
            try:
                await last.transport.aclose()
            except Exception as error:  # no harm to the request that comes now
                log.debug("Connections that nobody needed could not be closed: %s", type(error).__name__)

    async def aclose(self) -> None:
        """Closes them all."""
        parts, self._parts = self._parts, []
        for part in parts:
            await part.transport.aclose()


class _Counted(httpx2.AsyncByteStream):
    """A body that says when it is closed."""

    def __init__(self, inner: httpx2.AsyncByteStream, part: _Part) -> None:
        self._inner = inner
        self._part: _Part | None = part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            yield piece

    async def aclose(self) -> None:
        part, self._part = self._part, None
        try:
            await self._inner.aclose()
        finally:  # only now its connection can be had again
            if part is not None:
                part.busy -= 1
                part.used_at = time.monotonic()
