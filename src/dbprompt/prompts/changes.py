"""What differs between two versions of a prompt, and how much that breaks for who uses it.

Major: a caller's variables or a reader's typed answers may stop fitting. Minor: the model is told something else.
Patch: the words are the same but for blanks, punctuation or capitals; a sign that compares or reckons is no
punctuation. A small change of words could be either minor or patch: no program can tell, so it says that it cannot.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from dbprompt.prompts.prompt import Prompt
from dbprompt.prompts.variables import Variable

__all__ = ["Difference", "Level", "differences", "level_of"]

_WORD = re.compile(r"\w+")
_WEIGHTY = re.compile(
    r"\{[{%].*?[%}]\}|`[^`]*`"
    r"|[<>=≤≥≠≈~±+^%/]|!=|-(?=[\d.])|\d[\d.,]*\d|\d"
    r"|\b(?:no|not|never|none|nothing|only|must|may|always|all|every|at most)\b"
)
_SMALL = 0.97


class Level(IntEnum):
    """How far a version number moves."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3

    @property
    def word(self) -> str:
        """As it is written."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. Without a level, only a person can say whether it is wording or behaviour."""

    part: str
    what: str
    level: Level | None

    def __str__(self) -> str:
        """One line."""
        return f"{self.part}: {self.what}"


def differences(
    old: Prompt, new: Prompt, old_schemas: Mapping[str, str], new_schemas: Mapping[str, str]
) -> tuple[Difference, ...]:
    """Every difference in variables, sections, output schemas, settings and templates.

    Args:
        old: the version before.
        new: the version after.
        old_schemas: the sha256 of its output schemas, by section, as they were locked.
        new_schemas: the same for the version after.
    """
    return (
        *_variables("variable ", old.variables, new.variables),
        *_sections(old, new),
        *_schemas(old_schemas, new_schemas),
        *_settings(old, new),
        *_templates(old.folder.templates, new.folder.templates),
    )


def level_of(found: tuple[Difference, ...]) -> Level | None:
    """The highest level; None if there is something that only a person can judge, and nothing that outranks it."""
    known = [difference.level for difference in found if difference.level is not None]
    highest = max(known, default=Level.PATCH)
    undecided = any(difference.level is None for difference in found)
    return None if undecided and highest < Level.MINOR else highest


def _variables(prefix: str, old: tuple[Variable, ...], new: tuple[Variable, ...]) -> Iterator[Difference]:
    before, after = {v.name: v for v in old}, {v.name: v for v in new}
    for name, variable in before.items():
        if name not in after:
            yield Difference(prefix + name, "was removed", Level.MAJOR)
        else:
            yield from _variable(prefix + name, variable, after[name])
    for name in after.keys() - before.keys():
        needed = after[name].required
        what = "was added and is required" if needed else "was added"
        yield Difference(prefix + name, what, Level.MAJOR if needed else Level.MINOR)


def _variable(part: str, old: Variable, new: Variable) -> Iterator[Difference]:
    if old.type != new.type:
        yield Difference(part, f"was {old.type}, is {new.type}", Level.MAJOR)
    if old.required != new.required:
        yield Difference(
            part,
            "is required now" if new.required else "may be left out now",
            Level.MAJOR if new.required else Level.MINOR,
        )
    lost, added = [c for c in old.choices if c not in new.choices], [c for c in new.choices if c not in old.choices]
    if lost:
        yield Difference(part, f"no longer takes {', '.join(lost)}", Level.MAJOR)
    if added:
        yield Difference(part, f"takes {', '.join(added)} too", Level.MINOR)
    if old.pattern != new.pattern:
        what = f"has to fit {new.pattern}" if new.pattern else "may be any text"
        yield Difference(part, what, Level.MAJOR if new.pattern else Level.MINOR)
    if old.max_length != new.max_length:
        shorter = new.max_length and (not old.max_length or new.max_length < old.max_length)
        yield Difference(
            part, f"max_length was {old.max_length}, is {new.max_length}", Level.MAJOR if shorter else Level.MINOR
        )
    if old.unit != new.unit:
        yield Difference(part, f"a bare number counted {old.unit!r}, counts {new.unit!r}", Level.MAJOR)
    if old.default != new.default:
        yield Difference(part, f"default was {old.default}, is {new.default}", Level.MINOR)
    if old.trusted != new.trusted:
        yield Difference(part, "is trusted now" if new.trusted else "is not trusted any more", Level.MINOR)
    if (old.description, old.examples) != (new.description, new.examples):
        yield Difference(part, "is described in other words", Level.PATCH)
    yield from _variables(f"{part}.", old.fields, new.fields)


def _sections(old: Prompt, new: Prompt) -> Iterator[Difference]:
    for name in old.sections:
        if name not in new.sections:
            yield Difference(f"section {name}", "is not asked for any more", Level.MAJOR)
    for name in new.sections:
        if name not in old.sections:
            yield Difference(f"section {name}", "is asked for too", Level.MINOR)
    both = [name for name in old.sections if name in new.sections]
    if both != [name for name in new.sections if name in old.sections]:
        yield Difference("sections", "stand in another order", Level.MINOR)


def _schemas(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    """A lock holds a schema's sum, not its text, so any change of one counts as a break."""
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield Difference(f"output schema {name}", "was changed", Level.MAJOR)


def _settings(old: Prompt, new: Prompt) -> Iterator[Difference]:
    if old.name != new.name:
        yield Difference("name", f"was {old.name}, is {new.name}", Level.MAJOR)
    for key in sorted(old.hints.keys() | new.hints.keys()):
        if old.hints.get(key) != new.hints.get(key):
            what = f"was {old.hints.get(key, 'not set')}, is {new.hints.get(key, 'not set')}"
            yield Difference(f"hint {key}", what, Level.MINOR)
    for key, before, after in (
        ("title", old.title, new.title),
        ("description", old.description, new.description),
    ):
        if before != after:
            yield Difference(key, f"was {before!r}, is {after!r}", Level.PATCH)


def _templates(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before is None:
            yield Difference(path, "was added", Level.MINOR)
        elif after is None:
            yield Difference(path, "was removed", Level.MINOR)
        elif before != after:
            yield _wording(path, before, after)


def _wording(path: str, old: str, new: str) -> Difference:
    before, after = _WORD.findall(old.lower()), _WORD.findall(new.lower())
    if _WEIGHTY.findall(old) == _WEIGHTY.findall(new):
        if before == after:
            return Difference(path, "has the same words, set otherwise", Level.PATCH)
        alike = difflib.SequenceMatcher(None, before, after, autojunk=False).ratio()
        if alike >= _SMALL and len(before) == len(after):
            changed = [f"{a} → {b}" for a, b in zip(before, after, strict=True) if a != b]
            return Difference(path, f"a few words differ ({', '.join(changed[:4])})", None)
    return Difference(path, "says something else", Level.MINOR)
