"""The HTTP client that both SDKs get: made once a provider, with every connection kept alive."""

from __future__ import annotations

import httpx2

# The SDKs read the proxies of the environment so too; a client with a transport of its own does not by itself.
from httpx2._utils import get_environment_proxies

from dbprompt.providers.base import Settings
from dbprompt.providers.base_guard import AsyncGuard, Guard
from dbprompt.providers.base_spread import SIDE_BY_SIDE, AsyncSpread

__all__ = ["async_http_client", "async_transport", "http_client", "timeout", "transport"]

LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=60.0)
"""A connection that was opened is kept: closing it costs the next call a handshake."""

PART_LIMITS = httpx2.Limits(
    max_connections=SIDE_BY_SIDE, max_keepalive_connections=SIDE_BY_SIDE, keepalive_expiry=LIMITS.keepalive_expiry
)

CONNECT_S = 10.0

REDIRECTS = 2
"""An address that leads on more often is a wrong one, and each step costs a request."""


def timeout(settings: Settings) -> httpx2.Timeout:
    """The time-out of one call, within what the deadline leaves."""
    seconds = settings.seconds()
    return httpx2.Timeout(seconds, connect=min(CONNECT_S, seconds))


def transport(proxy: str | None = None) -> httpx2.BaseTransport:
    """The way to the network."""
    return Guard(LIMITS, proxy=None if proxy is None else httpx2.Proxy(proxy))


def async_transport(proxy: str | None = None) -> httpx2.AsyncBaseTransport:
    """The same, awaited."""
    through = None if proxy is None else httpx2.Proxy(proxy)
    return AsyncSpread(lambda: AsyncGuard(PART_LIMITS, proxy=through))


class _Client(httpx2.Client):
    """Gives its connections back also when nobody closes it, as the SDKs' own do."""

    def __del__(self) -> None:
        if hasattr(self, "_transport"):
            self.close()


def http_client(settings: Settings, through: httpx2.BaseTransport | None) -> httpx2.Client:
    """The client of one provider; `through` (a tape) stands between it and the network."""
    if through is not None:
        return httpx2.Client(
            transport=through, follow_redirects=True, max_redirects=REDIRECTS, timeout=timeout(settings)
        )
    return _Client(
        transport=transport(),
        mounts={where: None if by is None else transport(by) for where, by in get_environment_proxies().items()},
        follow_redirects=True,
        max_redirects=REDIRECTS,
        timeout=timeout(settings),
    )


def async_http_client(settings: Settings, through: httpx2.AsyncBaseTransport | None) -> httpx2.AsyncClient:
    """The same, awaited."""
    if through is not None:
        return httpx2.AsyncClient(
            transport=through, follow_redirects=True, max_redirects=REDIRECTS, timeout=timeout(settings)
        )
    return httpx2.AsyncClient(
        transport=async_transport(),
        mounts={where: None if by is None else async_transport(by) for where, by in get_environment_proxies().items()},
        follow_redirects=True,
        max_redirects=REDIRECTS,
        timeout=timeout(settings),
    )
