"""Quantities: what people write, read exactly and printed in one form."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbprompt.prompts.quantities import Quantity, QuantityKind, parse_quantity

KIND = QuantityKind


@pytest.mark.parametrize(
    ("kind", "given_value", "unit", "value", "printed"),
    [
        (KIND.BYTES, "2 TB", "", 2e12, "2 TB"),
        (KIND.BYTES, "0.5gb", "", 5e8, "500 MB"),
        (KIND.BYTES, 2e12, "", 2e12, "2 TB"),
        (KIND.BYTES, "1 KiB", "", 1024, "1.024 KB"),
        (KIND.DURATION, "50 ms", "", 0.05, "50 ms"),
        (KIND.DURATION, 50, "ms", 0.05, "50 ms"),
        (KIND.DURATION, "7 years", "", 7 * 365 * 86400, "7 years"),
        (KIND.DURATION, "90 seconds", "", 90, "90 s"),
        (KIND.DURATION, "0 s", "", 0, "0 s"),
        (KIND.RATE, "900/s", "", 900, "900/s"),
        (KIND.RATE, "5200 rows/day", "", 5200 / 86400, "5,200/day"),
        (KIND.RATE, "6100 TPS", "", 6100, "6,100/s"),
        (KIND.RATE, 5200, "/day", 5200 / 86400, "5,200/day"),
        (KIND.BYTE_RATE, "2.18 GB per month", "", 2.18e9 / 2592000, "2.18 GB/month"),
        (KIND.RATIO, "85/15", "", 0.85, "85:15"),
        (KIND.RATIO, "3:1", "", 0.75, "75:25"),
        (KIND.COUNT, "10M", "", 10_000_000, "10,000,000"),
        (KIND.COUNT, "4 200 000", "", 4_200_000, "4,200,000"),
        (KIND.COUNT, "10,000 rows", "", 10_000, "10,000"),
        (KIND.PERCENT, "99.95%", "", 99.95, "99.95 %"),
    ],
)
def test_forms(kind: KIND, given_value: object, unit: str, value: float, printed: str) -> None:
    """Every usual way to write a quantity gives its base value and one standard form, which reads back as the same."""
    quantity = parse_quantity(kind, given_value, unit=unit)
    assert quantity.value == pytest.approx(value, rel=1e-12)
    assert str(quantity) == printed
    assert parse_quantity(kind, printed) == quantity


@pytest.mark.parametrize(
    ("kind", "nonsense"),
    [
        (KIND.BYTES, "2"),
        (KIND.BYTES, "lots"),
        (KIND.BYTES, float("nan")),
        (KIND.DURATION, "fast"),
        (KIND.DURATION, "-5 ms"),
        (KIND.RATE, "5/fortnight"),
        (KIND.RATE, True),
        (KIND.RATIO, "0:0"),
        (KIND.RATIO, 0.9),
        (KIND.COUNT, "1.5"),
        (KIND.COUNT, "10,5"),
        (KIND.COUNT, "1e99"),
        (KIND.PERCENT, "101 %"),
        (KIND.PERCENT, ["99"]),
        (KIND.COUNT, "9" * 1000),
    ],
)
def test_nonsense(kind: KIND, nonsense: object) -> None:
    """Nonsense is an error that shows a form which is accepted, and that form is."""
    with pytest.raises(ValueError, match=r"such as|0 to 100") as error:
        parse_quantity(kind, nonsense)
    shown = str(error.value).split('"')[1]
    assert parse_quantity(kind, shown).value > 0


@given(st.sampled_from([KIND.BYTES, KIND.DURATION, KIND.RATE, KIND.BYTE_RATE, KIND.COUNT]), st.integers(0, 10**15))
def test_printed_form_reads_back(kind: KIND, amount: int) -> None:
    """The printed form reads back within the six figures that it shows."""
    again = parse_quantity(kind, str(Quantity(kind, Fraction(amount))))
    assert again.value == pytest.approx(amount, rel=1e-5)
