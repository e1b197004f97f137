"""Quantities as people write them ("2 TB", "50 ms", "5200 rows/day", "90:10"), parsed exactly and printed in one form.

Sizes are decimal (1 GB = 1e9 bytes; GiB is there for who means it), a month has 30 days, a year 365.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import NoReturn

__all__ = ["Quantity", "QuantityKind", "accepted", "parse_quantity"]


class QuantityKind(StrEnum):
    """What is measured; the comment is the base unit."""

    BYTES = "bytes"  # byte
    DURATION = "duration"  # second
    RATE = "rate"  # per second
    BYTE_RATE = "byte_rate"  # byte per second
    RATIO = "ratio"  # the left side's share of the whole, 0 to 1
    COUNT = "count"  # one
    PERCENT = "percent"  # per hundred


_ACCEPTED = {
    QuantityKind.BYTES: 'a size with its unit, such as "2 TB", "500 GB" or "310 B"',
    QuantityKind.DURATION: 'a time with its unit, such as "50 ms", "2 s", "15 min" or "7 years"',
    QuantityKind.RATE: 'so many per time, such as "900/s", "5200 rows/day" or "6100 TPS"',
    QuantityKind.BYTE_RATE: 'a size per time, such as "2.5 GB/month" or "40 MB/day"',
    QuantityKind.RATIO: 'reads to writes, such as "90:10" or "85/15"',
    QuantityKind.COUNT: 'a whole number, such as "10M", "4 200 000" or "10,000"',
    QuantityKind.PERCENT: 'a percentage from 0 to 100, such as "99.95 %"',
}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_BINARY = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "PIB": 2**50}
_DURATION = {
    "us": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
    "day": Fraction(86_400),
    "week": Fraction(7 * 86_400),
    "month": Fraction(30 * 86_400),
    "year": Fraction(365 * 86_400),
}
_DURATION_WORDS = {
    "us": ("µs", "μs", "microsecond", "microseconds"),
    "ms": ("millisecond", "milliseconds", "msec", "millis"),
    "s": ("sec", "secs", "second", "seconds"),
    "min": ("mins", "minute", "minutes", "m"),
    "h": ("hr", "hrs", "hour", "hours"),
    "day": ("d", "days"),
    "week": ("w", "weeks"),
    "month": ("mo", "months"),
    "year": ("y", "yr", "yrs", "years"),
}
_PERIOD_OF: Mapping[str, Fraction] = MappingProxyType(
    {word: _DURATION[unit] for unit, words in _DURATION_WORDS.items() for word in (unit, *words)}
)
_SCALES = {
    "": 1,
    "k": 10**3,
    "thousand": 10**3,
    "m": 10**6,
    "mio": 10**6,
    "million": 10**6,
    "millions": 10**6,
    "b": 10**9,
    "bn": 10**9,
    "billion": 10**9,
    "billions": 10**9,
    "t": 10**12,
    "trillion": 10**12,
}
_NOUNS = frozenset(
    {"row", "record", "user", "item", "document", "event", "request", "req", "query", "queries", "read", "write"}
    | {"order", "message", "transaction", "tx", "job", "connection", "entity", "entities", "insert", "update", "call"}
)
_PER_SECOND = frozenset({"tps", "qps", "rps", "ops"})
_NUMBER = r"(?P<number>\d{1,3}(?:[, _\u00a0\u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][+]?\d{1,2})?)"
_MEASURE = re.compile(_NUMBER + r"\s*(?P<rest>\D*)", re.ASCII)
_PERCENT = re.compile(_NUMBER + r"\s*(?:%|percent)?", re.ASCII)
_RATIO = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*[:/]\s*(\d{1,6}(?:\.\d{1,6})?)", re.ASCII)
_LIMIT = 10**24
_MAX_TEXT = 60


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount in the base unit of its kind.

    >>> str(parse_quantity(QuantityKind.BYTES, "2000 gb"))
    '2 TB'
    """

    kind: QuantityKind
    amount: Fraction

    @property
    def value(self) -> float:
        """The amount as a number in the base unit."""
        return float(self.amount)

    def __str__(self) -> str:
        """The standard form, which parses back to this value (to six figures, where no unit fits it evenly)."""
        match self.kind:
            case QuantityKind.BYTES:
                return _size(self.amount)
            case QuantityKind.DURATION:
                return _duration(self.amount)
            case QuantityKind.RATE:
                return _rate(self.amount, in_bytes=False)
            case QuantityKind.BYTE_RATE:
                return _rate(self.amount, in_bytes=True)
            case QuantityKind.RATIO:
                return f"{_number(self.amount * 100)}:{_number(100 - self.amount * 100)}"
            case QuantityKind.COUNT:
                return f"{int(self.amount):,}"
            case QuantityKind.PERCENT:
                return f"{_number(self.amount)} %"


