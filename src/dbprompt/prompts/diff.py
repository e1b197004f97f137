"""Two versions of a prompt side by side: what a model would read of each, section by section, and what else changed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from dbprompt.errors import VariableError
from dbprompt.messages import Message
from dbprompt.prompts.changes import Difference, Level, differences, level_of
from dbprompt.prompts.examples import example_of
from dbprompt.prompts.lock import Entry, entry_of
from dbprompt.prompts.prompt import Prompt, RepairItem
from dbprompt.prompts.variables import Variable, parse_variables

__all__ = ["PromptDiff", "TextDiff", "diff_prompts"]

_CONTEXT_LINES = 2
_BROKEN = RepairItem("tables_0", '{"name": "orders"}', ("column total: what is wrong, and what to do",), "orders")


@dataclass(frozen=True, slots=True)
class TextDiff:
    """What one message says in each version, as the lines of a unified diff."""

    part: str
    lines: tuple[str, ...]

    @property
    def added(self) -> int:
        """Lines that are new."""
        return sum(line.startswith("+") for line in self.lines[2:])

    @property
    def removed(self) -> int:
        """Lines that are gone."""
        return sum(line.startswith("-") for line in self.lines[2:])


@dataclass(frozen=True, slots=True)
class PromptDiff:
    """All that differs between two versions.

    Args:
        old: `name@version` before.
        new: `name@version` after.
        texts: the messages that read otherwise when both are filled with the same examples.
        differences: of settings, variables, schemas and templates, each with what it breaks.
    """

    old: str
    new: str
    texts: tuple[TextDiff, ...]
    differences: tuple[Difference, ...]

    @property
    def level(self) -> Level | None:
        """How far the version number has to move; None if only a person can tell."""
        return level_of(self.differences)


def diff_prompts(
    old: Prompt, new: Prompt, old_entry: Entry | None = None, new_entry: Entry | None = None
) -> PromptDiff:
    """Compares two versions.

    Args:
        old: the version before.
        new: the version after.
        old_entry: its lock entry: output schemas are compared as they were locked. Without one, as they are now.
        new_entry: the same for the version after.
    """
    before, after = _texts(old, new), _texts(new, old)
    texts: list[TextDiff] = []
    for part in dict.fromkeys((*before, *after)):
        lines = difflib.unified_diff(
            before.get(part, "").splitlines(),
            after.get(part, "").splitlines(),
            "old",
            "new",
            lineterm="",
            n=_CONTEXT_LINES,
        )
        found = tuple(lines)
        if found:
            texts.append(TextDiff(part, found))
    locked_before, locked_after = old_entry or entry_of(old), new_entry or entry_of(new)
    found_changes = differences(old, new, locked_before.schemas, locked_after.schemas)
    return PromptDiff(str(old), str(new), tuple(texts), found_changes)


def _texts(prompt: Prompt, other: Prompt) -> dict[str, str]:
    """What each message says, filled with examples; a value that both versions take is the same in both."""
    values = _values(prompt, other)
    texts: dict[str, str] = {}
    whole = prompt.render(**values)
    for name, message in zip(_names(prompt), whole, strict=False):
        texts[name] = message.text
    for section in prompt.sections:
        texts[f"section {section}"] = _last(prompt.render_turn(section, values))
        texts[f"repair of {section}"] = _last(prompt.render_repair(section, [_BROKEN]))
    return _once(texts)


def _names(prompt: Prompt) -> tuple[str, ...]:
    return ("system", "context") if "context.md.j2" in prompt.folder.templates else ("system",)


def _last(messages: tuple[Message, ...]) -> str:
    return messages[-1].text


def _once(texts: dict[str, str]) -> dict[str, str]:
    """The repair of one section stands for all: it is one template."""
    repairs = [name for name in texts if name.startswith("repair of ")]
    kept = {name: text for name, text in texts.items() if name not in repairs}
    return kept | {"repair": texts[repairs[0]]} if repairs else kept


def _values(prompt: Prompt, other: Prompt) -> dict[str, object]:
    theirs = {variable.name: variable for variable in other.variables}
    return {v.name: _shared(v, theirs.get(v.name)) for v in prompt.variables}


def _shared(mine: Variable, theirs: Variable | None) -> object:
    """An example that both take; which version's example comes first does not depend on who asks."""
    candidates = sorted({repr(v): example_of(v) for v in (mine, theirs) if v is not None}.items())
    for _, example in candidates:
        if all(_takes(variable, example) for variable in (mine, theirs) if variable is not None):
            return example
    return example_of(mine)


def _takes(variable: Variable, example: object) -> bool:
    try:
        parse_variables(variable.name, [variable], {variable.name: example})
    except VariableError:
        return False
    return True
