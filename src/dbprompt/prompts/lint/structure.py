"""Structure: the files are there, are understood, and ask for typed answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbprompt.errors import PromptError
from dbprompt.prompts.examples import example_values
from dbprompt.prompts.folder import SUFFIX
from dbprompt.prompts.lint.base import Fault, Row, Rule, RuleResult, fault_of, judged, line_of, not_checked
from dbprompt.prompts.lint.draft import NO_TEMPLATE, TOML, Draft
from dbprompt.prompts.lock import SchemaHash
from dbprompt.prompts.prompt import CONTEXT, REPAIR, SYSTEM, RepairItem

__all__ = ["check_structure"]

READABLE = Rule("structure.readable", Row.STRUCTURE, "every file is UTF-8 text of a usual size", "save it as UTF-8")
SETTINGS = Rule(
    "structure.settings", Row.STRUCTURE, "prompt.toml is valid", "correct the key; docs/prompts.md shows the form"
)
LANGUAGE = Rule(
    "structure.templates",
    Row.STRUCTURE,
    "every template is in the template language",
    "use text, {{ NAME }}, if, for, include and the fence; templates do not compute",
)
SYSTEM_PART = Rule("structure.system", Row.STRUCTURE, "there is a system part", f"write {SYSTEM}: who the model is")
USER_PART = Rule("structure.user", Row.STRUCTURE, "there is a user part", f"write {CONTEXT}, or name sections")
SECTIONS = Rule(
    "structure.sections",
    Row.STRUCTURE,
    "every section has its template, and every template its section",
    f"write sections/NAME{SUFFIX}, or take the name out of `sections`",
)
SCHEMAS = Rule(
    "structure.output_schema",
    Row.STRUCTURE,
    "every section has an output schema",
    "name a section that schemas/ has: an answer without a schema cannot be checked",
)
RENDERS = Rule(
    "structure.renders",
    Row.STRUCTURE,
    "every turn renders, with all variables and with the required ones alone",
    "guard what may be left out with {% if NAME is not none %}",
)


def check_structure(draft: Draft, schema_hash: SchemaHash) -> Iterator[RuleResult]:
    """The rules of this row that apply."""
    if not draft.toml and not draft.templates and not draft.unreadable:
        yield not_checked(READABLE, "there is no file")
    else:
        yield judged(READABLE, draft.unreadable)
    yield judged(SETTINGS, draft.settings_faults)
    errors = [error for error in draft.audits.values() if isinstance(error, PromptError)]
    if draft.audits:
        yield judged(LANGUAGE, [fault_of(str(error), "") for error in errors])
    else:
        yield not_checked(LANGUAGE, NO_TEMPLATE)
    yield judged(SYSTEM_PART, _absent(draft, SYSTEM))
    yield judged(USER_PART, () if draft.sections else _absent(draft, CONTEXT))
    if not draft.table:
        yield not_checked(SECTIONS, f"{TOML} cannot be read")
        yield not_checked(SCHEMAS, f"{TOML} cannot be read")
    elif draft.sections:
        yield judged(SECTIONS, _unpaired(draft))
        at = line_of(draft.toml, r"^\s*sections\s*=")
        without = [name for name in draft.sections if schema_hash(name) is None]
        yield judged(SCHEMAS, [Fault(TOML, at, f"section {name!r} has no output schema") for name in without])
    yield _renders(draft)


def _absent(draft: Draft, path: str) -> Iterable[Fault]:
    if path not in draft.templates:
        return [Fault(path, 0, "there is no such file")]
    return () if draft.templates[path].strip() else [Fault(path, 1, "is empty")]


def _unpaired(draft: Draft) -> Iterator[Fault]:
    at = line_of(draft.toml, r"^\s*sections\s*=")
    asked = {f"sections/{section}{SUFFIX}": section for section in draft.sections}
    for path, section in asked.items():
        if path not in draft.templates:
            yield Fault(TOML, at, f"section {section!r} has no template {path}")
    for path in draft.templates:
        if path.startswith("sections/") and path not in asked and not path.rsplit("/", 1)[1].startswith("_"):
            yield Fault(path, 0, f"is no section of {TOML}")


def _renders(draft: Draft) -> RuleResult:
    prompt = draft.prompt
    if prompt is None:
        return not_checked(RENDERS, f"the prompt does not load: {draft.refusal}")
    every = example_values(prompt.variables)
    required = example_values(variable for variable in prompt.variables if variable.required)
    faults: list[Fault] = []
    for values in (every, required):
        try:
            prompt.render(**values)
            for section in prompt.sections:
                prompt.render_turn(section, values, design_so_far="CREATE TABLE t ();")
                prompt.render_repair(section, [RepairItem("tables_0", "{}", ("is wrong",))])
        except PromptError as error:
            which = "the required variables alone" if values is required else "all variables"
            told = fault_of(str(error), REPAIR if "repair" in str(error) else TOML)
            faults.append(Fault(told.path, told.line, f"with {which}: {told.message}"))
    return judged(RENDERS, faults)
