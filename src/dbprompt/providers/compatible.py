"""Any server that speaks OpenAI's chat completions: llama.cpp, vLLM, Ollama, LM Studio, a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

import httpx2
from openai.types.chat import ChatCompletionMessageParam

from dbprompt.errors import ConnectionFailedError, ServerError
from dbprompt.messages import Json, RateLimits, Reply, Request, Role, StopReason, Usage
from dbprompt.providers.base import Effort, OncePerSchema, SchemaForm, Settings
from dbprompt.providers.base_api import Api
from dbprompt.providers.base_bodies import Body, Fault, count, part, parts, words
from dbprompt.providers.base_openai import ERRORS, AsyncOpenAISdkProvider, OpenAISdkProvider
from dbprompt.providers.base_sdk import Dialect
from dbprompt.providers.base_stream import DONE, Listener
from dbprompt.providers.base_ways import Learned, Setting, Ways

__all__ = ["API", "AsyncCompatibleProvider", "CompatibleProvider", "decode", "encode", "first_ways"]

NAME = "openai-compatible"

STOPS: Mapping[str, StopReason] = {
    "stop": StopReason.COMPLETE,
    "tool_calls": StopReason.COMPLETE,  # no tools are offered; what text there is gets judged like any other
    "function_call": StopReason.COMPLETE,
    "length": StopReason.TRUNCATED,
    "content_filter": StopReason.REFUSED,
}


class ChatParams(TypedDict):
    """The body of one call."""

    model: str
    messages: list[ChatCompletionMessageParam]
    max_tokens: NotRequired[int]
    max_completion_tokens: NotRequired[int]
    reasoning_effort: NotRequired[Effort]
    temperature: NotRequired[float]
    response_format: NotRequired[dict[str, object]]


def encode(
    request: Request, model: str, ways: Ways, temperature: float | None = None, *, effort: Effort | None = None
) -> ChatParams:
    """The request as chat completions: `max_tokens`, which all servers know, and temperature 0 unless told."""
    schema = _prepared(request.output)
    formats: dict[SchemaForm, dict[str, object]] = {
        "json_schema": {
            "type": "json_schema",
            "json_schema": {"name": request.output.name, "strict": True, "schema": schema},
        },
        "json_object": {"type": "json_object", "schema": schema},
    }
    # In the order in which the SDK's own `create` would write them.
    params: ChatParams = {"model": model, "messages": [_turn(turn.role, turn.text) for turn in request.messages]}
    params["max_completion_tokens" if ways.new_limit else "max_tokens"] = request.max_output_tokens
    if effort is not None:
        params["reasoning_effort"] = effort
    if ways.temperature:
        params["temperature"] = 0.0 if temperature is None else temperature
    if request.native:
        params["response_format"] = formats[ways.form]
    return params


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


def decode(body: Body, limits: RateLimits | None = None) -> Reply:
    """The first choice as ours; servers differ in what they leave out."""
    if body.get("error"):
        raise Fault(body)
    choice, model = next(parts(body, "choices"), None), words(body, "model")
    if choice is None:
        raise ServerError(f"{NAME}:{model} answered without a choice.")
    _check_end(choice, model)
    message = part(choice, "message")
    text, refusal = _said(message), words(message, "refusal")
    # An unset reason is an answer whose end nobody vouches for.
    stop = STOPS.get(words(choice, "finish_reason") or "length", StopReason.COMPLETE)
    if refusal:
        stop, text = StopReason.REFUSED, refusal
    return Reply(text=text, stop=stop, usage=_usage(part(body, "usage")), model=model, limits=limits)


def _check_end(choice: Body, model: str) -> None:
    """Nothing, unless a gateway tells in the place of an answer that the model behind it failed (OpenRouter)."""
    if choice.get("error"):
        raise Fault(choice)
    if choice.get("finish_reason") == "error":
        raise ServerError(f"{NAME}:{model} ended its answer with an error, and did not say which.")


def _said(message: Body) -> str:
    """The text of a message; some models answer in parts, with their thoughts among them (Mistral)."""
    if not isinstance(message.get("content"), list):
        return words(message, "content")
    return "".join(words(each, "text") for each in parts(message, "content") if each.get("type") == "text")


def _usage(used: Body) -> Usage:
    return Usage(
        requests=1,
        input_tokens=count(used, "prompt_tokens"),
        output_tokens=count(used, "completion_tokens"),
        cache_read_tokens=count(part(used, "prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=count(part(used, "completion_tokens_details"), "reasoning_tokens"),
    )


class Hearing:
    """What is heard of one streamed completion."""

    def __init__(self, model: str) -> None:
        self.ended = False
        self._model = model
        self._pieces: list[str] = []
        self._refusal = ""
        self._finish = ""
        self._last: Body = {}

    def hear(self, event: Body) -> str:
        """The text that a chunk brings. The usage comes in a chunk of its own after the last text, if at all."""
        if event is DONE:
            self.ended = True
            return ""
        if event.get("error"):
            raise Fault(event)
        self._last |= {name: event[name] for name in ("model", "usage") if event.get(name)}
        choice = next(parts(event, "choices"), None)
        if choice is None:
            return ""
        _check_end(choice, self._model)
        self._finish = words(choice, "finish_reason") or self._finish
        delta = part(choice, "delta")
        self._refusal += words(delta, "refusal")
        piece = _said(delta)
        self._pieces.append(piece)
        return piece

    def reply(self, limits: RateLimits | None) -> Reply:
        """The whole completion."""
        if not self._finish:
            raise ConnectionFailedError(f"{NAME}:{self._model} broke off before the end of its answer.")
        message: Body = {"content": "".join(self._pieces), "refusal": self._refusal}
        choice: Body = {"finish_reason": self._finish, "message": message}
        return decode({"model": self._model, **self._last, "choices": [choice]}, limits)


NEW_LIMIT_HOSTS = (".openai.com", ".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
"""Where `max_tokens` is an old name, which newer models refuse."""

SENDS: tuple[Setting, ...] = ("form", "temperature", "new_limit", "stream_usage")


def first_ways(settings: Settings, address: httpx2.URL) -> Ways:
    """How a server is asked that nothing is known of yet."""
    own = f".{address.host}".endswith(NEW_LIMIT_HOSTS)
    return Ways(form=settings.response_format or "json_schema", new_limit=own)


class _Chat(Dialect):
    name, errors, path, api = NAME, ERRORS, "/chat/completions", "chat"

    def _first(self) -> Learned:
        told = self._settings.response_format is not None
        return Learned(first_ways(self._settings, self._address()), sends=SENDS, form_is_told=told)

    def _address(self) -> httpx2.URL:
        raise NotImplementedError

    def body(self, request: Request, ways: Ways) -> Body:
        settings = self._settings
        return cast("Body", encode(request, settings.model, ways, settings.temperature, effort=settings.effort))

    def streamed_body(self, request: Request, ways: Ways) -> Body:
        usage: Body = {"stream_options": {"include_usage": True}} if ways.stream_usage else {}
        return {**super().streamed_body(request, ways), **usage}

    def decode(self, body: Body, limits: RateLimits | None) -> Reply:
        return decode(body, limits)

    def listener(self) -> Listener:
        return Hearing(self._settings.model)


class CompatibleProvider(_Chat, OpenAISdkProvider):
    """A model behind any OpenAI-compatible server, asked from plain code."""

    def _address(self) -> httpx2.URL:
        return self._client.base_url


class AsyncCompatibleProvider(_Chat, AsyncOpenAISdkProvider):
    """A model behind any OpenAI-compatible server, asked from async code."""

    def _address(self) -> httpx2.URL:
        return self._client.base_url


API = Api(CompatibleProvider, AsyncCompatibleProvider)
