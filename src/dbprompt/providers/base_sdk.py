"""What the providers over an SDK share: refusals are learned from, streams are read, what we opened is closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import ClassVar, TypeVar, cast

import httpx2

from dbprompt.errors import NoRecordingError, ProviderError, RequestError
from dbprompt.messages import RateLimits, Reply, Request
from dbprompt.providers.base import Settings, in_pieces
from dbprompt.providers.base_bodies import Body, read
from dbprompt.providers.base_errors import ErrorTable, carrying, mapped
from dbprompt.providers.base_http import async_http_client, http_client
from dbprompt.providers.base_limits import limits_of
from dbprompt.providers.base_stream import Listener, alisten, listen
from dbprompt.providers.base_ways import Attempt, Learned, Ways

__all__ = ["AsyncSdkProvider", "Dialect", "SdkProvider", "own_client"]

C = TypeVar("C")


class Dialect(ABC):
    """What one API is asked and answers; the same for plain and async code."""

    name: ClassVar[str]
    errors: ClassVar[ErrorTable]
    path: ClassVar[str]
    _settings: Settings
    _learned: Learned
    _closed = False

    def _check_open(self) -> None:
        if self._closed:
            error = RequestError(f"{self.name}:{self._settings.model} was closed with its client: make a new one.")
            error.in_doubt = False  # it was not sent
            raise error

    @abstractmethod
    def _first(self) -> Learned:
        """What is known of the server before it was asked."""

    @abstractmethod
    def body(self, request: Request, ways: Ways) -> Body:
        """The body of a request."""

    def streamed_body(self, request: Request, ways: Ways) -> Body:
        """The body of a request for a stream."""
        return {**self.body(request, ways), "stream": True}

    def is_long(self, request: Request) -> bool:
        """Whether an answer may take too long to be waited for in one body."""
        return False

    @abstractmethod
    def decode(self, body: Body, limits: RateLimits | None) -> Reply:
        """The answer in a body."""

    @abstractmethod
    def listener(self) -> Listener:
        """What hears the events of one answer."""


def own_client(sdk: object, like: type[C], *, api: str, plain: type, awaited: type) -> C:
    """A client of the user's, which has to be for the world that asks.

    Args:
        sdk: what the user gave.
        like: the SDK's main client; those for clouds are no subclasses of it, but have the same `api`.
        api: the attribute that is called.
        plain: its class in a plain client.
        awaited: its class in an async one.
    """
    found, name = getattr(sdk, api, None), type(sdk).__name__
    wanted = awaited if like.__name__.startswith("Async") else plain
    if isinstance(found, wanted):
        return cast("C", sdk)
    if isinstance(found, (plain, awaited)):
        face = ("AsyncClient", "Client") if wanted is plain else ("Client", "AsyncClient")
        raise TypeError(f"sdk is {name}, which is for dbprompt.{face[0]}; dbprompt.{face[1]} needs its twin.")
    raise TypeError(f"sdk is {name}, which has no such `{api}` as {like.__module__.split('.')[0]}.{like.__name__} has.")


@contextmanager
def _instead_of(nothing: NoRecordingError) -> Iterator[None]:
    """What else a recording may hold: if it does not, that which was asked for is missing."""
    try:
        yield
    except NoRecordingError:
        raise nothing from None


class SdkProvider(Dialect, ABC):
    """A model behind an SDK, asked from plain code. What is asked and answered is the `Dialect`'s."""

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        # A client of the user's keeps its own HTTP client, except that a tape has to stand in its place.
        own = settings.sdk is not None and transport is None
        self._http = None if own else http_client(settings, transport)
        self._connect()
        self._learned = self._first()

    @abstractmethod
    def _connect(self) -> None:
        """Makes the SDK's client."""

    @abstractmethod
    def _post(self, body: Body) -> httpx2.Response:
        """Sends a body, and has the answer's body read."""

    @abstractmethod
    def _open(self, body: Body) -> httpx2.Response:
        """Sends a body that asks for a stream; the answer's body is still to be read."""

    @abstractmethod
    def _events(self, response: httpx2.Response) -> Iterable[object]:
        """The events of a body that is not plain server-sent events, as the SDK decodes them."""

    def send(self, request: Request) -> Reply:
        """Ask once; once more for each thing that the server turns out not to take. A recorded stream answers too."""
        try:
            return self._sent(request)
        except NoRecordingError as nothing:
            with _instead_of(nothing):
                (reply,) = [piece for piece in self.stream(request) if isinstance(piece, Reply)]
                return reply

    def _sent(self, request: Request) -> Reply:
        self._check_open()
        attempt = self._learned.attempt(native=request.native)
        while True:
            try:
                with carrying(self.name, self._settings, self.errors, request):
                    reply = self._ask(request, attempt.ways)
            except (ProviderError, NoRecordingError) as refusal:
                attempt.refused(refusal)
            else:
                return attempt.taken(reply)

    def _ask(self, request: Request, ways: Ways) -> Reply:
        if not self.is_long(request):
            response = self._post(self.body(request, ways))
            return self.decode(read(response.content), limits_of(response))
        pieces = self._listen(self._open(self.streamed_body(request, ways)))
        (reply,) = [piece for piece in pieces if isinstance(piece, Reply)]
        return reply

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """The same, with the pieces of the text as they arrive before the reply; of a recorded answer, made here."""
        self._check_open()
        attempt = self._learned.attempt(streamed=True, native=request.native)
        try:
            response = self._opened(request, attempt)
        except NoRecordingError as nothing:
            with _instead_of(nothing):
                reply = self._sent(request)
            yield from in_pieces(reply.text)
            yield reply
            return
        with attempt.counting(), mapped(self.name, self._settings, self.errors):
            for piece in self._listen(response):
                yield piece if isinstance(piece, str) else attempt.taken(piece)

    def _listen(self, response: httpx2.Response) -> Iterator[str | Reply]:
        return listen(response, self.listener(), self._events, ours=self._http is not None)

    def _opened(self, request: Request, attempt: Attempt) -> httpx2.Response:
        while True:
            try:
                with carrying(self.name, self._settings, self.errors, request):
                    return self._open(self.streamed_body(request, attempt.ways))
            except (ProviderError, NoRecordingError) as refusal:
                attempt.refused(refusal)

    def close(self) -> None:
        """Give the connections back that were opened here."""
        self._closed = True
        if self._http is not None:
            self._http.close()


