"""Each table is in the normal form that the schema claims, as far as the declared dependencies tell.

Poor: `addresses (id, street, zip, city)` in a schema that claims 3NF and declares `zip -> city`: a city is renamed in
one row and not in the next.
Better: `zip_codes (zip, city)` and `addresses (id, street, zip)`; or the copy is meant, and stands in `denormalized`
with what keeps it in step.

Dependencies cannot be read from DDL, only keys can: so a schema that declares none has nothing to violate, and the
verdict says so. A unique constraint counts as a key; a row in which its columns are null is outside what a dependency
says. (Codd 1971; postgresql.org has no page on it.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dbprompt.checks.base_dependencies import FORMS, Dependency, Relation, TooManyKeysError, Violation
from dbprompt.checks.base_design import error, judged, listing, rules
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report, Status, Verdict
from dbprompt.sections.schema import Schema, Table

__all__ = ["normal_forms"]

_CODES = {
    "2NF": "normal_form.partial_dependency",
    "3NF": "normal_form.transitive_dependency",
    "BCNF": "normal_form.determinant_not_key",
}
_UNCOVERED = "only from the dependencies that are declared"


def normal_forms(subject: Subject) -> Report:
    """The claimed normal form of the section `schema`."""
    schema = subject.design.schema
    if subject.section != "schema" or schema is None:
        return Report()
    undecided: set[str] = set()
    findings = list(_findings(schema, undecided))
    report = judged(subject, findings, checker=rules("normal form"), uncovered=_UNCOVERED)
    verdicts = (verdict for verdict in report.verdicts if verdict.artefact.startswith("table "))
    return replace(report, verdicts=tuple(_decided(verdict, undecided) for verdict in verdicts))


def _decided(verdict: Verdict, undecided: set[str]) -> Verdict:
    if verdict.artefact.removeprefix("table ") not in undecided:
        return verdict
    return replace(verdict, status=Status.INCONCLUSIVE, uncovered="it has too many candidate keys to tell")


def relation_of(schema: Schema, table: Table) -> Relation:
    """A table with its declared dependencies and its keys."""
    names = frozenset(column.name for column in table.columns)
    keys = [table.primary_key, *(unique.columns for unique in table.uniques)]
    given = [
        Dependency(frozenset(one.determinant), frozenset(one.dependents))
        for one in schema.functional_dependencies
        if one.table == table.name
    ]
    given += [Dependency(frozenset(key), names) for key in keys if key]
    return Relation(names, tuple(one for one in given if one.left | one.right <= names))


def _findings(schema: Schema, undecided: set[str]) -> Iterator[Finding]:
    claimed = FORMS.index(schema.normal_form)
    for at, table in enumerate(schema.tables):
        if not any(one.table == table.name for one in schema.functional_dependencies):
            continue
        try:
            violations = relation_of(schema, table).violations()
        except TooManyKeysError:
            undecided.add(table.name)
            continue
        excused = {copied.column for copied in schema.denormalized if copied.table == table.name}
        excused |= {column.name for column in table.columns if column.generated is not None}
        for violation in violations:
            left = violation.dependency.right - excused
            if left and FORMS.index(violation.breaks) <= claimed:
                dependency = replace(violation.dependency, right=left)
                yield from _told(schema, table, f"/tables/{at}", replace(violation, dependency=dependency))


def _told(schema: Schema, table: Table, where: str, violation: Violation) -> Iterator[Finding]:
    """The violation at its table, and the other way out at the list of copies, so that a repair can take either."""
    fixing, fixed = (listing(sorted(names)) for names in (violation.dependency.left, violation.dependency.right))
    because = {
        "2NF": f"{fixing} is fixed by a part of the key ({listing(sorted(violation.key))})",
        "3NF": f"{fixing} is no key of it",
        "BCNF": f"{fixing} is no key of it, though {fixed} is part of one",
    }[violation.breaks]
    message = (
        f"{table.name} is not in {violation.breaks}, and the schema claims {schema.normal_form}: {fixing} fixes "
        f"{fixed}, and {because}. {_remedy(schema, table, violation)}, or list {fixed} in denormalized"
    )
    yield error(_CODES[violation.breaks], where, message)
    message = (
        f"if {table.name} is to keep {fixed}, which {fixing} fixes, add an entry for it here that says why, and what "
        "keeps the copy in step; add nothing if it is dropped there"
    )
    yield error(_CODES[violation.breaks], "/denormalized", message)


def _remedy(schema: Schema, table: Table, violation: Violation) -> str:
    """The decomposition that heals it: into a table that is there already if one has the key."""
    left, right = violation.dependency.left, violation.dependency.right
    moved = listing(sorted(right))
    for key in table.foreign_keys:
        home = schema.table(key.references)
        if home is not None and frozenset(key.columns) == left and all(home.column(name) for name in right):
            return f"{home.name} has it already: drop {moved} from {table.name}"
    return f"Make a table of {listing(sorted(left))} (its key) and {moved}, refer to it, and drop {moved} here"
