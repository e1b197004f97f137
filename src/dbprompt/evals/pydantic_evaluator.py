"""Expectations as an evaluator of pydantic-evals. The only file that imports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_evals import Case as TheirCase
from pydantic_evals import Dataset
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from dbprompt.brief import Brief
from dbprompt.evals.cases import Case
from dbprompt.evals.expectations import Expectation
from dbprompt.evals.scorers import score_all
from dbprompt.result import Result

__all__ = ["Expectations", "dataset_of"]


@dataclass
class Expectations(Evaluator[Brief, Result, None]):
    """One assertion for each expectation of a case, named as it is, with the reason."""

    expectations: tuple[Expectation, ...]

    def evaluate(self, ctx: EvaluatorContext[Brief, Result, None]) -> dict[str, EvaluationReason]:
        """Scores the result that the task gave."""
        scores = score_all(
            self.expectations, ctx.output.design, ctx.inputs, ctx.output.evidence, as_of=ctx.output.as_of
        )
        return {score.id: EvaluationReason(score.passed, score.reason) for score in scores}


def dataset_of(name: str, cases: Sequence[tuple[str, Case]]) -> Dataset[Brief, Result, None]:
    """The cases as a dataset that pydantic-evals runs."""
    return Dataset(
        name=name,
        cases=[
            TheirCase[Brief, Result, None](name=title, inputs=case.brief, evaluators=(Expectations(case.expectations),))
            for title, case in cases
        ],
    )
