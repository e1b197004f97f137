"""A prompt as one text to paste into any chat: what `Prompt.render` says, in one message."""

from __future__ import annotations

from collections.abc import Mapping

from dbprompt.prompts.prompt import Prompt

__all__ = ["to_plain"]


def to_plain(prompt: Prompt, values: Mapping[str, object]) -> str:
    """System part, requirements and all asks, in their order. A chat has one box, so the roles fall away.

    Raises:
        VariableError: with every problem at once.
    """
    return "\n\n".join(message.text for message in prompt.render(**values)) + "\n"
