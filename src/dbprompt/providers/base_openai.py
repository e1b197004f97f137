"""What the two APIs behind OpenAI's SDK share: the error table and the way to make a client."""

from __future__ import annotations

import httpx2
import openai

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
from dbprompt.providers.base_errors import ErrorTable

__all__ = ["ERRORS", "make_async_client", "make_client", "timeout"]

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


def timeout(settings: Settings) -> httpx2.Timeout:
    """The time-out of one call, within what the deadline leaves."""
    return httpx2.Timeout(settings.seconds(), connect=min(10.0, settings.seconds()))


def make_client(settings: Settings, transport: httpx2.BaseTransport | None) -> openai.OpenAI:
    """A client that never retries by itself; it is kept for the life of the provider."""
    return openai.OpenAI(
        api_key=settings.key or "not-needed",
        base_url=settings.base_url,
        max_retries=0,
        timeout=timeout(settings),
        http_client=None if transport is None else httpx2.Client(transport=transport, follow_redirects=True),
    )


def make_async_client(settings: Settings, transport: httpx2.AsyncBaseTransport | None) -> openai.AsyncOpenAI:
    """The same, awaited."""
    return openai.AsyncOpenAI(
        api_key=settings.key or "not-needed",
        base_url=settings.base_url,
        max_retries=0,
        timeout=timeout(settings),
        http_client=None if transport is None else httpx2.AsyncClient(transport=transport, follow_redirects=True),
    )
