"""Each rule family on its cases: poor designs with the codes that they have to earn, sound ones with none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from design_cases import CASES, Case, cases, subject

from dbprompt.checks import registry
from dbprompt.checks.access import access
from dbprompt.checks.backup import backup
from dbprompt.checks.caching import caching
from dbprompt.checks.changes import changes
from dbprompt.checks.compliance import compliance
from dbprompt.checks.coverage import coverage
from dbprompt.checks.erasure import erasure
from dbprompt.checks.expressions import expressions
from dbprompt.checks.indexes import indexes
from dbprompt.checks.infrastructure import infrastructure
from dbprompt.checks.lifecycle import lifecycle
from dbprompt.checks.monitoring import monitoring
from dbprompt.checks.normal_forms import normal_forms
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
from dbprompt.checks.statements import statements
from dbprompt.checks.subject import DesignCheck
from dbprompt.checks.sync_triggers import sync_triggers
from dbprompt.checks.tables import tables
from dbprompt.checks.types import types
from dbprompt.checks.upkeep import upkeep
from dbprompt.checks.views import views
from dbprompt.evidence import Severity, Status

FAMILIES: dict[str, DesignCheck] = {
    "access": access,
    "compliance": compliance,
    "policies": policies,
    "backup": backup,
    "caching": caching,
    "changes": changes,
    "coverage": coverage,
    "erasure": erasure,
    "expressions": expressions,
    "indexes": indexes,
    "infrastructure": infrastructure,
    "lifecycle": lifecycle,
    "monitoring": monitoring,
    "normal_forms": normal_forms,
    "pool": pool,
    "queries": queries,
    "query_pages": query_pages,
    "query_paths": query_paths,
    "query_shapes": query_shapes,
    "rationale": rationale,
    "references": references,
    "runbooks": runbooks,
    "scaling": scaling,
    "security": security,
    "selection": selection,
    "statements": statements,
    "sync_triggers": sync_triggers,
    "tables": tables,
    "types": types,
    "upkeep": upkeep,
    "views": views,
}
SECTIONS = (
    "views",
    "lifecycle",
    "upkeep",
    "selection",
    "schema",
    "indexes",
    "queries",
    "caching",
    "migrations",
    "rationale",
    "infrastructure",
    "scaling",
    "security",
    "backup",
    "monitoring",
    "runbooks",
)


def _holds(check: Callable[..., object], case: Case) -> None:
    report = FAMILIES[check.__name__](case.subject())
    found = sorted(finding.code for finding in report.findings)
    told = "\n".join(map(str, report.findings))
    assert found == sorted(case.expect), told
    if case.where is not None:
        assert all(f.where == case.where or f.where.startswith(f"{case.where}/") for f in report.findings), told
    for words in case.says:
        assert words in told
    failed = {verdict.where for verdict in report.verdicts if verdict.status is Status.FAILED}
    lists = {"/tables", "/indexes", "/queries", "/supporting", "/options", "/decision"}
    for finding in report.findings:
        item = "/".join(finding.where.split("/")[:3])
        if finding.severity is Severity.ERROR and finding.where not in lists and report.verdicts:
            assert item in failed or not item.startswith(("/tables", "/indexes", "/queries", "/enums")), told


@pytest.mark.parametrize("case", cases("references"))
def test_references(case: Case) -> None:
    """Every name in a design means something of the right kind."""
    _holds(references, case)


@pytest.mark.parametrize("case", cases("coverage"))
def test_coverage(case: Case) -> None:
    """What the brief asks for is in the design."""
    _holds(coverage, case)


@pytest.mark.parametrize("case", cases("expressions"))
def test_expressions(case: Case) -> None:
    """An expression is one expression of a kind that its place allows."""
    _holds(expressions, case)


@pytest.mark.parametrize("case", cases("types"))
def test_types(case: Case) -> None:
    """Columns have the types that their values need."""
    _holds(types, case)


@pytest.mark.parametrize("case", cases("tables"))
def test_tables(case: Case) -> None:
    """A table holds one kind of thing, a value a column."""
    _holds(tables, case)


@pytest.mark.parametrize("case", cases("normal_forms"))
def test_normal_forms(case: Case) -> None:
    """The claimed normal form is met, or the copy is declared."""
    _holds(normal_forms, case)


@pytest.mark.parametrize("case", cases("security"))
def test_security(case: Case) -> None:
    """No secret is stored readably."""
    _holds(security, case)


@pytest.mark.parametrize("case", cases("indexes"))
def test_indexes(case: Case) -> None:
    """Every query has an index, and every index a reason."""
    _holds(indexes, case)


@pytest.mark.parametrize("case", cases("statements"))
def test_statements(case: Case) -> None:
    """A query is one complete statement of an allowed kind over what is there."""
    _holds(statements, case)


@pytest.mark.parametrize("case", cases("queries"))
def test_queries(case: Case) -> None:
    """A statement answers its query of the brief."""
    _holds(queries, case)


@pytest.mark.parametrize("case", cases("query_pages"))
def test_query_pages(case: Case) -> None:
    """Pages start after the last row of the page before."""
    _holds(query_pages, case)


@pytest.mark.parametrize("case", cases("query_shapes"))
def test_query_shapes(case: Case) -> None:
    """Poor shapes are told."""
    _holds(query_shapes, case)


@pytest.mark.parametrize("case", cases("query_paths"))
def test_query_paths(case: Case) -> None:
    """Relations are not looked for in json, and nothing is asked once a row."""
    _holds(query_paths, case)


@pytest.mark.parametrize("case", cases("selection"))
def test_selection(case: Case) -> None:
    """The decision follows from its matrix and the brief."""
    _holds(selection, case)


@pytest.mark.parametrize("case", cases("caching"))
def test_caching(case: Case) -> None:
    """What is cached exists, ends in time, and has its answer's reasons in its key."""
    _holds(caching, case)


