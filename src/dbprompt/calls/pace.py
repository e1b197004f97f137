"""The pace of one model: a queue in front of its rate limits, shared by all threads, tasks and clients of a process.

Limits are learned from answers (`Reply.limits`) and refusals (`Retry-After`), or told by the caller; while nobody
knows any, nobody is held back. Whoever comes first is granted first. Nobody is woken: each is told how long to wait,
and finds what was granted meanwhile when it asks again, so that threads and event loops can share one queue.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import sys
import threading
from bisect import bisect_left, insort
from collections import deque
from enum import Enum
from types import TracebackType
from typing import Self

from dbprompt.calls.base_window import Amounts, Passed, Windows, tokens_of
from dbprompt.errors import ProviderError, RateLimitError
from dbprompt.messages import RateLimits, Reply, Request
from dbprompt.providers.base import AsyncProvider, Provider
from dbprompt.providers.base_fork import anew_in_a_child

__all__ = ["Pace", "Place", "pace_of"]

_LOOK_S = 1.0
"""How long a place sleeps at most where an answer under way could let it go sooner."""

_SHORTEST_S = 0.002
_LONGEST_HOLD_S = 300.0
"""Where the wish of one `Retry-After` ends: after that, one request may find out whether it still holds."""

_FIRST_BARE_HOLD_S, _LONGEST_BARE_HOLD_S = 1.0, 30.0
_CATCH_UP_S = 1.0
_GRACE_S = 5.0
"""A place that comes so much later than it was told to has gone: those behind it pass."""

_MOST_PACES = 1024


class _State(Enum):
    OUTSIDE = "outside"
    WAITING = "waiting"
    GRANTED = "granted"
    SENT = "sent"


class Place:
    """One call's place in the queue. It keeps its number when the call has to be tried again.

    ```
    with pace.place(request) as place:
        while (seconds := place.wait_s(clock())) > 0:
            ...  # wait
        ...      # send
        place.done(reply, clock())  # or place.failed(error, clock())
    ```
    """

    __slots__ = (
        "_amounts",
        "_asks_by",
        "_counted_by",
        "_number",
        "_pace",
        "_passed",
        "_sent_at",
        "_spaced",
        "_state",
        "_tokens",
        "request",
        "why",
    )

    def __init__(self, pace: Pace, request: Request, number: int) -> None:
        self.request = request
        self.why = ""
        """What the last wait was for."""
        self._pace, self._number, self._counted_by = pace, number, pace._limits
        self._state = _State.OUTSIDE
        self._tokens = tokens_of(request)
        self._amounts: Amounts = (0, 0, 0, 0)
        self._passed: Passed | None = None
        self._sent_at = -math.inf
        self._asks_by = math.inf
        self._spaced = False

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the queue; nobody will hear the answer of what is under way."""
        if self._state is not _State.OUTSIDE and self._counted_by is self._pace._limits:  # else a fork has let it go
            self._pace._leave(self)

    def wait_s(self, now: float) -> float:
        """0: send it now, and it counts as sent. Else seconds to wait; then ask again."""
        return self._pace._wait_s(self, now)

    def done(self, reply: Reply, now: float) -> None:
        """Takes in the answer: what it did cost, and what its headers say."""
        self._pace._done(self, reply, now)

    def failed(self, error: ProviderError, now: float) -> None:
        """Takes in that it failed. A refusal for its rate holds everybody back, for as long as it says."""
        self._pace._failed(self, error, now)


