"""The rate limits of one model: what was sent within the last minute, and how much more fits. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from dbprompt.messages import Allowance, RateLimits, Request, Usage

__all__ = ["MINUTE_S", "Amounts", "Passed", "Windows", "tokens_of"]

Amounts: TypeAlias = tuple[int, int, int, int]
"""How much of each limit: requests, tokens, tokens of the prompt, tokens of the answer."""

MINUTE_S = 61.0
"""A provider's minute, seen from here: two requests may take unequally long to it, so it is counted a second
longer."""


_FORGET_EVERY = 64


@dataclass(slots=True)
class _Sent:
    """So much was sent at this moment."""

    at: float
    amount: int


@dataclass(slots=True)
class _Window:
    """What one limit allows: in any minute no more than its number, whoever counts from when.

    Three things are held against it: what was sent within the last minute, what is granted and goes at once, and what
    is under way and counts from its answer on.

    Args:
        what: what is limited, as messages name it.
        late: whether it counts from the answer on: the tokens of the answer.
        given: the limit that the caller told; it goes before what headers say.
        learned: the limit that headers told.
        ever: what was sent since the beginning.
    """

    what: str
    late: bool = False
    given: int | None = None
    learned: int | None = None
    ever: int = 0
    _granted: int = 0
    _under_way: int = 0
    _used: int = 0
    _sent: deque[_Sent] = field(default_factory=deque)
    _most_ever: float = math.inf
    _most_until: float = -math.inf
    _told_by: int = -1

    @property
    def limit(self) -> int | None:
        """How much a minute; None if nobody told."""
        return self.learned if self.given is None else self.given

    def wait_s(self, amount: int, now: float) -> float:
        """Seconds until so much more may be sent; infinite if that depends on answers that are still to come."""
        return max(self.full_s(amount, now), self._used_up_s(amount, now))

    def full_s(self, amount: int, now: float) -> float:
        """The same by the limit alone, whatever headers say is left.

        What is more than the whole limit goes when nothing else is held against it: else it never would.
        """
        self._forget(now)
        limit = self.limit
        if limit is None:
            return 0.0
        over = self._used + self._granted + self._under_way + min(amount, limit) - limit
        return self._freed(over, now) if over > 0 else 0.0

    def _used_up_s(self, amount: int, now: float) -> float:
        """The same by what headers say is left."""
        if now < self._most_until and self.ever + self._granted + amount > self._most_ever:
            return self._most_until - now
        return 0.0

    def _freed(self, over: int, now: float) -> float:
        """When so much of what was sent is older than a minute."""
        for sent in self._sent:
            over -= sent.amount
            if over <= 0:
                return max(0.0, sent.at + MINUTE_S - now)
        return math.inf

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0].at + MINUTE_S <= now:
            self._used -= self._sent.popleft().amount

    def grant(self, amount: int) -> None:
        """Sets so much aside; less than nothing gives it back."""
        self._granted += amount

    def send(self, amount: int, now: float) -> _Sent:
        """So much goes now."""
        self.ever += amount
        sent = _Sent(now, amount)
        if self.late:
            self._under_way += amount
        else:
            self._count(sent)
        return sent

    def answered(self, sent: _Sent, amount: int, now: float) -> None:
        """So much it truly was."""
        if self.late:
            self._under_way -= sent.amount
            self._count(_Sent(now, amount))
        elif sent.at + MINUTE_S > now:
            self._used += amount - sent.amount
            sent.amount = amount

    def _count(self, sent: _Sent) -> None:
        if not len(self._sent) % _FORGET_EVERY:  # where no limit is known, nobody else does
            self._forget(sent.at)
        self._sent.append(sent)
        self._used += sent.amount

    def learn(self, told: Allowance, mark: int, order: int, now: float) -> None:
        """Takes in what a header says.

        What it says is left holds until its reset, and is used up by whatever was sent after the request that it
        answers: the provider may not have seen that when it counted.

        Args:
            told: the header.
            mark: `ever` right after the request that it answers was sent.
            order: which request that was; an older one than the last to tell has old news.
            now: when it came.
        """
        if told.limit is not None and told.limit > 0:
            self.learned = told.limit
        if told.remaining is None or told.reset_s is None or not 0 < told.reset_s < math.inf:
            return
        if order > self._told_by or now >= self._most_until:
            self._told_by = order
            self._most_ever = mark + max(0, told.remaining)
            self._most_until = now + min(told.reset_s, MINUTE_S)


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that was sent, as each limit counts it.

    Args:
        order: how many were sent by then.
        sent: what each limit counted.
        marks: what each limit had counted since the beginning.
    """

    order: int
    sent: tuple[_Sent, ...]
    marks: tuple[int, ...]


_LATEST = 16
_NO_WAITS = [0.0, 0.0, 0.0, 0.0]
_GAP_S, _LONGEST_GAP_S = 0.02, 1.0