@pytest.mark.parametrize("case", cases("changes"))
def test_changes(case: Case) -> None:
    """Planned changes fit the design that they change, and wait for nobody for long."""
    _holds(changes, case)


@pytest.mark.parametrize("case", cases("rationale"))
def test_rationale(case: Case) -> None:
    """Reasons are about what is there, and none is a blank."""
    _holds(rationale, case)


@pytest.mark.parametrize("case", cases("infrastructure"))
def test_infrastructure(case: Case) -> None:
    """Machines, failover and money meet what the brief promises."""
    _holds(infrastructure, case)


@pytest.mark.parametrize("case", cases("pool"))
def test_pool(case: Case) -> None:
    """The pool fits the server, the load and the statements that go through it."""
    _holds(pool, case)


@pytest.mark.parametrize("case", cases("scaling"))
def test_scaling(case: Case) -> None:
    """Growth comes in time, reads go where they are answered, and one server is used while it holds the data."""
    _holds(scaling, case)


@pytest.mark.parametrize("case", cases("access"))
def test_access(case: Case) -> None:
    """Everybody is granted what the work needs and nothing else."""
    _holds(access, case)


@pytest.mark.parametrize("case", cases("policies"))
def test_policies(case: Case) -> None:
    """Row policies hold for every request, on every table of the tenants."""
    _holds(policies, case)


@pytest.mark.parametrize("case", cases("compliance"))
def test_compliance(case: Case) -> None:
    """Every item of the brief's compliance is answered by something that is there."""
    _holds(compliance, case)


@pytest.mark.parametrize("case", cases("views"))
def test_views(case: Case) -> None:
    """A view is worth its refreshes, and fresh enough for whoever reads it."""
    _holds(views, case)


@pytest.mark.parametrize("case", cases("lifecycle"))
def test_lifecycle(case: Case) -> None:
    """Rows leave when the brief says, by a way that the schema allows."""
    _holds(lifecycle, case)


@pytest.mark.parametrize("case", cases("erasure"))
def test_erasure(case: Case) -> None:
    """Every table that knows a person says what becomes of it."""
    _holds(erasure, case)


@pytest.mark.parametrize("case", cases("upkeep"))
def test_upkeep(case: Case) -> None:
    """What other sections promise has its job, and each job something to work on."""
    _holds(upkeep, case)


@pytest.mark.parametrize("case", cases("sync_triggers"))
def test_sync_triggers(case: Case) -> None:
    """A trigger is one UPDATE of its copy, and every copy has what keeps it."""
    _holds(sync_triggers, case)


@pytest.mark.parametrize("case", cases("backup"))
def test_backup(case: Case) -> None:
    """Backups lose no more than the brief allows, lie where it allows, and are tried."""
    _holds(backup, case)


@pytest.mark.parametrize("case", cases("monitoring"))
def test_monitoring(case: Case) -> None:
    """What the design makes necessary is watched, and warns before it is too late."""
    _holds(monitoring, case)


@pytest.mark.parametrize("case", cases("runbooks"))
def test_runbooks(case: Case) -> None:
    """Every alert opens a page that is there, and every page fits the design."""
    _holds(runbooks, case)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_sound_design_has_no_findings(section: str) -> None:
    """No rule of any family has a word against the sound design, and each artefact has verdicts."""
    for check in registry.rule_checks(section):
        report = check(subject(section))
        assert report.findings == (), check


def test_every_family_has_cases_and_every_case_file_a_family() -> None:
    """A rule family without poor and sound cases cannot be added."""
    files = {path.stem for path in CASES.glob("*.yaml") if not path.stem.startswith("base_")} - {"marketplace"}
    assert files == set(FAMILIES)
    for family in FAMILIES:
        made = [parameter.values[0] for parameter in cases(family)]
        assert any(case.expect for case in made) and any(not case.expect for case in made), family
