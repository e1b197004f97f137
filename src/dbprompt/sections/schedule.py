"""When a schedule of five cron fields runs, as pg_cron reads them.

Days follow the old cron: if day-of-month and day-of-week are both restricted, either one lets a day in; if one of them
begins with `*`, both have to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise

__all__ = ["Schedule", "duration", "schedule_problem"]

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_FIRST, _DAYS = date(2024, 1, 1), 8 * 365 + 3  # two leap years: long enough for 29 February to come back


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes of the year at which something runs, in UTC."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @classmethod
    def of(cls, text: str) -> Schedule:
        """Reads five fields.

        >>> Schedule.of("*/15 8-10 * * 1").minutes == {0, 15, 30, 45}
        True

        Raises:
            ValueError: with the field and what to write instead.
        """
        return _parsed(text)

    def runs_on(self, day: date) -> bool:
        """Whether it runs on a day at all."""
        if day.month not in self.months:
            return False
        by_date, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_week if self.either_day else by_date and by_week

    def on(self, day: date) -> Iterator[datetime]:
        """The moments of a day at which it runs."""
        if self.runs_on(day):
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    yield datetime(day.year, day.month, day.day, hour, minute)

    @property
    def longest_gap(self) -> timedelta:
        """The longest time between two runs.

        >>> Schedule.of("0 2 * * 0").longest_gap.days, Schedule.of("0 4 1 * *").longest_gap.days
        (7, 31)
        """
        return _longest_gap(self)

    def meets(self, other: Schedule) -> bool:
        """Whether the two ever start in the same minute."""
        same_time = self.minutes & other.minutes and self.hours & other.hours
        return bool(same_time) and any(self.runs_on(day) and other.runs_on(day) for day in _days())


def schedule_problem(text: str) -> str:
    """What is wrong with a schedule; empty if nothing is.

    >>> schedule_problem("0 25 * * *")
    'the hour 25 is not between 0 and 23'
    """
    try:
        Schedule.of(text)
    except ValueError as problem:
        return str(problem)
    return ""


def duration(time: timedelta) -> str:
    """A time span for a message.

    >>> duration(timedelta(hours=24)), duration(timedelta(minutes=15)), duration(timedelta(days=7))
    ('24 hours', '15 minutes', '7 days')
    """
    for unit, seconds, least in (("days", 86_400, 172_800), ("hours", 3_600, 7_200), ("minutes", 60, 60)):
        if time.total_seconds() >= least:
            return f"{time.total_seconds() / seconds:g} {unit}"
    return f"{time.total_seconds():g} seconds"


@cache
def _parsed(text: str) -> Schedule:
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"a schedule has five fields, and this has {len(fields)}")
    minutes, hours, days, months, weekdays = (
        frozenset(value for part in field.split(",") for value in _range(part, *bounds))
        for field, bounds in zip(fields, _FIELDS, strict=True)
    )
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    found = Schedule(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either)
    if not any(found.runs_on(day) for day in _days()):
        raise ValueError(f"no year has a day {fields[2]} in month {fields[3]}, so it never runs")
    return found


def _range(part: str, name: str, lowest: int, highest: int) -> range:
    """One item of a list: `*`, `*/15`, `7`, `8-10` or `8-18/2`."""
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    numbers = [first, *([last] if dash else []), *([step] if slash else [])]
    if span == "*":
        numbers = [step] if slash else []
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ValueError(f"the {name} {part!r} is no number, range or *")
    if slash and not int(step):
        raise ValueError(f"the {name} {part!r} has a step of 0")
    if slash and span != "*" and not dash:
        raise ValueError(f"the {name} {part!r} has a step without a range; write {first}-{highest}/{step}")
    low, high = (lowest, highest) if span == "*" else (int(first), int(last if dash else first))
    for number in (low, high):
        if not lowest <= number <= highest:
            raise ValueError(f"the {name} {number} is not between {lowest} and {highest}")
    if low > high:
        raise ValueError(f"the {name} {part!r} runs backwards")
    return range(low, high + 1, int(step) if slash else 1)


def _days() -> Iterator[date]:
    return (_FIRST + timedelta(days=number) for number in range(_DAYS))


@cache
def _longest_gap(schedule: Schedule) -> timedelta:
    longest, before = timedelta(0), None
    times = [timedelta(hours=hour, minutes=minute) for hour in schedule.hours for minute in schedule.minutes]
    first, last = min(times), max(times)
    within = sorted(times)
    for earlier, later in pairwise(within):
        longest = max(longest, later - earlier)
    for day in _days():
        if schedule.runs_on(day):
            if before is not None:
                longest = max(longest, day - before + first - last)
            before = day
    return longest
