"""An answer made from the schema that a request brings along, of a size that is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["answer_for", "schema_of"]

Json = dict[str, Any]

_FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T08:00:00Z",
    "time": "08:00:00Z",
    "duration": "P1D",
    "uuid": "6f1c2d34-9a3b-4c5d-8e7f-001122334455",
    "email": "someone@example.org",
    "hostname": "example.org",
    "uri": "https://example.org/",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}
_DEEPEST = 8
_MARK = "\ue000"
"""Stands for a number that makes a name its own, until the text is written."""

_JSON = json.JSONDecoder()


def schema_of(body: Json) -> Json | None:
    """The schema of a request to any of the APIs; a schema that its words tell counts too."""
    form = (body.get("output_config") or body.get("text") or {}).get("format") or body.get("response_format") or {}
    schema = form.get("schema") or form.get("json_schema", {}).get("schema")
    return schema if isinstance(schema, dict) else next(_told(json.dumps(body, ensure_ascii=False)), None)


def _told(text: str) -> Iterator[Json]:
    """Schemas in the words of a message."""
    text = text.replace('\\"', '"').replace("\\n", "\n")
    for at in re.finditer(r'\{\s*"', text):
        try:
            found, _ = _JSON.raw_decode(text, at.start())
        except ValueError:
            continue
        if isinstance(found, dict) and "properties" in found:
            yield found


def answer_for(schema: Json | None, size: int) -> str:
    """JSON that fits the schema, about `size` characters long: its first list of objects grows to it."""
    if schema is None:
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    maker = _Maker(schema.get("$defs", {}))
    text = json.dumps(maker.made(schema), ensure_ascii=False, separators=(", ", ": "))
    if len(text) >= size:
        return _numbered(text)
    properties = schema.get("properties", {})
    for key, given in properties.items():
        item = maker.resolved(given).get("items")
        if isinstance(item, dict):
            return _grown(text, key, json.dumps(maker.made(item), ensure_ascii=False), size)
    padding = "x" * (size - len(text))  # no list: its last text grows
    head, quote, tail = text.rpartition('"')
    return _numbered(f"{head}{padding}{quote}{tail}" if head.endswith(("a", _MARK)) else text)


def _grown(text: str, key: str, item: str, size: int) -> str:
    begin = f'"{key}": ['
    head, _, tail = text.partition(begin)
    count = max(0, (size - len(_numbered(text))) // (len(item) + 4))
    return _numbered(f"{head}{begin}{f'{item}, ' * count}{tail}")


def _numbered(text: str) -> str:
    """Each mark as a number of its own, of always four digits or more."""
    first, *others = text.split(_MARK)
    return first + "".join(f"{at:04d}{part}" for at, part in enumerate(others, 1))


@dataclass
class _Maker:
    """Makes values of a schema; every text holds a mark, so that no two names are the same."""

    defs: dict[str, Json] = field(default_factory=dict)

    def resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.defs[schema["$ref"].rpartition("/")[2]]
        return schema

    def made(self, schema: Json, key: str = "value", depth: int = 0) -> Any:
        schema = self.resolved(schema)
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return self.made(self._chosen(schema[union], depth), key, depth)
        if "allOf" in schema:
            return self.made(schema["allOf"][0], key, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type", "object" if "properties" in schema else "null")
        if isinstance(kind, list):
            kind = next(each for each in kind if each != "null")
        return getattr(self, f"_{kind}")(schema, key, depth)

    def _chosen(self, options: list[Json], depth: int) -> Json:
        real = [each for each in options if each.get("type") != "null"]
        nothing = len(real) < len(options) and depth > _DEEPEST
        return {"type": "null"} if nothing or not real else real[0]

    def _object(self, schema: Json, key: str, depth: int) -> Json:
        return {name: self.made(each, name, depth + 1) for name, each in schema.get("properties", {}).items()}

    def _array(self, schema: Json, key: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        count = least if depth > _DEEPEST else max(1, least)
        return [self.made(schema.get("items", {"type": "string"}), key, depth + 1) for _ in range(count)]

    def _string(self, schema: Json, key: str, depth: int) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = f"{key}_{_MARK}"
        return text.ljust(schema.get("minLength", 0), "a")[: schema.get("maxLength")]

    def _integer(self, schema: Json, key: str, depth: int) -> int:
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        step = schema.get("multipleOf", 1)
        return int(-(-least // step) * step)

    def _number(self, schema: Json, key: str, depth: int) -> float:
        return float(self._integer(schema, key, depth))

    def _boolean(self, schema: Json, key: str, depth: int) -> bool:
        return True

    def _null(self, schema: Json, key: str, depth: int) -> None:
        return None
