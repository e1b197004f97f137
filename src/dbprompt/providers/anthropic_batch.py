"""Anthropic's Message Batches: the same requests as the Messages API takes, many at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dbprompt.messages import Reply, Request
from dbprompt.providers.anthropic import ERRORS, NAME, decode, make_client, told
from dbprompt.providers.base import Settings
from dbprompt.providers.base_batch import (
    NOBODY,
    BatchItem,
    Body,
    Ended,
    canceled,
    dumped,
    expired,
    item_failure,
    malformed,
    result_lines,
)
from dbprompt.providers.base_errors import carrying
from dbprompt.providers.base_http import http_client
from dbprompt.providers.base_ways import Ways

__all__ = ["AnthropicBatches"]

STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that an error has where a request is sent by itself; a type that is not here is the server's fault."""


class AnthropicBatches:
    """A model at Anthropic, asked in batches."""

    name = NAME
    most_items = 5_000  # the API takes 100,000; what is handed in and out has to fit into one request and one memory
    most_bytes = 100_000_000  # of 256 MB

    def __init__(self, settings: Settings) -> None:
        self.model, self._settings = settings.model, settings
        self._http = None if settings.sdk is not None else http_client(settings, None)
        self._client = make_client(settings, self._http)

    @property
    def url(self) -> str:
        """Where a single one of the requests would be sent."""
        return f"{str(self._client.base_url).rstrip('/')}/v1/messages"

    def encode(self, request: Request) -> str:
        """The body of a request."""
        with carrying(NAME, self._settings, ERRORS, request):
            return dumped(told(self._settings, request, Ways()))

    def decode(self, body: Body) -> Reply:
        """The answer in a body."""
        with carrying(NAME, self._settings, ERRORS, NOBODY):
            return decode(body)

    def newest(self) -> str:
        """The id of the batch that was made last."""
        with carrying(NAME, self._settings, ERRORS, NOBODY):
            return next((batch.id for batch in self._client.messages.batches.list(limit=1).data), "")

    def submit(self, mark: str, items: Sequence[BatchItem]) -> str:
        """Makes a batch. The API keeps no note of ours: the mark is in the custom ids, which it shows at the end."""
        with carrying(NAME, self._settings, ERRORS, NOBODY):
            requests = [{"custom_id": item.custom_id, "params": json.loads(item.body)} for item in items]
            return self._client.messages.batches.create(requests=requests).id  # type: ignore[arg-type]

    def find(self, mark: str, *, count: int, after: str, besides: frozenset[str]) -> str | None:
        """The newest batch of that many requests since another one."""
        with carrying(NAME, self._settings, ERRORS, NOBODY):
            for batch in self._client.messages.batches.list(limit=100):
                if batch.id == after:
                    return None
                tally = batch.request_counts
                size = tally.processing + tally.succeeded + tally.errored + tally.canceled + tally.expired
                if size == count and batch.id not in besides:
                    return batch.id
        return None

    def ended(self, batch_id: str) -> bool:
        """Whether all of it is answered, or given up."""
        with carrying(NAME, self._settings, ERRORS, NOBODY):
            return self._client.messages.batches.retrieve(batch_id).processing_status == "ended"

    def results(self, batch_id: str, custom_ids: Sequence[str]) -> dict[str, Ended]:
        """How each request ended. The SDK's own reader of the lines would fail at the first bad one for all."""
        with carrying(NAME, self._settings, ERRORS, NOBODY):
            data = self._client.messages.batches.results(batch_id).http_response.read()
            return {name: self._ended(line) for name, line in result_lines(data, self._settings)}

    def _ended(self, line: Body) -> Ended:
        result = line.get("result")
        match result:
            case {"type": "succeeded", "message": dict() as message}:
                return message
            case {"type": "errored", "error": {"error": dict() as told}}:
                kind = str(told.get("type"))
                said = {"type": kind, "message": told.get("message")}
                return item_failure(NAME, self._settings, STATUSES.get(kind, 500), said)
            case {"type": "canceled"}:
                return canceled(NAME, self._settings)
            case {"type": "expired"}:
                return expired(NAME, self._settings)
            case _:  # or what an API of tomorrow says
                return malformed(NAME, self._settings, result)

    def close(self) -> None:
        """Gives the connections back that were opened here."""
        if self._http is not None:
            self._http.close()
