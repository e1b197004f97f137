"""The JSON that an API answers with: read once, and taken apart without trust in its shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeAlias

from pydantic_core import from_json

from dbprompt.errors import ServerError
from dbprompt.messages import MOST_TOKENS, Json

__all__ = ["Body", "Fault", "checked", "count", "part", "parts", "read", "words"]

Body: TypeAlias = "dict[str, Json]"


class Fault(Exception):
    """An error that an API tells where an answer could have been; `body` is what it says."""

    def __init__(self, body: Body) -> None:
        self.body = body
        super().__init__(str(body)[:600])


def read(text: str | bytes) -> Body:
    """The object that a JSON text holds."""
    try:
        return checked(from_json(text))
    except ValueError:
        return checked(json.loads(text))  # which also takes halves of a letter, as one may be cut in two by an escape


def checked(value: object) -> Body:
    """The value, if it is an object."""
    if not isinstance(value, dict):
        raise ServerError(f"The server sent {str(value)[:80]!r} where an object has to be.")
    return value


def part(body: Body, name: str) -> Body:
    """The object under a name; an empty one if there is none."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise TypeError(f"{name} of the answer is {str(value)[:80]} and not an object")
    return value or {}


def parts(body: Body, name: str) -> Iterator[Body]:
    """The objects in the list under a name."""
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise TypeError(f"{name} of the answer is {str(value)[:80]} and not a list")
    return (checked(each) for each in value or ())


def words(body: Body, name: str) -> str:
    """The text under a name; empty if there is none."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} of the answer is {str(value)[:80]} and not a text")
    return value or ""


def count(body: Body, name: str) -> int:
    """The number of tokens under a name; 0 if nobody tells, or what is told can be no such number."""
    value = body.get(name)
    if isinstance(value, float) and value.is_integer():  # as some servers write it
        value = int(value)
    return value if isinstance(value, int) and value is not True and 0 < value <= MOST_TOKENS else 0
