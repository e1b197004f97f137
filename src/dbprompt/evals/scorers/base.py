"""What scorers share: the design beside its brief, the looks that they take at it, and the score that comes of them.

A scorer yields a `Look` for each place that has to be right. All looks have to be good, and there has to be one: a
scorer that found nothing to look at has not passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias, TypeVar

from dbprompt.brief import Brief, Entity
from dbprompt.capacity import capacity_of
from dbprompt.checks.base_matching import Place, columns_of, places_of
from dbprompt.checks.base_trees import grammar
from dbprompt.checks.base_views import with_views
from dbprompt.checks.subject import Subject
from dbprompt.errors import MissingExtraError
from dbprompt.evals.expectations import Expectation
from dbprompt.evidence import Evidence
from dbprompt.sections import DatabaseDesign, SectionName
from dbprompt.sections.base import Section
from dbprompt.sections.queries import Query
from dbprompt.sections.schema import Column, Schema, Table

__all__ = [
    "Lacking",
    "Look",
    "NotHeld",
    "Scene",
    "Score",
    "Scorer",
    "Sections",
    "bad",
    "column_pointer",
    "good",
    "query_of",
    "scorer",
    "settle",
    "table_pointer",
]

E = TypeVar("E", bound=Expectation)
S = TypeVar("S", bound=Section)
_MOST = 3


@dataclass(frozen=True, slots=True)
class Score:
    """Whether a design meets an expectation.

    Args:
        id: of the expectation.
        check: its kind.
        level: must or should.
        passed: whether the design meets it.
        reason: what was found, or what is missing.
        where: JSON pointers into the design: what is wrong, or what was looked at.
        lacks: the section that the design has not, and without which nobody can tell.
    """

    id: str
    check: str
    level: str
    passed: bool
    reason: str
    where: tuple[str, ...] = ()
    lacks: SectionName = ""

    def __str__(self) -> str:
        """One line."""
        return f"{'passed' if self.passed else 'failed'} {self.level} {self.id} ({self.check}): {self.reason}"


@dataclass(frozen=True, slots=True)
class Look:
    """One place of the design: whether it is as it should be, and what stands there."""

    where: str
    is_good: bool
    said: str


def good(where: str, said: str) -> Look:
    """A place that is right."""
    return Look(where, True, said)


def bad(where: str, said: str) -> Look:
    """A place that is wrong."""
    return Look(where, False, said)


class NotHeld(Exception):
    """The design does not hold what an expectation is about: it fails, whatever else is right."""


class Lacking(NotHeld):
    """The design lacks a section: what is not there can be neither right nor wrong."""

    def __init__(self, section: SectionName) -> None:
        self.section = section
        super().__init__(f"the design has no section {section}")


@dataclass(frozen=True, slots=True)
class Scene:
    """What a scorer looks at.

    Args:
        design: the answer that is scored.
        brief: what was asked.
        as_of: the day that partitions are counted from.
        evidence: what was proven of the design, None if it was only read.
    """

    design: DatabaseDesign
    brief: Brief
    as_of: date
    evidence: Evidence | None = None
    _places: dict[str, tuple[Place, ...]] = field(default_factory=dict, compare=False, repr=False)

    def need(self, section: S | None, name: SectionName) -> S:
        """A section that has to be there."""
        if section is None:
            raise Lacking(name)
        return section

    @property
    def schema(self) -> Schema:
        """The tables."""
        return self.need(self.design.schema, "schema")

    @property
    def relations(self) -> Schema:
        """The tables, and the materialised views as tables: what a statement may name."""
        return self.need(with_views(self.design), "schema")

    def entity(self, name: str) -> Entity:
        """An entity of the brief."""
        found = self.brief.entity(name)
        if found is None:
            raise NotHeld(f"the brief has no entity {name}")
        return found

    def places(self, entity: str) -> tuple[Place, ...]:
        """The tables that store an entity; there is at least one."""
        if entity not in self._places:
            self._places[entity] = places_of(self.brief, self.schema, self.entity(entity))
        if not self._places[entity]:
            raise NotHeld(f"no table stores {entity}")
        return self._places[entity]

    def tables(self, entity: str) -> frozenset[str]:
        """Their names."""
        return frozenset(place.table.name for place in self.places(entity))

    def columns(self, place: Place, entity: str, attribute: str) -> tuple[Column, ...]:
        """The columns of a table that hold an attribute; there is at least one."""
        found = columns_of(place.table, self.entity(entity), attribute)
        if not found:
            raise NotHeld(f"{place.table.name} has no column for {attribute} of {entity}")
        return found

    def names(self, place: Place, entity: str, attribute: str) -> frozenset[str]:
        """Their names."""
        return frozenset(column.name for column in self.columns(place, entity, attribute))

    def subject(self, section: SectionName) -> Subject:
        """The design as the rule families of `dbprompt.checks` read it."""
        return Subject(self.design, section, self.brief, capacity_of(self.brief))


def column_pointer(place: Place, column: Column) -> str:
    """Where a column stands in the design."""
    return f"/schema{place.where}/columns/{place.table.columns.index(column)}"


Sections: TypeAlias = tuple[SectionName, ...]


@dataclass(frozen=True, slots=True)
class Scorer:
    """How expectations of one kind are scored.

    Args:
        looks: at a design.
        needs: the sections that it may look into: without one of them, nobody may be able to tell.
    """

    looks: Callable[[Expectation, Scene], Iterator[Look]]
    needs: Callable[[Expectation], Sections]


def scorer(
    shape: type[E],
    looks: Callable[[E, Scene], Iterable[Look]],
    needs: Sections | Callable[[E], Sections],
    *,
    reads_sql: bool = False,
) -> Scorer:
    """A scorer for expectations of one shape. `reads_sql`: it cannot do without PostgreSQL's grammar."""

    def of_shape(expectation: Expectation) -> E:
        if not isinstance(expectation, shape):
            raise TypeError(f"{expectation.check} has the shape {type(expectation).__name__}, not {shape.__name__}")
        return expectation

    def look(expectation: Expectation, scene: Scene) -> Iterator[Look]:
        if reads_sql and grammar() is None:
            raise MissingExtraError("postgast", "postgres")
        yield from looks(of_shape(expectation), scene)

    return Scorer(look, lambda one: needs if isinstance(needs, tuple) else needs(of_shape(one)))


