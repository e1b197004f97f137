"""Which rule families a section has, and the one check that they make together with the engine and the proofs.

A rule that read nothing wrong says no more than that. Only the engine's verdict says that something runs, and a design
is only handed back with it: the round that ends a section ran the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TypeAlias

from dbprompt.checks.access import access
from dbprompt.checks.backup import backup
from dbprompt.checks.base_design import joined
from dbprompt.checks.base_plans import PlanRun
from dbprompt.checks.caching import caching
from dbprompt.checks.changes import changes
from dbprompt.checks.compliance import compliance
from dbprompt.checks.coverage import coverage
from dbprompt.checks.engine import Run, on_engine, target_engine, target_major, without_doubles
from dbprompt.checks.erasure import erasure
from dbprompt.checks.expressions import expressions
from dbprompt.checks.indexes import indexes
from dbprompt.checks.infrastructure import infrastructure
from dbprompt.checks.lifecycle import lifecycle
from dbprompt.checks.monitoring import monitoring
from dbprompt.checks.normal_forms import normal_forms
from dbprompt.checks.plans import plan_proof
from dbprompt.checks.policies import policies
from dbprompt.checks.pool import pool
from dbprompt.checks.queries import queries
from dbprompt.checks.query_pages import query_pages
from dbprompt.checks.query_paths import query_paths
from dbprompt.checks.query_shapes import query_shapes
from dbprompt.checks.rationale import rationale
from dbprompt.checks.references import references
from dbprompt.checks.runbooks import runbooks
from dbprompt.checks.scaling import scaling
from dbprompt.checks.security import security
from dbprompt.checks.selection import selection
from dbprompt.checks.settings import RuleSettings
from dbprompt.checks.statements import statements
from dbprompt.checks.subject import DesignCheck, Subject
from dbprompt.checks.sync_triggers import sync_triggers
from dbprompt.checks.tables import tables
from dbprompt.checks.types import types
from dbprompt.checks.upkeep import upkeep
from dbprompt.checks.views import views
from dbprompt.evidence import Report
from dbprompt.sections import SectionName

__all__ = ["DesignCheck", "Proof", "Run", "Subject", "design_checks", "rule_checks", "target_major"]

Proof: TypeAlias = Callable[[Subject, date], Report]
"""Tries the section under check out on an engine; the day is the one that partitions are counted from."""

_RULES: dict[SectionName, tuple[DesignCheck, ...]] = {
    "selection": (selection,),
    "schema": (references, coverage, expressions, types, security, tables, normal_forms),
    "indexes": (references, expressions, indexes),
    "views": (statements, views),
    "queries": (references, coverage, statements, queries, query_pages, query_shapes, query_paths, views),
    "caching": (caching,),
    "lifecycle": (lifecycle, erasure),
    "security": (access, expressions, policies, compliance),
    "infrastructure": (infrastructure, pool),
    "scaling": (scaling,),
    "backup": (backup,),
    "monitoring": (monitoring,),
    "runbooks": (runbooks,),
    "upkeep": (upkeep, sync_triggers),
    "migrations": (changes,),
    "rationale": (rationale,),
}


def rule_checks(section: SectionName) -> tuple[DesignCheck, ...]:
    """The rule families of a section, in the order in which they run. They need no engine."""
    return _RULES.get(section, ())


def design_checks(
    section: SectionName,
    *,
    run: Run,
    plans: PlanRun | None = None,
    proofs: Sequence[Proof] = (),
    as_of: date | None = None,
    settings: RuleSettings | None = None,
) -> tuple[DesignCheck, ...]:
    """Everything that is checked of a section, as one check: the rules, then the engine, then the plans.

    The engine runs beside wrong rules too, so that one repair round hears everything; it is silent about items in which
    a rule found an error already, and does not run while items have the wrong shape.

    Args:
        section: name of the section.
        run: tries statements in a sandbox: `dbprompt.ladder.climb`.
        plans: asks the planner: `dbprompt.plans.plan_queries`; without it there is no plan proof.
        proofs: what is tried out on an engine: `dbprompt.proofs.PROOFS`. They come after rules without errors only.
        as_of: the day that partitions are counted from; today if not given.
        settings: which rules count, and how much; each family's report is set by itself.
    """
    day = as_of or date.today()
    apply = (settings or RuleSettings()).apply

    def check(subject: Subject) -> Report:
        lower = joined(sum((apply(rule(subject)) for rule in rule_checks(section)), Report()))
        lower += apply(without_doubles(lower, on_engine(subject, run=run, as_of=day)))
        if not lower.errors and not subject.misshapen:
            lower += apply(sum((proof(subject, day) for proof in proofs), Report()))
        if plans is None:
            return lower
        target, version = target_engine(subject), target_major(subject.brief)
        proven = plan_proof(subject, plans=plans, target=target, version=version, as_of=day)
        return lower + without_doubles(lower, apply(proven))

    return (check,)
