"""Calling off what threads have under way: a thread that waits for a server or sleeps cannot be cancelled otherwise."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakSet

__all__ = ["Halt", "Halted", "current_halt", "halting", "holding", "pause"]


class Halted(BaseException):
    """What this thread does was called off. It is no failure of anything, so that nothing tries it again."""


class Stream(Protocol):
    """A connection as the transports see it."""

    def get_extra_info(self, info: str) -> object:
        """`socket`: what it is made of."""


class Halt:
    """The end of some threads' work: set once, by whoever started them."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._streams: WeakSet[Stream] = WeakSet()

    def set(self) -> None:
        """Calls everything off: no request is written any more, and whoever waits for an answer wakes up."""
        self._event.set()
        with self._lock:  # whoever takes over one of them waits for its release: never is a stranger's request shut
            for stream in list(self._streams):
                connection = stream.get_extra_info("socket")
                if isinstance(connection, socket.socket):
                    with suppress(OSError):  # gone already
                        connection.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Nothing, until it is set.

        Raises:
            Halted: it is.
        """
        if self._event.is_set():
            raise Halted("called off")

    def sleep(self, seconds: float) -> None:
        """Waits so long.

        Raises:
            Halted: it was set meanwhile.
        """
        self._event.wait(seconds)
        self.check()

    def hold(self, stream: Stream) -> None:
        """Has this connection end with it."""
        with self._lock:
            self._streams.add(stream)
        self.check()  # after it was added: `set` has seen it, or this sees `set`

    def release(self, stream: Stream) -> None:
        """Lets go of it: somebody else uses it now."""
        with self._lock:
            self._streams.discard(stream)


_halt: ContextVar[Halt | None] = ContextVar("dbprompt_halt", default=None)


@contextmanager
def halting(halt: Halt) -> Iterator[None]:
    """Makes it the end of everything that this thread does inside."""
    token = _halt.set(halt)
    try:
        yield
    finally:
        _halt.reset(token)


def current_halt() -> Halt | None:
    """What calls off the work of this thread or task, if anything does."""
    return _halt.get()


def holding(stream: Stream, before: Halt | None) -> Halt | None:
    """The halt of this thread, which holds the stream now; `before` is the one that held it last.

    Raises:
        Halted: it is set already.
    """
    halt = _halt.get()
    if halt is not before and before is not None:
        before.release(stream)
    if halt is not None:
        halt.hold(stream)
    return halt


def pause(seconds: float) -> None:
    """Sleeps, or until this thread's work is called off."""
    halt = _halt.get()
    if halt is None:
        time.sleep(seconds)
    else:
        halt.sleep(seconds)
