"""What a provider file, or another package's, hands to the registry: how its models are opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbprompt.providers.base import AsyncProvider, Provider, Settings
from dbprompt.providers.base_batch import BatchApi

if TYPE_CHECKING:
    import httpx2

__all__ = ["Api"]


@dataclass(frozen=True, slots=True)
class Api:
    """A provider's API.

    Args:
        open: a provider from its settings. The transport is a tape's, which has to stand in place of the network; it is
            None without a recording. A provider that does not speak HTTP through httpx2 refuses one.
        open_async: the same for async code.
        open_batch: its batch API, if it has one that dbprompt can use.
        key_name: which environment variable holds its key; empty if it needs none.
        base_url: where it is, if the user names no other place. Without one the SDK knows the place.
    """

    open: Callable[[Settings, httpx2.BaseTransport | None], Provider]
    open_async: Callable[[Settings, httpx2.AsyncBaseTransport | None], AsyncProvider]
    open_batch: Callable[[Settings], BatchApi] | None = None
    key_name: str = ""
    base_url: str | None = None
