"""A sound design for one brief, and cases that change it in one place."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbprompt.brief import Brief
from dbprompt.capacity import capacity_of
from dbprompt.checks.subject import Subject
from dbprompt.sections import DatabaseDesign, all_needs

CASES = Path(__file__).parent / "cases"
BRIEFS = Path(__file__).parent.parent / "briefs"

Plain = Any  # YAML


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a rule family.

    Args:
        name: what it shows.
        section: the section under check.
        change: path of names (`tables/orders/columns/total`) and its new value; null takes it away, a last `+` adds.
        expect: the codes that the family has to find, all of them and no others; none for a sound design.
        at: path of the item that each finding has to point into, if it is the same for all.
        says: words that the messages have to hold.
    """

    name: str
    section: str
    change: Mapping[str, Plain] = field(default_factory=dict)
    expect: tuple[str, ...] = ()
    at: str | None = None
    says: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    brief: Mapping[str, Plain] = field(default_factory=dict)

    def subject(self) -> Subject:
        """The changed design."""
        return subject(self.section, self.change, misshapen=self.misshapen, brief=self.brief)

    @property
    def where(self) -> str | None:
        """`at` as a pointer into the changed section."""
        if self.at is None:
            return None
        path = [self.section, *self.at.split("/")] if self.at else [self.section]
        document = changed(self.change, self.section)
        pointer, here = "", document[self.section]
        for part in path[1:]:
            index = place(here, part)
            pointer, here = f"{pointer}/{index}", here[index]
        return pointer


def cases(family: str) -> list[Any]:
    """The cases of a rule family, as pytest parameters."""
    listed = yaml.safe_load((CASES / f"{family}.yaml").read_text(encoding="utf-8"))
    made = [Case(**{key: _frozen(value) for key, value in one.items()}) for one in listed]
    return [pytest.param(case, id=case.name) for case in made]


def _frozen(value: Plain) -> Any:
    return tuple(value) if isinstance(value, list) else value


def subject(
    section: str,
    change: Mapping[str, Plain] | None = None,
    *,
    misshapen: tuple[str, ...] = (),
    brief: Mapping[str, Plain] | None = None,
) -> Subject:
    """The design up to a section, changed, as a check gets it."""
    of = marketplace_brief(brief or {})
    document = changed(change or {}, section)
    design = DatabaseDesign.model_validate(
        {name: document[name] for name in (*all_needs(section), section) if name in document}
    )
    return Subject(design, section, of, capacity_of(of), frozenset(misshapen))


def marketplace_brief(change: Mapping[str, Plain]) -> Brief:
    """The brief, changed."""
    document = yaml.safe_load((BRIEFS / "pg_marketplace_orders.yaml").read_text(encoding="utf-8"))
    for path, value in change.items():
        put(document, path.split("/"), value)
    return Brief(**document)


@cache
def _base() -> Plain:
    files = [CASES / "marketplace.yaml", *sorted(CASES.glob("base_*.yaml"))]
    parts = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    return expand({section: value for part in parts for section, value in part.items()})


def changed(change: Mapping[str, Plain], section: str) -> Plain:
    """The design as plain data; paths start in the section, or with `/` at the design."""
    document = copy.deepcopy(_base())
    for path, value in change.items():
        parts = path[1:].split("/") if path.startswith("/") else [section, *path.split("/")]
        put(document, parts, expand(value, key=parts[-2] if parts[-1] == "+" else parts[-1]))
    return document


def put(document: Plain, path: list[str], value: Plain) -> None:
    """Sets, adds or takes away one place."""
    here = document
    for part in path[:-1]:
        here = here[place(here, part)]
    last = path[-1]
    if last == "+":
        here.append(value)
    elif value is None and (isinstance(here, list)):
        here.pop(int(place(here, last)))
    elif isinstance(here, list):
        index = int(place(here, last))
        here[index] = {**here[index], **value} if isinstance(value, dict) else value
    else:
        here[last] = value


def place(here: Plain, part: str) -> Any:
    """A key, a number, or the position of the item with that name."""
    if isinstance(here, dict):
        return part
    if part.isdigit():
        return int(part)
    return next(at for at, item in enumerate(here) if part in {item.get(k) for k in ("name", "id", "engine", "table")})


def expand(node: Plain, key: str = "") -> Plain:
    """Columns and parameters written in one line become mappings."""
    if isinstance(node, dict):
        return {name: expand(value, name) for name, value in node.items()}
    if isinstance(node, list):
        return [expand(item, key) for item in node]
    if isinstance(node, str) and key in {"columns", "parameters", "next_page_parameters"} and " " in node:
        return _typed(node, with_default=key == "columns")
    return node


_TYPED = re.compile(
    r"(?P<name>\w+) (?P<type>\w+)(:(?P<enum>\w+))?(\((?P<a>\d+)(,(?P<b>\d+))?\))?(?P<array>\[\])?"
    r"(?P<null> null)?(?P<identity> identity)?( =(?P<default>\S+))?( --(?P<comment>.*))?"
)


def _typed(text: str, *, with_default: bool) -> dict[str, Plain]:
    found = _TYPED.fullmatch(text)
    assert found, text
    made: dict[str, Plain] = {"name": found["name"], "type": found["type"], "enum": found["enum"]}
    made["array"] = bool(found["array"])
    if not with_default:
        return made
    if found["a"]:
        size = {"precision": int(found["a"])} if found["type"] == "decimal" else {"length": int(found["a"])}
        made |= size | ({"scale": int(found["b"])} if found["b"] else {})
    made |= {"nullable": bool(found["null"]), "identity": bool(found["identity"]), "comment": found["comment"] or ""}
    if given := found["default"]:
        kinds = {"now", "today", "random_uuid", "time_ordered_uuid", "empty_object", "empty_array"}
        made["default"] = {"kind": given} if given in kinds else {"kind": "literal", "value": given}
    return made
