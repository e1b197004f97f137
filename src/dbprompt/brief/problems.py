"""Says what is wrong with a brief in the user's words: key, value, fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from dbprompt.errors import Problem

__all__ = ["problems_of"]

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text (in YAML, put quotes around it)",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
}
_PATTERNS = {
    "desc)$": 'write "attribute asc" or "attribute desc"',
    r":\d": 'write reads:writes, such as "85:15"',
    "A-Z": "use letters, digits and underscores only, 63 at most, not starting with a digit",
    "a-z": "use lower-case letters, digits and underscores only",
}


def problems_of(error: ValidationError, model: type[BaseModel]) -> tuple[Problem, ...]:
    """Every problem of a validation error, in the order of the brief."""
    return tuple(
        Problem(_path(item["loc"]), _shown(item), _fix(item, model))
        for item in error.errors(include_url=False)
        if not (item["type"] == "too_short" and item["input"])  # its items are wrong, and each is named already
    )


def _path(loc: Iterable[int | str]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "brief"


def _shown(item: Any) -> str:
    if item["type"] == "missing":
        return "missing"
    if item["type"] in {"extra_forbidden", "value_error"}:
        return ""
    text = repr(item["input"])
    return text if len(text) <= 60 else text[:57] + "..."


def _fix(item: Any, model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "missing":
        return "add it"
    if kind == "extra_forbidden":
        known = _keys_at(model, item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        return f"no such key; did you mean {near[0]!r}?" if near else f"no such key; known: {', '.join(known)}"
    if kind in {"literal_error", "enum"}:
        return f"write {context['expected']}"
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return next((fix for mark, fix in _PATTERNS.items() if mark in pattern), f"write text that fits {pattern}")
    if kind in _EXPECTED:
        return f"write {_EXPECTED[kind]}"
    return str(item["msg"]).removeprefix("Value error, ").removeprefix("Input ").replace("String should", "should")


def _keys_at(model: type[BaseModel], loc: Iterable[int | str]) -> list[str]:
    """The keys that a mapping at this place may have."""
    here = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = next((f for n, f in here.model_fields.items() if part in (n, f.alias)), None)
        found = _model_in(field.annotation) if field else None
        if found is None:
            return []
        here = found
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, getattr(annotation, "__args__", ()))), None)
