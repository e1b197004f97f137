"""Checks of single items while the rest of the answer is still being written. What they say is early, and not the last
word: the whole is checked again at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from dbprompt.calls.in_time import check_time
from dbprompt.checks.base_design import item_of
from dbprompt.checks.engine import on_engine
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.jobs.design import DesignJob
from dbprompt.ladder import climb
from dbprompt.partial import Item, list_at
from dbprompt.sections import SECTIONS, Section, SectionName
from dbprompt.sections.schema import Table

__all__ = ["ItemCheck", "ItemsCheck", "OwnItems", "section_items"]

T = TypeVar("T", bound=BaseModel)

ItemCheck: TypeAlias = Callable[[Any], "Iterable[Finding] | None"]
"""A check of your own of one item: the typed element in, findings out; `where` in a finding points into the element."""

ItemsCheck: TypeAlias = Callable[[Sequence[Item], Sequence[Item]], Report]
"""Checks items beside a stream: all that fit so far, and those among them to judge now; `where` as in `Item`.

An item without a verdict was not checked.
"""


@dataclass(frozen=True, slots=True)
class OwnItems(Generic[T]):
    """The caller's checks of items: early while the answer is being written, and once more on the whole.

    Args:
        output: the model of the answer.
        checks: by the JSON pointer of a list, `/tables`, the check of its elements.
    """

    output: type[T]
    checks: Mapping[str, ItemCheck]

    def __post_init__(self) -> None:
        for pointer in self.checks:
            list_at(self.output, pointer)

    def early(self, so_far: Sequence[Item], items: Sequence[Item]) -> Report:
        """As `ItemsCheck`."""
        return self._all((item.where, item.value) for item in items)

    def whole(self, answer: T) -> Report:
        """As `AnswerCheck`."""
        return self._all(
            (f"{pointer}/{at}", element)
            for pointer in self.checks
            for at, element in enumerate(_elements(answer, list_at(self.output, pointer)))
        )

    def _all(self, elements: Iterable[tuple[str, object]]) -> Report:
        return sum((self._one(where, element) for where, element in elements), Report())

    def _one(self, where: str, element: object) -> Report:
        check = self.checks.get(where.rpartition("/")[0])
        if check is None:
            return Report()
        check_time()
        found = tuple(finding.below(where) for finding in check(element) or ())
        status = Status.FAILED if any(one.severity is Severity.ERROR for one in found) else Status.PASSED
        name = str(getattr(check, "__qualname__", type(check).__qualname__))
        return Report(found, (Verdict(where, where, status, Tier.RULE, name, "only what this check looks at"),))


def _elements(answer: object, way: Sequence[object]) -> Iterable[object]:
    """The elements of the list that this way leads to; none where something on the way is null."""
    here = answer
    for name in way:
        if here is None:
            return ()
        here = here.get(name) if isinstance(here, Mapping) else getattr(here, str(name), None)
    return here if isinstance(here, Iterable) else ()


_EARLY: tuple[SectionName, ...] = ("schema", "indexes", "queries")
"""Sections whose items run on the engine and need no sibling that comes after them; they are made of lists alone."""


def section_items(job: DesignJob, name: SectionName) -> ItemsCheck | None:
    """Runs the items of a section on the engine as they come: parsers, then PostgreSQL, with those that came before.

    A foreign key to a table that has not come is left out; a table that uses an enum which has not come is not checked.
    """
    if name not in _EARLY:
        return None

    def check(so_far: Sequence[Item], items: Sequence[Item]) -> Report:
        shown = {item.where: shown for item in so_far if (shown := _by_itself(item, so_far)) is not None}
        section, places = _section(name, shown)
        design = job.design.with_section(name, section)
        report = job.rules.apply(on_engine(Subject(design, name, job.brief), run=climb, as_of=job.as_of))
        whole = {item.where for item in so_far if shown.get(item.where) is item.value}
        return Report(
            tuple(replace(one, where=_moved(one.where, places, whole)) for one in report.findings),
            tuple(replace(one, where=_moved(one.where, places, whole)) for one in report.verdicts),
        )

    return check


def _by_itself(item: Item, so_far: Sequence[Item]) -> object:
    """The item as it can run now; None if it cannot."""
    table = item.value
    if not isinstance(table, Table):
        return table
    tables = {getattr(one.value, "name", "") for one in so_far if isinstance(one.value, Table)}
    enums = {getattr(one.value, "name", "") for one in so_far if one.where.startswith("/enums/")}
    if any(column.enum is not None and column.enum not in enums for column in table.columns):
        return None
    kept = tuple(key for key in table.foreign_keys if key.references in tables)
    return table if kept == table.foreign_keys else table.model_copy(update={"foreign_keys": kept})


def _section(name: SectionName, shown: Mapping[str, object]) -> tuple[Section, dict[str, str]]:
    """A section of these items and nothing else; and where each of its items stands in the answer."""
    output = SECTIONS[name]
    lists: dict[str, list[object]] = {key: [] for key, of in output.model_fields.items() if of.is_required()}
    places: dict[str, str] = {}
    for where, value in shown.items():
        key = where.split("/")[1]
        of_list = lists.setdefault(key, [])
        places[f"/{key}/{len(of_list)}"] = where
        of_list.append(value)
    return output.model_construct(set(lists), **{key: tuple(items) for key, items in lists.items()}), places


def _moved(where: str, places: Mapping[str, str], whole: Iterable[str]) -> str:
    """Where it stands in the answer; of an item that was shown in part, the item."""
    item = item_of(where)
    place = places.get(item, item)
    return place + where[len(item) :] if place in whole else place
