"""OpenAI's Responses API, with a strict JSON schema."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from openai.types.responses import ResponseInputParam
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

from dbprompt.errors import ConnectionFailedError, ProviderError, RateLimitError, RequestError, ServerError
from dbprompt.messages import Json, RateLimits, Reply, Request, Role, StopReason, Usage
from dbprompt.providers.base import Effort, OncePerSchema
from dbprompt.providers.base_api import Api
from dbprompt.providers.base_bodies import Body, Fault, count, part, parts, words
from dbprompt.providers.base_openai import ERRORS, AsyncOpenAISdkProvider, OpenAISdkProvider
from dbprompt.providers.base_sdk import Dialect
from dbprompt.providers.base_stream import Listener
from dbprompt.providers.base_ways import Learned, Ways

__all__ = ["API", "AsyncOpenAIProvider", "OpenAIProvider", "decode", "encode", "strict_schema"]

NAME = "openai"

INCOMPLETE: Mapping[str, StopReason] = {
    "max_output_tokens": StopReason.TRUNCATED,
    "max_messages": StopReason.TRUNCATED,
    "steered": StopReason.TRUNCATED,
    "content_filter": StopReason.REFUSED,
}

FAILED: Mapping[str, type[ProviderError]] = {
    "server_error": ServerError,
    "vector_store_timeout": ServerError,
    "rate_limit_exceeded": RateLimitError,
}
"""What a response with status `failed` is; policy codes are refusals, anything else is our request's fault."""

