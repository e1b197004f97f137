"""Anthropic's Messages API, with its native structured output."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import assert_never, cast

import anthropic
import httpx2
from anthropic.resources.messages import AsyncMessages, Messages
from anthropic.types import CacheControlEphemeralParam, MessageParam, OutputConfigParam, TextBlockParam
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

from dbprompt.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
    UnknownModelError,
)
from dbprompt.messages import Json, OutputSchema, RateLimits, Reply, Request, Role, StopReason, Usage
from dbprompt.messages import Message as Turn
from dbprompt.providers.base import Effort, OncePerSchema, Settings
from dbprompt.providers.base_api import Api
from dbprompt.providers.base_bodies import Body, Fault, count, part, parts, words
from dbprompt.providers.base_errors import ErrorTable
from dbprompt.providers.base_http import timeout
from dbprompt.providers.base_sdk import AsyncSdkProvider, Dialect, SdkProvider, own_client
from dbprompt.providers.base_stream import Listener
from dbprompt.providers.base_ways import Learned, Setting, Ways

__all__ = [
    "API",
    "ERRORS",
    "AnthropicProvider",
    "AsyncAnthropicProvider",
    "decode",
    "encode",
    "make_client",
    "told",
]

NAME = "anthropic"

LONG_ANSWER = 21_333
"""Tokens from which the SDK refuses to wait for the whole body (an hour per 128,000 tokens, ten minutes at most)."""

MOST_CACHE_MARKS = 4

STOPS: Mapping[str, StopReason] = {
    "end_turn": StopReason.COMPLETE,
    "stop_sequence": StopReason.COMPLETE,
    "tool_use": StopReason.COMPLETE,  # no tools are offered; what text there is gets judged like any other
    "max_tokens": StopReason.TRUNCATED,
    "model_context_window_exceeded": StopReason.TRUNCATED,
    "pause_turn": StopReason.TRUNCATED,
    "refusal": StopReason.REFUSED,
}

ERRORS: ErrorTable = (
    (anthropic.APITimeoutError, DeadlineError),
    (anthropic.APIConnectionError, ConnectionFailedError),
    (anthropic.APIResponseValidationError, ServerError),
    (anthropic.APIWebhookValidationError, ServerError),
    (anthropic.AuthenticationError, AuthenticationError),
    (anthropic.PermissionDeniedError, AuthenticationError),
    (anthropic.PaymentRequiredError, QuotaError),
    (anthropic.ContractSpendLimitReachedError, QuotaError),
    (anthropic.EnforcedSpendLimitReachedError, QuotaError),
    (anthropic.RateLimitError, RateLimitError),
    (anthropic.NotFoundError, UnknownModelError),
    (anthropic.BadRequestError, RequestError),
    (anthropic.PreconditionFailedError, RequestError),
    (anthropic.ContentTooLargeError, RequestError),
    (anthropic.UnprocessableEntityError, RequestError),
    (anthropic.RequestHeaderFieldsTooLargeError, RequestError),
    (anthropic.HTTPNotImplementedError, RequestError),
    (anthropic.RequestTimeoutError, ServerError),
    (anthropic.ConflictError, ServerError),
    (anthropic.ClientClosedRequestError, ConnectionFailedError),
    (anthropic.InternalServerError, ServerError),
    (anthropic.APIStatusError, RequestError),
    (anthropic.RetryableError, ServerError),
    (anthropic.CredentialsError, AuthenticationError),
    (anthropic.AnthropicError, RequestError),
)
"""SDK error to ours: the first row that fits. The last catches what only other uses of the SDK raise."""


def encode(
    request: Request, model: str, *, effort: Effort | None = None, thinking: bool = True
) -> MessageCreateParamsNonStreaming:
    """The request as the Messages API takes it: system text apart, turns of one role merged."""
    marks = [turn for turn in request.messages if turn.cache and turn.text.strip()][-MOST_CACHE_MARKS:]
    system: list[TextBlockParam] = []
    turns: list[MessageParam] = []
    for turn in request.messages:
        if not turn.text.strip():  # the API refuses blank blocks
            continue
        block = _block(turn, cached=any(turn is mark for mark in marks))
        match turn.role:
            case Role.SYSTEM:
                system.append(block)
            case Role.USER | Role.ASSISTANT:
                _add(turns, turn.role, block)
            case other:
                assert_never(other)
    # In the order in which the SDK's own `create` would write them.
    params: MessageCreateParamsNonStreaming = {
        "max_tokens": request.max_output_tokens,
        "messages": turns,
        "model": model,
    }
    output: OutputConfigParam = {}
    if request.native:
        output["format"] = {"type": "json_schema", "schema": _schema(request.output)}
    if effort is not None:
        output["effort"] = effort  # type: ignore[typeddict-item]  # the API itself says which words it knows
    if output:
        params["output_config"] = output
    if system:
        params["system"] = system
    if effort is not None and thinking:
        params["thinking"] = {"type": "adaptive"}
    return params


def _block(turn: Turn, *, cached: bool) -> TextBlockParam:
    block: TextBlockParam = {"type": "text", "text": turn.text}
    if cached:
        block["cache_control"] = CacheControlEphemeralParam(type="ephemeral")
    return block


def _add(turns: list[MessageParam], role: Role, block: TextBlockParam) -> None:
    last = turns[-1] if turns else None
    if last is not None and last["role"] == role.value and isinstance(last["content"], list):
        last["content"].append(block)
    else:
        turns.append(
            {"role": "user", "content": [block]} if role is Role.USER else {"role": "assistant", "content": [block]}
        )


def _transformed(schema: Mapping[str, Json]) -> dict[str, object]:
    bare = _without_noise(dict(schema))
    assert isinstance(bare, dict)  # noqa: S101  a mapping in gives a mapping out
    try:
        return anthropic.transform_schema(bare)
    except ValueError as error:
        raise RequestError(f"anthropic does not take this output schema: {error} Give every field a type.") from error


def _without_noise(node: Json, *, names: bool = False) -> Json:
    """The schema without `discriminator` and `default`, which the SDK would write into descriptions.

    `names` says that the keys here are property names, not keywords.
    """
    if isinstance(node, list):
        return [_without_noise(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value
        if not names and key in ("enum", "const")
        else _without_noise(value, names=not names and key in ("properties", "$defs"))
        for key, value in node.items()
        if names or key not in ("discriminator", "default")
    }


_prepared = OncePerSchema(_transformed)


def _schema(output: OutputSchema) -> dict[str, object]:
    return _prepared(output)


def decode(body: Body, limits: RateLimits | None = None) -> Reply:
    """The answer of the Messages API as ours. A message without a stop reason is a stream that broke off."""
    if body.get("type") == "error":
        raise Fault(body)
    stop, model = words(body, "stop_reason"), words(body, "model")
    if not stop:
        raise ConnectionFailedError(f"{NAME}:{model} broke off before the end of its answer.")
    kind = STOPS.get(stop, StopReason.COMPLETE)
    text = "".join(words(block, "text") for block in parts(body, "content") if block.get("type") == "text")
    if kind is StopReason.REFUSED and not text:
        details = part(body, "stop_details")
        text = words(details, "explanation") or words(details, "category")
    return Reply(text=text, stop=kind, usage=_usage(part(body, "usage")), model=model, limits=limits)


def _usage(used: Body) -> Usage:
    read, written = count(used, "cache_read_input_tokens"), count(used, "cache_creation_input_tokens")
    return Usage(
        requests=1,
        input_tokens=count(used, "input_tokens") + read + written,  # the API counts cached input apart
        output_tokens=count(used, "output_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(part(used, "output_tokens_details"), "thinking_tokens"),
    )


class Hearing:
    """What is heard of one streamed message."""

    def __init__(self, model: str) -> None:
        self.ended = False
        self._model = model
        self._pieces: list[str] = []
        self._message: Body = {}
        self._usage: Body = {}
        self._end: Body = {}

    def hear(self, event: Body) -> str:
        """The text that an event brings."""
        match event.get("type"):
            case "content_block_delta":
                return self._said(part(event, "delta"))
            case "content_block_start":
                return self._said(part(event, "content_block"))
            case "message_start":
                self._message = part(event, "message")
                self._count(self._message)
            case "message_delta":
                self._end |= {name: value for name, value in part(event, "delta").items() if value is not None}
                self._count(event)
            case "message_stop":
                self.ended = True
            case "error":
                raise Fault(event)
        return ""

    def _said(self, block: Body) -> str:
        if block.get("type") not in ("text_delta", "text"):
            return ""
        piece = words(block, "text")
        self._pieces.append(piece)
        return piece

    def _count(self, holder: Body) -> None:
        """Counts are of all until now; a later event may leave out what an earlier one has told."""
        used = holder.get("usage")
        if isinstance(used, dict):
            self._usage |= {name: value for name, value in used.items() if value is not None}

    def reply(self, limits: RateLimits | None) -> Reply:
        """The whole message."""
        if not self.ended:
            raise ConnectionFailedError(f"{NAME}:{self._model} broke off before the end of its answer.")
        content: Body = {"type": "text", "text": "".join(self._pieces)}
        head: Body = {"model": self._model, **self._message, **self._end}
        return decode({**head, "content": [content], "usage": self._usage}, limits)


def make_client(settings: Settings, http: httpx2.Client | None) -> anthropic.Anthropic:
    """A client that never retries by itself. One of the user's keeps his HTTP client, unless `http` replaces it."""
    if settings.sdk is not None:
        own = own_client(settings.sdk, anthropic.Anthropic, api="messages", plain=Messages, awaited=AsyncMessages)
        return own.with_options(max_retries=0, http_client=http)
    return anthropic.Anthropic(
        api_key=settings.key or "not-needed",
        base_url=settings.base_url,
        max_retries=0,
        timeout=timeout(settings),
        http_client=http,
    )


