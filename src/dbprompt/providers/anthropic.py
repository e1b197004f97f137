"""Anthropic's Messages API, with its native structured output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import anthropic
import httpx2
from anthropic.types import CacheControlEphemeralParam, Message, MessageParam, TextBlockParam
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
from dbprompt.messages import Json, OutputSchema, Reply, Request, Role, StopReason, Usage
from dbprompt.messages import Message as Turn
from dbprompt.providers.base import OncePerSchema, Settings, time_left
from dbprompt.providers.base_errors import ErrorTable, carrying

__all__ = ["ERRORS", "AnthropicProvider", "AsyncAnthropicProvider", "decode", "encode"]

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


def encode(request: Request, model: str) -> MessageCreateParamsNonStreaming:
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
    params: MessageCreateParamsNonStreaming = {
        "model": model,
        "max_tokens": request.max_output_tokens,
        "messages": turns,
    }
    if request.native:
        params["output_config"] = {"format": {"type": "json_schema", "schema": _schema(request.output)}}
    if system:
        params["system"] = system
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


def decode(message: Message) -> Reply:
    """The answer of the Messages API as ours. A message without a stop reason is a stream that broke off."""
    stop = message.stop_reason
    if stop is None:
        raise ConnectionFailedError(f"{NAME}:{message.model} broke off before the end of its answer.")
    kind = STOPS.get(stop, StopReason.COMPLETE)
    text = "".join(block.text for block in message.content if block.type == "text")
    if kind is StopReason.REFUSED and not text and message.stop_details is not None:
        text = message.stop_details.explanation or message.stop_details.category or ""
    used = message.usage
    read, written = used.cache_read_input_tokens or 0, used.cache_creation_input_tokens or 0
    usage = Usage(
        requests=1,
        input_tokens=used.input_tokens + read + written,  # the API counts cached input apart
        output_tokens=used.output_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    return Reply(text=text, stop=kind, usage=usage, model=message.model)


def _extra(settings: Settings) -> dict[str, object] | None:
    return None if settings.temperature is None else {"temperature": settings.temperature}


def _timeout(settings: Settings) -> httpx2.Timeout:
    return httpx2.Timeout(settings.seconds(), connect=min(10.0, settings.seconds()))


def _check_deadline(settings: Settings) -> None:
    left = time_left()
    if left is not None and left <= 0:
        raise DeadlineError(f"{NAME}:{settings.model} was still answering at the deadline of this call.")


class AnthropicProvider:
    """A model at Anthropic, asked from plain code."""

    name = NAME

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        self._client = anthropic.Anthropic(
            api_key=settings.key or "not-needed",
            base_url=settings.base_url,
            max_retries=0,
            timeout=_timeout(settings),
            http_client=None if transport is None else httpx2.Client(transport=transport, follow_redirects=True),
        )

    def send(self, request: Request) -> Reply:
        """Ask once."""
        with carrying(NAME, self._settings, ERRORS, request):
            return decode(self._answer(encode(request, self.model)))

    def _answer(self, params: MessageCreateParamsNonStreaming) -> Message:
        timeout, extra = _timeout(self._settings), _extra(self._settings)
        if params["max_tokens"] <= LONG_ANSWER:
            return self._client.messages.create(**params, timeout=timeout, extra_body=extra)
        with self._client.messages.stream(**params, timeout=timeout, extra_body=extra) as stream:  # type: ignore[misc]
            for _ in stream:
                _check_deadline(self._settings)
            return stream.get_final_message()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


class AsyncAnthropicProvider:
    """A model at Anthropic, asked from async code."""

    name = NAME

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        self._client = anthropic.AsyncAnthropic(
            api_key=settings.key or "not-needed",
            base_url=settings.base_url,
            max_retries=0,
            timeout=_timeout(settings),
            http_client=None if transport is None else httpx2.AsyncClient(transport=transport, follow_redirects=True),
        )

    async def send(self, request: Request) -> Reply:
        """Ask once."""
        with carrying(NAME, self._settings, ERRORS, request):
            return decode(await self._answer(encode(request, self.model)))

    async def _answer(self, params: MessageCreateParamsNonStreaming) -> Message:
        timeout, extra = _timeout(self._settings), _extra(self._settings)
        if params["max_tokens"] <= LONG_ANSWER:
            return await self._client.messages.create(**params, timeout=timeout, extra_body=extra)
        async with self._client.messages.stream(**params, timeout=timeout, extra_body=extra) as stream:  # type: ignore[misc]
            return await stream.get_final_message()

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.close()
