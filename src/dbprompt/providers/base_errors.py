"""The way from an error of an SDK, its HTTP client or a malformed body to one of ours, without the key."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from json import JSONDecodeError
from typing import TypeAlias

from dbprompt.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DbpromptError,
    DeadlineError,
    MissingExtraError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
    UnknownModelError,
)
from dbprompt.messages import Request
from dbprompt.providers.base import Sending, Settings, naming, time_left, without_keys
from dbprompt.providers.base_address import bare_url
from dbprompt.providers.base_limits import limits_of

__all__ = ["ErrorTable", "carrying", "failure", "kind_of", "mapped", "scrub"]

ErrorTable: TypeAlias = tuple[tuple[type[Exception], type[ProviderError]], ...]

_NOT_AS_PROMISED = (AttributeError, TypeError, UnicodeDecodeError, JSONDecodeError, LookupError, RecursionError)
"""What an SDK, or our reading of its objects, raises over a body of another shape."""
_CONNECT_FAULTS = ("ConnectTimeout", "PoolTimeout")
_NEVER_SENT = (*_CONNECT_FAULTS, "ConnectError", "UnsupportedProtocol", "InvalidURL", "UnicodeEncodeError")
_DETAIL_LIMIT = 600
_PASSING = (408, 409, 425)
"""Time-out on their side, a conflict, too early: statuses below 500 that another try may not meet again."""
_NO_TIME_S = 0.05
_LONGEST_WAIT_S = 86_400.0
"""Who asks for more in Retry-After is not asked again: no clock can wait for all that a header can say."""
_HEAD_BYTES = 1024 * 1024
_TOKEN_BYTES = 1024
"""No token needs more of a response, with everything that a stream wraps around it; nor does what comes besides."""
_OUT_OF_CREDIT = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance|billing_error|billing_not_active"
    r"|billing hard limit|spend(ing)?[ _]limit|payment required",
    re.IGNORECASE,
)
_NO_SUCH_MODEL = re.compile(r"model_not_found|\bmodel\b", re.IGNORECASE)

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationError,
    402: QuotaError,
    403: AuthenticationError,
    404: UnknownModelError,
    408: ServerError,
    409: ServerError,
    429: RateLimitError,
}

_EVENTS: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (_OUT_OF_CREDIT, QuotaError),
    (re.compile(r"rate_limit"), RateLimitError),
    (re.compile(r"authentication_error|permission_error|invalid_api_key"), AuthenticationError),
    (re.compile(r"invalid_request_error|request_too_large|invalid_prompt"), RequestError),
)
"""What an error event in the middle of a stream is, by its own words; all others are the provider's fault."""


@contextmanager
def carrying(name: str, settings: Settings, table: ErrorTable, request: Request) -> Iterator[None]:
    """Name what is being sent, and let nothing but our own errors out."""
    origin = request.origin
    if not origin.schema_hash:
        origin = replace(origin, schema_hash=request.output.hash)
    most = _HEAD_BYTES + _TOKEN_BYTES * request.max_output_tokens
    with mapped(name, settings, table), naming(Sending(name, settings.model, origin, most)):
        yield


@contextmanager
def mapped(name: str, settings: Settings, table: ErrorTable) -> Iterator[None]:
    """Let nothing but our own errors out. It may be held across the pieces of a stream."""
    try:
        yield
    except DbpromptError:
        raise
    except Exception as error:
        ours = failure(name, settings, table, error)
        # A traceback prints the chain: an SDK error that quotes the key, or wraps our own, must not be in it.
        raise ours from (None if ours in _chain(error) or _quotes(settings.keys, error) else error)


