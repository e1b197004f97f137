"""Evals: recorded, repeatable, able to tell a better prompt from a worse one."""

from __future__ import annotations

from dbprompt.calls.prices import Price
from dbprompt.evals.base import RunError, SuiteError
from dbprompt.evals.compare import Comparison, compare_runs
from dbprompt.evals.gate import Gate, assert_suite, judge
from dbprompt.evals.outcomes import Key, Outcome
from dbprompt.evals.runner import Progress, run_suite
from dbprompt.evals.runs import Run, load_run
from dbprompt.evals.suite import Suite, SuiteCase, load_suite, pydantic_dataset
from dbprompt.evals.trial import CaseLimits

__all__ = [
    "CaseLimits",
    "Comparison",
    "Gate",
    "Key",
    "Outcome",
    "Price",
    "Progress",
    "Run",
    "RunError",
    "Suite",
    "SuiteCase",
    "SuiteError",
    "assert_suite",
    "compare_runs",
    "judge",
    "load_run",
    "load_suite",
    "pydantic_dataset",
    "run_suite",
]
