"""Each rule family on its cases: poor designs with the codes that they have to earn, sound ones with none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from design_cases import CASES, Case, cases, subject

from dbprompt import checks
from dbprompt.checks.coverage import coverage
from dbprompt.checks.expressions import expressions
from dbprompt.checks.indexes import indexes
from dbprompt.checks.normal_forms import normal_forms
from dbprompt.checks.queries import queries
from dbprompt.checks.query_pages import query_pages
from dbprompt.checks.query_paths import query_paths
from dbprompt.checks.query_shapes import query_shapes
from dbprompt.checks.references import references
from dbprompt.checks.security import security
from dbprompt.checks.selection import selection
from dbprompt.checks.statements import statements
from dbprompt.checks.subject import DesignCheck
from dbprompt.checks.tables import tables
from dbprompt.checks.types import types
from dbprompt.evidence import Severity, Status

FAMILIES: dict[str, DesignCheck] = {
    "coverage": coverage,
    "expressions": expressions,
    "indexes": indexes,
    "normal_forms": normal_forms,
    "queries": queries,
    "query_pages": query_pages,
    "query_paths": query_paths,
    "query_shapes": query_shapes,
    "references": references,
    "security": security,
    "selection": selection,
    "statements": statements,
    "tables": tables,
    "types": types,
}
SECTIONS = ("selection", "schema", "indexes", "queries")


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


@pytest.mark.parametrize("section", SECTIONS)
def test_a_sound_design_has_no_findings(section: str) -> None:
    """No rule of any family has a word against the sound design, and each artefact has verdicts."""
    for check in checks.rule_checks(section):
        report = check(subject(section))
        assert report.findings == (), check


def test_every_family_has_cases_and_every_case_file_a_family() -> None:
    """A rule family without poor and sound cases cannot be added."""
    files = {path.stem for path in CASES.glob("*.yaml") if not path.stem.startswith("base_")} - {"marketplace"}
    assert files == set(FAMILIES)
    for family in FAMILIES:
        made = [parameter.values[0] for parameter in cases(family)]
        assert any(case.expect for case in made) and any(not case.expect for case in made), family
