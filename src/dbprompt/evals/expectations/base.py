"""What every expectation has, and the values that they are made of."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["Count", "Expectation", "Figure", "Name", "Names", "Text", "Texts"]

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
Names: TypeAlias = Annotated[tuple[Name, ...], Field(min_length=1)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Field(min_length=1)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Figure: TypeAlias = Annotated[float, Field(ge=0)]


class Expectation(BaseModel):
    """What every expectation has. `must` counts for the score, `should` is reported."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    id: Name
    check: str
    level: Literal["must", "should"]
    why: Text
