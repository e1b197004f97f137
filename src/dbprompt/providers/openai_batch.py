"""OpenAI's Batch API: a file of requests for one endpoint; also on servers that speak chat completions and know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from openai.types import Batch, BatchError

from dbprompt.errors import ProviderError, RequestError
from dbprompt.messages import Json, Reply, Request
from dbprompt.providers import compatible, openai
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
from dbprompt.providers.base_errors import carrying, scrub
from dbprompt.providers.base_http import http_client
from dbprompt.providers.base_openai import ERRORS, make_client

__all__ = ["OpenAIBatches", "open_chat_batches", "open_response_batches"]

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

WHOLE_BATCH: Mapping[str, int] = {
    "token_limit_exceeded": 429,
    "billing_hard_limit_reached": 402,
    "model_not_found": 404,
}
"""What stops a batch as a whole, and the status that it has where a request is sent by itself."""


class OpenAIBatches:
    """A model behind OpenAI's Batch API. Which endpoint its requests are for is the only difference between servers."""

    most_items = 5_000  # the API takes 50,000
    most_bytes = 100_000_000  # of 200 MB

    def __init__(self, settings: Settings, *, chat: bool) -> None:
        self.name = compatible.NAME if chat else openai.NAME
        self.model, self._settings, self._chat = settings.model, settings, chat
        self._endpoint: Literal["/v1/chat/completions", "/v1/responses"]
        self._endpoint = "/v1/chat/completions" if chat else "/v1/responses"
        self._http = None if settings.sdk is not None else http_client(settings, None)
        self._client = make_client(settings, self._http, api="chat" if chat else "responses")

    @property
    def url(self) -> str:
        """Where a single one of the requests would be sent."""
        return f"{str(self._client.base_url).rstrip('/')}{self._endpoint.removeprefix('/v1')}"

    def encode(self, request: Request) -> str:
        """The body of a request."""
        with carrying(self.name, self._settings, ERRORS, request):
            if not self._chat:
                told = openai.encode(request, self.model, self._settings.temperature, effort=self._settings.effort)
                return dumped(told)
            ways = compatible.first_ways(self._settings, self._client.base_url)
            effort = self._settings.effort
            return dumped(compatible.encode(request, self.model, ways, self._settings.temperature, effort=effort))

    def decode(self, body: Body) -> Reply:
        """The answer in a body."""
        with carrying(self.name, self._settings, ERRORS, NOBODY):
            return compatible.decode(body) if self._chat else openai.decode(body)

    def newest(self) -> str:
        """The id of the batch that was made last."""
        with carrying(self.name, self._settings, ERRORS, NOBODY):
            return next((batch.id for batch in self._client.batches.list(limit=1).data), "")

    def submit(self, mark: str, items: Sequence[BatchItem]) -> str:
        """Hands in the file, then the batch. A file without a batch costs nothing, and the API drops it in time."""
        lines = (
            f'{{"custom_id":{dumped(item.custom_id)},"method":"POST","url":{dumped(self._endpoint)},"body":{item.body}}}\n'
            for item in items
        )
        with carrying(self.name, self._settings, ERRORS, NOBODY):
            data = "".join(lines).encode()
            file = self._client.files.create(file=(f"dbprompt-{mark}.jsonl", data), purpose="batch")
            batch = self._client.batches.create(
                input_file_id=file.id, endpoint=self._endpoint, completion_window="24h", metadata={"dbprompt": mark}
            )
            return batch.id

    def find(self, mark: str, *, count: int, after: str, besides: frozenset[str]) -> str | None:
        """The batch that bears the mark."""
        with carrying(self.name, self._settings, ERRORS, NOBODY):
            for batch in self._client.batches.list(limit=100):
                if batch.id == after:
                    return None
                if (batch.metadata or {}).get("dbprompt") == mark and batch.id not in besides:
                    return batch.id
        return None

    def ended(self, batch_id: str) -> bool:
        """Whether all of it is answered, or given up."""
        with carrying(self.name, self._settings, ERRORS, NOBODY):
            return self._client.batches.retrieve(batch_id).status in ENDED

    def results(self, batch_id: str, custom_ids: Sequence[str]) -> dict[str, Ended]:
        """How each request ended: answers are in one file, errors in another, and either may not be there."""
        with carrying(self.name, self._settings, ERRORS, NOBODY):
            batch = self._client.batches.retrieve(batch_id)
            found: dict[str, Ended] = {}
            for file_id in (batch.output_file_id, batch.error_file_id):
                if file_id:
                    data = self._client.files.content(file_id).content
                    found |= {name: self._ended(line) for name, line in result_lines(data, self._settings)}
            return self._unlisted(batch, custom_ids) | found

    def _ended(self, line: Body) -> Ended:
        response, error = line.get("response"), line.get("error")
        if isinstance(response, dict):
            status, body = response.get("status_code"), response.get("body")
            if not isinstance(status, int) or not isinstance(body, dict):
                return malformed(self.name, self._settings, response)
            return body if status < 400 else self._failure(status, body.get("error", body))
        code = str(error.get("code")) if isinstance(error, dict) else ""
        if code == "batch_cancelled":
            return canceled(self.name, self._settings)
        return expired(self.name, self._settings) if code == "batch_expired" else self._failure(500, error)

    def _failure(self, status: int, told: Json) -> ProviderError:
        body = {name: value for name, value in told.items() if value} if isinstance(told, dict) else {}
        return item_failure(self.name, self._settings, status, {"message": "no reason given", **body})

    def _unlisted(self, batch: Batch, custom_ids: Sequence[str]) -> dict[str, Ended]:
        """What became of the requests of a batch that did not run to its end, where no file says it."""
        if batch.status == "expired":
            return dict.fromkeys(custom_ids, expired(self.name, self._settings))
        if batch.status == "cancelled":
            return dict.fromkeys(custom_ids, canceled(self.name, self._settings))
        if batch.status != "failed":
            return {}
        faults = (batch.errors.data if batch.errors else None) or []
        by_line = {fault.line: fault for fault in faults if fault.line is not None}
        whole = next((fault for fault in faults if fault.line is None), None)
        if whole is not None or not by_line:
            return dict.fromkeys(custom_ids, self._whole(whole))
        ends: dict[str, Ended] = {}
        for number, custom_id in enumerate(custom_ids, start=1):
            fault = by_line.get(number)  # one bad line stops all; only that line is at fault
            told: dict[str, Json] = {"code": fault.code or "", "message": fault.message or ""} if fault else {}
            ends[custom_id] = self._failure(400, told) if fault else expired(self.name, self._settings)
        return ends

    def _whole(self, fault: BatchError | None) -> ProviderError:
        code = (fault.code if fault else None) or ""
        said = (fault.message if fault else None) or "no reason given"
        if fault is None or code in WHOLE_BATCH:
            return self._failure(WHOLE_BATCH.get(code, 500), {"code": code, "message": said})
        told = scrub(f"{said} [{code}]", self._settings.keys)
        return RequestError(f"{self.name}:{self.model} refused the batch as a whole: {told}")

    def close(self) -> None:
        """Gives the connections back that were opened here."""
        if self._http is not None:
            self._http.close()


def open_response_batches(settings: Settings) -> OpenAIBatches:
    """Batches at OpenAI."""
    return OpenAIBatches(settings, chat=False)


def open_chat_batches(settings: Settings) -> OpenAIBatches:
    """Batches at a server that speaks chat completions."""
    return OpenAIBatches(settings, chat=True)
