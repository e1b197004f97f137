"""Variables: read from what a caller wrote, all problems at once."""

from __future__ import annotations

import pytest

from dbprompt.errors import VariableError
from dbprompt.prompts.quantities import Quantity
from dbprompt.prompts.variables import Variable, parse_variables

VARIABLES = (
    Variable("NAME", required=True, examples=("Shop",), max_length=20),
    Variable("PATTERN", "enum", choices=("read-heavy", "write-heavy", "mixed"), default="mixed"),
    Variable("LATENCY", "quantity:duration", unit="ms"),
    Variable("USERS", "integer"),
    Variable("PUBLIC", "boolean"),
    Variable("ENTITIES", "list", fields=(Variable("name", required=True), Variable("records", "quantity:count"))),
)


def test_values_are_typed() -> None:
    """Text and Python values are read by type, lower-case names too, and what is left out gets its default or None."""
    values = parse_variables("p", VARIABLES, {"name": " Shop ", "latency": 40, "USERS": "12", "public": "yes"})
    assert values["NAME"] == "Shop"
    assert isinstance(values["LATENCY"], Quantity)
    assert str(values["LATENCY"]) == "40 ms"
    assert (values["USERS"], values["PUBLIC"], values["PATTERN"], values["ENTITIES"]) == (12, True, "mixed", None)


@pytest.mark.parametrize("given", [["user", "order"], "user, order", "- user\n- order", [{"name": "user"}, "order"]])
def test_lists(given: object) -> None:
    """A list may be a list, lines or a line with commas; a bare text fills an object's first field."""
    entities = parse_variables("p", VARIABLES, {"NAME": "x", "ENTITIES": given})["ENTITIES"]
    assert entities == ({"name": "user", "records": None}, {"name": "order", "records": None})


def test_all_problems_at_once() -> None:
    """Missing, unknown, doubled, misspelt and wrongly typed values are all named in one error, each with its fix."""
    given = {
        "LATENCI": "5 ms",
        "PATTERN": "sometimes",
        "USERS": "many",
        "users": 3,
        "ENTITIES": [{"records": "x", "nme": "a"}],
        "LATENCY": "soon",
    }
    with pytest.raises(VariableError) as error:
        parse_variables("variables of p", VARIABLES, given)
    told = {problem.where: problem.fix for problem in error.value.problems}
    assert told["LATENCI"] == "no such variable; did you mean LATENCY?"
    assert told["NAME"] == "give text, such as 'Shop'"
    assert told["PATTERN"] == "write one of read-heavy, write-heavy, mixed"
    assert "a time with its unit" in told["LATENCY"]
    assert set(told) >= {"USERS", "ENTITIES[0].name", "ENTITIES[0].records", "ENTITIES[0].nme"}


@pytest.mark.parametrize("given", ["x" * 21, b"x", ["x"], object()])
def test_text_is_text_and_capped(given: object) -> None:
    """A text that is too long, or that is no text, is refused before anything is rendered."""
    with pytest.raises(VariableError):
        parse_variables("p", VARIABLES, {"NAME": given})
