"""The body of a response on its way through the tape: handed on piece by piece, and kept when it is whole."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2

from dbprompt.providers.base import Sending

__all__ = ["Heard", "Played", "is_stream"]

_ENDS = re.compile(
    rb'"type": ?"(message_stop|response\.(completed|incomplete))"|^data: ?\[DONE\]|"finish_reason": ?"', re.MULTILINE
)
"""What the last events of the three APIs hold, and no answer that broke off does."""

_SPENT = ("content-encoding", "content-length", "transfer-encoding")


def is_stream(content_type: str) -> bool:
    """Whether a body is made of events."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


class Heard(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that is handed on as it arrives, and told of once when it has arrived whole.

    A body of events is whole when its last event is there, whether or not its reader waits for what may follow.
    """

    def __init__(
        self,
        request: httpx2.Request,
        response: httpx2.Response,
        sending: Sending | None,
        tell: Callable[[Heard], None],
        *,
        had: bytes = b"",
    ) -> None:
        self.request, self.response, self.sending = request, response, sending
        self._tell: Callable[[Heard], None] | None = tell
        self._pieces = [had] if had else []

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""
        below = self.response.stream
        assert isinstance(below, httpx2.SyncByteStream)  # noqa: S101  as the transport below is
        for piece in below:
            self._pieces.append(piece)
            yield piece
        self._finish(at_its_end=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The same, awaited."""
        below = self.response.stream
        assert isinstance(below, httpx2.AsyncByteStream)  # noqa: S101
        async for piece in below:
            self._pieces.append(piece)
            yield piece
        self._finish(at_its_end=True)

    def close(self) -> None:
        """Closes what is below."""
        below = self.response.stream
        assert isinstance(below, httpx2.SyncByteStream)  # noqa: S101
        below.close()
        self._finish(at_its_end=False)

    async def aclose(self) -> None:
        """The same, awaited."""
        below = self.response.stream
        assert isinstance(below, httpx2.AsyncByteStream)  # noqa: S101
        await below.aclose()
        self._finish(at_its_end=False)

    def whole(self) -> httpx2.Response:
        """The response with its body, unpacked."""
        response = httpx2.Response(
            self.response.status_code,
            headers=self.response.headers,
            content=b"".join(self._pieces),
            extensions=self.response.extensions,
        )
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _SPENT]
        return httpx2.Response(
            response.status_code, headers=headers, content=response.content, extensions=response.extensions
        )

    def _finish(self, *, at_its_end: bool) -> None:
        tell, events = self._tell, is_stream(self.response.headers.get("content-type", ""))
        if tell is None or not (at_its_end or events):
            return
        if events and _ENDS.search(self.whole().content) is None:
            return
        self._tell = None
        tell(self)


class Played(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A recorded body of events, one after the other."""

    def __init__(self, body: bytes) -> None:
        self._events = [event for event in re.split(rb"(?<=\n\n)", body) if event]

    def __iter__(self) -> Iterator[bytes]:
        """The events."""
        return iter(self._events)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The same, awaited."""
        for event in self._events:
            yield event