def accepted(kind: QuantityKind) -> str:
    """What a quantity of this kind may look like, for error messages and documentation."""
    return _ACCEPTED[kind]


def parse_quantity(kind: QuantityKind, given: object, *, unit: str = "") -> Quantity:
    """Reads a quantity.

    Args:
        kind: what is measured.
        given: text, or a number in `unit`.
        unit: what a bare number means ("ms", "/day", "GB"); else the base unit for numbers, while text needs a unit.

    Raises:
        ValueError: says what is accepted.
    """
    if isinstance(given, Quantity):
        if given.kind is not kind:
            raise ValueError(f"is a {given.kind}; write {accepted(kind)}")
        return given
    amount = _amount(kind, given, unit)
    whole = kind is not QuantityKind.COUNT or amount.denominator == 1
    in_range = 0 <= amount <= (100 if kind is QuantityKind.PERCENT else _LIMIT)
    if not (whole and in_range):
        raise ValueError(f"write {accepted(kind)}")
    return Quantity(kind, amount)


def _amount(kind: QuantityKind, given: object, unit: str) -> Fraction:
    if isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
        return _bare(kind, Fraction(repr(given)), unit)
    if not isinstance(given, str) or len(given) > _MAX_TEXT:
        raise ValueError(f"write {accepted(kind)}")
    text = " ".join(given.split())
    if kind is QuantityKind.RATIO:
        return _ratio(text)
    if kind is QuantityKind.PERCENT:
        found = _PERCENT.fullmatch(text)
        return _plain(found["number"]) if found else _nonsense(kind)
    found = _MEASURE.fullmatch(text) or _nonsense(kind)
    number, rest = _plain(found["number"]), found["rest"].strip()
    if not rest and (unit or kind in (QuantityKind.RATE, QuantityKind.COUNT)):
        return _bare(kind, number, unit)
    return _with_unit(kind, number, rest)


def _bare(kind: QuantityKind, number: Fraction, unit: str) -> Fraction:
    if kind is QuantityKind.RATIO:
        return _nonsense(kind)
    return _with_unit(kind, number, unit) if unit else number


def _with_unit(kind: QuantityKind, number: Fraction, rest: str) -> Fraction:
    match kind:
        case QuantityKind.BYTES:
            return number * _size_unit(kind, rest)
        case QuantityKind.DURATION:
            return number * _period(kind, rest)
        case QuantityKind.RATE:
            what, period = _per(kind, rest)
            return number * _scale(kind, what) / period
        case QuantityKind.BYTE_RATE:
            what, period = _per(kind, rest)
            return number * _size_unit(kind, what) / period
        case QuantityKind.COUNT:
            return number * _scale(kind, rest)
        case QuantityKind.RATIO | QuantityKind.PERCENT:
            return _nonsense(kind)


