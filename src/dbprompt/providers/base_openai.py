"""What the two APIs behind OpenAI's SDK share: the error table and the way to make a client."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import ClassVar

import httpx2
import openai
from openai.resources.chat import AsyncChat, Chat
from openai.resources.responses import AsyncResponses, Responses

from dbprompt.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineError,
    RateLimitError,
    RequestError,
    ServerError,
    UnknownModelError,
)
from dbprompt.providers.base import Settings
from dbprompt.providers.base_bodies import Body
from dbprompt.providers.base_errors import ErrorTable
from dbprompt.providers.base_http import timeout
from dbprompt.providers.base_sdk import AsyncSdkProvider, SdkProvider, own_client

__all__ = ["ERRORS", "AsyncOpenAISdkProvider", "OpenAISdkProvider", "make_async_client", "make_client"]

APIS: Mapping[str, tuple[type, type]] = {"responses": (Responses, AsyncResponses), "chat": (Chat, AsyncChat)}

ERRORS: ErrorTable = (
    (openai.APITimeoutError, DeadlineError),
    (openai.APIConnectionError, ConnectionFailedError),
    (openai.APIResponseValidationError, ServerError),
    (openai.AuthenticationError, AuthenticationError),
    (openai.PermissionDeniedError, AuthenticationError),
    (openai.RateLimitError, RateLimitError),  # no credit left is told from its words
    (openai.NotFoundError, UnknownModelError),
    (openai.BadRequestError, RequestError),
    (openai.UnprocessableEntityError, RequestError),
    (openai.ConflictError, ServerError),
    (openai.InternalServerError, ServerError),
    (openai.APIStatusError, RequestError),
    (openai.APIError, ServerError),
    (openai.OpenAIError, RequestError),
)
"""SDK error to ours: the first row that fits. The last catches what only other uses of the SDK raise."""


def make_client(settings: Settings, http: httpx2.Client | None, *, api: str) -> openai.OpenAI:
    """A client that never retries by itself. One of the user's keeps his HTTP client, unless `http` replaces it."""
    if settings.sdk is not None:
        plain, awaited = APIS[api]
        own = own_client(settings.sdk, openai.OpenAI, api=api, plain=plain, awaited=awaited)
        return own.with_options(max_retries=0, http_client=http)
    return openai.OpenAI(
        api_key=settings.key or "not-needed",
        base_url=settings.base_url,
        max_retries=0,
        timeout=timeout(settings),
        http_client=http,
    )


def make_async_client(settings: Settings, http: httpx2.AsyncClient | None, *, api: str) -> openai.AsyncOpenAI:
    """The same, awaited."""
    if settings.sdk is not None:
        plain, awaited = APIS[api]
        own = own_client(settings.sdk, openai.AsyncOpenAI, api=api, plain=plain, awaited=awaited)
        return own.with_options(max_retries=0, http_client=http)
    return openai.AsyncOpenAI(
        api_key=settings.key or "not-needed",
        base_url=settings.base_url,
        max_retries=0,
        timeout=timeout(settings),
        http_client=http,
    )


class OpenAISdkProvider(SdkProvider):
    """A model behind OpenAI's SDK, asked from plain code."""

    api: ClassVar[str]

    def _connect(self) -> None:
        self._client = make_client(self._settings, self._http, api=self.api)

    def _post(self, body: Body) -> httpx2.Response:
        return self._client.post(
            self.path,
            cast_to=httpx2.Response,
            body=body,
            options={"timeout": timeout(self._settings), "security": {"bearer_auth": True}},
        )

    def _open(self, body: Body) -> httpx2.Response:
        kind = openai.Stream[object]
        return self._client.post(
            self.path,
            cast_to=object,
            body=body,
            options={"timeout": timeout(self._settings), "security": {"bearer_auth": True}},
            stream=True,
            stream_cls=kind,
        ).response

    def _events(self, response: httpx2.Response) -> Iterable[object]:
        return openai.Stream(cast_to=object, response=response, client=self._client)


class AsyncOpenAISdkProvider(AsyncSdkProvider):
    """The same, awaited."""

    api: ClassVar[str]

    def _connect(self) -> None:
        self._client = make_async_client(self._settings, self._http, api=self.api)

    async def _post(self, body: Body) -> httpx2.Response:
        return await self._client.post(
            self.path,
            cast_to=httpx2.Response,
            body=body,
            options={"timeout": timeout(self._settings), "security": {"bearer_auth": True}},
        )

    async def _open(self, body: Body) -> httpx2.Response:
        kind = openai.AsyncStream[object]
        stream = await self._client.post(
            self.path,
            cast_to=object,
            body=body,
            options={"timeout": timeout(self._settings), "security": {"bearer_auth": True}},
            stream=True,
            stream_cls=kind,
        )
        return stream.response

    def _events(self, response: httpx2.Response) -> AsyncIterable[object]:
        return openai.AsyncStream(cast_to=object, response=response, client=self._client)
