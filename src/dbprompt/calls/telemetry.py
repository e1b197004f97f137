"""Spans by OpenTelemetry's conventions for generative AI. The one file that knows OpenTelemetry; off, it is not loaded.

The conventions are open-telemetry/semantic-conventions-genai, as they stood in November 2026 (status: development).
Whatever a tracer provider of the caller's does wrong is logged, and fails no call.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar

from dbprompt.calls.exchange import blotted, error_type
from dbprompt.errors import MissingExtraError, ProviderError
from dbprompt.messages import Message, Reply, Request, Role, StopReason, Usage

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["SpanHandle", "Spans", "Value", "open_spans", "usage_values"]

P = ParamSpec("P")
R = TypeVar("R")

Value: TypeAlias = "str | int | float | bool | Sequence[str]"

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_WITH_CONTENT = frozenset({"true", "1", "span_only", "span_and_event"})

_FINISHED = {
    StopReason.COMPLETE: "stop",
    StopReason.TRUNCATED: "length",
    StopReason.REFUSED: "content_filter",
}
_PROVIDERS = {"openai-compatible": "openai"}
"""The conventions name the API that is spoken, not who hosts it."""

_log = logging.getLogger(__name__)


def open_spans(telemetry: bool | TracerProvider, keys: tuple[str, ...] = ()) -> Spans | None:
    """What makes spans: the process's own tracer provider, or one that is given; None if there are to be none.

    Prompts and answers are put into spans only if OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says so.

    Raises:
        MissingExtraError: OpenTelemetry's API is not installed.
        TypeError: it is neither.
    """
    if not isinstance(telemetry, bool) and not callable(getattr(telemetry, "get_tracer", None)):
        raise TypeError(f"telemetry is {telemetry!r}: say True, False, or give a TracerProvider of OpenTelemetry")
    if telemetry is False:
        return None
    try:
        from opentelemetry.trace import get_tracer
    except ModuleNotFoundError as error:
        raise MissingExtraError("opentelemetry-api", "otel") from error
    from importlib.metadata import version  # late: it takes longer to load than all of this

    provider = None if telemetry is True else telemetry
    tracer = get_tracer("dbprompt", version("dbprompt"), provider)
    return Spans(tracer, content=os.environ.get(CONTENT, "").strip().lower() in _WITH_CONTENT, keys=keys)


def _quietly(do: Callable[P, R]) -> Callable[P, R | None]:
    """Whatever goes wrong inside is somebody's exporter, processor or sampler, and no call's business."""

    def quiet(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return do(*args, **kwargs)
        except Exception as error:
            _log.warning("a span was lost: %s in %s; calls go on", type(error).__name__, do.__name__)
            return None

    return quiet


class SpanHandle:
    """One span, begun. `context` is the one in which its children begin.

    Args:
        span: None if it could not be begun.
        context: the one that it is in.
        current: whether whatever runs from here to its end, in this thread or task, is below it.
    """

    __slots__ = ("_span", "_token", "context")

    def __init__(self, span: Span | None, context: Context | None, *, current: bool) -> None:
        self._span, self.context = span, context
        self._token: Token[Context] | None = None
        if current and span is not None:
            self._attach()

    @_quietly
    def _attach(self) -> None:
        from opentelemetry.context import attach

        if self.context is not None:
            self._token = attach(self.context)

    @_quietly
    def set(self, values: Mapping[str, Value]) -> None:
        """Says more of it."""
        if self._span is not None:
            self._span.set_attributes(values)

    @_quietly
    def end(self, error_type: str = "") -> None:
        """It is over; with the name of an error if it failed. What the error says may quote a prompt, and stays out."""
        from opentelemetry.context import detach
        from opentelemetry.trace import StatusCode

        if self._token is not None:
            token, self._token = self._token, None
            detach(token)
        if self._span is None:
            return
        if error_type:
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Spans:
    """Makes the spans of one client.

    Args:
        tracer: makes them.
        content: whether prompts and answers stand in them.
        keys: what is blotted out of these.
    """

    def __init__(self, tracer: Tracer, *, content: bool = False, keys: tuple[str, ...] = ()) -> None:
        self._tracer, self._content, self._keys = tracer, content, keys

    def begin(
        self,
        name: str,
        values: Mapping[str, Value],
        *,
        under: SpanHandle | None = None,
        current: bool = True,
        client: bool = False,
        since: datetime | None = None,
    ) -> SpanHandle:
        """Begins a span.

        Args:
            name: of few different values.
            values: what is known of it by now.
            under: its parent; by default whatever is current in this thread or task.
            current: whether what runs from here to its end is below it. Not so for what is left and entered again,
                such as a stream.
            client: whether it is a call to somebody else.
            since: when it began, if not now.
        """
        begun = self._begun(name, values, under, client, since)
        if begun is None:
            return SpanHandle(None, under.context if under is not None else None, current=False)
        return SpanHandle(*begun, current=current)

    @_quietly
    def _begun(
        self, name: str, values: Mapping[str, Value], under: SpanHandle | None, client: bool, since: datetime | None
    ) -> tuple[Span, Context]:
        from opentelemetry.context import get_current
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent = under.context if under is not None and under.context is not None else get_current()
        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        began_ns = None if since is None else int(since.timestamp() * 1e9)
        span = self._tracer.start_span(name, parent, kind, values, start_time=began_ns)
        return span, set_span_in_context(span, parent)

    def request(
        self,
        request: Request,
        *,
        asked: str,
        attempt: int,
        under: SpanHandle | None,
        waited_s: float = 0.0,
        streamed: bool = False,
        since: datetime | None = None,
    ) -> SpanHandle:
        """Begins the span of one request: `chat MODEL`; of a batch, where it was handed in earlier."""
        provider, _, model = asked.partition(":")
        origin = request.origin
        values: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": request.max_output_tokens,
            "gen_ai.output.type": "json",
            "dbprompt.attempt": attempt,
        }
        if streamed:
            values["gen_ai.request.stream"] = True
        if origin.version:
            values |= {"gen_ai.prompt.name": origin.prompt, "gen_ai.prompt.version": origin.version}
        if origin.section:
            values["dbprompt.section"] = origin.section
        if waited_s:
            values["dbprompt.waited_s"] = waited_s
        if self._content:
            values |= _asked_content(request.messages, self._keys)
        current = not streamed and since is None
        return self.begin(f"chat {model}", values, under=under, current=current, client=True, since=since)

    def ended(self, span: SpanHandle, end: Reply | BaseException) -> None:
        """Ends the span of a request."""
        if isinstance(end, Reply):
            span.set(self._answered(end))
            span.end()
            return
        status = end.status if isinstance(end, ProviderError) else None
        if status is not None:
            span.set({"http.response.status_code": status})
        span.end(error_type(end))

    def _answered(self, reply: Reply) -> dict[str, Value]:
        usage = reply.usage
        values: dict[str, Value] = {"gen_ai.response.finish_reasons": [_FINISHED[reply.stop]]}
        if reply.counted:
            values["gen_ai.usage.input_tokens"] = usage.input_tokens
            values["gen_ai.usage.output_tokens"] = usage.output_tokens
        if reply.model:
            values["gen_ai.response.model"] = reply.model
        parts = {
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
            "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        }
        values |= {name: tokens for name, tokens in parts.items() if tokens}
        if usage.cost_usd is not None:
            values["dbprompt.usage.cost_usd"] = usage.cost_usd
        if self._content:
            said = _message(Role.ASSISTANT, reply.text, self._keys)
            values["gen_ai.output.messages"] = _json([{**said, "finish_reason": _FINISHED[reply.stop]}])
        return values


def usage_values(usage: Usage) -> dict[str, Value]:
    """What a job or a section did cost: under names of our own, since the tokens of its requests stand in these."""
    values: dict[str, Value] = {
        "dbprompt.usage.requests": usage.requests,
        "dbprompt.usage.input_tokens": usage.input_tokens,
        "dbprompt.usage.output_tokens": usage.output_tokens,
    }
    return values if usage.cost_usd is None else {**values, "dbprompt.usage.cost_usd": usage.cost_usd}


def _asked_content(messages: Sequence[Message], keys: tuple[str, ...]) -> dict[str, Value]:
    system = [_part(one.text, keys) for one in messages if one.role is Role.SYSTEM]
    turns = [_message(one.role, one.text, keys) for one in messages if one.role is not Role.SYSTEM]
    return {"gen_ai.system_instructions": _json(system), "gen_ai.input.messages": _json(turns)}


def _message(role: Role, text: str, keys: tuple[str, ...]) -> dict[str, object]:
    return {"role": role.value, "parts": [_part(text, keys)]}


def _part(text: str, keys: tuple[str, ...]) -> dict[str, str]:
    return {"type": "text", "content": blotted(text, keys)}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
