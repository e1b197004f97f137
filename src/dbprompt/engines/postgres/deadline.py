"""The end of a statement that runs too long or writes too much, though it switched the server's limits off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dbprompt.engines.base import Limits
from dbprompt.errors import EngineError

if TYPE_CHECKING:
    from dbprompt.engines.postgres.wire import Wire

__all__ = ["GONE_SECONDS", "Deadline"]

GONE_SECONDS = 5.0
"""What a backend has to be gone in, once it is told to end."""
_LENIENCE_SECONDS = 0.5  # the server's own time-out comes first; ours is for statements that switched it off


class _Watched(Protocol):
    """A sandbox, as far as it is needed here."""

    limits: Limits

    def disk_bytes(self) -> int:
        """How large the database is by now."""

    def end(self, wire: Wire) -> None:
        """Ends whatever a connection is running, by force."""

    def give_up(self) -> None:
        """Stops the server."""


class Deadline:
    """Watches one statement: called while it runs, with the seconds so far."""

    def __init__(self, sandbox: _Watched, wire: Wire) -> None:
        self._sandbox = sandbox
        self._wire = wire
        self._ended_at = 0.0

    @property
    def ended(self) -> bool:
        """Whether the statement was ended by us."""
        return self._ended_at > 0

    def __call__(self, seconds: float) -> None:
        """Ends the statement once it is over a limit."""
        limits = self._sandbox.limits
        if self.ended:
            if seconds > self._ended_at + GONE_SECONDS:
                self._sandbox.give_up()
                raise EngineError("A statement could not be ended, so its temporary PostgreSQL was stopped.")
        elif seconds > limits.statement_seconds + _LENIENCE_SECONDS or self._sandbox.disk_bytes() > limits.disk_bytes:
            self._ended_at = seconds
            self._sandbox.end(self._wire)
