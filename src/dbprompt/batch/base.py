"""What the parts of the batch driver share: its bounds, what is asked, and how the wait goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from dbprompt.errors import DeadlineError, NoRecordingError, ProviderError
from dbprompt.messages import Reply, Request

__all__ = ["BatchPolicy", "BatchWait", "Ended", "OnWait", "Pending", "StillWaitingError"]


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How often, how long and how patiently batches are asked.

    Args:
        deadline_s: of this call, all rounds and waits included. What is handed in by then goes on at the provider.
        attempts: batches that one request may be in, if it expires or fails there for no fault of its own.
        first_poll_s: the first wait before a batch is looked at again; it grows by half each time.
        longest_poll_s: where it stops growing.
        tries: requests in a row that may fail (to hand in, to look, to collect) before that is an error.
        settle_s: how long a batch may take to appear in the provider's list, when nobody received its id.
    """

    deadline_s: float = 172_800.0
    attempts: int = 3
    first_poll_s: float = 5.0
    longest_poll_s: float = 60.0
    tries: int = 10
    settle_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.tries < 1:
            raise ValueError("attempts and tries are at least 1")
        if not (0 < self.first_poll_s <= self.longest_poll_s):
            raise ValueError("first_poll_s is more than 0 and at most longest_poll_s")


@dataclass(frozen=True, slots=True)
class BatchWait:
    """A wait that is about to begin.

    Args:
        requests: that are waited for.
        batches: that they are in.
        seconds: until the provider is asked again.
        error: why the last look failed, if it did.
    """

    requests: int
    batches: int
    seconds: float
    error: ProviderError | None = None


OnWait: TypeAlias = Callable[[BatchWait], None]


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that a session waits for.

    Args:
        request: what is asked.
        lane: tells apart two jobs that ask the same.
        turn: how many answers that session has had.
    """

    request: Request
    lane: str
    turn: int


Ended: TypeAlias = "Reply | ProviderError | NoRecordingError"


class StillWaitingError(DeadlineError):
    """The deadline came before the answer. Nothing is lost: the same call with the same folder goes on waiting."""
