"""A promptfoo configuration: one chat prompt a section, one test for each, answers held against the output schema.

The default provider is promptfoo's `echo`, which needs no network: it shows what would be sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

from dbprompt.messages import Json
from dbprompt.prompts.examples import example_values
from dbprompt.prompts.exchange.portable import NOTICE, message_templates, portable
from dbprompt.prompts.prompt import Prompt
from dbprompt.prompts.quantities import Quantity
from dbprompt.prompts.variables import Values

__all__ = ["to_promptfoo"]

_HEAD = "# yaml-language-server: $schema=https://promptfoo.dev/config-schema.json\n"


def to_promptfoo(
    prompt: Prompt,
    values: Mapping[str, object],
    schemas: Mapping[str, Mapping[str, Json]],
    *,
    provider: str = "echo",
) -> str:
    """The text of `promptfooconfig.yaml`.

    Args:
        prompt: the prompt.
        values: a caller's values, such as a brief's; without any, the examples of the variables.
        schemas: the output schema of each section; an answer has to fit it. Not asked of `echo`, which answers nothing.
        provider: as promptfoo calls it.

    Raises:
        PromptError: a value is wrong, or something of the prompt would mean something else there.
    """
    filled = _vars(prompt.parse(values or example_values(prompt.variables)))
    turns = prompt.sections or ("",)
    config = {
        "description": f"{prompt}: {prompt.title}",
        "metadata": {"notice": NOTICE, "prompt": str(prompt), "hash": prompt.hash},
        "prompts": [
            {"id": _label(prompt, turn), "label": _label(prompt, turn), "raw": _chat(prompt, turn)} for turn in turns
        ],
        "providers": [provider],
        "defaultTest": {"vars": filled, "options": {"disableVarExpansion": True}},
        "tests": [
            {
                "description": turn or prompt.name,
                "prompts": [_label(prompt, turn)],
                "vars": {
                    "design_so_far": ""
                },  # the finished sections go here; promptfoo wants a test to hold something
                **_asserts(turn, schemas, provider),
            }
            for turn in turns
        ],
    }
    return _HEAD + yaml.dump(config, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)


class _Readable(yaml.SafeDumper):
    """Texts of several lines stand as they are."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Readable.add_representer(str, _Readable.represent_str)


def _label(prompt: Prompt, turn: str) -> str:
    return f"{prompt}/{turn}" if turn else str(prompt)


def _chat(prompt: Prompt, turn: str) -> str:
    """The messages as JSON: promptfoo fills each text by itself, so no value can end a message."""
    if not turn:
        messages = message_templates(prompt)
    else:
        paths = [("system", "system.md.j2"), ("user", "context.md.j2")]
        start = [(role, portable(prompt, path)) for role, path in paths if path in prompt.folder.templates]
        messages = (*start, ("user", portable(prompt, f"sections/{turn}.md.j2", section=turn)))
    return json.dumps([{"role": role, "content": text} for role, text in messages], ensure_ascii=False, indent=1)


def _asserts(turn: str, schemas: Mapping[str, Mapping[str, Json]], provider: str) -> dict[str, object]:
    if provider == "echo" or turn not in schemas:
        return {}
    # As text: promptfoo looks up every $ref of the file from the top of the file, not of the schema.
    return {"assert": [{"type": "is-json", "value": json.dumps(schemas[turn], separators=(",", ": "))}]}


def _vars(values: Values) -> dict[str, object]:
    """The values as we print them; what was not given is left out."""
    return {name: _plain(value) for name, value in values.items() if value is not None and value != ()}


def _plain(value: object) -> object:
    match value:
        case Quantity():
            return str(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items() if item is not None and item != ()}
        case tuple():
            return [_plain(item) for item in value]
    return value
