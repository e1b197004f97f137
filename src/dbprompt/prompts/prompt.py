"""A prompt: versioned, typed, hashed; it renders messages and does nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import Self

from dbprompt.errors import Problem, PromptError, VariableError
from dbprompt.messages import Message, Role
from dbprompt.prompts.folder import SUFFIX, PromptFolder, Scalar, read_folder
from dbprompt.prompts.templates import Templates
from dbprompt.prompts.variables import Values, Variable, parse_variables

__all__ = ["Filled", "Prompt", "RepairItem", "render_default_repair"]

SYSTEM, CONTEXT, ALONE, REPAIR = (f"{name}{SUFFIX}" for name in ("system", "context", "alone", "repair"))
_ASK_INPUTS = frozenset({"section", "design_so_far"})
_REPAIR_INPUTS = frozenset({"section", "items"})
_UNTRUSTED_INPUTS = frozenset({"design_so_far", "items"})
_DEFAULT_REPAIR = """\
An earlier answer to the question above was checked, and some of it is wrong. The rest was kept: do not repeat it.

{% filter fenced("wrong items") %}
{% for item in items %}
{{ item.key or "whole answer" }}{% if item.name %} ({{ item.name }}){% endif %}

{% if item.json %}
Was: {{ item.json }}
{% endif %}
{% for finding in item.findings %}
Wrong: {{ finding }}
{% endfor %}

{% endfor %}
{% endfilter %}

