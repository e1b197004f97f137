"""Tokens that a real model's provider counted for a turn of this very prompt, from a recording."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from dbprompt.prompts.prompt import Prompt
from dbprompt.prompts.tokens import Tokens, TokensBy
from dbprompt.providers.base_cassette import Interaction

__all__ = ["measured_tokens"]


def measured_tokens(prompt: Prompt, interactions: Iterable[Interaction]) -> dict[str, Tokens]:
    """By section, the input tokens of its first ask. Authored answers and other prompts' recordings say nothing.

    A repair asks again with more text, so the least count of a section is its first ask.
    """
    found: dict[str, Tokens] = {}
    for interaction in interactions:
        source = interaction.source
        if source.provenance != "model" or source.usage or source.section not in prompt.sections:
            continue
        if source.prompt_hash != prompt.turn_hash(source.section):
            continue
        count = _input_tokens(interaction.answer)
        if count and (source.section not in found or count < found[source.section].low):
            found[source.section] = Tokens(count, count, TokensBy.MEASURED)
    return found


def _input_tokens(answer: str) -> int:
    try:
        usage = json.loads(answer).get("usage")
    except (ValueError, AttributeError):
        return 0
    if not isinstance(usage, Mapping):
        return 0
    if "prompt_tokens" in usage:
        return _whole(usage["prompt_tokens"])
    cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return _whole(usage.get("input_tokens")) + sum(_whole(usage.get(key)) for key in cached)


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
