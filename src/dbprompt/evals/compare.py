"""Two runs of the same cases: which one is better, which cases turned, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from dbprompt.evals.outcomes import Outcome
from dbprompt.evals.runs import Run
from dbprompt.evals.statistics import Change, Paired, compare_passes, compare_scores

__all__ = ["Comparison", "KindChange", "Spent", "Turned", "compare_runs"]


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
class Spent:
    """What the compared cases of a run took: requests for repair, and tokens read and written."""

    repairs: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, paired by case and expectation: what only one of them was scored by is left out.

    Args:
        before: the baseline.
        after: what is compared with it.
        cases: the compared cases with their scores, worst change first.
        spent: on these cases, before and after.
        passes: cases by pass and fail, by the exact McNemar test.
        scores: cases by the share of expectations met, by a bootstrap that draws cases.
        kinds: the check kinds that changed, worst first.
        turned: the expectations that turned, lost ones first.
        changed_cases: cases whose brief or expectations differ between the runs: they are compared with nothing.
        notes: what a reader has to know before believing any of it.
    """

    before: Run
    after: Run
    cases: tuple[Change, ...]
    spent: tuple[Spent, Spent]
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
    """Compares a run with a baseline, case by case. Repeats are averaged; a case passes if it passes in each repeat.

    Of a case that one run asked more often, as many repeats are compared as both have, the first ones: a case that has
    to pass in each repeat fails the more often, the more often it is asked.
    """
    changed = tuple(sorted(case for case in before.by_case if _differs(before, after, case)))
    shared = {
        case: _shared((*before.by_case[case], *after.by_case[case]))
        for case in before.by_case
        if case in after.by_case and case not in changed
    }
    apart = tuple(sorted(case for case, musts in shared.items() if not musts and _counts(before, after, case)))
    one = {case: repeats for case, repeats in before.by_case.items() if case not in {*changed, *apart}}
    two = {case: repeats for case, repeats in after.by_case.items() if case not in {*changed, *apart}}
    uneven = {case: least for case in one if case in two and (least := _fewer(one[case], two[case]))}
    one |= {case: one[case][:least] for case, least in uneven.items()}
    two |= {case: two[case][:least] for case, least in uneven.items()}
    scores_before, scores_after = _scores(one, shared), _scores(two, shared)
    both = [case for case in one if case in two]
    moved = (Change(case, fmean(scores_before[case]), fmean(scores_after[case])) for case in both)
    return Comparison(
        before=before,
        after=after,
        cases=tuple(sorted(moved, key=lambda change: (change.delta, change.case))),
        spent=(_spent(one, both), _spent(two, both)),
        passes=compare_passes(_passes(scores_before), _passes(scores_after)),
        scores=compare_scores(scores_before, scores_after),
        kinds=_kinds(one, two),
        turned=tuple(sorted(_turned(one, two), key=lambda t: (t.met_after, t.level, t.case, t.id))),
        changed_cases=changed,
        notes=(*_notes(before, after, changed, apart), *_uneven(uneven)),
    )


Repeats = dict[str, tuple[Outcome, ...]]


def _differs(before: Run, after: Run, case: str) -> bool:
    marks = {one.key.case_hash for run in (before, after) for one in run.by_case.get(case, ())}
    return len(marks) > 1


def _fewer(one: tuple[Outcome, ...], two: tuple[Outcome, ...]) -> int:
    """How many repeats both have; 0 if neither has more."""
    return min(len(one), len(two)) if len(one) != len(two) else 0


def _uneven(cases: Mapping[str, int]) -> Iterator[str]:
    if cases:
        named = ", ".join(f"{case} {least}" for case, least in sorted(cases.items())[:5])
        more = f" and {len(cases) - 5} more" if len(cases) > 5 else ""
        yield f"The runs asked cases unequally often; the first repeats that both have are compared: {named}{more}."


def _shared(outcomes: Iterable[Outcome]) -> frozenset[str]:
    """The `must` expectations that each of them was scored by."""
    return frozenset.intersection(*(frozenset(score.id for score in one.musts) for one in outcomes))


def _counts(before: Run, after: Run, case: str) -> bool:
    return any(one.musts for run in (before, after) for one in run.by_case[case])


def _scores(cases: Repeats, shared: dict[str, frozenset[str]]) -> dict[str, tuple[float, ...]]:
    return {
        case: tuple(one.score_by(shared[case]) if case in shared else one.score for one in repeats)
        for case, repeats in cases.items()
    }


def _passes(scores: dict[str, tuple[float, ...]]) -> dict[str, bool]:
    return {case: all(score == 1.0 for score in repeats) for case, repeats in scores.items()}


def _spent(cases: Repeats, of: Iterable[str]) -> Spent:
    got = [one.measures for case in of for one in cases[case] if one.measures is not None]
    tokens = sum(one.usage.input_tokens + one.usage.output_tokens for one in got)
    return Spent(sum(one.repair_rounds for one in got), tokens)


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


def _notes(before: Run, after: Run, changed: tuple[str, ...], apart: tuple[str, ...]) -> Iterator[str]:
    if before.manifest.suite != after.manifest.suite:
        yield f"The runs are of two suites, {before.manifest.suite} and {after.manifest.suite}."
    runs = (("first", before), ("second", after))
    authored = [name for name, run in runs if any(_is_authored(one) for one in run.outcomes)]
    if authored:
        yield (
            f"A person wrote the answers of the {' and the '.join(authored)} run (authored): they show what would be "
            "said, and nothing about a prompt or a model."
        )
    if changed:
        yield f"Brief or expectations differ between the runs, so these are not compared: {', '.join(changed)}."
    if apart:
        yield f"The runs have no must in common in these cases, so they are not compared: {', '.join(apart)}."
    if before.manifest.model != after.manifest.model and before.manifest.prompt != after.manifest.prompt:
        yield "Prompt and model both differ: the comparison cannot say which of them did it."
    both = (before.by_case.keys() & after.by_case.keys()) - set(changed)
    left_out = sum(_scored_once(before, after, case) for case in both)
    if left_out:
        yield f"{left_out} expectations that only one run was scored by are left out: other sections were asked for."
    for name, run in runs:
        if run.missing:
            yield f"The {name} run lacks {len(run.missing)}: {', '.join(run.missing[:5])}."
        stale = [one.key.label for one in run.failed if one.kind == "NoRecordingError"]
        if stale:
            yield (
                f"Recordings of the {name} run do not fit what was asked ({', '.join(stale[:5])}): these cases count 0 "
                "and say nothing about the prompt. Record them again."
            )


def _scored_once(before: Run, after: Run, case: str) -> int:
    """Expectations of a case that not every answer was scored by; one that failed is scored by all of them."""
    answers = (one for run in (before, after) for one in run.by_case[case] if one.state == "answered")
    sets = [frozenset(score.id for score in one.scores) for one in answers]
    return len(frozenset.union(*sets) - frozenset.intersection(*sets)) if sets else 0


def _is_authored(one: Outcome) -> bool:
    return any("authored" in part.split() for part in one.source.split(", "))
