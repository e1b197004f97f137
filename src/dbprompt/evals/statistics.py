"""Statistics that do not flatter: intervals instead of bare shares, paired tests, and words for "nothing was shown".

A case that failed to run scores 0 and is counted; it is never left out. Repeats of a case are not new evidence: they
are averaged within the case, and the bootstrap draws cases, not rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

__all__ = ["Change", "Interval", "Paired", "compare_passes", "compare_scores", "mcnemar", "wilson"]

DRAWS = 10_000
SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class Interval:
    """A share or a mean with the interval that holds it at the given confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """`0.83 (0.55 to 0.95)`."""
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def wilson(passed: int, n: int, *, confidence: float = 0.95) -> Interval:
    """The share of passes with Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001 on why).

    >>> str(wilson(9, 10))
    '0.90 (0.60 to 0.98)'
    """
    if not 0 <= passed <= n:
        raise ValueError(f"{passed} of {n} cases cannot have passed")
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = passed / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p-value that as many cases turned one way by chance (McNemar 1947, binomial form).

    >>> mcnemar(0, 5), mcnemar(3, 3)
    (0.0625, 1.0)
    """
    n = gained + lost
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1)) / (1 << n)
    return min(1.0, 2 * tail)


@dataclass(frozen=True, slots=True)
class Change:
    """One case in two runs: its scores from 0 to 1."""

    case: str
    before: float
    after: float

    @property
    def delta(self) -> float:
        """What the second run gained."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs over the same cases.

    Args:
        n: cases that both runs have.
        missing: cases that only one run has; they are shown, and compared with nothing.
        delta: mean gain with its interval.
        p_value: of the exact test, or the share of bootstrap draws on the other side of zero, doubled, and never less
            than so many changed cases can show.
        turned: the cases that changed, worst first.
    """

    n: int
    missing: tuple[str, ...]
    delta: Interval
    p_value: float
    turned: tuple[Change, ...]

    def verdict(self, *, alpha: float = 0.05) -> str:
        """What may be said: better, worse, or that so few cases could not show it."""
        if self.n == 0:
            return "The two runs have no case in common: nothing can be compared."
        if self.p_value >= alpha:
            said = f"No difference that {self.n} case{'s' if self.n != 1 else ''} could show"
            changed, least = len(self.turned), _least_cases(alpha)
            if not changed:
                return f"{said} (none changed)."
            if changed < least:  # an interval drawn from so few is too narrow, and would say more than they can
                took = f"{changed} changed, and it takes {least} at least"
                return f"{said} (change {self.delta.value:+.2f}, p = {self.p_value:.3g}: {took})."
            return (
                f"{said} (change {self.delta.value:+.2f}, {self.delta.low:+.2f} to {self.delta.high:+.2f}, "
                f"p = {self.p_value:.3g})."
            )
        word = "Better" if self.delta.value > 0 else "Worse"
        return (
            f"{word} by {abs(self.delta.value):.2f} ({self.delta.low:+.2f} to {self.delta.high:+.2f}, "
            f"p = {self.p_value:.3g}, {self.n} cases)."
        )


def compare_passes(before: Mapping[str, bool], after: Mapping[str, bool]) -> Paired:
    """Two runs by pass and fail, tested by the exact McNemar test; repeats have to be joined to one answer a case."""
    common, missing = _common(before, after)
    changes = [Change(case, float(before[case]), float(after[case])) for case in common]
    gained = sum(change.delta > 0 for change in changes)
    lost = sum(change.delta < 0 for change in changes)
    return Paired(len(common), missing, _bootstrap(changes), mcnemar(gained, lost), _turned(changes))


def compare_scores(before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]) -> Paired:
    """Two runs by scores from 0 to 1, a list of repeats a case: a paired bootstrap that draws cases."""
    common, missing = _common(before, after)
    changes = [Change(case, fmean(before[case]), fmean(after[case])) for case in common]
    draws = _means(changes)
    mean = fmean([change.delta for change in changes]) if changes else 0.0
    other_side = sum((draw <= 0) if mean > 0 else (draw >= 0) for draw in draws)
    beyond = (other_side + 1) / (len(draws) + 1)  # the run itself is one draw more: no p is below what was drawn
    p_value = max(min(1.0, 2 * beyond), _least_p(changes)) if mean else 1.0
    return Paired(len(common), missing, _bootstrap(changes), p_value, _turned(changes))


def _least_p(changes: Sequence[Change]) -> float:
    """What so many changed cases can show at best: that all of them went one way by chance (the exact sign test).

    A bootstrap of one case draws that case for ever, and would be sure of anything.
    """
    return min(1.0, 2.0 ** (1 - sum(change.delta != 0 for change in changes)))


def _least_cases(alpha: float) -> int:
    """How many cases have to change, all one way, before chance alone does that in less than `alpha` of all draws."""
    return math.floor(1 - math.log2(alpha)) + 1


def _common(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[list[str], tuple[str, ...]]:
    return [case for case in before if case in after], tuple(sorted(before.keys() ^ after.keys()))


def _turned(changes: Sequence[Change]) -> tuple[Change, ...]:
    return tuple(sorted((change for change in changes if change.delta), key=lambda change: change.delta))


def _means(changes: Sequence[Change]) -> list[float]:
    """Mean gains of samples of cases, drawn with replacement. The seed is fixed, so a report says the same twice."""
    deltas = [change.delta for change in changes]
    chance = random.Random(SEED)  # noqa: S311  statistics, no secret
    return sorted(fmean(chance.choices(deltas, k=len(deltas))) for _ in range(DRAWS)) if deltas else []


def _bootstrap(changes: Sequence[Change], *, confidence: float = 0.95) -> Interval:
    draws = _means(changes)
    if not draws:
        return Interval(0.0, 0.0, 0.0)
    cut = round((1 - confidence) / 2 * (len(draws) - 1))
    return Interval(fmean([change.delta for change in changes]), draws[cut], draws[len(draws) - 1 - cut])
