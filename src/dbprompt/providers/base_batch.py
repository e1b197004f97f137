"""What the providers' batch APIs share: many requests handed in at once, and answers that come hours later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dbprompt.errors import ProviderError, RequestError, ServerError
from dbprompt.messages import Json, OutputSchema, Reply, Request
from dbprompt.providers.base import Settings, without_keys
from dbprompt.providers.base_errors import failure, kind_of, scrub

__all__ = [
    "NOBODY",
    "BatchApi",
    "BatchItem",
    "Body",
    "Ended",
    "canceled",
    "dumped",
    "expired",
    "item_failure",
    "malformed",
    "refused_for_good",
    "result_lines",
]

Body: TypeAlias = dict[str, Json]
Ended: TypeAlias = "Body | ProviderError"
"""How one request of a batch ended: the answer as the provider wrote it, or why there is none."""

NOBODY = Request((), OutputSchema("", {}))
"""What is named while a whole batch is on the wire: no single request."""

_REFUSALS = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One request of a batch: the name that its answer will bear, and its body in JSON."""

    custom_id: str
    body: str


class BatchApi(Protocol):
    """A model behind one batch API. Every failure is a `ProviderError`."""

    @property
    def name(self) -> str:
        """Which API: "anthropic"."""

    @property
    def model(self) -> str:
        """Which model, as the API calls it."""

    @property
    def url(self) -> str:
        """Where a single one of the requests would be sent."""

    @property
    def most_items(self) -> int:
        """How many requests one batch may hold."""

    @property
    def most_bytes(self) -> int:
        """How many bytes one batch may hold."""

    def encode(self, request: Request) -> str:
        """The body of a request: the same text for the same request."""

    def decode(self, body: Body) -> Reply:
        """The answer in a body."""

    def newest(self) -> str:
        """The id of the batch that was made last; empty if there is none."""

    def submit(self, mark: str, items: Sequence[BatchItem]) -> str:
        """Makes a batch, and gives its id. `mark` is how `find` knows it again."""

    def find(self, mark: str, *, count: int, after: str, besides: frozenset[str]) -> str | None:
        """The batch that was submitted under a mark after another one, if its id was never received.

        Where the API cannot show the mark, it is the newest batch of that many requests: whose it is shows at its end.
        """

    def ended(self, batch_id: str) -> bool:
        """Whether all of it is answered, or given up."""

    def results(self, batch_id: str, custom_ids: Sequence[str]) -> dict[str, Ended]:
        """How each request of an ended batch ended, as far as the API tells.

        Args:
            batch_id: the batch.
            custom_ids: its requests, in the order in which they were handed in.
        """

    def close(self) -> None:
        """Gives the connections back."""


class _Fault(Exception):
    """An error that stands in a result, in the form of one that an SDK raises."""

    def __init__(self, status: int, body: Mapping[str, object]) -> None:
        self.status_code, self.body = status, {"error": dict(body)}
        super().__init__(str(body.get("message") or body.get("type") or "no reason given"))


def item_failure(name: str, settings: Settings, status: int, error: Mapping[str, object]) -> ProviderError:
    """The error for one request of a batch that the API refused, as if it had been asked by itself."""
    ours = failure(name, settings, ((_Fault, kind_of(status)),), _Fault(status, error))
    assert isinstance(ours, ProviderError)  # noqa: S101  a `_Fault` has no cause that could be anything else
    return ours


def result_lines(data: bytes, settings: Settings) -> Iterator[tuple[str, Body]]:
    """Each line of a file of results, under the custom id that it names, without keys.

    A line that cannot be read tells no custom id: it is passed over, and its request lacks one.
    """
    for line in data.split(b"\n"):
        try:
            told = json.loads(without_keys(line.decode("utf-8", "replace"), settings.keys))
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict) and isinstance(told.get("custom_id"), str):
            yield told["custom_id"], told


def malformed(name: str, settings: Settings, told: Json) -> ProviderError:
    """The error for one request of a batch whose line of the results is not what the API promises."""
    shown = scrub(str(told)[:200], settings.keys)
    return ServerError(f"{name}:{settings.model} gave a result for this request that is none: {shown}")


def expired(name: str, settings: Settings) -> ProviderError:
    """The error for a request that a batch did not get to."""
    return ServerError(f"{name}:{settings.model} did not get to this request before its batch expired.")


def canceled(name: str, settings: Settings) -> ProviderError:
    """The error for a request whose batch somebody cancelled."""
    return RequestError(f"{name}:{settings.model}: the batch was cancelled at the provider; start again to go on.")


def refused_for_good(error: ProviderError) -> bool:
    """Whether the same request would be refused again: its own fault, not the key's, the account's or the hour's."""
    return isinstance(error, RequestError) and error.status in _REFUSALS


def dumped(body: object) -> str:
    """Canonical JSON: the same text for the same body."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
