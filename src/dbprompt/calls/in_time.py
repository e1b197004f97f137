"""The time of a job while its answer is checked: looked at before each single check, as none begins after its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from dbprompt.calls.bounds import Meter

__all__ = ["check_time", "timed"]

_meters: ContextVar[Sequence[Meter]] = ContextVar("dbprompt_meters", default=())


@contextmanager
def timed(meters: Sequence[Meter]) -> Iterator[None]:
    """Has the checks of this thread or task inside keep to the time of these."""
    token = _meters.set(meters)
    try:
        yield
    finally:
        _meters.reset(token)


def check_time() -> None:
    """Nothing, as long as there is time for one more check.

    Raises:
        DeadlineError: there is none left.
    """
    for meter in _meters.get():
        meter.check_time()