class Windows:
    """All limits of one model."""

    def __init__(self) -> None:
        self._all = (
            _Window("requests"),
            _Window("tokens"),
            _Window("input tokens"),
            _Window("output tokens", late=True),
        )
        self._known = False
        self._order = 0
        self._outputs: deque[int] = deque(maxlen=_LATEST)

    def anew(self) -> Windows:
        """The same limits, and nothing counted yet."""
        fresh = Windows()
        fresh._known = self._known
        for mine, theirs in zip(fresh._all, self._all, strict=True):
            mine.given, mine.learned = theirs.given, theirs.learned
        return fresh

    def limit_to(self, limits: RateLimits) -> None:
        """Sets the limits that the caller tells; what is None stays as it was."""
        for window, told in zip(self._all, _fields(limits), strict=True):
            if told is not None and told.limit is not None:
                if not told.limit >= 1:  # as nan is neither
                    raise ValueError(f"limits: {told.limit} {window.what} a minute; give at least 1, or None")
                window.given, self._known = told.limit, True

    def needs(self, prompt: int, most: int) -> Amounts:
        """What a request takes, as far as can be told: its answer is as long as the longest of the last ones.

        Args:
            prompt: its tokens.
            most: the tokens that its answer may have.
        """
        output = min(most, max(self._outputs)) if self._outputs else most
        return 1, prompt + output, prompt, output

    def waits(self, amounts: Amounts, now: float) -> list[float]:
        """Seconds until each limit has room; infinite if that depends on answers that are still to come."""
        if not self._known:
            return _NO_WAITS
        return [window.wait_s(amount, now) for window, amount in zip(self._all, amounts, strict=True)]

    def surely_s(self, now: float) -> float:
        """Seconds for which no answer can make room: requests that were sent stay sent."""
        seconds = self._all[0].full_s(1, now)
        return seconds if seconds < math.inf else 0.0  # it hangs on one that was granted and did not go yet

    def gap_s(self, amounts: Amounts) -> float:
        """Seconds between two that had to wait: twice as fast as the limits allow in the long run, and no herd."""
        shares = [amount / window.limit for window, amount in zip(self._all, amounts, strict=True) if window.limit]
        return min(_LONGEST_GAP_S, MINUTE_S / 2 * max(shares)) if shares else _GAP_S

    def reason(self, waits: list[float]) -> str:
        """What the longest of these waits is for."""
        window = self._all[waits.index(max(waits))]
        limit = "" if window.limit is None else f" ({window.limit:,} a minute)"
        return f"the limit of {window.what}{limit} is used up for now"

    def grant(self, amounts: Amounts) -> None:
        """Sets so much aside."""
        for window, amount in zip(self._all, amounts, strict=True):
            window.grant(amount)

    def revoke(self, amounts: Amounts) -> None:
        """Gives back what was set aside."""
        for window, amount in zip(self._all, amounts, strict=True):
            window.grant(-amount)

    def send(self, amounts: Amounts, now: float) -> Passed:
        """So much goes now."""
        self._order += 1
        requests, tokens, inputs, outputs = self._all
        sent = (
            requests.send(amounts[0], now),
            tokens.send(amounts[1], now),
            inputs.send(amounts[2], now),
            outputs.send(amounts[3], now),
        )
        return Passed(self._order, sent, (requests.ever, tokens.ever, inputs.ever, outputs.ever))

    def answered(self, passed: Passed, usage: Usage, prompt: int, now: float) -> None:
        """Counts what a request truly was; its prompt is taken for so many tokens if nobody counted."""
        given, output = usage.input_tokens or prompt, usage.output_tokens
        if output:
            self._outputs.append(output)
        # Anthropic, which counts input by itself, does not count what its cache gave back; sums count it.
        self._count(passed, (1, given + output, given - usage.cache_read_tokens, output), now)

    def failed(self, passed: Passed, prompt: int, now: float) -> None:
        """Counts a request that has no answer, with so many tokens of its prompt."""
        self._count(passed, (1, prompt, prompt, 0), now)

    def _count(self, passed: Passed, amounts: Amounts, now: float) -> None:
        for window, sent, amount in zip(self._all, passed.sent, amounts, strict=True):
            window.answered(sent, amount, now)

    def learn(self, passed: Passed, limits: RateLimits, now: float) -> None:
        """Takes in what the headers say that came for this request."""
        self._known = True
        for window, told, mark in zip(self._all, _fields(limits), passed.marks, strict=True):
            if told is not None:
                window.learn(told, mark, passed.order, now)


def tokens_of(request: Request) -> int:
    """About how many tokens a prompt has, schema included; its answer tells."""
    said = sum(len(message.text) for message in request.messages)
    return (said + (request.output.size if request.native else 0)) // 3 + 1


def _fields(limits: RateLimits) -> tuple[Allowance | None, ...]:
    return limits.requests, limits.tokens, limits.input_tokens, limits.output_tokens
