"""Variables: each is declared, used, explained, and printed where its text can do no harm."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.errors import VariableError
from dbprompt.prompts.lint.base import Fault, Row, Rule, RuleResult, fault_of, judged, line_of, not_checked
from dbprompt.prompts.lint.draft import NO_TEMPLATE, TOML, Draft
from dbprompt.prompts.prompt import REPAIR
from dbprompt.prompts.variables import Variable, parse_variables

__all__ = ["check_variables"]

DECLARED = Rule(
    "variables.declared", Row.VARIABLES, "every name in a template is declared", f"add a [[variables]] entry to {TOML}"
)
USED = Rule("variables.used", Row.VARIABLES, "every variable is used", "use it in a template, or take it out")
DESCRIBED = Rule(
    "variables.described",
    Row.VARIABLES,
    "every variable says what belongs there",
    "write a description of more than its name",
)
EXAMPLES = Rule(
    "variables.example",
    Row.VARIABLES,
    "every variable shows a value: an example, a unit, choices or fields",
    'add examples = ["..."], as a user would write it',
)
ACCEPTED = Rule(
    "variables.accepted", Row.VARIABLES, "every example is accepted", "write an example that fits type and pattern"
)
FENCED = Rule(
    "variables.fenced",
    Row.VARIABLES,
    "text of a user is printed in a fence only",
    'write {{ NAME | fenced("label") }}, or {% filter fenced("label") %} around it',
)


def check_variables(draft: Draft) -> Iterator[RuleResult]:
    """The rules of this row that apply."""
    yield _declared(draft)
    yield _fenced(draft)
    if not draft.table:
        for rule in (USED, DESCRIBED, EXAMPLES, ACCEPTED):
            yield not_checked(rule, f"{TOML} cannot be read")
    elif draft.variables:
        yield _used(draft)
        yield judged(DESCRIBED, _undescribed(draft))
        yield judged(EXAMPLES, _without_example(draft))
        yield judged(ACCEPTED, _refused(draft))


def _declared(draft: Draft) -> RuleResult:
    if not draft.table:
        return not_checked(DECLARED, f"{TOML} cannot be read")
    if not draft.audits:
        return not_checked(DECLARED, NO_TEMPLATE)
    declared = {variable.name for variable in draft.variables}
    faults = [
        Fault(*_place(draft, path, name), f"{name} is not declared")
        for path, audit in draft.understood.items()
        for name in sorted(audit.names - (declared if path != REPAIR else set()))
    ]
    return judged(DECLARED, faults) if faults or not draft.broken else _partly(DECLARED, draft)


def _place(draft: Draft, path: str, name: str) -> tuple[str, int]:
    """Where a name stands: in the template, or in what it includes."""
    for candidate in (path, *sorted(draft.templates)):
        line = line_of(draft.templates[candidate], rf"\{{[{{%].*\b{re.escape(name)}\b")
        if line:
            return candidate, line
    return path, 0


def _partly(rule: Rule, draft: Draft) -> RuleResult:
    return not_checked(rule, f"cannot be read: {', '.join(draft.broken)}")


def _fenced(draft: Draft) -> RuleResult:
    if not draft.audits:
        return not_checked(FENCED, NO_TEMPLATE)
    leaks = [leak for audit in draft.understood.values() for leak in audit.leaks]
    if leaks or not draft.broken:
        return judged(FENCED, [fault_of(f"{leak}: prints text of a user outside a fence", leak) for leak in leaks])
    return _partly(FENCED, draft)


def _used(draft: Draft) -> RuleResult:
    if draft.broken:
        return _partly(USED, draft)
    used = {name for audit in draft.understood.values() for name in audit.names}
    idle = [variable.name for variable in draft.variables if variable.name not in used]
    return judged(USED, [Fault(TOML, draft.line(name), f"{name} is in no template") for name in idle])


def _undescribed(draft: Draft) -> Iterator[Fault]:
    for variable, owner in _all(draft):
        said = [word for word in re.findall(r"[^\W_]+", variable.description.lower()) if word not in {"the", "a", "an"}]
        if not said or said == variable.name.lower().split("_"):
            what = f"says only {variable.description!r}" if variable.description.strip() else "has no description"
            yield Fault(TOML, draft.line(owner), f"{_called(variable, owner)} {what}")


def _without_example(draft: Draft) -> Iterator[Fault]:
    for variable in draft.variables:
        shown = variable.examples or variable.unit or variable.choices or variable.fields
        if not shown and variable.type != "boolean":
            yield Fault(TOML, draft.line(variable.name), f"{variable.name} has no example and no unit")


def _refused(draft: Draft) -> Iterator[Fault]:
    for variable in draft.variables:
        for example in variable.examples:
            try:
                parse_variables(variable.name, [variable], {variable.name: example})
            except VariableError as error:
                told = "; ".join(problem.fix for problem in error.problems)
                yield Fault(TOML, draft.line(variable.name), f"example {example!r} of {variable.name}: {told}")


def _all(draft: Draft) -> Iterator[tuple[Variable, str]]:
    for variable in draft.variables:
        yield variable, variable.name
        for field in variable.fields:
            yield field, variable.name


def _called(variable: Variable, owner: str) -> str:
    return variable.name if variable.name == owner else f"{owner}.{variable.name}"
