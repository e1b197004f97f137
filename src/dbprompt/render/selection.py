"""The technology decision: the matrix with weighted points, what was decided, and the stores beside it."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.markdown import cell, table, text
from dbprompt.sections.selection import Option, Selection

__all__ = ["points", "selection_markdown"]


def points(option: Option, selection: Selection) -> int:
    """Weight times grade, summed over the criteria. A criterion without a grade gives nothing."""
    grades = {grade.criterion: grade.grade for grade in option.grades}
    return sum(criterion.weight * grades.get(criterion.name, 0) for criterion in selection.criteria)


def selection_markdown(selection: Selection) -> Iterator[str]:
    """The section as blocks."""
    decision = selection.decision
    yield f"**{decision.engine}.** {text(decision.rationale)}"
    if decision.against_grades:
        yield f"Against the grades, because: {text(decision.against_grades)}"
    yield _matrix(selection)
    yield "Grades: 0 cannot, 1 weak, 2 good, 3 best. Points: weight times grade, summed by dbprompt."
    if selection.supporting:
        yield "### Stores beside it"
        rows = [
            (str(store.engine), store.role.replace("_", " "), cell(store.purpose), store.fed_by.replace("_", " "))
            for store in selection.supporting
        ]
        yield table(("Store", "As", "For", "Fed by"), rows)


def _matrix(selection: Selection) -> str:
    rows = []
    for criterion in selection.criteria:
        cells = [cell(criterion.name.replace("_", " ")), str(criterion.weight)]
        for option in selection.options:
            grade = next((grade for grade in option.grades if grade.criterion == criterion.name), None)
            cells.append(f"{grade.grade} {cell(grade.reason)}" if grade else "no grade")
        rows.append([*cells, cell(criterion.why)])
    sums = [f"**{points(option, selection)}**" for option in selection.options]
    rows.append(["**points**", "", *sums, ""])
    heads = ("Criterion", "Weight", *(str(option.engine) for option in selection.options), "Why it counts")
    return table(heads, rows, align="lr")
