"""Any server that speaks OpenAI's chat completions: llama.cpp, vLLM, Ollama, LM Studio, a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

import httpx2
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from dbprompt.errors import NoRecordingError, ProviderError, ServerError
from dbprompt.messages import Json, Reply, Request, Role, StopReason, Usage
from dbprompt.providers.base import OncePerSchema, ResponseFormat, Settings
from dbprompt.providers.base_errors import carrying
from dbprompt.providers.base_openai import ERRORS, make_async_client, make_client, timeout

__all__ = ["AsyncCompatibleProvider", "CompatibleProvider", "decode", "encode"]

NAME = "openai-compatible"

STOPS: Mapping[str, StopReason] = {
    "stop": StopReason.COMPLETE,
    "tool_calls": StopReason.COMPLETE,  # no tools are offered; what text there is gets judged like any other
    "function_call": StopReason.COMPLETE,
    "length": StopReason.TRUNCATED,
    "content_filter": StopReason.REFUSED,
}


class ChatParams(TypedDict):
    """The arguments of one call. What not every server's schema has travels in `extra_body`."""

    model: str
    messages: list[ChatCompletionMessageParam]
    max_tokens: int
    temperature: float
    extra_body: dict[str, object]


def encode(request: Request, model: str, form: ResponseFormat, temperature: float | None = None) -> ChatParams:
    """The request as chat completions: `max_tokens`, which all servers know, and temperature 0 unless told."""
    schema = _prepared(request.output)
    formats: dict[ResponseFormat, dict[str, object]] = {
        "json_schema": {
            "type": "json_schema",
            "json_schema": {"name": request.output.name, "strict": True, "schema": schema},
        },
        "json_object": {"type": "json_object", "schema": schema},
    }
    return {
        "model": model,
        "messages": [_turn(turn.role, turn.text) for turn in request.messages],
        "max_tokens": request.max_output_tokens,
        "temperature": 0.0 if temperature is None else temperature,
        "extra_body": {"response_format": formats[form]} if request.native else {},
    }


_UNBUILDABLE = frozenset({"maxLength", "minLength", "pattern", "format", "default"})
_NAMED = frozenset({"properties", "$defs"})


def _grammar(schema: Mapping[str, Json]) -> dict[str, object]:
    """The schema as small models and servers bear it; the shape is checked afterwards all the same.

    llama.cpp unrolls a length of 2,000 into 2,000 rules, fails on them and ends the server with it. And what has a
    default may be left out: a small model fills what it must, with anything, and spends most of its tokens on nulls.
    """
    return {key: _buildable(value, names=key in _NAMED) for key, value in _eased(dict(schema)).items()}


