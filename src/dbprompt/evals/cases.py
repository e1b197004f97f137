"""A case of a suite: a brief, and beside it what a good design for it has to satisfy."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from dbprompt.brief import Brief
from dbprompt.brief.problems import problems_of
from dbprompt.brief.strict_yaml import StrictLoader
from dbprompt.errors import BriefError, Problem
from dbprompt.evals.expectations import SHAPES, Expectation

__all__ = ["Case", "load_case"]


@dataclass(frozen=True, slots=True)
class Case:
    """One brief with its expectations.

    Args:
        brief: what a model is shown, and all that it is shown.
        expectations: what the answer is scored by.
        weak_design: in words, what a poor answer tends to do.
    """

    brief: Brief
    expectations: tuple[Expectation, ...]
    weak_design: tuple[str, ...] = ()


def load_case(path: str | Path) -> Case:
    """Reads a brief with its expectations.

    Raises:
        BriefError: the file is no brief, or an expectation is wrong; each problem names the expectation and the fix.
    """
    brief = Brief.load(path)
    data = yaml.load(Path(path).read_text(encoding="utf-8-sig"), Loader=StrictLoader)  # noqa: S506  a SafeLoader
    problems: list[Problem] = []
    expectations: list[Expectation] = []
    weak = data.get("weak_design") or []
    if not isinstance(weak, list) or not all(isinstance(line, str) for line in weak):
        problems.append(Problem("weak_design", "", "write a list of sentences"))
        weak = []
    listed = data.get("expectations") or []
    if not isinstance(listed, list):
        problems.append(Problem("expectations", type(listed).__name__, "write a list"))
        listed = []
    for at, item in enumerate(listed):
        found = _expectation(item, f"expectations[{at}]")
        if isinstance(found, Expectation):
            problems += [Problem(f"{_where(at, found.id)}.{p.where}", p.value, p.fix) for p in _unknown(brief, found)]
            if any(found.id == other.id for other in expectations):
                problems.append(Problem(_where(at, found.id), "", "this id is given twice; use one id once"))
            expectations.append(found)
        else:
            problems += found
    if problems:
        raise BriefError(str(path), problems)
    return Case(brief, tuple(expectations), tuple(weak))


def _where(at: int, name: object) -> str:
    return f"expectations[{at}] (id {name})"


def _expectation(item: object, where: str) -> Expectation | tuple[Problem, ...]:
    if not isinstance(item, dict):
        return (Problem(where, repr(item)[:60], "write a mapping with id, check, level, why"),)
    where = f"{where} (id {item.get('id', 'missing')})"
    kind = item.get("check")
    shape = SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        near = difflib.get_close_matches(str(kind), SHAPES, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(SHAPES))}"
        return (Problem(f"{where}.check", repr(kind), f"no such check; {meant}"),)
    try:
        return shape.model_validate(item)
    except ValidationError as error:
        found = problems_of(error, shape)
        places = [where if one.where == "brief" else f"{where}.{one.where}" for one in found]
        return tuple(Problem(place, one.value, f"{one.fix} ({kind})") for place, one in zip(places, found, strict=True))


_ENTITY = ("entity", "left", "right", "parent", "child")
_ATTRIBUTE = (
    "attribute",
    "attributes_all",
    "attributes_any",
    "key_all",
    "span_all",
    "contains_all",
    "first",
    "leads_with",
)


def _unknown(brief: Brief, expectation: Expectation) -> Iterator[Problem]:
    """Names that the brief does not know: no design could be scored by them."""
    entities = ", ".join(entity.name for entity in brief.entities)
    fields = _ENTITY + (("from_", "to") if expectation.check in {"foreign_key", "relationship_modeled"} else ())
    for field in (*fields, "entities_all"):
        for name in _names(expectation, field):
            if brief.entity(name) is None:
                yield Problem(field.rstrip("_"), repr(name), f"names no entity of the brief; known: {entities}")
    for field in ("query", "queries_all"):
        for name in _names(expectation, field):
            if brief.query(name) is None:
                known = ", ".join(query.id for query in brief.queries)
                yield Problem(field, repr(name), f"names no query of the brief; known: {known}")
    for owner in _names(expectation, "entity"):
        for field in _ATTRIBUTE:
            for name in _names(expectation, field):
                yield from _attribute(brief, owner, name.partition(" ")[0], field)
    for pair in _names(expectation, "fields_all"):
        owner, _, name = pair.partition(".")
        if brief.entity(owner) is None:
            yield Problem("fields_all", repr(pair), f"names no entity of the brief; known: {entities}")
        yield from _attribute(brief, owner, name, "fields_all")


def _attribute(brief: Brief, owner: str, name: str, field: str) -> Iterator[Problem]:
    entity = brief.entity(owner)
    if entity is not None and entity.attribute(name) is None:
        have = ", ".join(attribute.name for attribute in entity.attributes)
        yield Problem(field, repr(name), f"is no attribute of {entity.name}, which has {have}")


def _names(expectation: Expectation, field: str) -> tuple[str, ...]:
    value = getattr(expectation, field, None)
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
