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
    cases: Mapping[str, Mapping[str, object]],
    schemas: Mapping[str, Mapping[str, Json]],
    *,
    provider: str = "echo",
) -> str:
    """The text of `promptfooconfig.yaml`.

    Args:
        prompt: the prompt.
        cases: a caller's values by the name of the case, such as a brief's; without any, the examples are one.
        schemas: the output schema of each section; an answer has to fit it. Not asked of `echo`, which answers nothing.
        provider: as promptfoo calls it.

    Raises:
        PromptError: a value is wrong, or something of the prompt would mean something else there.
    """
    given = cases or {"examples": example_values(prompt.variables)}
    filled = {name: _vars(prompt.parse(values)) for name, values in given.items()}
    turns = prompt.sections or ("",)
    config = {
        "description": f"{prompt}: {prompt.title}",
        "metadata": {"notice": NOTICE, "prompt": str(prompt), "hash": prompt.hash},
        "prompts": [
            {"id": _label(prompt, turn), "label": _label(prompt, turn), "raw": _chat(prompt, turn)} for turn in turns
        ],
        "providers": [provider],
        "tests": [
            {
                "description": f"{name}: {turn or prompt.name}",
                "prompts": [_label(prompt, turn)],
                "vars": values,
                "options": {"disableVarExpansion": True},
                **_asserts(turn, schemas, provider),
            }
            for name, values in filled.items()
            for turn in turns
        ],
    }
    return _HEAD + yaml.dump(config, Dumper=_NoAliases, sort_keys=False, allow_unicode=True, width=120)


class _NoAliases(yaml.SafeDumper):
    """The same values stand under several tests: they are written out, so that a test can be copied alone."""

    def ignore_aliases(self, data: object) -> bool:
        return True


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
    return {"assert": [{"type": "is-json", "value": dict(schemas[turn])}]}


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