def _buildable(node: Json, *, names: bool = False) -> Json:
    if isinstance(node, list):
        return [_buildable(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _buildable(value, names=key in _NAMED and not names)
        for key, value in (node if names else _eased(node)).items()
        if names or key not in _UNBUILDABLE
    }


def _eased(node: dict[str, Json]) -> dict[str, Json]:
    """An object's schema that requires only the properties without a default."""
    properties, required = node.get("properties"), node.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return node
    needed: list[Json] = [name for name in required if not _has_default(properties.get(str(name)))]
    return {**node, "required": needed}


def _has_default(schema: Json) -> bool:
    return isinstance(schema, dict) and "default" in schema


_prepared = OncePerSchema(_grammar)


def _turn(role: Role, text: str) -> ChatCompletionMessageParam:
    match role:
        case Role.SYSTEM:
            return {"role": "system", "content": text}
        case Role.USER:
            return {"role": "user", "content": text}
        case Role.ASSISTANT:
            return {"role": "assistant", "content": text}


def decode(completion: ChatCompletion) -> Reply:
    """The first choice as ours; servers differ in what they leave out."""
    if not completion.choices:
        raise ServerError(f"{NAME}:{completion.model} answered without a choice.")
    choice = completion.choices[0]
    text = choice.message.content or ""
    # An unset reason is an answer whose end nobody vouches for.
    stop = STOPS.get(choice.finish_reason or "length", StopReason.COMPLETE)
    if choice.message.refusal:
        stop, text = StopReason.REFUSED, choice.message.refusal
    return Reply(text=text, stop=stop, usage=_usage(completion), model=completion.model or "")


def _usage(completion: ChatCompletion) -> Usage:
    used = completion.usage
    if used is None:
        return Usage(requests=1)
    details = used.prompt_tokens_details
    return Usage(
        requests=1,
        input_tokens=used.prompt_tokens or 0,
        output_tokens=used.completion_tokens or 0,
        cache_read_tokens=(details.cached_tokens or 0) if details is not None else 0,
    )


class _Form:
    """Which of the two response formats this server takes: as told, or found out by one refusal."""

    def __init__(self, told: ResponseFormat | None) -> None:
        self.now: ResponseFormat = told or "json_schema"
        self._known = told is not None

    def take_other(self, used: ResponseFormat, refusal: ProviderError | NoRecordingError) -> bool:
        """Whether to ask again in the other format, which is then kept.

        llama-cpp-python reports an unknown format as 500. A recording holds no refusals: there it is a miss.
        """
        if self._known or used == "json_object":
            return False
        if isinstance(refusal, ProviderError) and not (refusal.status in (400, 422, 500) and _blames_format(refusal)):
            return False
        self.now = "json_object"
        return True

    def forget(self) -> None:
        """Neither format was recorded: nothing was found out."""
        self.now = "json_schema"

    def fits(self, used: ResponseFormat) -> None:
        """The format was taken: later refusals have another cause."""
        self.now, self._known = used, True


def _blames_format(refusal: ProviderError) -> bool:
    return "response_format" in str(refusal) or "json_schema" in str(refusal)


def _after(refusal: ProviderError | NoRecordingError, reply: Reply) -> Reply:
    sent = 1 if isinstance(refusal, ProviderError) else 0
    return replace(reply, usage=reply.usage + Usage(requests=sent))


class CompatibleProvider:
    """A model behind any OpenAI-compatible server, asked from plain code."""

    name = NAME

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        self._form = _Form(settings.response_format)
        self._client = make_client(settings, transport)

    def send(self, request: Request) -> Reply:
        """Ask once; once more in the other response format if the server refuses the first."""
        form = self._form.now
        try:
            reply = self._ask(request, form)
        except (ProviderError, NoRecordingError) as refusal:
            if not self._form.take_other(form, refusal):
                raise
            try:
                return _after(refusal, self._ask(request, self._form.now))
            except NoRecordingError:
                self._form.forget()
                raise refusal from None
        self._form.fits(form)
        return reply

    def _ask(self, request: Request, form: ResponseFormat) -> Reply:
        with carrying(NAME, self._settings, ERRORS, request):
            params = encode(request, self.model, form, self._settings.temperature)
            return decode(self._client.chat.completions.create(**params, timeout=timeout(self._settings)))

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


class AsyncCompatibleProvider:
    """A model behind any OpenAI-compatible server, asked from async code."""

    name = NAME

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        self._form = _Form(settings.response_format)
        self._client = make_async_client(settings, transport)

    async def send(self, request: Request) -> Reply:
        """Ask once; once more in the other response format if the server refuses the first."""
        form = self._form.now
        try:
            reply = await self._ask(request, form)
        except (ProviderError, NoRecordingError) as refusal:
            if not self._form.take_other(form, refusal):
                raise
            try:
                return _after(refusal, await self._ask(request, self._form.now))
            except NoRecordingError:
                self._form.forget()
                raise refusal from None
        self._form.fits(form)
        return reply

    async def _ask(self, request: Request, form: ResponseFormat) -> Reply:
        with carrying(NAME, self._settings, ERRORS, request):
            params = encode(request, self.model, form, self._settings.temperature)
            return decode(await self._client.chat.completions.create(**params, timeout=timeout(self._settings)))

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.close()
