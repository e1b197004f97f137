"""Why it is so: types and constraints with their reasons, then assumptions, risks and open questions."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, table
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.rationale import Rationale

__all__ = ["rationale_markdown"]

_GRADES = {"high": 3, "medium": 2, "low": 1}


def rationale_markdown(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """The chapter; risks stand in the order of likelihood times impact."""
    section = design.rationale
    if section is None:
        return
    yield "## Reasons, assumptions, risks"
    yield "### Types"
    rows = (
        (choice.data, ", ".join(map(code, choice.chosen)), ", ".join(map(code, choice.avoided)), cell(choice.reason),
         ", ".join(map(code, choice.columns)))
        for choice in section.type_choices
    )  # fmt: skip
    yield table(("Data", "Chosen", "Instead of", "Because", "Columns"), rows)
    if section.constraint_choices:
        yield "### Constraints"
        held = (
            (code(f"{one.table} ({', '.join(one.columns)})"), one.kind.replace("_", " "), cell(one.reason))
            for one in section.constraint_choices
        )
        yield table(("On", "Constraint", "Because"), held)
    yield from _unsure(section)


def _unsure(section: Rationale) -> Iterator[str]:
    if section.assumptions:
        yield "### Assumptions"
        yield table(
            ("Assumed", "If it is wrong"), ((cell(a.assumption), cell(a.if_wrong)) for a in section.assumptions)
        )
    if section.risks:
        yield "### Risks"
        worst = sorted(section.risks, key=lambda risk: -_GRADES[risk.likelihood] * _GRADES[risk.impact])
        rows = ((cell(risk.risk), risk.likelihood, risk.impact, cell(risk.mitigation)) for risk in worst)
        yield table(("Risk", "Likely", "Harm", "What is done"), rows)
    if section.open_questions:
        yield "### Open questions"
        asked = ((cell(one.question), cell(one.affects)) for one in section.open_questions)
        yield table(("Question", "What depends on it"), asked)
