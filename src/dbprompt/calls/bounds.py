"""How far a call or a job may go: time, requests, tokens and money; and the meter that holds it to that."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

from dbprompt.calls.base_numbers import check_number
from dbprompt.calls.prices import Price
from dbprompt.errors import BudgetError, DeadlineError
from dbprompt.messages import Request, Usage

__all__ = ["Bounds", "Meter", "Reservation", "most_tokens"]

_LOOK_AGAIN_S = 0.05
"""How long a request waits before it looks again whether those in flight have left something of a bound."""

_FEWEST = 16
"""An answer of fewer tokens is not asked for: OpenAI refuses such a request."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be spent; None is no bound.

    Args:
        deadline_s: seconds from the start to the end of the last answer: retries, waits and repairs included.
        requests: requests that are sent, failed ones included.
        input_tokens: tokens of all prompts, cached or not.
        output_tokens: tokens of all answers, thinking included.
        cost_usd: US dollars by the price list. A model without a price is then not asked at all.
    """

    deadline_s: float | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                wanted = "a bound is a number of more than 0, or None for no bound"
                check_number(each.name, value, wanted, above=0, most=math.inf)

    @property
    def of_spending(self) -> bool:
        """Whether more than the time is bounded."""
        bounds = (self.requests, self.input_tokens, self.output_tokens, self.cost_usd)
        return any(bound is not None for bound in bounds)


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """What one request may cost at most; held back until it is known what it did cost.

    Args:
        request: what may be sent: its answer is cut off where a bound would be passed.
        usage: what is held back.
        cut_by: the bound that cuts the answer off earlier than was asked for, if one does.
    """

    request: Request
    usage: Usage
    cut_by: str = ""


@dataclass(slots=True)
class _Held:
    """Sums of what is held back."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def add(self, usage: Usage, sign: int) -> None:
        self.requests += sign * usage.requests
        self.input_tokens += sign * usage.input_tokens
        self.output_tokens += sign * usage.output_tokens
        self.cost_usd = self.cost_usd + sign * (usage.cost_usd or 0.0) if self.requests else 0.0


