"""Prompt caching as the two APIs count it: which tokens of a prompt were there in a request before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from .says import Said

__all__ = ["share"]

LEAST_TOKENS = 1_024
UNIT_TOKENS = 128
LETTERS = 4
"""Characters of a token."""


def share(known: set[str], told: dict[str, Any], said: Said) -> Said:
    """The answer with its cached tokens; what can be cached from now on is added to what is known.

    Anthropic reads and writes up to the blocks that `cache_control` marks; OpenAI reads the longest prefix that it has
    seen, in units of 128 tokens from 1,024 on, and does not charge for writing.
    """
    if said.api == "messages":
        return _marked(known, told, said)
    text = _prompt(told)
    prefixes = range(LEAST_TOKENS, len(text) // LETTERS + 1, UNIT_TOKENS)
    marks = {tokens: _hash(text[: tokens * LETTERS]) for tokens in prefixes}
    cached = max((tokens for tokens, mark in marks.items() if mark in known), default=0)
    known |= set(marks.values())
    return replace(said, cached_tokens=min(cached, said.input_tokens))


def _marked(known: set[str], told: dict[str, Any], said: Said) -> Said:
    schema = json.dumps(told.get("output_config"))  # another schema is another prefix
    text, ends = schema, []
    system = told.get("system") or []
    turns = [(turn["role"], block) for turn in told["messages"] for block in _blocks(turn["content"])]
    for role, block in [*(("system", block) for block in _blocks(system)), *turns]:
        text += f"\n{role}: {block.get('text', '')}"
        if "cache_control" in block and len(text) // LETTERS >= LEAST_TOKENS:
            ends.append(len(text))
    read = max((end for end in ends if _hash(text[:end]) in known), default=0)
    known |= {_hash(text[:end]) for end in ends}
    total = max(said.input_tokens, len(text) // LETTERS)
    written = max(ends, default=0) - read
    return replace(said, input_tokens=total, cached_tokens=read // LETTERS, written_tokens=max(0, written) // LETTERS)


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"text": content}] if isinstance(content, str) else content


def _prompt(told: dict[str, Any]) -> str:
    """All that stands before the answer, in the order in which OpenAI's cache sees it."""
    form = told.get("text") or told.get("response_format") or {}
    turns = told.get("input") or told.get("messages") or []
    return json.dumps([form, told.get("instructions"), *turns], ensure_ascii=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
