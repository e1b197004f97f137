"""Checks of a design, section by section: rules first, then the engine; and checks of SQL text in `checks.sql`.

A rule that read nothing wrong says no more than that. Only the engine's verdict says that something runs, and a design
is only handed back with it: the round that ends a section ran the engine.
"""

from __future__ import annotations

from datetime import date

from dbprompt.checks.base_design import joined
from dbprompt.checks.coverage import coverage
from dbprompt.checks.engine import Run, on_engine, target_major, without_doubles
from dbprompt.checks.expressions import expressions
from dbprompt.checks.indexes import indexes
from dbprompt.checks.queries import queries
from dbprompt.checks.query_pages import query_pages
from dbprompt.checks.query_shapes import query_shapes
from dbprompt.checks.references import references
from dbprompt.checks.security import security
from dbprompt.checks.selection import selection
from dbprompt.checks.statements import statements
from dbprompt.checks.subject import DesignCheck, Subject
from dbprompt.checks.types import types
from dbprompt.evidence import Report
from dbprompt.sections import SectionName

__all__ = ["DesignCheck", "Run", "Subject", "design_checks", "rule_checks", "target_major"]

_RULES: dict[SectionName, tuple[DesignCheck, ...]] = {
    "selection": (selection,),
    "schema": (references, coverage, expressions, types, security),
    "indexes": (references, expressions, indexes),
    "queries": (references, coverage, statements, queries, query_pages, query_shapes),
}


def rule_checks(section: SectionName) -> tuple[DesignCheck, ...]:
    """The rule families of a section, in the order in which they run. They need no engine."""
    return _RULES.get(section, ())


def design_checks(section: SectionName, *, run: Run, as_of: date | None = None) -> tuple[DesignCheck, ...]:
    """Everything that is checked of a section, as one check: the rules, then the engine.

    The engine runs beside wrong rules too, so that one repair round hears everything; it is silent about items in which
    a rule found an error already, and does not run while items have the wrong shape.

    Args:
        section: name of the section.
        run: tries statements in a sandbox: `dbprompt.ladder.climb`.
        as_of: the day that partitions are counted from; today if not given.
    """

    def check(subject: Subject) -> Report:
        lower = joined(sum((rule(subject) for rule in rule_checks(section)), Report()))
        return lower + without_doubles(lower, on_engine(subject, run=run, as_of=as_of or date.today()))

    return (check,)