@dataclass(slots=True)
class Meter:
    """What was spent of some bounds, from the moment that it is made. Safe to share between threads and tasks.

    Args:
        bounds: how far it may go.
        what: what is bounded, as errors name it.
        clock: seconds, of which only differences count.
        spent: by now.
    """

    bounds: Bounds
    what: str = "this job"
    clock: Callable[[], float] = time.monotonic
    spent: Usage = field(default_factory=Usage)
    _held: _Held = field(default_factory=_Held)
    _end: float = math.inf
    _counts: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._counts = self.bounds.of_spending
        if self.bounds.deadline_s is not None:
            self._end = self.clock() + self.bounds.deadline_s

    def left_s(self) -> float:
        """Seconds until the deadline; infinite without one, and not more than 0 once it has passed."""
        return self._end - self.clock()

    @property
    def deadline(self) -> str:
        """The deadline, as errors name it."""
        seconds = self.bounds.deadline_s
        return "no deadline" if seconds is None else f"the deadline of {self.what} ({seconds:g} s)"

    def check_time(self) -> None:
        """Nothing, as long as there is time.

        Raises:
            DeadlineError: there is none left.
        """
        if self.left_s() <= 0:
            raise DeadlineError(f"The time is up: {self.deadline} has passed.")

    def check_price(self, model: str, price: Price | None) -> None:
        """Nothing, unless money is bounded and nobody told what the model costs.

        Raises:
            BudgetError: it is.
        """
        limit = self.bounds.cost_usd
        if limit is not None and price is None:
            raise BudgetError(
                f"{self.what} may cost ${limit:g}, and nobody told what {model} costs:"
                f' give its price, as prices={{"{model}": Price(input=..., output=...)}}, or bound tokens instead.',
                bound="cost_usd",
                limit=limit,
                spent=None,
            )

    def reserve(self, request: Request, price: Price | None) -> Reservation | float:
        """Sets aside what the request can cost; its answer is cut off where a bound would be passed.

        How many tokens a prompt has is told by its answer alone. Until then it counts as `most_tokens`.

        Returns:
            What was set aside; or seconds to wait, because requests in flight hold what this one may need.

        Raises:
            BudgetError: nothing is left for this request.
        """
        if not self._counts:
            return Reservation(request, _ONE)
        wanted = Usage(1, most_tokens(request), request.max_output_tokens)
        with self._lock:
            room, bound = self._room(wanted, price)
            if room < wanted.output_tokens and self._held.requests and bound != "requests":
                return _LOOK_AGAIN_S
            if room < min(_FEWEST, wanted.output_tokens):
                raise self._nothing_left(bound, wanted, price)
            kept, cut_by = wanted, ""
            if room < wanted.output_tokens:
                kept, cut_by = replace(wanted, output_tokens=int(room)), bound
                request = replace(request, max_output_tokens=int(room))
            if price is not None:
                kept = replace(kept, cost_usd=price.most(kept.input_tokens, kept.output_tokens))
            self._held.add(kept, 1)
        return Reservation(request, kept, cut_by)

    def settle(self, reserved: Reservation, used: Usage | None, *, refused: int = 0) -> None:
        """Counts what the request did cost instead of what was held back for it.

        Nobody knows what a request cost that broke off, or whose provider told no tokens (None): a bound takes it for
        the most that it can have been, besides those that were `refused` before it.
        """
        if used is None:
            used = replace(reserved.usage, requests=reserved.usage.requests + refused)
        with self._lock:
            if self._counts:
                self._held.add(reserved.usage, -1)
            self.spent += used

    def check_spent(self) -> None:
        """Nothing, as long as no bound is passed.

        Raises:
            BudgetError: one is: a prompt had more tokens than it was taken for, or an answer more than it may have.
                Requests are looked at before each one: that an API did not take a setting, and had to be asked twice,
                is no reason to throw the answer away.
        """
        if not self._counts:
            return
        for bound in ("input_tokens", "output_tokens", "cost_usd"):
            limit, spent = getattr(self.bounds, bound), getattr(self.spent, bound)
            if limit is not None and spent is not None and spent > limit and not math.isclose(spent, limit):
                told = (
                    f"{self.what} has passed its bound {bound}={_figure(bound, limit)}: {_figure(bound, spent)} spent."
                )
                raise BudgetError(told, bound=bound, limit=limit, spent=spent)

    def cut_off(self, bound: str, at: int) -> BudgetError:
        """The error for an answer that had to end where a bound does."""
        limit, spent = getattr(self.bounds, bound), getattr(self.spent, bound)
        told = f"the answer was cut off at {at:,} tokens: more would have passed {self.what}'s bound"
        return BudgetError(f"{told} {bound}={_figure(bound, limit)}.", bound=bound, limit=limit, spent=spent)

    def _room(self, wanted: Usage, price: Price | None) -> tuple[float, str]:
        """How many tokens the answer may have, and the bound that says so; fewer than one if it may not be asked."""
        bounds, spent, held = self.bounds, self.spent, self._held
        rooms: list[tuple[float, str]] = []
        if bounds.requests is not None:
            rooms.append((math.inf if spent.requests + held.requests < bounds.requests else 0.0, "requests"))
        if bounds.input_tokens is not None:
            taken = spent.input_tokens + held.input_tokens + wanted.input_tokens
            rooms.append((math.inf if taken <= bounds.input_tokens else 0.0, "input_tokens"))
        if bounds.output_tokens is not None:
            rooms.append((bounds.output_tokens - spent.output_tokens - held.output_tokens, "output_tokens"))
        if bounds.cost_usd is not None and price is not None:
            left = bounds.cost_usd - (spent.cost_usd or 0.0) - held.cost_usd
            rooms.append((math.floor(min(price.output_for(left, wanted.input_tokens), 1e12)), "cost_usd"))
        return min(rooms, default=(math.inf, ""))

    def _nothing_left(self, bound: str, wanted: Usage, price: Price | None) -> BudgetError:
        limit: float = getattr(self.bounds, bound)
        spent: float = getattr(self.spent, bound) or 0
        needs = {
            "requests": "the next one would be one more",
            "input_tokens": f"the next prompt may have {wanted.input_tokens:,} (one for two bytes)",
            "output_tokens": f"an answer needs {min(_FEWEST, wanted.output_tokens)} at least",
            "cost_usd": "the next prompt alone may cost"
            f" {_figure(bound, price.most(wanted.input_tokens, 0) if price else 0.0)}",
        }
        told = f"{self.what} has spent {_figure(bound, spent)} of its bound {bound}={_figure(bound, limit)}"
        return BudgetError(f"{told}; {needs[bound]}.", bound=bound, limit=limit, spent=spent)


def most_tokens(request: Request) -> int:
    """How many tokens a prompt is taken for before anybody counted: one for two bytes, schema included.

    English, JSON and SQL have one for three to four; only rare scripts and random letters come near.
    """
    said = sum(len(message.text.encode()) for message in request.messages)
    schema = request.output.size if request.native else 0
    return (said + schema) // 2 + 16 * (len(request.messages) + 1)


def _figure(bound: str, value: float) -> str:
    return f"${value:.4f}" if bound == "cost_usd" else f"{value:,}"


_ONE = Usage(requests=1)
