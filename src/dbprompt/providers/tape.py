"""The tape: an HTTP transport that records a provider's answers into a file, or answers from that file alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import httpx2

from dbprompt.errors import NoRecordingError
from dbprompt.providers.base import Sending, current_sending, without_key
from dbprompt.providers.base_cassette import (
    Cassette,
    Interaction,
    Provenance,
    Source,
    check_writable,
    key_of,
    likeness,
    load,
    what_changed,
    write,
)
from dbprompt.providers.base_heard import Heard, Played, is_stream
from dbprompt.providers.base_http import async_transport, transport

__all__ = ["Mode", "Tape"]

Mode: TypeAlias = Literal["replay", "record", "live"]
Mark: TypeAlias = tuple[str, str, str]
AnyTransport: TypeAlias = httpx2.BaseTransport | httpx2.AsyncBaseTransport

KEPT_HEADERS = ("content-type", "request-id", "x-request-id", "retry-after")
"""The response headers that a file may hold. Cookies and account names are in the others."""

KEY_HEADERS = ("authorization", "x-api-key", "api-key")


class Tape:
    """Recordings of one run, in one file. Safe to share between threads and tasks.

    In `replay` there is no network below it: what the file does not hold is a `NoRecordingError`. In `record` every
    good answer is handed on as it arrives and written when it is whole; failures, redirects and streams that break off
    are not, so a retried call leaves only its final response. In `live` nothing is read or written.
    """

    def __init__(
        self, path: Path, mode: Mode, provenance: Provenance, inner: AnyTransport | None, kept: Cassette
    ) -> None:
        self.path, self.mode, self.provenance, self.hash = path, mode, provenance, kept.hash
        self._inner = inner
        self._lock = threading.Lock()
        self._recorded: list[Interaction] = []
        self._lines: list[str] = []
        self._by_mark: dict[Mark, list[Interaction]] = {}
        self._played: dict[Mark, int] = {}
        for interaction in kept.interactions:
            self._add(interaction)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        mode: Mode = "replay",
        provenance: Provenance = "model",
        inner: AnyTransport | None = None,
        keep: bool = False,
    ) -> Tape:
        """Open a tape.

        Args:
            path: the file; `record` replaces it.
            mode: `replay`, `record` or `live`.
            provenance: who answers while recording: a real model, or a person through `authored_transport`.
            inner: what answers instead of the network in `record` and `live`.
            keep: in `record`, answer from what the file holds and record only what it lacks.

        Raises:
            RecordingError: the file cannot be read, or in `record` not be written.
        """
        path = Path(path)
        if mode == "record":
            check_writable(path)
        reads = mode == "replay" or (mode == "record" and keep and path.exists())
        return cls(path, mode, provenance, inner, load(path) if reads else Cassette())

    @property
    def interactions(self) -> tuple[Interaction, ...]:
        """What the tape holds, in the order in which it was recorded."""
        with self._lock:
            return tuple(self._recorded)

    @property
    def takes_turns(self) -> bool:
        """Whether a request was answered more than once: then the tape has a place in it, and is for one run only."""
        with self._lock:
            return any(len(same) > 1 for same in self._by_mark.values())

    def transport(self) -> httpx2.BaseTransport:
        """The tape for a plain HTTP client."""
        return _TapeTransport(self, self._below())

    def async_transport(self) -> httpx2.AsyncBaseTransport:
        """The tape for an async HTTP client."""
        return _AsyncTapeTransport(self, self._async_below())

    def provenance_summary(self) -> str:
        """Where the answers are from: "PATH: authored, 2026-11-21, anthropic:claude-opus-4-8"."""
        sources = [interaction.source for interaction in self.interactions]
        if not sources:
            return f"{self.path}: nothing recorded"
        who = " and ".join(_known(source.provenance for source in sources) or ["unknown"])
        days = _known(source.recorded_at[:10] for source in sources)
        models = ", ".join(_known(f"{source.provider}:{source.model}" for source in sources if source.model))
        when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
        return f"{self.path}: " + ", ".join(filter(None, (who, when, models)))

    def answer(self, request: httpx2.Request) -> httpx2.Response | None:
        """What the tape holds for this request; None means that the network has to be asked."""
        if self.mode == "live":
            return None
        body = request.content.decode("utf-8", "replace")
        key = key_of(request.method, str(request.url), body)
        with self._lock:
            mark = self._mark(key, current_sending())
            known, turn = self._by_mark.get(mark, []), self._played.get(mark, 0)
            if turn < len(known) or (known and self.mode == "replay"):
                self._played[mark] = turn + 1
                return _response(known[min(turn, len(known) - 1)])
        if self.mode == "record":
            return None
        raise self._miss(request, body)

    def heard(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """The response of the network; while it is read, it is also kept."""
        if self.mode != "record" or not response.is_success:
            return response
        heard = Heard(request, response, current_sending(), self._keep)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=heard, extensions=response.extensions
        )

    def record(self, request: httpx2.Request, response: httpx2.Response) -> None:
        """Keep an answer that came in another way: in a batch."""
        if self.mode == "record":
            self._keep(Heard(request, response, current_sending(), self._keep, had=response.read()))

    def _keep(self, heard: Heard) -> None:
        interaction = self._interaction(heard)
        with self._lock:
            self._add(interaction)
            mark = _mark_of(interaction)
            self._played[mark] = len(self._by_mark[mark])
            write(self.path, self._lines)

    def _add(self, interaction: Interaction) -> None:
        self._recorded.append(interaction)
        if self.mode == "record":
            self._lines.append(interaction.to_json())
        self._by_mark.setdefault(_mark_of(interaction), []).append(interaction)

    def _mark(self, key: str, sending: Sending | None) -> Mark:
        """Where to look: a changed prompt gets no old answer, even with an equal body; foreign files have no hashes."""
        mark = (key, sending.origin.prompt_hash, sending.origin.schema_hash) if sending else (key, "", "")
        return mark if mark in self._by_mark else (key, "", "")

    def _interaction(self, heard: Heard) -> Interaction:
        request, response = heard.request, heard.whole()
        keys = _keys(request)
        return Interaction(
            method=request.method,
            uri=str(request.url.copy_with(userinfo=b"", query=None)),
            body=_without(keys, request.content.decode("utf-8", "replace")),
            status=response.status_code,
            reason=response.reason_phrase,
            headers={name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
            answer=_without(keys, response.content.decode("utf-8", "replace")),
            source=self._source(request, heard.sending),
        )

    def _source(self, request: httpx2.Request, sending: Sending | None) -> Source:
        origin = sending.origin if sending else None
        return Source(
            prompt=origin.prompt if origin else "",
            version=origin.version if origin else "",
            prompt_hash=origin.prompt_hash if origin else "",
            schema_hash=origin.schema_hash if origin else "",
            section=origin.section if origin else "",
            provider=sending.provider if sending else "",
            model=sending.model if sending else "",
            provenance=self.provenance,
            recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
            sdk=request.headers.get("user-agent", ""),
            usage="estimated as characters / 3.8" if self.provenance == "authored" else "",
        )

    def _miss(self, request: httpx2.Request, body: str) -> NoRecordingError:
        sending = current_sending()
        wanted = str(sending.origin) if sending else f"{request.method} {request.url.path}"
        nearest = max(self._recorded, key=lambda each: likeness(sending, each.source), default=None)
        if nearest is None:
            return NoRecordingError(f"No recording for {wanted}: {self.path} is empty.", wanted=wanted)
        return NoRecordingError(
            f"No recording for {wanted}; {self.path} holds {nearest.source}: {what_changed(sending, nearest, body)}."
            " Record it again, or ask with what was recorded.",
            wanted=wanted,
            nearest=str(nearest.source),
        )

    def _below(self) -> httpx2.BaseTransport | None:
        if self.mode == "replay":
            return None
        if self._inner is None:
            return transport()
        if not isinstance(self._inner, httpx2.BaseTransport):
            raise TypeError("This tape's inner transport is async only: open an async provider with it.")
        return self._inner

    def _async_below(self) -> httpx2.AsyncBaseTransport | None:
        if self.mode == "replay":
            return None
        if self._inner is None:
            return async_transport()
        if not isinstance(self._inner, httpx2.AsyncBaseTransport):
            raise TypeError("This tape's inner transport is not async: open a plain provider with it.")
        return self._inner


class _TapeTransport(httpx2.BaseTransport):
    def __init__(self, tape: Tape, inner: httpx2.BaseTransport | None) -> None:
        self._tape, self._inner = tape, inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        known = self._tape.answer(request)
        if known is not None:
            return known
        assert self._inner is not None, "replay answers or raises"  # noqa: S101
        response = self._inner.handle_request(request)
        return self._tape.heard(request, response)

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()


class _AsyncTapeTransport(httpx2.AsyncBaseTransport):
    def __init__(self, tape: Tape, inner: httpx2.AsyncBaseTransport | None) -> None:
        self._tape, self._inner = tape, inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        known = self._tape.answer(request)
        if known is not None:
            return known
        assert self._inner is not None, "replay answers or raises"  # noqa: S101
        response = await self._inner.handle_async_request(request)
        return self._tape.heard(request, response)

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()


def _mark_of(interaction: Interaction) -> Mark:
    return interaction.key, interaction.source.prompt_hash, interaction.source.schema_hash


def _response(interaction: Interaction) -> httpx2.Response:
    answer = interaction.answer.encode("utf-8")
    if not is_stream(interaction.headers.get("content-type", "")):
        return httpx2.Response(interaction.status, headers=dict(interaction.headers), content=answer)
    return httpx2.Response(interaction.status, headers=dict(interaction.headers), stream=Played(answer))


def _keys(request: httpx2.Request) -> list[str]:
    sent = (request.headers.get(name, "").removeprefix("Bearer ").removeprefix("Basic ") for name in KEY_HEADERS)
    return [*sent, request.url.password]


def _without(keys: list[str], text: str) -> str:
    for key in keys:
        text = without_key(text, key)
    return text


def _known(values: Iterable[str]) -> list[str]:
    return sorted({value for value in values if value})