class Pace:
    """One model's rate limits, and who waits for them.

    Args:
        limits: what the caller told of them; `limit` is a number a minute, and counts before what headers say.
    """

    def __init__(self, limits: RateLimits | None = None) -> None:
        self._limits = Windows()
        self._numbers = self._refusals = 0
        self._now = self._hold_until = self._held_at = self._next_at = -math.inf
        self._begin()
        anew_in_a_child(self)
        if limits is not None:
            self.limit_to(limits)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[Place] = []
        self._granted: dict[int, Place] = {}
        self._left: deque[Place] = deque()
        self._under_way = 0

    def begin_anew(self) -> None:
        """In a forked child: the limits are known, and nobody waits. Threads of the parent may have had the lock."""
        self._begin()
        self._limits = self._limits.anew()

    def limit_to(self, limits: RateLimits) -> None:
        """Sets the limits that the caller tells; what is None stays as it was."""
        with self._lock:
            self._limits.limit_to(limits)

    def place(self, request: Request) -> Place:
        """A place at the end of the queue."""
        with self._lock:
            self._numbers += 1
            return Place(self, request, self._numbers)

    def waiting(self, now: float) -> int:
        """How many stand in the queue."""
        if not self._queue:
            return 0
        with self._lock:
            now = self._tick(now)
            while self._queue and self._somebody_gone(now):
                pass
            return len(self._queue)

    def _wait_s(self, place: Place, now: float) -> float:
        with self._lock:
            now = self._tick(now)
            place._asks_by = math.inf
            if place._state is _State.SENT:  # nobody said what came of it
                self._take_out(place, now)
            if not self._queue and place._state is _State.OUTSIDE and now >= self._free_at():
                place._amounts = self._needs(place)
                if max(self._limits.waits(place._amounts, now)) <= 0:
                    self._send(place, now)  # as nearly always: nobody waits, and there is room
                    return 0.0
            if place._state is _State.OUTSIDE:
                place._state = _State.WAITING
                insort(self._queue, place, key=_number)
            self._grant(now)
            if place._state is _State.GRANTED:
                del self._granted[place._number]
                self._limits.revoke(place._amounts)
                self._send(place, now)
                return 0.0
            seconds = max(_SHORTEST_S, self._wait(place, now))
            place._spaced, place._asks_by = True, now + seconds + _GRACE_S
            return seconds

    def _grant(self, now: float) -> None:
        """Grants what there is, in the order of the queue; those who had to wait go one after the other."""
        while self._queue:
            place = self._queue[0]
            amounts = self._needs(place)
            if now < self._free_at() or max(self._limits.waits(amounts, now)) > 0:
                if self._somebody_gone(now):
                    continue
                return
            del self._queue[0]
            place._state, place._amounts = _State.GRANTED, amounts
            self._granted[place._number] = place
            self._limits.grant(amounts)
            if place._spaced:
                self._next_at = max(self._next_at, now - _CATCH_UP_S) + self._limits.gap_s(amounts)

    def _needs(self, place: Place) -> Amounts:
        return self._limits.needs(place._tokens, place.request.max_output_tokens)

    def _free_at(self) -> float:
        return max(self._hold_until, self._next_at)

    def _somebody_gone(self, now: float) -> bool:
        """Whether the first in the queue, or the first that was granted, did not come when it should; it is out now."""
        for place in (self._queue[0], next(iter(self._granted.values()), None)):
            if place is not None and place._asks_by < now:
                self._take_out(place, now)
                return True
        return False

    def _wait(self, place: Place, now: float) -> float:
        """How long this place has to wait at least."""
        amounts = self._needs(self._queue[0])
        waits = self._limits.waits(amounts, now)
        place.why = self._reason(waits, self._hold_until - now)
        full = max(waits)
        if self._under_way or self._granted:  # an answer may give tokens back, or tell of more
            full = max(min(full, _LOOK_S), self._limits.surely_s(now))
        in_front = bisect_left(self._queue, place._number, key=_number)
        return max(full, self._free_at() - now) + in_front * self._limits.gap_s(amounts)

    def _reason(self, waits: list[float], held: float) -> str:
        if held > 0 and held >= max(waits):
            return "the provider asked to slow down"
        return self._limits.reason(waits) if max(waits) > 0 else "others wait in front"

    def _send(self, place: Place, now: float) -> None:
        self._under_way += 1
        place._state, place._sent_at = _State.SENT, now
        place._passed = self._limits.send(place._amounts, now)

    def _done(self, place: Place, reply: Reply, now: float) -> None:
        with self._lock:
            now = self._tick(now)
            passed = self._came_back(place)
            if passed is None:
                return
            self._limits.answered(passed, reply.usage, place._tokens, now)
            if reply.limits is not None:
                self._limits.learn(passed, reply.limits, now)
            if place._sent_at > self._held_at:
                self._refusals = 0

    def _failed(self, place: Place, error: ProviderError, now: float) -> None:
        with self._lock:
            now = self._tick(now)
            passed = self._came_back(place)
            if passed is None:
                return
            refused, told = isinstance(error, RateLimitError), error.limits
            self._limits.failed(passed, 0 if refused else place._tokens, now)
            if isinstance(told, RateLimits):
                self._limits.learn(passed, told, now)
            if refused or (error.retryable and error.retry_after is not None):
                self._hold(place, error.retry_after, now)
            place._spaced = True

    def _came_back(self, place: Place) -> Passed | None:
        """What was sent, of a place that is outside now, and keeps its number; None if nothing was."""
        if place._state is not _State.SENT:
            return None
        place._state = _State.OUTSIDE
        self._under_way -= 1
        return place._passed

    def _hold(self, place: Place, asked: float | None, now: float) -> None:
        """Holds everybody back, those too that were granted and did not go yet."""
        if asked is None or not 0 <= asked < math.inf:
            # Many that were under way together are refused together: that is one refusal, not many in a row.
            self._refusals = min(self._refusals + (place._sent_at > self._held_at), 16)
            asked = min(_FIRST_BARE_HOLD_S * 2.0 ** max(0, self._refusals - 1), _LONGEST_BARE_HOLD_S)
        self._held_at = now
        self._hold_until = max(self._hold_until, now + min(asked, _LONGEST_HOLD_S))
        self._next_at = max(self._next_at, self._hold_until)
        for granted in list(self._granted.values()):
            self._take_out(granted, now)
            granted._state = _State.WAITING
            insort(self._queue, granted, key=_number)

    def _leave(self, place: Place) -> None:
        """Never waits for the lock: a call may be thrown away (by the garbage collector) while this thread has it."""
        self._left.append(place)
        if self._lock.acquire(blocking=False):
            try:
                self._tick(self._now)
            finally:
                self._lock.release()

    def _tick(self, now: float) -> float:
        """The time, which never goes back (threads read the clock before they come in); and who left is out."""
        self._now = max(self._now, now)
        while self._left:
            self._take_out(self._left.popleft(), self._now)
        return self._now

    def _take_out(self, place: Place, now: float) -> None:
        state, place._state = place._state, _State.OUTSIDE
        if state is _State.WAITING:
            del self._queue[bisect_left(self._queue, place._number, key=_number)]
        elif state is _State.GRANTED:
            del self._granted[place._number]
            self._limits.revoke(place._amounts)
        elif state is _State.SENT and place._passed is not None:
            self._under_way -= 1
            self._limits.failed(place._passed, place._tokens, now)


_PACES: dict[tuple[str, str, bytes], Pace] = {}
_PACES_LOCK = threading.Lock()
_SALT = secrets.token_bytes(16)


def _new_lock_after_fork() -> None:
    global _PACES_LOCK  # noqa: PLW0603
    _PACES_LOCK = threading.Lock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_new_lock_after_fork)


def pace_of(provider: Provider | AsyncProvider, *, account: str = "", limits: RateLimits | None = None) -> Pace:
    """The pace of a model: the same one for every client of the process that asks it with the same account.

    Args:
        provider: who is asked.
        account: what tells its limits from those of others: address and key. Only a salted hash of it is kept. Without
            one, nobody can tell whose limits these are, and the pace is for this caller alone.
        limits: what the caller knows of the limits. The last one to tell them is right.
    """
    if not account:
        return Pace(limits)
    mark = hashlib.blake2b(account.encode(), key=_SALT, digest_size=16).digest()
    with _PACES_LOCK:
        pace = _PACES.setdefault((provider.name, provider.model, mark), Pace())
        while len(_PACES) > _MOST_PACES:
            del _PACES[next(iter(_PACES))]
    if limits is not None:
        pace.limit_to(limits)
    return pace


def _number(place: Place) -> int:
    return place._number
