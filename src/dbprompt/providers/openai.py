"""OpenAI's Responses API, with a strict JSON schema."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import httpx2
from openai.types.responses import Response, ResponseInputParam
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

from dbprompt.errors import ProviderError, RateLimitError, RequestError, ServerError
from dbprompt.messages import Json, Reply, Request, Role, StopReason, Usage
from dbprompt.providers.base import OncePerSchema, Settings
from dbprompt.providers.base_errors import carrying
from dbprompt.providers.base_openai import ERRORS, make_async_client, make_client, timeout

__all__ = ["AsyncOpenAIProvider", "OpenAIProvider", "decode", "encode", "strict_schema"]

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


def encode(request: Request, model: str, temperature: float | None = None) -> ResponseCreateParamsNonStreaming:
    """The request as the Responses API takes it; nothing is stored there."""
    instructions = "\n\n".join(turn.text for turn in request.messages if turn.role is Role.SYSTEM)
    turns: ResponseInputParam = [
        {"role": "user" if turn.role is Role.USER else "assistant", "content": turn.text}
        for turn in request.messages
        if turn.role is not Role.SYSTEM
    ]
    params: ResponseCreateParamsNonStreaming = {
        "model": model,
        "input": turns,
        "max_output_tokens": request.max_output_tokens,
        "store": False,
    }
    if request.native:
        params["text"] = {
            "format": {
                "type": "json_schema",
                "name": re.sub(r"[^A-Za-z0-9_-]", "_", request.output.name)[:64] or "answer",
                "strict": True,
                "schema": _prepared(request.output),
            }
        }
    if instructions:
        params["instructions"] = instructions
        params["prompt_cache_key"] = hashlib.sha256(instructions.encode()).hexdigest()[:32]
    if temperature is not None:
        params["temperature"] = temperature
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


def decode(response: Response) -> Reply:
    """The answer of the Responses API as ours."""
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    text = "".join(part.text for part in parts if part.type == "output_text")
    refusals = [part.refusal for part in parts if part.type == "refusal"]
    stop = _stop(response)
    if refusals:
        stop, text = StopReason.REFUSED, " ".join(refusals)
    elif stop is StopReason.REFUSED and not text and response.error is not None:
        text = response.error.message
    return Reply(text=text, stop=stop, usage=_usage(response), model=str(response.model))


def _stop(response: Response) -> StopReason:
    if response.status == "completed":
        return StopReason.COMPLETE
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return INCOMPLETE.get(reason or "", StopReason.TRUNCATED)
    code = response.error.code if response.error else None
    if code is not None and "policy" in code:
        return StopReason.REFUSED
    said = response.error.message if response.error else f"status {response.status}"
    kind = ServerError if code is None else FAILED.get(code, RequestError)
    raise kind(f"{NAME}:{response.model} gave no answer ({code or response.status}): {said}")


def _usage(response: Response) -> Usage:
    used = response.usage
    if used is None:
        return Usage(requests=1)
    details = used.input_tokens_details
    return Usage(
        requests=1,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=getattr(details, "cached_tokens", None) or 0,
        cache_write_tokens=getattr(details, "cache_write_tokens", None) or 0,
    )


class OpenAIProvider:
    """A model at OpenAI, asked from plain code."""

    name = NAME

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        self._client = make_client(settings, transport)

    def send(self, request: Request) -> Reply:
        """Ask once."""
        with carrying(NAME, self._settings, ERRORS, request):
            params = encode(request, self.model, self._settings.temperature)
            return decode(self._client.responses.create(**params, timeout=timeout(self._settings)))

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


class AsyncOpenAIProvider:
    """A model at OpenAI, asked from async code."""

    name = NAME

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.model, self.offline, self._settings = settings.model, settings.offline, settings
        self._client = make_async_client(settings, transport)

    async def send(self, request: Request) -> Reply:
        """Ask once."""
        with carrying(NAME, self._settings, ERRORS, request):
            params = encode(request, self.model, self._settings.temperature)
            return decode(await self._client.responses.create(**params, timeout=timeout(self._settings)))

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.close()