def make_async_client(settings: Settings, http: httpx2.AsyncClient | None) -> anthropic.AsyncAnthropic:
    """The same, awaited."""
    if settings.sdk is not None:
        own = own_client(settings.sdk, anthropic.AsyncAnthropic, api="messages", plain=Messages, awaited=AsyncMessages)
        return own.with_options(max_retries=0, http_client=http)
    return anthropic.AsyncAnthropic(
        api_key=settings.key or "not-needed",
        base_url=settings.base_url,
        max_retries=0,
        timeout=timeout(settings),
        http_client=http,
    )


class _Messages(Dialect):
    name, errors, path = NAME, ERRORS, "/v1/messages"

    def _first(self) -> Learned:
        sends: list[Setting] = ["temperature"] if self._settings.temperature is not None else []
        return Learned(Ways(), sends=[*sends, "thinking"] if self._settings.effort is not None else sends)

    def body(self, request: Request, ways: Ways) -> Body:
        return told(self._settings, request, ways)

    def is_long(self, request: Request) -> bool:
        return request.max_output_tokens > LONG_ANSWER

    def decode(self, body: Body, limits: RateLimits | None) -> Reply:
        return decode(body, limits)

    def listener(self) -> Listener:
        return Hearing(self._settings.model)


def told(settings: Settings, request: Request, ways: Ways) -> Body:
    """The body of a request. The SDK has deprecated the temperature, though the API takes it for some models."""
    body = dict(encode(request, settings.model, effort=settings.effort, thinking=ways.thinking))
    if settings.temperature is not None and ways.temperature:
        body["temperature"] = settings.temperature
    return cast("Body", body)


