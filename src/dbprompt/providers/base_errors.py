"""The way from an error of an SDK, its HTTP client or a malformed body to one of ours, without the key."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

from dbprompt.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DbpromptError,
    DeadlineError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
    UnknownModelError,
)
from dbprompt.messages import Request
from dbprompt.providers.base import Sending, Settings, naming, without_key

__all__ = ["ErrorTable", "carrying", "failure", "scrub"]

ErrorTable: TypeAlias = tuple[tuple[type[Exception], type[ProviderError]], ...]

_CONNECT_FAULTS = ("ConnectTimeout", "PoolTimeout")
_DETAIL_LIMIT = 600
_OUT_OF_CREDIT = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance|billing_error|billing_not_active"
    r"|billing hard limit|spend(ing)?[ _]limit|payment required",
    re.IGNORECASE,
)
_NO_SUCH_MODEL = re.compile(r"model_not_found|\bmodel\b", re.IGNORECASE)


@contextmanager
def carrying(name: str, settings: Settings, table: ErrorTable, request: Request) -> Iterator[None]:
    """Name what is being sent, and let nothing but our own errors out."""
    origin = request.origin
    if not origin.schema_hash:
        origin = replace(origin, schema_hash=request.output.hash)
    try:
        with naming(Sending(name, settings.model, origin)):
            yield
    except DbpromptError:
        raise
    except Exception as error:
        ours = failure(name, settings, table, error)
        # A traceback prints the chain: an SDK error that quotes the key, or wraps our own, must not be in it.
        raise ours from (None if ours in _chain(error) or _quotes(settings.key, error) else error)


def failure(name: str, settings: Settings, table: ErrorTable, error: Exception) -> DbpromptError:
    """The error of ours for an error that an SDK, its HTTP client or a malformed body raised."""
    for link in _chain(error):
        if isinstance(link, DbpromptError):  # the tape's own error, which an SDK wraps as a lost connection
            return link
    whose = f"{name}:{settings.model}"
    status = _status(error)
    detail = scrub(_detail(error), settings.key)
    kind = _refined(_kind(table, error), status, detail)
    message = f"{whose} {_said(kind, status)}: {detail}{_hint(kind, status, settings)}"
    return kind(message, status=status, retry_after=_retry_after(error))


def scrub(text: str, key: str) -> str:
    """The text on one line, without the key and without a tail that nobody reads."""
    text = " ".join(without_key(text, key).split())
    return text if len(text) <= _DETAIL_LIMIT else f"{text[:_DETAIL_LIMIT]} ... ({len(text)} characters)"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _kind(table: ErrorTable, error: Exception) -> type[ProviderError]:
    import httpx2

    if any(type(link).__name__ in _CONNECT_FAULTS for link in _chain(error)):
        return ConnectionFailedError
    if any(isinstance(link, (httpx2.UnsupportedProtocol, httpx2.InvalidURL)) for link in _chain(error)):
        return RequestError
    for theirs, ours in table:
        if isinstance(error, theirs):
            return ours
    if isinstance(error, httpx2.TimeoutException):
        return DeadlineError
    if isinstance(error, (httpx2.HTTPError, httpx2.StreamError)):
        return ConnectionFailedError
    return ServerError  # a body that is not what the API promises


def _refined(kind: type[ProviderError], status: int | None, detail: str) -> type[ProviderError]:
    """The kind that the provider's own words tell, where the status alone is not enough."""
    if status in (400, 402, 403, 429) and _OUT_OF_CREDIT.search(detail):
        return QuotaError
    if status is not None and status < 400:  # an error event inside a stream that began well
        return RateLimitError if "rate_limit" in detail else ServerError
    if status == 400 and "model_not_found" in detail:  # llama-cpp-python
        return UnknownModelError
    if kind is UnknownModelError and not _NO_SUCH_MODEL.search(detail):
        return RequestError  # a 404 for another reason: the address
    return kind


def _said(kind: type[ProviderError], status: int | None) -> str:
    verbs = {
        AuthenticationError: "refused the key",
        QuotaError: "has no credit left",
        UnknownModelError: "is not known",
        RequestError: "refused the request",
        ServerError: "failed",
        ConnectionFailedError: "could not be reached or broke off",
        DeadlineError: "did not answer in time",
    }
    said = verbs.get(kind, "asks to slow down")
    return said if status is None else f"{said} ({status})"


def _hint(kind: type[ProviderError], status: int | None, settings: Settings) -> str:
    if kind is AuthenticationError and settings.key_name:
        return f" Check {settings.key_name}."
    if kind is DeadlineError:
        return f" One call may take {settings.seconds():g} s; a longer timeout_s gives it more."
    if kind is RequestError and status == 404:
        return f" Check base_url ({settings.base_url or 'not set'}); it mostly ends in /v1."
    return ""


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _detail(error: Exception) -> str:
    """The API's own words and codes if the body holds any, else the exception's text and that of its cause."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    if isinstance(inner, Mapping) and inner.get("message"):
        marks = [str(inner[name]) for name in ("type", "code") if inner.get(name)]
        return str(inner["message"]) + (f" [{', '.join(dict.fromkeys(marks))}]" if marks else "")
    text = str(error) or type(error).__name__
    if error.__cause__ is not None and str(error.__cause__):
        text = f"{text} ({type(error.__cause__).__name__}: {error.__cause__})"
    return text


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = str(headers.get(name) or "")
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _seconds_until(text)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _seconds_until(http_date: str) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(http_date).timestamp() - time.time())
    except (TypeError, ValueError):
        return math.nan


def _quotes(key: str, error: Exception) -> bool:
    return any(without_key(told, key) != told for told in (f"{link!s} {link!r}" for link in _chain(error)))