Answer with one JSON object. Its properties are the names above ("whole answer": answer the whole question again).
- For an item that was wrong, write the whole corrected item. Change what the lines "Wrong" name, and nothing else.
- Write null for an item only where a line "Wrong" says to drop it.
- For a name that begins with add_, write a list of the items that are missing, and nothing that is there already.
"""


@dataclass(frozen=True, slots=True)
class RepairItem:
    """One item that has to be answered again.

    Args:
        key: the property that holds the new item in the reply, such as `tables_3` or `add_tables`; empty for all.
        json: the item as it stands, empty for what is to be added.
        findings: what is wrong, each as a sentence that says what to do.
        name: what the item calls itself.
    """

    key: str
    json: str
    findings: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt version. Make one with `dbprompt.load_prompt`.

    Args:
        name: of the family.
        version: three numbers; a published version never changes.
        title: for people.
        description: what it is good for.
        sections: what it asks for, one turn each.
        variables: its slots.
        hash: sha256 over settings, templates and shared partials.
        hints: settings for a provider, such as `max_output_tokens`.
    """

    name: str
    version: str
    title: str
    description: str
    sections: tuple[str, ...]
    variables: tuple[Variable, ...]
    hash: str
    hints: Mapping[str, Scalar]
    folder: PromptFolder = field(repr=False, compare=False)
    _templates: Templates = field(repr=False, compare=False)

    @classmethod
    def read(cls, folder: Traversable) -> Self:
        """Reads and checks a version's folder.

        Raises:
            PromptError: a file is missing or wrong, a template uses a name that is not declared, or prints text of a
                user outside a fence or in the system role.
        """
        found = read_folder(folder)
        content = replace(found, templates={REPAIR: _DEFAULT_REPAIR, **found.templates})
        settings = content.settings
        prompt = cls(
            name=settings.name,
            version=settings.version,
            title=settings.title,
            description=settings.description,
            sections=tuple(settings.sections),
            variables=tuple(entry.variable() for entry in settings.variables),
            hash=content.hash,
            hints=dict(settings.hints),
            folder=content,
            _templates=Templates(content.templates.get),
        )
        prompt._audit()
        return prompt

    def __str__(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def parse(self, variables: Mapping[str, object]) -> Values:
        """Reads a caller's values.

        Raises:
            VariableError: with every problem at once.
        """
        return parse_variables(f"variables of {self}", self.variables, variables)

    def render(self, /, **variables: object) -> tuple[Message, ...]:
        """The whole prompt for use in any chat: system, context, and the asks of all sections in one.

        Raises:
            VariableError: with every problem at once.
            RenderError: a template failed.
        """
        values = self.parse(variables)
        asks = [self._ask(section, values, "") for section in self.sections]
        alone = [self._text(ALONE, values)] if asks and ALONE in self.folder.templates else []
        together = "\n\n".join([*alone, *asks])
        last = (Message(Role.USER, together),) if together else ()
        return (*self._prefix(values), *last)

    def render_turn(
        self, section: str, variables: Mapping[str, object], *, design_so_far: str = ""
    ) -> tuple[Message, ...]:
        """What is asked for one section: system, context (the prefix that all sections share), the section's ask.

        Args:
            section: one of `sections`.
            variables: the caller's values.
            design_so_far: the finished sections as text that we wrote from the typed design, such as DDL.
        """
        self._known_section(section)
        return self.filled(variables).turn(section, design_so_far=design_so_far)

    def filled(self, variables: Mapping[str, object]) -> Filled:
        """The prompt with a caller's values read once, for all of its turns.

        Raises:
            VariableError: with every problem at once.
        """
        return Filled(self, self.parse(variables))

    def turn_hash(self, section: str) -> str:
        """sha256 of what the turns of one section are made of; a recording of them stays good while it does."""
        return self.folder.turn_hash(section)

    def render_repair(self, section: str, items: Sequence[RepairItem]) -> tuple[Message, ...]:
        """What is said after a turn's messages to have broken items replaced: these items with their findings."""
        self._known_section(section)
        return (Message(Role.USER, self._text(REPAIR, {"section": section, "items": _rows(items)})),)

    def _prefix(self, values: Values) -> tuple[Message, ...]:
        system = (Message(Role.SYSTEM, self._text(SYSTEM, values)),)
        if CONTEXT not in self.folder.templates:
            return system
        return (*system, Message(Role.USER, self._text(CONTEXT, values), cache=True))

    def _ask(self, section: str, values: Values, design_so_far: str) -> str:
        return self._text(_ask_path(section), {**values, "section": section, "design_so_far": design_so_far})

    def _text(self, path: str, values: Mapping[str, object]) -> str:
        return self._templates.render(path, values)

    def _known_section(self, section: str) -> None:
        if section not in self.sections:
            raise VariableError(
                str(self), [Problem("section", repr(section), f"write one of {', '.join(self.sections)}")]
            )

    def _audit(self) -> None:
        """Checks every template against what is declared; all problems at once."""
        templates = self.folder.templates
        roles: dict[str, frozenset[str]] = {SYSTEM: frozenset(), REPAIR: _REPAIR_INPUTS}
        roles |= {path: frozenset() for path in (CONTEXT, ALONE) if path in templates}
        roles |= {_ask_path(section): _ASK_INPUTS for section in self.sections}
        wrong = [problem for path, inputs in roles.items() for problem in self._problems(path, inputs)]
        stray = [path for path in templates if path.startswith("sections/") and path not in roles]
        wrong += [
            f"{path}: is no section of prompt.toml" for path in stray if not path.rsplit("/", 1)[1].startswith("_")
        ]
        if len(roles) == 2:
            wrong.append(f"there is neither {CONTEXT} nor a section, so nothing is asked")
        if wrong:
            raise PromptError(f"{self}: " + "; ".join(wrong))

    def _problems(self, path: str, inputs: frozenset[str]) -> list[str]:
        declared = {variable.name for variable in self.variables} if path != REPAIR else set()
        untrusted = frozenset(v.name for v in self.variables if not v.trusted) | _UNTRUSTED_INPUTS
        audit = self._templates.audit(path, untrusted)
        wrong = [f"{path}: {name} is not declared" for name in sorted(audit.names - declared - inputs)]
        if path == SYSTEM:
            wrong += [f"{path}: {name} is text of a user; keep it out" for name in sorted(audit.names & untrusted)]
        return wrong + [f"{leak}: prints text of a user without 'fenced'" for leak in audit.leaks]


@dataclass(frozen=True)
class Filled:
    """A prompt with its values: the prefix that all turns share is rendered once."""

    prompt: Prompt
    values: Values

    def turn(self, section: str, *, design_so_far: str = "") -> tuple[Message, ...]:
        """See `Prompt.render_turn`."""
        self.prompt._known_section(section)
        ask = self.prompt._ask(section, self.values, design_so_far)
        return (*self._prefix, Message(Role.USER, ask))

    @cached_property
    def _prefix(self) -> tuple[Message, ...]:
        return self.prompt._prefix(self.values)


def render_default_repair(items: Sequence[RepairItem]) -> tuple[Message, ...]:
    """The repair ask for messages that came from no prompt."""
    templates = Templates({REPAIR: _DEFAULT_REPAIR}.get)
    return (Message(Role.USER, templates.render(REPAIR, {"items": _rows(items)})),)


def _rows(items: Sequence[RepairItem]) -> tuple[Mapping[str, object], ...]:
    return tuple({"key": i.key, "json": i.json, "findings": i.findings, "name": i.name} for i in items)


def _ask_path(section: str) -> str:
    return f"sections/{section}{SUFFIX}"