class AnthropicProvider(_Messages, SdkProvider):
    """A model at Anthropic, asked from plain code."""

    def _connect(self) -> None:
        self._client = make_client(self._settings, self._http)

    def _post(self, body: Body) -> httpx2.Response:
        return self._client.post(
            self.path, cast_to=httpx2.Response, body=body, options={"timeout": timeout(self._settings)}
        )

    def _open(self, body: Body) -> httpx2.Response:
        kind = anthropic.Stream[object]
        return self._client.post(
            self.path,
            cast_to=object,
            body=body,
            options={"timeout": timeout(self._settings)},
            stream=True,
            stream_cls=kind,
        ).response

    def _events(self, response: httpx2.Response) -> Iterable[object]:
        return anthropic.Stream(cast_to=object, response=response, client=self._client)


class AsyncAnthropicProvider(_Messages, AsyncSdkProvider):
    """A model at Anthropic, asked from async code."""

    def _connect(self) -> None:
        self._client = make_async_client(self._settings, self._http)

    async def _post(self, body: Body) -> httpx2.Response:
        return await self._client.post(
            self.path, cast_to=httpx2.Response, body=body, options={"timeout": timeout(self._settings)}
        )

    async def _open(self, body: Body) -> httpx2.Response:
        kind = anthropic.AsyncStream[object]
        stream = await self._client.post(
            self.path,
            cast_to=object,
            body=body,
            options={"timeout": timeout(self._settings)},
            stream=True,
            stream_cls=kind,
        )
        return stream.response

    def _events(self, response: httpx2.Response) -> AsyncIterable[object]:
        return anthropic.AsyncStream(cast_to=object, response=response, client=self._client)


API = Api(AnthropicProvider, AsyncAnthropicProvider, key_name="ANTHROPIC_API_KEY")
