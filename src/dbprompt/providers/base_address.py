"""Addresses that come from outside: what of a `base_url` may be shown, and what a bad environment is told as."""

from __future__ import annotations

import os
import re

from dbprompt.errors import RequestError

__all__ = ["bare_url", "blame_environment", "check_base_url", "secrets_in"]

_USERINFO = re.compile(r"(?<=//)[^/?#]*@")
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The first that is set is the one that is read."""
_PLACES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")


def bare_url(url: str) -> str:
    """The address without who asks there and with what: no user, password, query or fragment."""
    return re.split(r"[?#]", _USERINFO.sub("", url), maxsplit=1)[0]


def secrets_in(url: str) -> tuple[str, ...]:
    """What an address holds that no one may see: the password, as it is written, meant and sent."""
    from base64 import b64encode
    from urllib.parse import unquote

    found = _USERINFO.search(url)
    if found is None:
        return ()
    userinfo = found[0].removesuffix("@")
    password = userinfo.partition(":")[2] or userinfo
    return password, unquote(password), b64encode(unquote(userinfo).encode("utf-8", "replace")).decode()


def check_base_url(url: str | None) -> None:
    """Refuses an address that nothing could be sent to as it is meant.

    Raises:
        RequestError: it is empty, none, or has more than a path.
    """
    from urllib.parse import urlsplit

    if url is None:
        return
    if not url.strip():
        raise RequestError("base_url is empty: leave it out for the API's own address, or write http://HOST/v1.")
    if "?" in url or "#" in url:
        raise RequestError(
            f"base_url ({bare_url(url)}) has a query or fragment, to which no path can be added: leave it out,"
            " or give sdk= a client that sends it."
        )
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise RequestError(f"base_url ({bare_url(url)}) is no address: write http://HOST:PORT/v1.") from None


def blame_environment(error: Exception) -> RequestError | None:
    """The error of ours for one that opening a client raised over the environment; None if it has no part in it."""
    from ssl import SSLError  # late: it is not small

    names: tuple[str, ...] = _PLACES
    if isinstance(error, OSError):
        if not isinstance(error, (SSLError, FileNotFoundError, PermissionError, IsADirectoryError)):
            return None
        names = next(((name,) for name in _TRUST if os.environ.get(name)), ())
    told = {name: os.environ[name] for each in names for name in (each, each.lower()) if os.environ.get(name)}
    if not told:
        return None
    said = f"{type(error).__name__}: {error}"
    for secret in (secret for value in told.values() for secret in secrets_in(value)):
        said = said.replace(secret, "[key]") if secret else said
    one = f"is one of {', '.join(told)}" if len(told) > 1 else f"is {next(iter(told))}"
    return RequestError(f"No client can be made: what is wrong in the environment {one} ({said}).")
