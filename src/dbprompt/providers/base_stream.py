"""How an answer is read while it is written: server-sent events in, pieces of text and the reply out.

The SDKs' own helpers collect everything that they have read at each event; a `Listener` keeps only what a reply needs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, closing, contextmanager
from typing import Protocol

import httpx2

from dbprompt.errors import DeadlineError, RecordingError, ServerError
from dbprompt.messages import RateLimits, Reply
from dbprompt.providers.base import before, time_left
from dbprompt.providers.base_bodies import Body, checked, read
from dbprompt.providers.base_limits import limits_of

__all__ = ["DONE", "AsyncEvents", "Events", "Listener", "alisten", "listen"]

log = logging.getLogger(__name__)

DONE: Body = {"type": "[DONE]"}
"""What stands for the line that ends a stream of chat completions."""

PLAIN, AMAZON = "text/event-stream", "application/vnd.amazon.eventstream"

MANNERS_S = 0.25
"""How long the end of a body is waited for after the end of the answer, so that the connection can be used again."""


class Events(Protocol):
    """The decoder of an SDK, for what is not plain server-sent events (Bedrock)."""

    def __call__(self, response: httpx2.Response) -> Iterable[object]:
        """The data of each event."""


class AsyncEvents(Protocol):
    """The same, awaited."""

    def __call__(self, response: httpx2.Response) -> AsyncIterable[object]:
        """The data of each event."""


class Listener(Protocol):
    """What hears the events of one answer."""

    ended: bool
    """Whether the answer is complete, whatever may follow."""

    def hear(self, event: Body) -> str:
        """The piece of text that an event brings; mostly there is one, else it is empty."""

    def reply(self, limits: RateLimits | None) -> Reply:
        """The whole answer; an error if it broke off."""


def listen(response: httpx2.Response, listener: Listener, other: Events, *, ours: bool) -> Iterator[str | Reply]:
    """The pieces of an answer, and at its end the reply; closing it closes the connection.

    Args:
        response: whose body is still to be read.
        listener: hears the events.
        other: decodes what is not plain server-sent events.
        ours: whether the transport is ours, which keeps to a deadline. Over another one, whatever follows the end of
            the answer could withhold it for as long as that one waits, so it is not read.
    """
    left = time_left()
    end = None if left is None else time.monotonic() + left
    with closing(response):
        events = _events(response, other)
        for event in events:
            # Our own transports keep to the deadline at each step on the socket; a user's SDK client has others.
            if end is not None and time.monotonic() > end:
                raise DeadlineError("The model was still answering at the deadline of this call.")
            if piece := listener.hear(checked(event)):
                yield piece
            if listener.ended:
                break
        if ours:
            _to_the_end(events)
    yield listener.reply(limits_of(response))


async def alisten(response: httpx2.Response, listener: Listener, other: AsyncEvents) -> AsyncGenerator[str | Reply]:
    """The same, awaited."""
    async with aclosing(response), aclosing(_aevents(response, other)) as events:
        async for event in events:
            if piece := listener.hear(checked(event)):
                yield piece
            if listener.ended:
                break
        await _ato_the_end(events)
    yield listener.reply(limits_of(response))


def _to_the_end(events: Iterator[object]) -> None:
    """Reads what is left of a body, which mostly has arrived; what goes wrong there does no harm to the answer."""
    with _harmless(), before(time.monotonic() + MANNERS_S):
        for _ in events:
            pass


async def _ato_the_end(events: AsyncIterator[object]) -> None:
    with _harmless():
        async with asyncio.timeout(MANNERS_S):
            async for _ in events:
                pass


@contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except RecordingError:  # a tape that cannot be written
        raise
    except Exception as error:
        log.debug("What follows the end of an answer could not be read: %s", type(error).__name__)


def _events(response: httpx2.Response, other: Events) -> Iterator[object]:
    if not _is_plain(response):
        yield from other(response)
        return
    for event in httpx2.EventSource(response, max_event_size=None):
        yield _data(event.data)


async def _aevents(response: httpx2.Response, other: AsyncEvents) -> AsyncGenerator[object]:
    if not _is_plain(response):
        async for known in other(response):
            yield known
        return
    async for event in httpx2.EventSource(response, max_event_size=None):
        yield _data(event.data)


def _is_plain(response: httpx2.Response) -> bool:
    kind = str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()
    if kind not in (PLAIN, AMAZON):
        raise ServerError(
            f"The server was asked for a stream and answered with {kind or 'an unknown type of content'}."
        )
    return kind == PLAIN


def _data(text: str) -> Body:
    if text.strip() == "[DONE]":
        return DONE
    return read(text) if text else {}
