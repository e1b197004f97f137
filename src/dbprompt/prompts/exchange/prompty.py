"""`.prompty` files (format 2): a prompt in one file for other tools, and back without loss.

The body is the prompt as `Prompt.render` says it. All that the format has no place for (types with units, sections,
fences, the version) stands under `metadata.dbprompt`, and an import restores it to the same hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import yaml

from dbprompt.errors import PromptError
from dbprompt.prompts.examples import example_of
from dbprompt.prompts.exchange.portable import NOTICE, message_templates
from dbprompt.prompts.prompt import Prompt
from dbprompt.prompts.variables import Variable

__all__ = ["FORMAT", "body_of", "to_prompty"]

FORMAT = 1
_KINDS = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean", "enum": "string"}


def to_prompty(prompt: Prompt) -> str:
    """The text of a `.prompty` file.

    Raises:
        PromptError: something of the prompt would mean something else there.
    """
    settings = prompt.folder.settings.model_dump(mode="json", exclude_defaults=True)
    front: dict[str, object] = {
        "name": prompt.name,
        "displayName": prompt.title,
        "description": prompt.description,
        "metadata": {
            "version": prompt.version,
            "notice": NOTICE,
            "dbprompt": {
                "format": FORMAT,
                "hash": prompt.hash,
                "settings": settings,
                "files": dict(prompt.folder.templates),
            },
        },
        "inputs": [_input(variable, required=variable.required) for variable in prompt.variables],
        "template": {"format": {"kind": "jinja2", "strict": True}, "parser": {"kind": "prompty"}},
    }
    _refuse_references(front["inputs"], prompt)
    return f"---\n{_yaml(front)}---\n{body_of(prompt)}"


def body_of(prompt: Prompt) -> str:
    """The messages behind their role markers."""
    return "\n\n".join(f"{role}:\n{text.strip()}" for role, text in message_templates(prompt)) + "\n"


def _input(variable: Variable, *, required: bool) -> dict[str, object]:
    made: dict[str, object] = {"name": variable.name, "description": variable.description, "required": required}
    match variable.type:
        case "list" if variable.fields:
            made |= {"kind": "array", "items": {"kind": "object", "properties": _fields(variable)}}
        case "list":
            made |= {"kind": "array", "items": {"kind": "string"}}
        case "object":
            made |= {"kind": "object", "properties": _fields(variable)}
        case kind:
            made["kind"] = _KINDS.get(kind, "string")
    if variable.choices:
        made["enumValues"] = list(variable.choices)
    if variable.default is not None:
        made["default"] = _plain(variable.default)
    if not variable.fields:
        made["example"] = _plain(example_of(variable))
    if made["kind"] == "array" and isinstance(made.get("example"), str):
        made["example"] = [part.strip() for part in re.split(r"[,;]", str(made["example"]))]
    return made


def _fields(variable: Variable) -> list[dict[str, object]]:
    return [_input(field, required=field.required) for field in variable.fields]


def _plain(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _refuse_references(value: object, prompt: Prompt) -> None:
    """Other tools read a value like ${env:HOME} as an order to look it up."""
    match value:
        case str() if value.startswith("${"):
            raise PromptError(f"{prompt}: {value[:40]!r} would be looked up by other tools; write it otherwise")
        case Mapping():
            for item in value.values():
                _refuse_references(item, prompt)
        case list():
            for item in value:
                _refuse_references(item, prompt)


def _yaml(front: dict[str, object]) -> str:
    """YAML without `---`, which the reader takes for the end wherever it stands."""
    plain = json.loads(json.dumps(front))  # nothing stands in it twice, so nothing is written as an alias
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
    if "---" in text:
        text = yaml.safe_dump(plain, sort_keys=False, default_style='"', width=10**6).replace("---", r"\x2d\x2d\x2d")
    return text
