"""Two runs of the same cases: which one is better, which cases turned, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.evals.outcomes import Outcome
from dbprompt.evals.runs import Run
from dbprompt.evals.statistics import Paired, compare_passes, compare_scores

__all__ = ["Comparison", "KindChange", "Turned", "compare_runs"]


@dataclass(frozen=True, slots=True)
class Turned:
    """An expectation that one run meets and the other does not; `reason` is of the run that does not."""

    case: str
    id: str
    check: str
    level: str
    met_after: bool
    reason: str


@dataclass(frozen=True, slots=True)
class KindChange:
    """A check kind over the cases that both runs have: expectations met before and after, of `n`."""

    check: str
    n: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, paired by case.

    Args:
        before: the baseline.
        after: what is compared with it.
        passes: cases by pass and fail, by the exact McNemar test.
        scores: cases by the share of expectations met, by a bootstrap that draws cases.
        kinds: the check kinds that changed, worst first.
        turned: the expectations that turned, lost ones first.
        changed_cases: cases whose brief or expectations differ between the runs: they are compared with nothing.
        notes: what a reader has to know before believing any of it.
    """

    before: Run
    after: Run
    passes: Paired
    scores: Paired
    kinds: tuple[KindChange, ...]
    turned: tuple[Turned, ...]
    changed_cases: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def worst_first(self) -> tuple[str, ...]:
        """The cases whose score changed, worst first."""
        return tuple(change.case for change in self.scores.turned)


def compare_runs(before: Run, after: Run) -> Comparison:
    """Compares a run with a baseline, case by case. Repeats are averaged; a case passes if it passes in each repeat."""
    changed = tuple(sorted(case for case in before.by_case if _differs(before, after, case)))
    one = {case: repeats for case, repeats in before.by_case.items() if case not in changed}
    two = {case: repeats for case, repeats in after.by_case.items() if case not in changed}
    turned = tuple(sorted(_turned(one, two), key=lambda t: (t.met_after, t.level, t.case, t.id)))
    return Comparison(
        before=before,
        after=after,
        passes=compare_passes(_passes(one), _passes(two)),
        scores=compare_scores(_scores(one), _scores(two)),
        kinds=_kinds(one, two),
        turned=turned,
        changed_cases=changed,
        notes=tuple(_notes(before, after, changed)),
    )


Repeats = dict[str, tuple[Outcome, ...]]


def _differs(before: Run, after: Run, case: str) -> bool:
    marks = {one.key.case_hash for run in (before, after) for one in run.by_case.get(case, ())}
    return len(marks) > 1


def _passes(cases: Repeats) -> dict[str, bool]:
    return {case: all(one.passed for one in repeats) for case, repeats in cases.items()}


def _scores(cases: Repeats) -> dict[str, tuple[float, ...]]:
    return {case: tuple(one.score for one in repeats) for case, repeats in cases.items()}


def _met(repeats: tuple[Outcome, ...]) -> dict[str, tuple[bool, str, str, str]]:
    """By expectation: met in each repeat, check, level, the reason of the first repeat that fails."""
    found: dict[str, tuple[bool, str, str, str]] = {}
    for one in repeats:
        for score in one.scores:
            known = found.get(score.id)
            if known is None or (known[0] and not score.passed):
                found[score.id] = (score.passed, score.check, score.level, "" if score.passed else score.reason)
    return found


def _turned(before: Repeats, after: Repeats) -> Iterator[Turned]:
    for case in before.keys() & after.keys():
        one, two = _met(before[case]), _met(after[case])
        for name in one.keys() & two.keys():
            if one[name][0] != two[name][0]:
                _, check, level, _ = two[name]
                yield Turned(case, name, check, level, two[name][0], two[name][3] or one[name][3])


def _kinds(before: Repeats, after: Repeats) -> tuple[KindChange, ...]:
    counts: dict[str, list[int]] = {}
    for case in before.keys() & after.keys():
        one, two = _met(before[case]), _met(after[case])
        for name in one.keys() & two.keys():
            count = counts.setdefault(one[name][1], [0, 0, 0])
            count[0] += 1
            count[1] += one[name][0]
            count[2] += two[name][0]
    kinds = [KindChange(check, *count) for check, count in counts.items()]
    changed = [kind for kind in kinds if kind.before != kind.after]
    return tuple(sorted(changed, key=lambda kind: (kind.after - kind.before, kind.check)))


def _notes(before: Run, after: Run, changed: tuple[str, ...]) -> Iterator[str]:
    if before.manifest.suite != after.manifest.suite:
        yield f"The runs are of two suites, {before.manifest.suite} and {after.manifest.suite}."
    if changed:
        yield f"Brief or expectations differ between the runs, so these are not compared: {', '.join(changed)}."
    if before.manifest.model != after.manifest.model and before.manifest.prompt != after.manifest.prompt:
        yield "Prompt and model both differ: the comparison cannot say which of them did it."
    if before.manifest.sections != after.manifest.sections:
        yield "The runs asked for different sections; expectations that only one of them was scored by are left out."
    for name, run in (("first", before), ("second", after)):
        if run.missing:
            yield f"The {name} run lacks {len(run.missing)}: {', '.join(run.missing[:5])}."
        stale = [one.key.label for one in run.failed if one.kind == "NoRecordingError"]
        if stale:
            yield (
                f"Recordings of the {name} run do not fit what was asked ({', '.join(stale[:5])}): these cases count 0 "
                "and say nothing about the prompt. Record them again."
            )