def failure(name: str, settings: Settings, table: ErrorTable, error: Exception) -> DbpromptError:
    """The error of ours for an error that an SDK, its HTTP client or a malformed body raised."""
    for link in _chain(error):
        if isinstance(link, DbpromptError):  # the tape's own error, which an SDK wraps as a lost connection
            return link
        if isinstance(link, ModuleNotFoundError):  # an SDK loads what only some of its clients need when it is needed
            return MissingExtraError(link.name or "a package")
    whose = f"{name}:{settings.model}"
    status = _status(error)
    detail = scrub(_detail(error), settings.keys)
    kind = _refined(_kind(table, error), status, detail)
    message = f"{whose} {_said(kind, status)}: {detail}{_hint(kind, status, settings)}"
    wait = _retry_after(error)
    if wait is None or wait <= _LONGEST_WAIT_S:
        ours = kind(message, status=status, retry_after=wait)
    else:
        ours = kind(f"{message} It asks to wait {wait / 86_400:,.4g} days, which is not waited for.", status=status)
        ours.retryable = False
    never_sent = any(type(link).__name__ in _NEVER_SENT for link in _chain(error))
    ours.in_doubt = not never_sent and (status is None or status < 400)
    response = getattr(error, "response", None)
    ours.limits = None if response is None else limits_of(response)
    return ours


def kind_of(status: int) -> type[ProviderError]:
    """What a status means where no SDK tells."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else RequestError)


def scrub(text: str, keys: Iterable[str]) -> str:
    """The text on one line, without the keys and without a tail that nobody reads."""
    text = " ".join(without_keys(text, keys).split())
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
    wrong_address = (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.TooManyRedirects)
    if any(isinstance(link, (*wrong_address, UnicodeEncodeError)) for link in _chain(error)):
        return RequestError  # what was asked, or where: it would fail again
    for theirs, ours in table:
        if isinstance(error, theirs):
            return ours
    if isinstance(error, httpx2.HTTPStatusError):
        return kind_of(error.response.status_code)
    if isinstance(error, httpx2.TimeoutException):
        return DeadlineError
    if isinstance(error, (httpx2.HTTPError, httpx2.StreamError)):
        return ConnectionFailedError
    return ServerError  # a body that is not what the API promises


def _refined(kind: type[ProviderError], status: int | None, detail: str) -> type[ProviderError]:
    """The kind that the provider's own words tell, where the status alone is not enough."""
    if status in (400, 402, 403, 429) and _OUT_OF_CREDIT.search(detail):
        return QuotaError
    if status is not None and 300 <= status < 400:  # a user's own client may follow none
        return RequestError
    if status is None or status < 400:  # an error event inside a stream that began well has no status of its own
        return next((ours for words, ours in _EVENTS if words.search(detail)), kind if status is None else ServerError)
    if status == 402:  # whatever the words, and whatever class an SDK has for it
        return QuotaError
    if status in _PASSING:
        return ServerError
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
        left = time_left()
        if left is not None and left < _NO_TIME_S:
            return " The deadline of this call has passed."
        return f" One call may take {settings.seconds():g} s; a longer timeout_s gives it more."
    if kind is RequestError and status == 404:
        return f" Check base_url ({bare_url(settings.base_url or '') or 'not set'}); it mostly ends in /v1."
    return ""


def _status(error: Exception) -> int | None:
    """The status of an SDK's error, or of the HTTP client's own for who uses no SDK."""
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _detail(error: Exception) -> str:
    """The API's own words and codes if the body holds any, else the exception's text and that of its cause."""
    import httpx2

    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    if isinstance(inner, Mapping) and inner.get("message"):
        marks = [str(inner[name]) for name in ("type", "code") if inner.get(name)]
        return str(inner["message"]) + (f" [{', '.join(dict.fromkeys(marks))}]" if marks else "")
    if isinstance(error, httpx2.HTTPStatusError) and error.response.is_stream_consumed:
        return error.response.text or str(error)
    text = str(error) or type(error).__name__
    if isinstance(error, _NOT_AS_PROMISED):
        text = f"what came back is not what this API promises ({type(error).__name__}: {text})"
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
            seconds = _seconds_between(str(headers.get("date") or ""), text)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _seconds_between(now: str, then: str) -> float:
    """Seconds from the provider's own clock to its date: ours may be wrong, or jump. NaN if there is no date."""
    start, end = _moment(now), _moment(then)
    wait = end - (time.time() if math.isnan(start) else start)
    return wait if math.isnan(wait) else max(0.0, wait)


def _moment(http_date: str) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _quotes(keys: tuple[str, ...], error: Exception) -> bool:
    return any(without_keys(told, keys) != told for told in (f"{link!s} {link!r}" for link in _chain(error)))
