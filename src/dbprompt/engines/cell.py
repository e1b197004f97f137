"""The cell: a process of its own for an engine that lives inside its caller's process.

It is run as a script with the standard library only, `cell.py BACKEND MEMORY ARGUMENT...`, and reads one order a line
from its standard input. The backend is a file beside this one that gives `open_database`. Once the backend is loaded
the process gives up what it will not need: the right to write files, root's rights, memory beyond a limit. While an
order runs, a timer of the kernel ends the process at the deadline, whatever the engine is doing.
"""

# No imports beyond these: each costs start-up time, and the script has to run without dbprompt on its path.
from __future__ import annotations

import contextlib
import json
import os
import pwd
import resource
import runpy
import signal
import sys
from typing import BinaryIO, Protocol, TypeAlias

Answer: TypeAlias = dict[str, object]

_LONGEST_TEXT = 2_000
_LENIENCE_SECONDS = 1.0  # the engine is asked to stop first, and keeps its database if it does


class Database(Protocol):
    """What a backend opens. Further methods take `seconds` and the fields of the order, and return an answer."""

    def close(self) -> None:
        """Throws the database away."""


class Backend(Protocol):
    """Opens a database."""

    def __call__(self, *, disk_bytes: int) -> Database:
        """The database."""
        ...


def _limit(which: int, value: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # macOS knows no limit on address space
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(which, (value, value))


def _lock_up(memory: int) -> None:
    """Gives up rights and resources, for good."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)  # pipes are no files
    _limit(resource.RLIMIT_NOFILE, 32)
    _limit(resource.RLIMIT_AS, memory)
    os.chdir("/")
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)


def _short(answer: Answer) -> Answer:
    return {
        key: value[:_LONGEST_TEXT] if isinstance(value, str) and key not in {"pieces"} else value
        for key, value in answer.items()
    }


def _serve(open_database: Backend, orders: BinaryIO, replies: BinaryIO) -> None:
    database: Database | None = None
    for line in orders:
        order = json.loads(line)
        what, seconds = order.pop("do"), order.pop("seconds")
        signal.setitimer(signal.ITIMER_REAL, seconds + _LENIENCE_SECONDS)
        answer: Answer = {"answer": "accepted"}
        if what == "open":
            database = open_database(**order)
        elif what == "close":
            if database is not None:
                database.close()
            database = None
        else:
            try:
                answer = getattr(database, what)(seconds=seconds, **order)
            except MemoryError:
                answer = {"answer": "undecided", "message": "it needs more memory than a sandbox has"}
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(json.dumps(_short(answer)).encode() + b"\n")
        replies.flush()


def main(arguments: list[str]) -> None:
    """Serves one database after another until standard input closes."""
    backend, memory = arguments[0], int(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is our owner's business, who closes our input then
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    open_database = runpy.run_path(backend)["prepare_backend"](*arguments[2:])
    with os.fdopen(os.dup(0), "rb") as orders, os.fdopen(os.dup(1), "wb") as replies:
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):  # no engine writes into our answers
            os.dup2(null, number)
        _lock_up(memory)
        _serve(open_database, orders, replies)


if __name__ == "__main__":
    main(sys.argv[1:])
