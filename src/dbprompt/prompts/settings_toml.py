"""Settings written as `prompt.toml`: the other direction of `read_folder`, for imports."""

from __future__ import annotations

import json
from collections.abc import Mapping

from dbprompt.prompts.folder import Settings

__all__ = ["settings_toml"]


def settings_toml(settings: Settings) -> str:
    """The text of `prompt.toml`; it reads back as the same settings."""
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    hints, variables = plain.pop("hints", {}), plain.pop("variables", [])
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    if hints:
        lines += ["", "[hints]", *(f"{_key(key)} = {_value(value)}" for key, value in hints.items())]
    for variable in variables:
        lines += ["", "[[variables]]", *(f"{_key(key)} = {_value(value)}" for key, value in variable.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return "{ " + ", ".join(f"{_key(str(key))} = {_value(item)}" for key, item in value.items()) + " }"
    return _text(str(value))


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").isalnum() else _text(key)


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
