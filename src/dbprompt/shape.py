"""From a model's text to a typed candidate: parse the JSON, validate item by item, never return half an object."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from dbprompt.evidence import Finding, Report, Severity
from dbprompt.messages import Json

__all__ = ["Candidate", "item_pointer", "parse_json", "shape"]

T = TypeVar("T", bound=BaseModel)

_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """An answer to check.

    Args:
        value: the typed answer, without the items that failed their shape.
        shape_report: what is wrong with those items, as pointers into the whole answer.
        misshapen: the names of those items: referring to one is not a mistake of its own.
        places: for each list, the position in the whole answer of each item that is left.
    """

    value: T
    shape_report: Report = field(default_factory=Report)
    misshapen: frozenset[str] = frozenset()
    places: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def relocate(self, report: Report) -> Report:
        """A report on `value`, with its pointers moved to where the items stand in the whole answer."""
        places = dict(self.places)
        if not places:
            return report
        return Report(
            tuple(replace(finding, where=_moved(finding.where, places)) for finding in report.findings),
            tuple(replace(verdict, where=_moved(verdict.where, places)) for verdict in report.verdicts),
            tuple(replace(exhibit, where=_moved(exhibit.where, places)) for exhibit in report.exhibits),
            tuple(replace(finding, where=_moved(finding.where, places)) for finding in report.ignored),
        )


def _moved(where: str, places: dict[str, tuple[int, ...]]) -> str:
    parts = where.split("/")
    if len(parts) < 3 or parts[1] not in places or not _is_place(parts[2]):
        return where
    parts[2] = str(places[parts[1]][int(parts[2])])
    return "/".join(parts)


def parse_json(text: str) -> Json | Finding:
    """The JSON of a reply. A code fence around it is taken off; anything else that is not JSON is a finding."""
    body = text.strip()
    fenced = _FENCE.match(body)
    body = fenced.group(1) if fenced else body
    if not body:
        return Finding("answer.empty", Severity.ERROR, "", "the answer was empty; answer with one JSON object")
    try:
        return cast("Json", json.loads(body, parse_constant=_no_constant))
    except (ValueError, RecursionError) as error:
        message = f"the answer is not JSON ({error}); answer with one JSON object and nothing else"
        return Finding("answer.malformed", Severity.ERROR, "", message)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_place(part: str) -> bool:
    return part.isascii() and part.isdecimal()


def item_pointer(where: str, document: Json) -> str:
    """The item that a pointer lies in: an element of a top-level list, such a list itself, or a top-level key."""
    parts = where.split("/")[1:]
    if not parts or not isinstance(document, dict) or parts[0] not in document:
        return "/" + parts[0] if parts else ""
    inside = document[parts[0]]
    if isinstance(inside, list) and len(parts) > 1 and _is_place(parts[1]) and int(parts[1]) < len(inside):
        return f"/{parts[0]}/{parts[1]}"
    return f"/{parts[0]}"


def shape(output: type[T], document: Json) -> Candidate[T] | tuple[Finding, ...]:
    """The candidate, or findings if nothing of the document can be typed."""
    try:
        return Candidate(output.model_validate(document))
    except ValidationError as error:
        findings = _causes(tuple(_finding(item, document) for item in error.errors(include_url=False)))
    broken = {item_pointer(finding.where, document) for finding in findings}
    if not isinstance(document, dict) or not all(pointer.count("/") == 2 for pointer in broken):
        return findings
    left, places, names = _without(document, broken)
    try:
        value = output.model_validate(left)
    except ValidationError:
        return findings
    return Candidate(value, Report(findings), frozenset(names), tuple(places.items()))


def _causes(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Without what only follows: a list whose items are all broken is counted as empty."""
    inside = [finding.where for finding in findings]
    return tuple(
        one
        for one in findings
        if one.code != "shape.too_short" or not any(where.startswith(f"{one.where}/") for where in inside)
    )


def _without(
    document: dict[str, Json], broken: set[str]
) -> tuple[dict[str, Json], dict[str, tuple[int, ...]], set[str]]:
    left, places, names = dict(document), {}, set()
    for key, items in document.items():
        if not isinstance(items, list):
            continue
        kept = [at for at in range(len(items)) if f"/{key}/{at}" not in broken]
        if len(kept) < len(items):
            left[key] = [items[at] for at in kept]
            places[key] = tuple(kept)
            names |= {name for at in range(len(items)) if at not in kept and (name := name_of(items[at]))}
    return left, places, names


def name_of(item: Json) -> str:
    """What an item calls itself."""
    if not isinstance(item, dict):
        return ""
    return next((str(item[key]) for key in ("name", "id", "engine", "table") if isinstance(item.get(key), str)), "")


def _finding(item: object, document: Json) -> Finding:
    error = cast("dict[str, object]", item)
    loc = cast("tuple[int | str, ...]", error["loc"])
    where = "".join(f"/{part}" for part in _real(loc, document))
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] not in {"missing", "value_error", "extra_forbidden"}:
        shown = repr(error["input"])
        message = f"{shown if len(shown) <= 120 else shown[:117] + '...'}: {message}"
    if loc:
        message = f"{'.'.join(str(part) for part in loc)}: {message}"
    return Finding(f"shape.{error['type']}", Severity.ERROR, where, message)


def _real(loc: tuple[int | str, ...], document: Json) -> tuple[int | str, ...]:
    """The part of a location that exists in the document (pydantic adds the names of union members)."""
    path: list[int | str] = []
    here: Json = document
    for part in loc:
        try:
            here = here[part]  # type: ignore[index]
        except (TypeError, KeyError, IndexError):
            return tuple(path) or tuple(p for p in (part,) if isinstance(p, str))
        path.append(part)
    return tuple(path)
