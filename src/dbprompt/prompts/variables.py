"""Typed variables of a prompt, and how a user's values are read into them: all problems at once, before any request."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from dbprompt.errors import Problem, VariableError
from dbprompt.prompts.quantities import Quantity, QuantityKind, accepted, parse_quantity

__all__ = ["MAX_LENGTH", "Value", "Values", "Variable", "VariableType", "parse_variables"]

Value: TypeAlias = "str | int | float | bool | Quantity | tuple[Value, ...] | Mapping[str, Value] | None"
Values: TypeAlias = "Mapping[str, Value]"
VariableType: TypeAlias = str

MAX_LENGTH = 4_000
MAX_ITEMS = 500
CLOSED_TYPES = ("integer", "number", "boolean", "enum", *(f"quantity:{kind}" for kind in QuantityKind))
OPEN_TYPES = ("string", "list", "object")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Variable:
    """A slot of a prompt.

    Args:
        name: as templates write it; a caller may write it in lower case.
        type: `string`, `integer`, `number`, `boolean`, `enum`, `list`, `object` or `quantity:KIND`.
        description: what belongs there.
        required: whether a caller has to give it.
        default: the value when it is not given; None means that the template does without.
        examples: values as a caller may write them.
        choices: what an enum may be.
        fields: what an object, or each object of a list, may hold. A list without fields holds texts.
        unit: what a bare number means for a quantity, such as `ms` or `/day`.
        pattern: a regular expression that a whole string has to fit.
        trusted: whether templates may print it outside a fence. Text of a user is not to be trusted.
        max_length: the longest text, or the most items of a list (0: the usual caps).
    """

    name: str
    type: VariableType = "string"
    description: str = ""
    required: bool = False
    default: Value = None
    examples: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    fields: tuple[Variable, ...] = ()
    unit: str = ""
    pattern: str = ""
    trusted: bool = False
    max_length: int = 0

    @property
    def quantity(self) -> QuantityKind | None:
        """The kind of quantity that it holds, if it holds one."""
        kind = self.type.removeprefix("quantity:")
        return QuantityKind(kind) if kind != self.type else None

    @property
    def accepts(self) -> str:
        """What a value may look like, in words."""
        if self.quantity:
            extra = f"; a bare number counts {self.unit}" if self.unit else ""
            return accepted(self.quantity) + extra
        return {
            "integer": "a whole number",
            "number": "a number",
            "boolean": "true or false",
            "enum": "one of " + ", ".join(self.choices),
            "list": "a list" + (f" of mappings with {', '.join(f.name for f in self.fields)}" if self.fields else ""),
            "object": f"a mapping with {', '.join(f.name for f in self.fields)}",
        }.get(self.type, f"text that fits {self.pattern}" if self.pattern else "text")


def parse_variables(subject: str, variables: Sequence[Variable], given: Mapping[str, object]) -> Values:
    """Reads a caller's values; every declared variable has an entry in the result, None if it was left out.

    Raises:
        VariableError: with every problem at once.
    """
    problems: list[Problem] = []
    taken = _by_name(variables, given, problems)
    values = {v.name: _one(v, taken.get(v.name), v.name, problems) for v in variables}
    if problems:
        raise VariableError(subject, problems)
    return MappingProxyType(values)


def _by_name(variables: Sequence[Variable], given: Mapping[str, object], problems: list[Problem]) -> dict[str, object]:
    known = {variable.name.upper(): variable.name for variable in variables}
    taken: dict[str, object] = {}
    for key, value in given.items():
        name = known.get(key.upper())
        if name is None:
            problems.append(Problem(key[:80], "", _unknown(key, known.values(), "variable")))
        elif name in taken:
            problems.append(Problem(name, "", "is given twice, in upper and in lower case; give it once"))
        else:
            taken[name] = value
    return taken


def _unknown(key: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    near = difflib.get_close_matches(key[:80].upper(), [name.upper() for name in names], n=1)
    by_upper = {name.upper(): name for name in names}
    if near:
        return f"no such {what}; did you mean {by_upper[near[0]]}?"
    return f"no such {what}; known: {', '.join(names)}" if names else f"no such {what}; there are none"


def _one(variable: Variable, given: object, where: str, problems: list[Problem]) -> Value:
    if given is None or (isinstance(given, str) and not given.strip()):
        if variable.required:
            example = f", such as {variable.examples[0]!r}" if variable.examples else ""
            problems.append(Problem(where, "missing", f"give {variable.accepts}{example}"))
        return variable.default
    try:
        return _parsed(variable, given, where, problems)
    except ValueError as error:
        problems.append(Problem(where, _shown(given), str(error)))
        return None


def _parsed(variable: Variable, given: object, where: str, problems: list[Problem]) -> Value:
    if variable.quantity:
        return parse_quantity(variable.quantity, given, unit=variable.unit)
    match variable.type:
        case "string":
            return _string(variable, given)
        case "integer":
            return _integer(variable, given)
        case "number":
            return _real(variable, given)
        case "boolean":
            return _boolean(variable, given)
        case "enum":
            return _choice(variable, given)
        case "list":
            return _list(variable, given, where, problems)
        case "object":
            return _object(variable, given, where, problems)
    raise ValueError(f"has the unknown type {variable.type!r}")


def _string(variable: Variable, given: object) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError(f"write {variable.accepts}")
    text = _CONTROL.sub(" ", str(given).replace("\r\n", "\n").replace("\r", "\n")).strip()
    longest = variable.max_length or MAX_LENGTH
    if len(text) > longest:
        raise ValueError(f"has {len(text):,} characters; at most {longest:,} are allowed")
    if variable.pattern and not re.fullmatch(variable.pattern, text):
        raise ValueError(f"write {variable.accepts}")
    return text


def _integer(variable: Variable, given: object) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if isinstance(given, str) and _WHOLE.fullmatch(given.strip()):
        return int(given)
    raise ValueError(f"write {variable.accepts}")


def _real(variable: Variable, given: object) -> float:
    try:
        number = float(given) if isinstance(given, int | float | str) and not isinstance(given, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"write {variable.accepts}")
    return int(number) if number.is_integer() and abs(number) < 10**15 else number


def _boolean(variable: Variable, given: object) -> bool:
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"write {variable.accepts}")
    return word in _TRUE


def _choice(variable: Variable, given: object) -> str:
    """ "Read heavy", read_heavy and read-heavy are the same choice."""
    wanted = re.sub(r"[\s_-]+", "-", str(given).strip().lower()) if isinstance(given, str) else ""
    for choice in variable.choices:
        if wanted == re.sub(r"[\s_-]+", "-", choice.lower()):
            return choice
    raise ValueError(f"write {variable.accepts}")


def _list(variable: Variable, given: object, where: str, problems: list[Problem]) -> tuple[Value, ...]:
    """A list, or text with one item a line or between commas."""
    if isinstance(given, str):
        parts = given.splitlines() if "\n" in given.strip() else re.split(r"[,;]", given)
        items: list[object] = [part.strip().removeprefix("- ").strip() for part in parts if part.strip()]
    elif isinstance(given, Sequence | set | frozenset) and not isinstance(given, bytes):
        items = sorted(given, key=str) if isinstance(given, set | frozenset) else list(given)
    else:
        raise ValueError(f"write {variable.accepts}")
    most = min(variable.max_length or MAX_ITEMS, MAX_ITEMS)
    if len(items) > most:
        raise ValueError(f"has {len(items):,} items; at most {most:,} are allowed")
    if not items and variable.required:
        raise ValueError("is empty; give at least one item")
    item = Variable(variable.name, "object" if variable.fields else "string", required=True, fields=variable.fields)
    return tuple(_one(item, value, f"{where}[{at}]", problems) for at, value in enumerate(items))


def _object(variable: Variable, given: object, where: str, problems: list[Problem]) -> Value:
    """A mapping; a bare text fills the first field."""
    if isinstance(given, str) and variable.fields:
        given = {variable.fields[0].name: given}
    if not isinstance(given, Mapping):
        raise ValueError(f"write {variable.accepts}")
    known = {field.name: field for field in variable.fields}
    problems.extend(
        Problem(f"{where}.{str(key)[:80]}", "", _unknown(str(key), known, "field")) for key in given if key not in known
    )
    fields = {name: _one(field, given.get(name), f"{where}.{name}", problems) for name, field in known.items()}
    return MappingProxyType(fields)


def _shown(given: object) -> str:
    text = repr(given[:100] if isinstance(given, str) else given)
    return text if len(text) <= 60 else text[:57] + "..."