class AsyncSdkProvider(Dialect, ABC):
    """The same, awaited."""

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        own = settings.sdk is not None and transport is None
        self._http = None if own else async_http_client(settings, transport)
        self._connect()
        self._learned = self._first()

    @abstractmethod
    def _connect(self) -> None: ...

    @abstractmethod
    async def _post(self, body: Body) -> httpx2.Response: ...

    @abstractmethod
    async def _open(self, body: Body) -> httpx2.Response: ...

    @abstractmethod
    def _events(self, response: httpx2.Response) -> AsyncIterable[object]: ...

    async def send(self, request: Request) -> Reply:
        """Ask once; once more for each thing that the server turns out not to take. A recorded stream answers too."""
        try:
            return await self._sent(request)
        except NoRecordingError as nothing:
            with _instead_of(nothing):
                (reply,) = [piece async for piece in self.stream(request) if isinstance(piece, Reply)]
                return reply

    async def _sent(self, request: Request) -> Reply:
        self._check_open()
        attempt = self._learned.attempt(native=request.native)
        while True:
            try:
                with carrying(self.name, self._settings, self.errors, request):
                    reply = await self._ask(request, attempt.ways)
            except (ProviderError, NoRecordingError) as refusal:
                attempt.refused(refusal)
            else:
                return attempt.taken(reply)

    async def _ask(self, request: Request, ways: Ways) -> Reply:
        if not self.is_long(request):
            response = await self._post(self.body(request, ways))
            return self.decode(read(response.content), limits_of(response))
        response = await self._open(self.streamed_body(request, ways))
        async with aclosing(alisten(response, self.listener(), self._events)) as pieces:
            (reply,) = [piece async for piece in pieces if isinstance(piece, Reply)]
        return reply

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """The same, with the pieces of the text as they arrive before the reply; of a recorded answer, made here."""
        self._check_open()
        attempt = self._learned.attempt(streamed=True, native=request.native)
        try:
            response = await self._opened(request, attempt)
        except NoRecordingError as nothing:
            with _instead_of(nothing):
                reply = await self._sent(request)
            for text in in_pieces(reply.text):
                yield text
            yield reply
            return
        with attempt.counting(), mapped(self.name, self._settings, self.errors):
            async with aclosing(alisten(response, self.listener(), self._events)) as pieces:
                async for piece in pieces:
                    yield piece if isinstance(piece, str) else attempt.taken(piece)

    async def _opened(self, request: Request, attempt: Attempt) -> httpx2.Response:
        while True:
            try:
                with carrying(self.name, self._settings, self.errors, request):
                    return await self._open(self.streamed_body(request, attempt.ways))
            except (ProviderError, NoRecordingError) as refusal:
                attempt.refused(refusal)

    async def aclose(self) -> None:
        """Give the connections back that were opened here."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()