STRICT_KEYWORDS = frozenset(
    (
        *("$ref", "$defs", "type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const"),
        *("description", "pattern", "format", "minItems", "maxItems"),
        *("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    )
)
STRICT_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
SILENT_KEYWORDS = frozenset(("title", "default", "discriminator", "examples", "$schema", "$id"))
"""Dropped without a trace; any other keyword that strict mode lacks is told in the description."""


def encode(
    request: Request, model: str, temperature: float | None = None, *, effort: Effort | None = None
) -> ResponseCreateParamsNonStreaming:
    """The request as the Responses API takes it; nothing is stored there."""
    instructions = "\n\n".join(turn.text for turn in request.messages if turn.role is Role.SYSTEM)
    turns: ResponseInputParam = [
        {"role": "user" if turn.role is Role.USER else "assistant", "content": turn.text}
        for turn in request.messages
        if turn.role is not Role.SYSTEM
    ]
    # In the order in which the SDK's own `create` would write them.
    params: ResponseCreateParamsNonStreaming = {"model": model, "input": turns}
    if instructions:
        params["instructions"] = instructions
    params["max_output_tokens"] = request.max_output_tokens
    if instructions:
        params["prompt_cache_key"] = hashlib.sha256(instructions.encode()).hexdigest()[:32]
    if effort is not None:
        params["reasoning"] = {"effort": effort}
    params["store"] = False
    if temperature is not None:
        params["temperature"] = temperature
    if request.native:
        params["text"] = {
            "format": {
                "type": "json_schema",
                "name": re.sub(r"[^A-Za-z0-9_-]", "_", request.output.name)[:64] or "answer",
                "strict": True,
                "schema": _prepared(request.output),
            }
        }
    return params


def strict_schema(schema: Mapping[str, Json]) -> dict[str, object]:
    """The schema within what strict mode takes: all required, nothing additional, other keywords told in words."""
    if schema.get("type") != "object":
        raise RequestError("openai takes only an output schema whose root is an object: put the value into a field.")
    return _strict(dict(schema))


def _strict(node: dict[str, Json]) -> dict[str, object]:
    if "$ref" in node:
        return _reference(node)
    kept: dict[str, object] = {}
    told: list[str] = []
    for key, value in node.items():
        if key in ("anyOf", "oneOf") and isinstance(value, list):
            kept["anyOf"] = [_strict(item) for item in value if isinstance(item, dict)]
        elif key == "allOf" and isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            kept.update(_strict(value[0]))
        elif key in ("properties", "$defs") and isinstance(value, dict):
            kept[key] = {name: _strict(item) for name, item in value.items() if isinstance(item, dict)}
        elif key == "items" and isinstance(value, dict):
            kept["items"] = _strict(value)
        elif key in STRICT_KEYWORDS and (key != "format" or value in STRICT_FORMATS):
            kept[key] = value
        elif key not in SILENT_KEYWORDS:
            told.append(f"{key}: {value}")
    if kept.get("type") == "object":
        properties = kept.setdefault("properties", {})
        kept["required"] = list(properties) if isinstance(properties, dict) else []
        kept["additionalProperties"] = False
    if told:
        described = kept.get("description")
        kept["description"] = (f"{described} " if described else "") + f"({', '.join(told)})"
    return kept


def _reference(node: dict[str, Json]) -> dict[str, object]:
    # Strict mode takes nothing beside $ref: a description needs a union of one around it.
    bare: dict[str, object] = {"$ref": node["$ref"]}
    described = node.get("description")
    return {"anyOf": [bare], "description": described} if described else bare


_prepared = OncePerSchema(strict_schema)


def decode(body: Body, limits: RateLimits | None = None) -> Reply:
    """The answer of the Responses API as ours."""
    said = [each for item in parts(body, "output") if item.get("type") == "message" for each in parts(item, "content")]
    text = "".join(words(each, "text") for each in said if each.get("type") == "output_text")
    refusals = [words(each, "refusal") for each in said if each.get("type") == "refusal"]
    stop = _stop(body)
    if refusals:
        stop, text = StopReason.REFUSED, " ".join(refusals)
    elif stop is StopReason.REFUSED and not text:
        text = words(part(body, "error"), "message")
    return Reply(text=text, stop=stop, usage=_usage(part(body, "usage")), model=words(body, "model"), limits=limits)


def _stop(body: Body) -> StopReason:
    status, error = words(body, "status"), part(body, "error")
    if status == "completed":
        return StopReason.COMPLETE
    if status == "incomplete":
        return INCOMPLETE.get(words(part(body, "incomplete_details"), "reason"), StopReason.TRUNCATED)
    if not status and error:
        raise Fault(body)
    code = words(error, "code")
    if "policy" in code:
        return StopReason.REFUSED
    said = words(error, "message") or f"status {status or 'unknown'}"
    kind = FAILED.get(code, RequestError) if code else ServerError
    raise kind(f"{NAME}:{words(body, 'model')} gave no answer ({code or status}): {said}")


def _usage(used: Body) -> Usage:
    details = part(used, "input_tokens_details")
    return Usage(
        requests=1,
        input_tokens=count(used, "input_tokens"),
        output_tokens=count(used, "output_tokens"),
        cache_read_tokens=count(details, "cached_tokens"),
        cache_write_tokens=count(details, "cache_write_tokens"),
        reasoning_tokens=count(part(used, "output_tokens_details"), "reasoning_tokens"),
    )


ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Hearing:
    """What is heard of one streamed response: pieces, and at the end all of it once more."""

    def __init__(self, model: str) -> None:
        self.ended = False
        self._model = model
        self._pieces: list[str] = []
        self._response: Body = {}

    def hear(self, event: Body) -> str:
        """The text that an event brings."""
        kind = event.get("type")
        if kind == "response.output_text.delta":
            piece = words(event, "delta")
            self._pieces.append(piece)
            return piece
        if kind in ENDS:
            self._response = part(event, "response")
            self.ended = True
        elif kind == "error" or "error" in event:
            raise Fault(event)
        return ""

    def reply(self, limits: RateLimits | None) -> Reply:
        """The whole response."""
        if not self.ended:
            raise ConnectionFailedError(f"{NAME}:{self._model} broke off before the end of its answer.")
        reply = decode(self._response, limits)
        # Some gateways do not repeat the text at the end.
        return reply if reply.text or not self._pieces else replace(reply, text="".join(self._pieces))


class _Responses(Dialect):
    name, errors, path, api = NAME, ERRORS, "/responses", "responses"

    def _first(self) -> Learned:
        return Learned(Ways(), sends=["temperature"] if self._settings.temperature is not None else [])

    def body(self, request: Request, ways: Ways) -> Body:
        temperature = self._settings.temperature if ways.temperature else None
        return cast("Body", encode(request, self._settings.model, temperature, effort=self._settings.effort))

    def decode(self, body: Body, limits: RateLimits | None) -> Reply:
        return decode(body, limits)

    def listener(self) -> Listener:
        return Hearing(self._settings.model)


class OpenAIProvider(_Responses, OpenAISdkProvider):
    """A model at OpenAI, asked from plain code."""


class AsyncOpenAIProvider(_Responses, AsyncOpenAISdkProvider):
    """A model at OpenAI, asked from async code."""


API = Api(OpenAIProvider, AsyncOpenAIProvider, key_name="OPENAI_API_KEY")
