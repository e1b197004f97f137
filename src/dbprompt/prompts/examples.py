"""Values for a prompt's variables from the examples in its own settings: what lint, diff and exports render with."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dbprompt.prompts.quantities import QuantityKind
from dbprompt.prompts.variables import Variable

__all__ = ["example_of", "example_values"]

_QUANTITIES = {
    QuantityKind.BYTES: "2 TB",
    QuantityKind.DURATION: "50 ms",
    QuantityKind.RATE: "900/s",
    QuantityKind.BYTE_RATE: "2 GB/month",
    QuantityKind.RATIO: "90:10",
    QuantityKind.COUNT: "10,000",
    QuantityKind.PERCENT: "99 %",
}


def example_values(variables: Iterable[Variable]) -> dict[str, object]:
    """A value for every variable: its first example, or the plainest value that its type accepts."""
    return {variable.name: example_of(variable) for variable in variables}


def example_of(variable: Variable) -> object:
    """The first example, or the plainest value of the type.

    >>> example_of(Variable("SIZE", "quantity:bytes")), example_of(Variable("NAMES", "list"))
    ('2 TB', ['a names'])
    """
    if variable.examples:
        return variable.examples[0]
    if variable.quantity:
        return _QUANTITIES[variable.quantity]
    match variable.type:
        case "enum":
            return variable.default if variable.default is not None else variable.choices[0]
        case "boolean":
            return True
        case "integer" | "number":
            return 7
        case "object":
            return example_values(variable.fields)
        case "list" if variable.fields:
            return [example_values(variable.fields)]
        case "list":
            return [_word(variable)]
    return _fitting(variable) if variable.pattern else _word(variable)


def _fitting(variable: Variable) -> str:
    """The first of some plain texts that fits the pattern; a pattern that none fits wants an example of its own."""
    plain = (_word(variable), "name", "Name", "1", "1.0", "A1", "a-1", "2026-01-31", "a@example.com")
    return next((text for text in plain if re.fullmatch(variable.pattern, text)), plain[0])


def _word(variable: Variable) -> str:
    return f"a {variable.name.lower().replace('_', ' ')}"
