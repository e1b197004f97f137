"""The HTTP client that both SDKs get: made once a provider, with every connection kept alive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import httpx2

# The SDKs read the proxies of the environment so too; a client with a transport of its own does not by itself.
from httpx2._utils import get_environment_proxies

from dbprompt.errors import RequestError
from dbprompt.providers.base import Settings, current_sending, without_keys
from dbprompt.providers.base_guard import AsyncGuard, Guard
from dbprompt.providers.base_spread import SIDE_BY_SIDE, AsyncSpread

__all__ = ["async_http_client", "async_transport", "http_client", "timeout", "transport"]

LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=60.0)
"""A connection that was opened is kept: closing it costs the next call a handshake."""

PART_LIMITS = httpx2.Limits(
    max_connections=SIDE_BY_SIDE, max_keepalive_connections=SIDE_BY_SIDE, keepalive_expiry=LIMITS.keepalive_expiry
)

CONNECT_S = 10.0

_MOST_OF_ADDRESS = 200


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


def _stays(settings: Settings, response: httpx2.Response) -> None:
    """Nothing, unless the server leads elsewhere: a prompt is for whom it was sent to, and one request is one.

    Raises:
        RequestError: it does.
    """
    if not 300 <= response.status_code < 400:
        return
    sending = current_sending()
    whose = "The server" if sending is None else f"{sending.provider}:{sending.model}"
    raise RequestError(
        f"{whose} leads elsewhere ({response.status_code}): {_led_to(settings, response)}."
        " Prompts do not follow: set base_url to the address that answers.",
        status=response.status_code,
    )


def _led_to(settings: Settings, response: httpx2.Response) -> str:
    """Where to, without what may be a secret in it."""
    try:
        to = response.request.url.join(response.headers["location"])
        told = str(to.copy_with(username=None, password=None, query=None, fragment=None))
    except (KeyError, ValueError, httpx2.InvalidURL):
        return "to no address that can be read"
    return "to " + without_keys(told, settings.keys)[:_MOST_OF_ADDRESS]


def _hooks(settings: Settings) -> dict[str, list[Callable[..., object]]]:
    return {"response": [partial(_stays, settings)]}


def _async_hooks(settings: Settings) -> dict[str, list[Callable[..., object]]]:
    async def stays(response: httpx2.Response) -> None:
        _stays(settings, response)

    return {"response": [stays]}


class _Client(httpx2.Client):
    """Gives its connections back also when nobody closes it, as the SDKs' own do."""

    def __del__(self) -> None:
        if hasattr(self, "_transport"):
            self.close()


def http_client(settings: Settings, through: httpx2.BaseTransport | None) -> httpx2.Client:
    """The client of one provider; `through` (a tape) stands between it and the network."""
    if through is not None:
        return httpx2.Client(transport=through, event_hooks=_hooks(settings), timeout=timeout(settings))
    return _Client(
        transport=transport(),
        mounts={where: None if by is None else transport(by) for where, by in get_environment_proxies().items()},
        event_hooks=_hooks(settings),
        timeout=timeout(settings),
    )


def async_http_client(settings: Settings, through: httpx2.AsyncBaseTransport | None) -> httpx2.AsyncClient:
    """The same, awaited."""
    if through is not None:
        return httpx2.AsyncClient(transport=through, event_hooks=_async_hooks(settings), timeout=timeout(settings))
    return httpx2.AsyncClient(
        transport=async_transport(),
        mounts={where: None if by is None else async_transport(by) for where, by in get_environment_proxies().items()},
        event_hooks=_async_hooks(settings),
        timeout=timeout(settings),
    )
