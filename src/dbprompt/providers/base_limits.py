"""What a provider's headers say of its rate limits: `anthropic-ratelimit-*` and `x-ratelimit-*`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Protocol

from dbprompt.messages import Allowance, RateLimits

if TYPE_CHECKING:
    import httpx2

__all__ = ["HasHeaders", "limits_of"]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_COUNTED = ("requests", "tokens", "input_tokens", "output_tokens")


class HasHeaders(Protocol):
    """A response of an HTTP client, or what an SDK makes of it."""

    @property
    def headers(self) -> httpx2.Headers:
        """Its headers."""


def limits_of(response: HasHeaders) -> RateLimits | None:
    """The rate limits that a response tells; None if it tells none."""
    told = {
        _plain(name.lower().decode("ascii", "replace")): value.decode("ascii", "replace")
        for name, value in response.headers.raw
        if b"ratelimit-" in name.lower()
    }
    if not told:
        return None
    date = response.headers.get("date", "")
    found = {each: _allowance(told, each, date) for each in _COUNTED}
    return RateLimits(**found) if any(found.values()) else None


def _plain(name: str) -> str:
    """`requests/limit` for both `anthropic-ratelimit-requests-limit` and `x-ratelimit-limit-requests`."""
    vendor, _, rest = name.partition("ratelimit-")
    which, _, counted = rest.partition("-")
    if vendor == "anthropic-":
        counted, _, which = rest.rpartition("-")
    return f"{counted.replace('-', '_')}/{which}"


def _allowance(told: Mapping[str, str], counted: str, date: str) -> Allowance | None:
    limit, remaining = (_count(told.get(f"{counted}/{which}", "")) for which in ("limit", "remaining"))
    reset_s = _seconds(told.get(f"{counted}/reset", ""), date)
    return None if limit is None and remaining is None and reset_s is None else Allowance(limit, remaining, reset_s)


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _seconds(text: str, date: str) -> float | None:
    """How long "6m0s", "7.66s", "12" or an RFC 3339 moment is from when the answer was sent."""
    if not text or len(text) > 40:
        return None
    spans = _SPAN.findall(text)
    if spans and _SPAN.sub("", text) == "":
        return sum(float(number) * _UNITS[unit] for number, unit in spans)
    try:
        if "T" not in text:
            return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None
        return max(0.0, datetime.fromisoformat(text).timestamp() - _sent_at(date))
    except (ValueError, OverflowError):
        return None


def _sent_at(date: str) -> float:
    """By the provider's clock, so that ours may be wrong; by ours if it does not tell."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return time()
