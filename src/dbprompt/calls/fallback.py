"""Which of a client's models is asked next, and what sends a request on to the next one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from dbprompt.errors import (
    AskError,
    BudgetError,
    ConnectionFailedError,
    DeadlineError,
    QuotaError,
    RateLimitError,
    ServerError,
)

__all__ = ["PASSED_OVER_S", "Standing", "falls_over"]

PASSED_OVER_S = 60.0
"""How long a model that was overloaded is asked after the others."""

_OVERLOADED = (RateLimitError, ServerError, ConnectionFailedError, DeadlineError)
_LONGEST_REASON = 300


def falls_over(error: AskError) -> bool:
    """Whether another model may do better: not with a user's mistake, and not where no time is left anyway.

    Of the bounds only money is one that another model may keep: it can cost less.
    """
    if isinstance(error, BudgetError):
        return error.bound == "cost_usd" and not error.text
    return isinstance(error, (*_OVERLOADED, QuotaError))


class Standing:
    """What a client has seen of its models. Shared by its threads and tasks; nothing in it needs a lock.

    Args:
        names: of the models, in the order in which the user wants them asked.
    """

    def __init__(self, names: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._names, self._clock = names, clock
        self._until = [-math.inf] * len(names)
        self._why = [""] * len(names)

    def order(self) -> Sequence[int]:
        """Whom to ask, one after the other: one that was overloaded at the end, one that has no credit never.

        Where nobody has credit, all are asked: somebody may have paid, and else their own error says it.
        """
        if len(self._names) == 1:
            return (0,)
        now = self._clock()
        able = [model for model, until in enumerate(self._until) if until < math.inf]
        return sorted(able or range(len(self._names)), key=lambda model: self._until[model] > now)

    def fell_over(self, model: int, error: AskError) -> None:
        """Remembers why a model was left for the next one."""
        self._why[model] = self.reason(model, error)
        if isinstance(error, QuotaError):
            self._until[model] = math.inf
        elif isinstance(error, _OVERLOADED):
            self._until[model] = self._clock() + PASSED_OVER_S

    def answered(self, model: int) -> None:
        """A model that answers is overloaded no more."""
        self._until[model] = -math.inf

    def passed_over(self, order: Sequence[int]) -> dict[int, str]:
        """Why each model is not where the user put it."""
        first = order[0]
        return {model: f"{self._why[model]} (before)" for model in range(first) if self._why[model]}

    def reason(self, model: int, error: BaseException) -> str:
        """Who did not answer, and why, in a line."""
        told = " ".join(str(error).split())
        told = told if len(told) <= _LONGEST_REASON else f"{told[:_LONGEST_REASON]} ..."
        return f"{self._names[model]}: {type(error).__name__}: {told}"
