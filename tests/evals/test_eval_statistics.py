"""The statistics agree with known values, and a difference that chance could make is not called one."""

from __future__ import annotations

import math
from itertools import product

import pytest

from dbprompt.evals.statistics import compare_passes, compare_scores, mcnemar, wilson


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_agrees_with_published_values(passed: int, n: int, low: float, high: float) -> None:
    """Newcombe (1998), tables of method 3, and the two ends."""
    interval = wilson(passed, n)
    assert interval.low == pytest.approx(low, abs=5e-4) and interval.high == pytest.approx(high, abs=5e-4)


def test_wilson_covers() -> None:
    """Over all outcomes of 20 cases the interval holds the true share about as often as it says."""
    for share in (0.1, 0.5, 0.9):
        held = sum(
            math.comb(20, k) * share**k * (1 - share) ** (20 - k)
            for k in range(21)
            if wilson(k, 20).low <= share <= wilson(k, 20).high
        )
        assert 0.92 < held < 0.99


def test_mcnemar_is_the_count_of_all_ways() -> None:
    """The p-value is the share of all ways for the turned cases to fall that are as uneven or more."""
    for gained, lost in product(range(6), range(6)):
        n = gained + lost
        ways = [sum(way) for way in product((0, 1), repeat=n)]
        as_uneven = sum(abs(2 * way - n) >= abs(gained - lost) for way in ways) / len(ways)
        assert mcnemar(gained, lost) == pytest.approx(as_uneven)


def test_few_cases_show_nothing() -> None:
    """Three of five cases lost are no proof, and the words say so; ten of ten are one."""
    few = compare_passes({f"c{i}": True for i in range(5)}, {f"c{i}": i >= 3 for i in range(5)})
    assert few.verdict().startswith("No difference that 5 cases could show")
    many = compare_passes({f"c{i}": True for i in range(10)}, {f"c{i}": False for i in range(10)})
    assert many.verdict().startswith("Worse by 1.00") and next(change.case for change in many.turned) == "c0"


def test_a_bootstrap_is_no_surer_than_its_draws() -> None:
    """No p is below what one more draw on the other side would make it, however many cases turned the same way."""
    found = compare_scores({str(at): [1.0] for at in range(60)}, {str(at): [0.9] for at in range(60)})
    assert found.verdict().startswith("Worse by 0.10")
    assert found.p_value == pytest.approx(2 / 10_001)


def test_repeats_are_no_new_evidence() -> None:
    """A hundred repeats of two cases say no more than two cases can."""
    before = {"a": [0.0] * 100, "b": [1.0] * 100}
    after = {"a": [1.0] * 100, "b": [0.0] * 100}
    assert compare_scores(before, after).verdict().startswith("No difference")


def test_a_case_of_one_run_only_is_shown() -> None:
    """What only one run has is compared with nothing, and named."""
    paired = compare_passes({"a": True, "b": True}, {"a": True})
    assert paired.n == 1 and paired.missing == ("b",)
    assert "no case in common" in compare_passes({"a": True}, {}).verdict()
