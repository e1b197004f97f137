"""The brief: typed, from YAML, JSON or keywords. Scoring keys are dropped on load and can reach no prompt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from dbprompt.brief.base import (
    Attribute,
    AttributeRole,
    Availability,
    BriefPart,
    Compliance,
    Constraints,
    Entity,
    Lifecycle,
    Line,
    QueryKind,
    QueryNeed,
    Relationship,
    Rules,
    Target,
    Text,
    Volume,
    Workload,
    WorkloadPattern,
)
from dbprompt.brief.problems import problems_of
from dbprompt.errors import BriefError, Problem

__all__ = [
    "Attribute",
    "AttributeRole",
    "Availability",
    "Brief",
    "Compliance",
    "Constraints",
    "Entity",
    "Lifecycle",
    "QueryKind",
    "QueryNeed",
    "Relationship",
    "Rules",
    "Target",
    "Volume",
    "Workload",
    "WorkloadPattern",
]

MAX_BYTES = 1_000_000
_SCORING = ("expectations", "weak_design")


class Brief(BriefPart):
    """An application that needs a database.

    >>> brief = Brief(app_name="Shop", description="Sells tea.", entities=[{"name": "order", "rows_now": 1000}])
    >>> brief.id
    'shop'

    Raises:
        BriefError: with every problem at once, each naming key, value and fix.
    """

    brief_version: Annotated[int, Field(ge=1, le=1)] = 1
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=80)] = ""
    app_name: Line
    description: Text
    # Made of defaults alone, so without the validators: to build those at import takes a tenth of a second.
    target: Target = Target.model_construct()
    entities: Annotated[tuple[Entity, ...], Field(min_length=1, max_length=500)]
    relationships: Annotated[tuple[Relationship, ...], Field(max_length=2000)] = ()
    volume: Volume | None = None
    workload: Workload = Workload.model_construct()
    queries: Annotated[tuple[QueryNeed, ...], Field(max_length=500)] = ()
    lifecycle: Lifecycle = Lifecycle.model_construct()
    availability: Availability = Availability.model_construct()
    constraints: Constraints = Constraints.model_construct()
    compliance: Compliance = Compliance.model_construct()
    rules: Rules = Rules.model_construct()

    def __init__(self, **data: object) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise BriefError("brief", problems_of(error, type(self))) from error
        wrong = tuple(_dangling(self))
        if wrong:
            raise BriefError("brief", wrong)

    @model_validator(mode="before")
    @classmethod
    def _drop_scoring(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        kept = {key: value for key, value in data.items() if key not in _SCORING}
        if not kept.get("id") and isinstance(kept.get("app_name"), str):
            kept["id"] = re.sub(r"[^a-z0-9]+", "_", kept["app_name"].lower()).strip("_")[:80] or "brief"
        return kept

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a YAML or JSON file.

        Raises:
            BriefError: the file is missing, too large, not YAML, or not a brief.
        """
        file = Path(path)
        try:
            size = file.stat().st_size
            text = file.read_text(encoding="utf-8-sig") if size <= MAX_BYTES else ""
        except (OSError, UnicodeDecodeError) as error:
            raise BriefError(str(path), [Problem("file", "", f"cannot be read: {error}")]) from error
        if size > MAX_BYTES:
            raise BriefError(str(path), [Problem("file", f"{size} bytes", f"at most {MAX_BYTES} bytes")])
        return cls.parse(text, name=str(path))

    @classmethod
    def parse(cls, text: str, *, name: str = "brief") -> Self:
        """Reads YAML or JSON text."""
        import yaml  # late: most who use a brief's words read no file

        from dbprompt.brief.strict_yaml import StrictLoader

        try:
            data = yaml.load(text, Loader=StrictLoader)  # noqa: S506  a SafeLoader that refuses more
        except (yaml.YAMLError, RecursionError) as error:
            raise BriefError(name, [Problem("file", "", f"is not YAML or JSON: {error}")]) from error
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise BriefError(name, [Problem("file", type(data).__name__, "write a mapping of keys to values")])
        try:
            return cls(**data)
        except BriefError as error:
            raise BriefError(name, error.problems) from error

    def entity(self, name: str) -> Entity | None:
        """The entity of this name or alias."""
        return next((e for e in self.entities if name == e.name or name in e.aliases), None)

    def query(self, query_id: str) -> QueryNeed | None:
        """The query of this id."""
        return next((query for query in self.queries if query.id == query_id), None)


def _dangling(brief: Brief) -> list[Problem]:
    """Names that are given twice, or that name nothing in this brief."""
    wrong: list[Problem] = []
    names = [entity.name for entity in brief.entities]
    known = f"known entities: {', '.join(names)}"
    for kind, given in (("entities", names), ("queries", [query.id for query in brief.queries])):
        wrong += [
            Problem(f"{kind}[{at}]", repr(name), "is given twice; use one name once")
            for at, name in enumerate(given)
            if name in given[:at]
        ]
    for at, relationship in enumerate(brief.relationships):
        for key, name in (("from", relationship.from_), ("to", relationship.to)):
            if brief.entity(name) is None:
                wrong.append(Problem(f"relationships[{at}].{key}", repr(name), f"names no entity; {known}"))
    for at, query in enumerate(brief.queries):
        entity = brief.entity(query.entity)
        if entity is None:
            wrong.append(Problem(f"queries[{at}].entity", repr(query.entity), f"names no entity; {known}"))
            continue
        for key, used in (("eq", query.eq), ("range", query.range), ("sort", [name for name, _ in query.sort_keys])):
            for name in used:
                if entity.attributes and entity.attribute(name) is None:
                    have = ", ".join(attribute.name for attribute in entity.attributes)
                    wrong.append(
                        Problem(
                            f"queries[{at}].{key}", repr(name), f"is no attribute of {entity.name}, which has {have}"
                        )
                    )
    return wrong
