"""Numbers that a caller gives: refused at once where nobody could count with them."""

from __future__ import annotations

import math
import sys
from numbers import Integral, Real

__all__ = ["check_number", "check_whole"]

LARGEST = sys.float_info.max


def check_number(
    name: str, value: object, wanted: str, *, least: float = -LARGEST, above: float = -math.inf, most: float = LARGEST
) -> None:
    """Nothing, if it is a number within these limits: without other ones, any that is finite.

    Raises:
        ValueError: it is none (a text, a truth value, nan), or too small or too large; with its name and itself.
    """
    number = _float(value)
    if not (least <= number <= most and number > above):
        raise ValueError(f"{name} is {_shown(value)}: {wanted}")


def check_whole(name: str, value: object, wanted: str, *, least: int) -> None:
    """Nothing, if it is a whole number that is large enough.

    Raises:
        ValueError: it is not; with its name and itself.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise ValueError(f"{name} is {_shown(value)}: {wanted}")


def _float(value: object) -> float:
    """The number; nan, which is neither above nor below anything, if it is none that a float can hold."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python does not write out a whole number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."
