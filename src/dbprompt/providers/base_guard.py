"""The HTTP transports under every provider: no wait outlasts the call's deadline, and no answer outgrows its request.

An HTTP client's time-out is for one read: a server that sends a byte now and then passes it for ever. So each step on
the socket is bounded by what the deadline leaves. And an answer that never ends is given up instead of kept.
"""

from __future__ import annotations

import math
import os
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import h11
import httpcore2
import httpx2

from dbprompt.errors import ServerError
from dbprompt.providers.base import current_sending, time_left
from dbprompt.providers.base_fork import anew_in_a_child
from dbprompt.providers.base_halt import Halt, holding

__all__ = ["AsyncGuard", "Guard"]

MOST_BYTES = 64 * 1024 * 1024
"""What a response may have at most where nobody says which request it belongs to: a file of a batch."""


class Guard(httpx2.HTTPTransport):
    """An HTTP transport for plain code that keeps to the deadline and to a size."""

    def __init__(self, limits: httpx2.Limits | None = None, *, proxy: httpx2.Proxy | None = None) -> None:
        self._limits, self._proxy = limits or httpx2.Limits(), proxy
        self._begin()
        anew_in_a_child(self)

    def _begin(self) -> None:
        super().__init__(verify=_trusted(), limits=self._limits, proxy=self._proxy)
        self._pool._network_backend = _Backend(self._pool._network_backend)

    def begin_anew(self) -> None:
        """In a forked child: connections of its own. It closes its handles of the parent's, which the parent keeps."""
        left = self._pool
        self._begin()
        for connection in left.connections:  # the pool's own `close` would wait for its lock
            with suppress(Exception):
                connection.close()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response; its body is counted while it is read."""
        response = super().handle_request(request)
        stream = response.stream
        assert isinstance(stream, httpx2.SyncByteStream)  # noqa: S101  what the transport below is for
        packed = "content-encoding" in response.headers
        return _with(response, _Counted(response.iter_bytes() if packed else stream, stream, _Most.here()))


class AsyncGuard(httpx2.AsyncHTTPTransport):
    """The same, awaited."""

    def __init__(self, limits: httpx2.Limits | None = None, *, proxy: httpx2.Proxy | None = None) -> None:
        super().__init__(verify=_trusted(), limits=limits or httpx2.Limits(), proxy=proxy)
        self._pool._network_backend = _AsyncBackend(self._pool._network_backend)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response; its body is counted while it is read."""
        response = await super().handle_async_request(request)
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101  what the transport below is for
        packed = "content-encoding" in response.headers
        return _with(response, _AsyncCounted(response.aiter_bytes() if packed else stream, stream, _Most.here()))


def _trusted() -> ssl.SSLContext:
    """Whom a connection trusts: read from disk once, which takes longer than all else that opens a client."""
    return _read_once(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(4)
def _read_once(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return httpx2.create_ssl_context()


@dataclass(frozen=True, slots=True)
class _Most:
    """What the answer to one request may have."""

    size: int
    whose: str

    @classmethod
    def here(cls) -> _Most:
        """Of the request that this thread or task is sending."""
        sending = current_sending()
        if sending is None:
            return cls(MOST_BYTES, "The server")
        return cls(sending.most_bytes, f"{sending.provider}:{sending.model}")

    def error(self) -> ServerError:
        """It had more."""
        error = ServerError(
            f"{self.whose} answered with something larger than {self.size / 1_000_000:.0f} MB, which is more than its"
            " tokens can be: it was dropped. If the model may say so much, raise max_output_tokens; else look at what"
            " answers there."
        )
        error.retryable = False  # it would be as large again
        return error


def _with(response: httpx2.Response, stream: httpx2.SyncByteStream | httpx2.AsyncByteStream) -> httpx2.Response:
    """The response with a body that comes unpacked: what counts is how large it is in memory."""
    headers = [pair for pair in response.headers.raw if pair[0].lower() not in (b"content-encoding", b"content-length")]
    packed = "content-encoding" in response.headers
    return httpx2.Response(
        response.status_code,
        headers=headers if packed else response.headers,
        stream=stream,
        extensions=response.extensions,
    )


class _Counted(httpx2.SyncByteStream):
    def __init__(self, body: Iterable[bytes], below: httpx2.SyncByteStream, most: _Most) -> None:
        self._body, self._below, self._most = body, below, most

    def __iter__(self) -> Iterator[bytes]:
        left = self._most.size
        for piece in self._body:
            left -= len(piece)
            if left < 0:
                raise self._most.error()
            yield piece

    def close(self) -> None:
        _end_if_more_follows(self._below)
        self._below.close()


class _AsyncCounted(httpx2.AsyncByteStream):
    def __init__(self, body: AsyncIterable[bytes], below: httpx2.AsyncByteStream, most: _Most) -> None:
        self._body, self._below, self._most = body, below, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most.size
        async for piece in self._body:
            left -= len(piece)
            if left < 0:
                raise self._most.error()
            yield piece

    async def aclose(self) -> None:
        _end_if_more_follows(self._below)
        await self._below.aclose()


def _end_if_more_follows(body: object) -> None:
    """A server that has sent more than the answer has sent the next one's: its connection is not used again.

    What is still on the socket, httpcore sees by itself; what was read with the answer waits in its parser.
    """
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state"):
        body = getattr(body, name, None)
    if isinstance(body, h11.Connection) and body.trailing_data[0]:
        body.send_failed()  # httpcore closes what cannot go on


class _Until:
    """The moment at which the call that uses a connection now has to be over: as it was when its request was written.

    Whoever reads may have less time than that, and then says so; a stream is mostly read where nobody says anything.
    """

    def __init__(self) -> None:
        left = time_left()
        self._end = math.inf if left is None else time.monotonic() + left

    def within(self, timeout: float | None, kind: type[httpcore2.TimeoutException]) -> float | None:
        """The time-out of one step."""
        here = time_left()
        left = self._end - time.monotonic() if here is None else min(here, self._end - time.monotonic())
        if left <= 0:
            raise kind("the deadline of this call has passed")
        if left == math.inf:
            return timeout
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        self._until = _Until()
        self._halt: Halt | None = None
        self.close = inner.close  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._until.within(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._until = _Until()
        self._halt = holding(self, self._halt)
        self._inner.write(buffer, self._until.within(timeout, httpcore2.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        within = _Until().within(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, within))


class _AsyncStream(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._until = _Until()
        self.aclose = inner.aclose  # type: ignore[method-assign]
        self.get_extra_info = inner.get_extra_info  # type: ignore[method-assign]

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, self._until.within(timeout, httpcore2.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._until = _Until()
        await self._inner.write(buffer, self._until.within(timeout, httpcore2.WriteTimeout))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        within = _Until().within(timeout, httpcore2.ConnectTimeout)
        return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, within))


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, inner: httpcore2.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        within = _Until().within(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, within, local_address, socket_options))


class _AsyncBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, inner: httpcore2.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        within = _Until().within(timeout, httpcore2.ConnectTimeout)
        return _AsyncStream(await self._inner.connect_tcp(host, port, within, local_address, socket_options))
