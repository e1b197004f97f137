"""Scores a design by the expectations of its case. One family of checks a file.

A kind that says nothing about a typed design for PostgreSQL is an error that names it, never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from dbprompt.brief import Brief
from dbprompt.errors import TargetError
from dbprompt.evals.expectations import SHAPES, Expectation
from dbprompt.evals.scorers import access, dialect, layout, migration, operations, refusals, safety, schema
from dbprompt.evals.scorers.base import Scene, Score, settle
from dbprompt.evidence import Evidence
from dbprompt.sections import DatabaseDesign, SectionName

__all__ = ["NOT_YET", "SCORED", "Score", "not_scored", "score", "score_all", "sections_of"]

_SCORERS = {
    **schema.SCORERS,
    **dialect.SCORERS,
    **refusals.SCORERS,
    **access.SCORERS,
    **layout.SCORERS,
    **safety.SCORERS,
    **operations.SCORERS,
    **migration.SCORERS,
}

SCORED = frozenset(_SCORERS)
"""The check kinds that can be scored."""

NOT_YET = frozenset(SHAPES) - SCORED
"""The check kinds of the format that speak of engines for which no typed design can be made yet."""


def not_scored(expectations: Iterable[Expectation]) -> tuple[Expectation, ...]:
    """Those that would stop `score_all`."""
    return tuple(one for one in expectations if one.check not in SCORED)


def sections_of(expectation: Expectation) -> tuple[SectionName, ...]:
    """The sections that a score may depend on: if one of them was not asked for, the expectation may not have been."""
    found = _SCORERS.get(expectation.check)
    return found.needs(expectation) if found else ()


def score(
    expectation: Expectation,
    design: DatabaseDesign,
    brief: Brief,
    evidence: Evidence | None = None,
    *,
    as_of: date | None = None,
) -> Score:
    """Whether a design meets one expectation.

    Args:
        expectation: from `load_case`.
        design: the answer.
        brief: what was asked.
        evidence: what was proven of the design; without it, `dialect_valid` runs the DDL itself.
        as_of: the day that partitions are counted from; today if not given.

    Raises:
        TargetError: this kind is not there yet.
        EngineUnavailableError: the kind needs PostgreSQL, and there is none here.
        MissingExtraError: the kind reads SQL, and PostgreSQL's grammar is not installed.
    """
    return score_all((expectation,), design, brief, evidence, as_of=as_of)[0]


def score_all(
    expectations: Iterable[Expectation],
    design: DatabaseDesign,
    brief: Brief,
    evidence: Evidence | None = None,
    *,
    as_of: date | None = None,
) -> tuple[Score, ...]:
    """The scores of all expectations of a case, in their order. See `score`."""
    scene = Scene(design, brief, as_of or date.today(), evidence)
    return tuple(_score(one, scene) for one in expectations)


def _score(expectation: Expectation, scene: Scene) -> Score:
    found = _SCORERS.get(expectation.check)
    if found is None:
        raise TargetError(
            f"Expectation {expectation.id}: check {expectation.check} is not there yet; it speaks of engines that no "
            f"typed design is made for. Drop it from the case, or score it by hand.",
            known=sorted(SCORED),
        )
    return settle(expectation, found.looks(expectation, scene))
