"""The technology decision follows from its own matrix and from the brief.

Poor: MongoDB is chosen although PostgreSQL has more weighted points, with no word about it; an option without a grade
for `consistency`; a grade for a criterion that is not in the list; Elasticsearch beside a 5 GB database for which the
brief asks for one server; a Redis cache that nothing feeds.
Better: every option has one grade for each criterion, the decision has most points or says in `against_grades` what
outweighs them, and each supporting store is asked for by the brief or earns its place in `purpose`.

The points are added here, never by the model. Whether a grade is right is not checked: a person has to agree with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.base_matching import is_misshapen
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.selection import EngineName, Option, Selection

__all__ = ["selection"]

_FAMILY = {"timescaledb": "postgresql", "mariadb": "mysql", "opensearch": "elasticsearch"}


def selection(subject: Subject) -> Report:
    """The section `selection`."""
    section = subject.design.selection
    if subject.section != "selection" or section is None:
        return Report()
    findings = [*_matrix(section, subject), *_decision(section, subject), *_stores(section)]
    if subject.brief is not None:
        findings += [*_target(section, subject.brief), *_supporting(section, subject)]
    uncovered = "whether the grades are right: read their reasons"
    return judged(subject, findings, checker=rules("selection"), uncovered=uncovered)


def points(section: Selection, option: Option) -> int:
    """The weighted points of an option: the sum of weight x grade."""
    weights = {criterion.name: criterion.weight for criterion in section.criteria}
    return sum(weights.get(grade.criterion, 0) * grade.grade for grade in option.grades)


def _matrix(section: Selection, subject: Subject) -> Iterator[Finding]:
    criteria = [criterion.name for criterion in section.criteria]
    for at, name in enumerate(criteria):
        if name in criteria[:at]:
            yield error(
                "selection.duplicate_criterion", f"/criteria/{at}", f"criterion {name} is given twice; drop one"
            )
    engines = [option.engine for option in section.options]
    for at, option in enumerate(section.options):
        where = f"/options/{at}"
        if option.engine in engines[:at]:
            yield error("selection.duplicate_option", where, f"option {option.engine} is given twice; drop one")
        graded = [grade.criterion for grade in option.grades]
        missing = [name for name in dict.fromkeys(criteria) if name not in graded]
        strangers = [name for name in graded if name not in criteria and not is_misshapen(subject, name)]
        twice = sorted({name for name in graded if graded.count(name) > 1})
        said = [
            f"no grade for {listing(missing)}" if missing else "",
            f"a grade for {listing(strangers)}, which is no criterion" if strangers else "",
            f"two grades for {listing(twice)}" if twice else "",
        ]
        if wrong := "; ".join(part for part in said if part):
            message = (
                f"option {option.engine} has {wrong}; give one grade for each of {listing(dict.fromkeys(criteria))}"
            )
            yield error("selection.grades_incomplete", where, message)


def _decision(section: Selection, subject: Subject) -> Iterator[Finding]:
    chosen = next((option for option in section.options if option.engine is section.decision.engine), None)
    engines = listing(option.engine for option in section.options)
    if chosen is None:
        if not is_misshapen(subject, section.decision.engine):
            message = (
                f"{section.decision.engine} is chosen and was not weighed; options: {engines}. Choose one of these"
            )
            yield error("selection.not_an_option", "/decision", message)
        return
    if len(section.options) == 1:
        message = f"{chosen.engine} is the only option, so nothing was weighed; add at least one more"
        yield warning("selection.one_option", "/options", message)
    score = {option.engine: points(section, option) for option in section.options}
    best = max(score, key=lambda engine: score[engine])
    if score[best] > score[chosen.engine] and not section.decision.against_grades:
        message = (
            f"{chosen.engine} is chosen with {score[chosen.engine]} weighted points, and {best} has {score[best]}; "
            "choose "
            f"{best}, or say in against_grades what outweighs the points"
        )
        yield error("selection.against_grades", "/decision", message)


def _family(engine: str) -> str:
    return _FAMILY.get(engine, engine)


def _target(section: Selection, brief: Brief) -> Iterator[Finding]:
    wanted, chosen = brief.target.primary, section.decision.engine
    if brief.target.free_choice or wanted == chosen:
        return
    known = {engine.value for engine in EngineName}
    if wanted in known and _family(wanted) != _family(chosen):
        message = f"the brief's primary engine is {wanted}, and the decision is {chosen}; decide for {wanted}"
        yield error("selection.not_the_target", "/decision", message)
    elif wanted in known:
        message = (
            f"the brief's primary engine is {wanted}, and the decision is {chosen}, of the same family; say why, or "
            "use it"
        )
        yield warning("selection.not_the_target", "/decision", message)


def _supporting(section: Selection, subject: Subject) -> Iterator[Finding]:
    brief = subject.brief
    if brief is None:
        return
    chosen = {section.decision.engine.value, *(store.engine.value for store in section.supporting)}
    known = {engine.value for engine in EngineName}
    for wanted in brief.target.supporting:
        if wanted in known and wanted not in chosen and not is_misshapen(subject, wanted):
            message = (
                f"the brief wants {wanted} beside the primary engine; add it to supporting with its role, purpose and "
                "feed"
            )
            yield error("selection.store_missing", "/supporting", message)
    for at, store in enumerate(section.supporting):
        if not brief.target.free_choice and store.engine.value not in brief.target.supporting:
            message = (
                f"the brief asks for {listing(brief.target.supporting)} beside {brief.target.primary}, not for "
                f"{store.engine}; "
                "each store has to be run, fed and backed up: drop it, unless the brief cannot be met without it"
            )
            yield warning("selection.store_not_asked_for", f"/supporting/{at}", message)


def _stores(section: Selection) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for at, store in enumerate(section.supporting):
        where = f"/supporting/{at}"
        if (store.engine, store.role) in seen:
            message = f"{store.engine} is there twice as {store.role}; join the two"
            yield error("selection.duplicate_store", where, message)
        seen.add((store.engine, store.role))
        if store.engine is section.decision.engine:
            message = (
                f"{store.engine} is the primary engine and also a supporting store; the primary can do this itself"
            )
            yield warning("selection.store_is_primary", where, message)
        if store.fed_by == "application" and store.role in {"search", "analytics", "time_series", "graph"}:
            message = (
                f"{store.engine} is fed by the application writing twice, so a crash in between leaves the two apart; "
                "feed "
                "it by outbox, cdc or batch_load"
            )
            yield warning("selection.dual_write", where, message)
