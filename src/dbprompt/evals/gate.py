"""A gate for CI: a run against a baseline, and the reasons why it may not pass."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from dbprompt.evals.compare import Comparison, compare_runs
from dbprompt.evals.runner import PlanOptions, RunWatch, run_suite
from dbprompt.evals.runs import Run, load_run
from dbprompt.evals.suite import Suite

__all__ = ["Gate", "assert_suite", "judge"]


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a run may pass.

    Args:
        run: what was judged.
        reasons: why not; empty if it may.
        comparison: with the baseline, if there is one.
    """

    run: Run
    reasons: tuple[str, ...]
    comparison: Comparison | None = None

    @property
    def ok(self) -> bool:
        """There is nothing against it."""
        return not self.reasons


def judge(
    run: Run, *, baseline: Run | None = None, max_regression: float = 0.0, min_score: float | None = None
) -> Gate:
    """Judges a run.

    Args:
        run: complete or not; what is missing of it counts against it.
        baseline: the run that it must not fall behind.
        max_regression: how much of the mean score it may lose against the baseline, from 0 to 1.
        min_score: what the mean score has to reach.
    """
    if not 0 <= max_regression <= 1:
        raise ValueError(f"max_regression is {max_regression}; it is a share of the score, from 0 to 1")
    reasons: list[str] = []
    if not run.outcomes:
        reasons.append("The run has no outcome: nothing was shown.")
    if run.missing:
        named = ", ".join(run.missing[:5]) + (", ..." if len(run.missing) > 5 else "")
        reasons.append(f"{len(run.missing)} cases have no recording or were not reached: {named}.")
    if min_score is not None and run.mean_score < min_score:
        reasons.append(f"The mean score is {run.mean_score:.3f}; at least {min_score:.3f} is wanted.")
    if baseline is None:
        return Gate(run, tuple(reasons))
    found = compare_runs(baseline, run)
    reasons += _against_baseline(found, max_regression)
    return Gate(run, tuple(reasons), found)


def _against_baseline(found: Comparison, max_regression: float) -> list[str]:
    reasons: list[str] = []
    gone = sorted(found.before.by_case.keys() - found.after.by_case.keys())
    if gone:
        reasons.append(f"{len(gone)} cases of the baseline have no outcome now: {', '.join(gone[:5])}.")
    if found.changed_cases:
        reasons.append(
            f"Brief or expectations changed since the baseline: {', '.join(found.changed_cases)}; make a new baseline."
        )
    if not found.scores.n:
        reasons.append(found.scores.verdict())
    lost = -found.scores.delta.value
    if lost > max_regression + 1e-9:
        worst = "; ".join(f"{c.case} {c.before:.2f} to {c.after:.2f}" for c in found.scores.turned[:3] if c.delta < 0)
        reasons.append(
            f"The mean score fell by {lost:.3f}; {max_regression:.3f} is allowed. Worst: {worst}. "
            f"{found.scores.verdict()}"
        )
    return reasons


def assert_suite(
    suite: str | Path | Suite,
    *,
    baseline: str | Path | Run | None = None,
    max_regression: float = 0.0,
    min_score: float | None = None,
    out: str | Path | None = None,
    executor: Executor | None = None,
    workers: int = 2,
    again: bool = False,
    retry_failed: bool = False,
    watch: RunWatch | None = None,
    **options: Unpack[PlanOptions],
) -> Run:
    """For a test: runs a suite, and fails with the reasons. Without a baseline and `min_score`, each case has to pass.

    Raises:
        AssertionError: with each reason, and each `must` that is not met.
    """
    run = run_suite(
        suite,
        out=out,
        executor=executor,
        workers=workers,
        again=again,
        retry_failed=retry_failed,
        watch=watch,
        **options,
    )
    base = load_run(baseline) if isinstance(baseline, str | Path) else baseline
    strict = 1.0 if base is None and min_score is None else min_score
    judged = judge(run, baseline=base, max_regression=max_regression, min_score=strict)
    if judged.ok:
        return run
    unmet = [
        f"  {one.key.label}: {score.id} ({score.check}): {score.reason}"
        for one in run.outcomes
        for score in one.musts
        if not score.passed
    ]
    failed = [f"  {one.key.label} failed: {one.why}" for one in run.failed]
    raise AssertionError("\n".join([*judged.reasons, *failed, *unmet[:20], f"The run: {run.folder}"]))
