"""From a model's text to a typed candidate: parse the JSON, validate item by item, never return half an object."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar, cast

import jiter
from pydantic import BaseModel, ValidationError

from dbprompt.evidence import Finding, Report, Severity
from dbprompt.messages import Json

__all__ = ["Candidate", "item_pointer", "parse_json", "read_json", "shape", "shape_findings"]

T = TypeVar("T", bound=BaseModel)

_FLAT = bytes.maketrans(b"123456789E", b"000000000e")
_BEYOND_FLOAT = (b"0e000", b"0" * 309)
"""What a number that no float can hold is written with, all digits the same and no plus; most answers have no such
thing, and need no closer look. (A regex looks for it seven times as long as the answer takes to be parsed.)"""


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
    """The JSON of a reply. A fence or words around one object are taken off; what else is not JSON is a finding.

    >>> parse_json('Here it is: {"tables": []}')
    {'tables': []}
    >>> parse_json('{"engine": "postgres", "engine": "mysql"}').code
    'answer.contradicts'
    """
    body = text.strip()
    if not body:
        return Finding("answer.empty", Severity.ERROR, "", "the answer was empty; answer with one JSON object")
    try:
        return read_json(body)
    except ValueError as error:
        wrong = error
    bare = _bare(body)
    if bare != body:
        try:
            return read_json(bare)
        except ValueError as error:
            wrong = error
    return _unreadable(str(wrong))


def read_json(body: str) -> Json:
    """The value of a JSON text in which everything is said once, as JSON has it and in whole letters.

    Python's own reader takes NaN, halves of letters and the last of two equal keys, and dies of a thousand brackets.
    """
    data = body.encode()
    if "\ufffd" in body:  # readers of streams put it where bytes were no letter, and so do tokens cut in their middle
        raise ValueError("it holds U+FFFD, which stands for a letter that was lost")
    value = cast("Json", jiter.from_json(data, allow_inf_nan=False, cache_mode="keys", catch_duplicate_keys=True))
    flat = data.translate(_FLAT, b"+")
    if any(mark in flat for mark in _BEYOND_FLOAT) and _has_infinity(value):
        raise ValueError("a number is too large for any float")
    return value


def _has_infinity(value: Json) -> bool:
    if isinstance(value, dict):
        return any(_has_infinity(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_infinity(item) for item in value)
    return isinstance(value, float) and not math.isfinite(value)


def _bare(body: str) -> str:
    """The text from its first to its last brace, if nothing before or after looks like more JSON."""
    start, end = body.find("{"), body.rfind("}") + 1
    whole = 0 <= start < end and "[" not in body[:start] and "]" not in body[end:]
    return body[start:end] if whole else body


def _unreadable(wrong: str) -> Finding:
    if "duplicate key" in wrong:
        told = f"the answer says one thing twice ({wrong[:200]}); give each key of an object once"
        return Finding("answer.contradicts", Severity.ERROR, "", told)
    told = f"the answer is not JSON ({wrong[:200]}); answer with one JSON object and nothing else"
    return Finding("answer.malformed", Severity.ERROR, "", told)


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
        findings = _causes(shape_findings(error, document))
    broken = {item_pointer(finding.where, document) for finding in findings}
    if not isinstance(document, dict) or not all(pointer.count("/") == 2 for pointer in broken):
        return findings
    left, places, names = _without(document, broken)
    try:
        value = output.model_validate(left)
    except ValidationError:
        return findings
    return Candidate(value, Report(findings), frozenset(names), tuple(places.items()))


def shape_findings(error: ValidationError, document: Json) -> tuple[Finding, ...]:
    """What pydantic says of a document, as findings that point into it."""
    return tuple(_finding(item, document) for item in error.errors(include_url=False))


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
