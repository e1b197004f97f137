"""Length: what a turn costs to ask, against a budget, and whether room is left for the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.errors import PromptError
from dbprompt.prompts.examples import example_values
from dbprompt.prompts.folder import SUFFIX
from dbprompt.prompts.lint.base import Fault, Row, Rule, RuleResult, judged, line_of, not_checked
from dbprompt.prompts.lint.draft import TOML, Draft
from dbprompt.prompts.prompt import CONTEXT
from dbprompt.prompts.tokens import Counter, Tokens

__all__ = ["WHOLE", "check_length", "turn_lengths"]

WHOLE = "the whole prompt"
BUDGET = Rule(
    "length.budget", Row.LENGTH, "every turn fits the token budget", "shorten what the turn says, or give --budget"
)
ANSWER = Rule(
    "length.answer",
    Row.LENGTH,
    "the answer's room is set, so that none is cut off",
    "set max_output_tokens under [hints]",
)


def turn_lengths(draft: Draft, count: Counter, counted: Mapping[str, Tokens]) -> tuple[tuple[str, Tokens], ...]:
    """The tokens of each turn with the examples of the variables; a count that was measured goes first."""
    prompt = draft.prompt
    if prompt is None:
        return ()
    values = example_values(prompt.variables)
    try:
        turns = {section: prompt.render_turn(section, values) for section in prompt.sections}
        turns[WHOLE] = prompt.render(**values)
    except PromptError:
        return ()
    return tuple(
        (name, counted.get(name) or count("\n".join(message.text for message in messages)))
        for name, messages in turns.items()
    )


def check_length(draft: Draft, lengths: tuple[tuple[str, Tokens], ...], budget: int) -> Iterator[RuleResult]:
    """The rules of this row that apply. All sections at once are for pasting into a chat: that has no budget."""
    turns = [(name, tokens) for name, tokens in lengths if name != WHOLE] or list(lengths)
    over = [(name, tokens) for name, tokens in turns if tokens.low > budget]
    unsure = [f"{name}: {tokens}" for name, tokens in turns if tokens.low <= budget < tokens.high]
    if not turns:
        yield not_checked(BUDGET, "the prompt does not render, so there is nothing to measure")
    elif unsure and not over:
        yield not_checked(BUDGET, f"too near to {budget:,} to tell by this method: {'; '.join(unsure)}")
    else:
        yield judged(BUDGET, [Fault(_path(name), 0, f"{tokens}; the budget is {budget:,}") for name, tokens in over])
    if not draft.table:
        yield not_checked(ANSWER, f"{TOML} cannot be read")
    else:
        hints = draft.table.get("hints")
        is_set = isinstance(hints, dict) and "max_output_tokens" in hints
        at = line_of(draft.toml, r"^\[hints\]")
        yield judged(ANSWER, () if is_set else [Fault(TOML, at, "has no max_output_tokens")])


def _path(turn: str) -> str:
    return CONTEXT if turn == WHOLE else f"sections/{turn}{SUFFIX}"