def _ratio(text: str) -> Fraction:
    found = _RATIO.fullmatch(text)
    left, right = (Fraction(side) for side in found.groups()) if found else (Fraction(0), Fraction(0))
    return left / (left + right) if left + right else _nonsense(QuantityKind.RATIO)


def _per(kind: QuantityKind, rest: str) -> tuple[str, Fraction]:
    """Splits "rows/day" or "rows per day" into the thing and the period; "TPS" is per second."""
    *before, last = rest.split() or [""]
    if kind is QuantityKind.RATE and last.lower() in _PER_SECOND:
        return " ".join(before), Fraction(1)
    found = re.fullmatch(r"(.*?)\s*(?:/|\bper\b|\ba\b)\s*([^\W\d_]+)", rest)
    if not found:
        _nonsense(kind)
    return found[1].strip(), _period(kind, found[2])


def _period(kind: QuantityKind, word: str) -> Fraction:
    found = _PERIOD_OF.get(word.lower())
    return found if found is not None else _nonsense(kind)


def _size_unit(kind: QuantityKind, word: str) -> int:
    name = {"BYTE": "B", "BYTES": "B"}.get(word.upper(), word.upper())
    found = _BYTES.get(name) or _BINARY.get(name)
    return found if found is not None else _nonsense(kind)


def _scale(kind: QuantityKind, words: str) -> int:
    """10 M, 10 million rows, rows: the factor; the noun is for the reader."""
    parts = words.lower().split()
    if parts and {parts[-1], parts[-1].removesuffix("s")} & _NOUNS:
        parts.pop()
    name = " ".join(parts)
    return _SCALES[name] if name in _SCALES else _nonsense(kind)


def _plain(number: str) -> Fraction:
    return Fraction(re.sub(r"[, _\u00a0\u202f]", "", number))


def _nonsense(kind: QuantityKind) -> NoReturn:
    raise ValueError(f"write {accepted(kind)}")


def _number(amount: Fraction) -> str:
    """At most six figures, without an exponent, thousands apart."""
    if amount.denominator == 1:
        return f"{int(amount):,}"
    places = max(0, 6 - len(str(int(amount)))) if amount >= 1 else 6 - math.floor(math.log10(amount)) - 1
    return f"{float(amount):,.{places}f}".rstrip("0").rstrip(".")


def _size(amount: Fraction) -> str:
    fitting = [(unit, amount / factor) for unit, factor in _BYTES.items() if amount >= factor]
    unit, shown = fitting[-1] if fitting else ("B", amount)
    return f"{_number(shown)} {unit}"


def _duration(amount: Fraction) -> str:
    units = [unit for unit in ("year", "day", "h", "min", "s", "ms", "us") if amount >= _DURATION[unit]]
    even = [unit for unit in units if (amount / _DURATION[unit]).denominator == 1]
    unit = next(iter(even), None) or next((u for u in ("s", "ms") if u in units), "s")
    shown = _number(amount / _DURATION[unit])
    return f"{shown} {unit}{'s' if unit in ('day', 'year') and shown != '1' else ''}"


def _rate(amount: Fraction, *, in_bytes: bool) -> str:
    """By the second or the day as people would say it; bytes by the month, for they are about growth."""
    shown = {period: amount * _DURATION[period] for period in ("s", "day", "month", "year")}
    if in_bytes and shown["month"] < 10**14:
        del shown["s"], shown["day"]
    at_least_one = [period for period in shown if shown[period] >= 1]
    even = [period for period in at_least_one if _even(shown[period], in_bytes=in_bytes)]
    period = next(iter(even or at_least_one), next(iter(shown)))
    return f"{_size(shown[period]) if in_bytes else _number(shown[period])}/{period}"


def _even(amount: Fraction, *, in_bytes: bool) -> bool:
    """Whether six figures hold it exactly."""
    shown = amount / max((f for f in _BYTES.values() if amount >= f), default=1) if in_bytes else amount
    return Fraction(_number(shown).replace(",", "")) == shown