def settle(expectation: Expectation, looks: Iterator[Look]) -> Score:
    """The score of all looks: passed if there are some and all of them are good."""
    taken: list[Look] = []
    try:
        taken.extend(looks)
    except Lacking as missing:
        if all(look.is_good for look in taken):  # else it is wrong, whatever that section would say
            lacks = missing.section
            return Score(expectation.id, expectation.check, expectation.level, False, str(missing), lacks=lacks)
    except NotHeld as missing:
        return Score(expectation.id, expectation.check, expectation.level, False, str(missing))
    wrong = [look for look in taken if not look.is_good]
    shown = wrong or taken
    passed = bool(taken) and not wrong
    reason = _reason(shown) if taken else "the design holds nothing that this could be seen in"
    where = tuple(dict.fromkeys(look.where for look in shown))
    return Score(expectation.id, expectation.check, expectation.level, passed, reason, where)


def _reason(looks: list[Look]) -> str:
    said = list(dict.fromkeys(look.said for look in looks))
    more = f"; and {len(said) - _MOST} more" if len(said) > _MOST else ""
    return "; ".join(said[:_MOST]) + more


def table_pointer(schema: Schema, table: Table) -> str:
    """Where a table stands in the design."""
    return f"/schema/tables/{schema.tables.index(table)}"


def query_of(scene: Scene, query: str) -> tuple[int, Query]:
    """The design's statement for a query of the brief."""
    queries = scene.need(scene.design.queries, "queries").queries
    for at, one in enumerate(queries):
        if one.id == query:
            return at, one
    raise NotHeld(f"the design has no statement for query {query}")
