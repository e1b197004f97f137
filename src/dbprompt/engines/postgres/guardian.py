"""The guardian: a tiny process between us and the postmaster, so that nothing outlives us.

It is run as a script with the standard library only. It starts the postmaster as an unprivileged user under resource
limits, holds the lock that says "this directory is in use", and waits. When its standard input closes or its parent
changes (we ended, or were killed), it stops the postmaster at once and removes the directory.
"""

# No imports beyond these: each costs start-up time, and the script has to run without dbprompt on its path.
import contextlib
import os
import resource
import select
import signal
import sys

_GRACE_SECONDS = 5.0
_TICK_SECONDS = 0.5


def _limit(which: int, value: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # macOS knows no limit on address space
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(which, (value, value))


def _become_postmaster(directory: str, uid: int, gid: int, memory: int, file_size: int, command: list[str]) -> None:
    """Replaces this (forked) process by the postmaster."""
    log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 256)
    os.umask(0o077)
    os.chdir(directory)
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_DFL)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_FSIZE, file_size)
    _limit(resource.RLIMIT_NOFILE, 512)
    os.execv(command[0], command)  # noqa: S606  (no shell is the point)


def _remove(path: str) -> None:
    for root, folders, files in os.walk(path, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(root, name))  # noqa: PTH108, PTH118  (pathlib costs start-up time)
        for name in folders:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(root, name))  # noqa: PTH106, PTH118
    with contextlib.suppress(OSError):
        os.rmdir(path)  # noqa: PTH106


def _wait_for_the_end(postmaster: int, parent: int) -> bool:
    """Returns when the owner is gone (True) or the postmaster is (False)."""
    while True:
        readable, _, _ = select.select([0], [], [], _TICK_SECONDS)
        if (readable and not os.read(0, 64)) or os.getppid() != parent:
            return True
        if os.waitpid(postmaster, os.WNOHANG)[0]:
            return False


def _stop(postmaster: int) -> None:
    waited = 0.0
    os.kill(postmaster, signal.SIGQUIT)  # immediate shutdown: the data is thrown away
    while not os.waitpid(postmaster, os.WNOHANG)[0]:
        select.select([], [], [], 0.01)
        waited += 0.01
        if waited > _GRACE_SECONDS:
            os.kill(postmaster, signal.SIGKILL)
            os.waitpid(postmaster, 0)
            return


def main(arguments: list[str]) -> None:
    """Guards one postmaster: `DIRECTORY UID GID MEMORY FILE_SIZE PARENT COMMAND...`."""
    directory = arguments[0]
    uid, gid, memory, file_size, parent = (int(value) for value in arguments[1:6])
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    postmaster = os.fork()
    if postmaster == 0:
        try:
            _become_postmaster(directory, uid, gid, memory, file_size, arguments[6:])
        finally:
            os._exit(127)
    if _wait_for_the_end(postmaster, parent):
        _stop(postmaster)
        _remove(directory)


if __name__ == "__main__":
    main(sys.argv[1:])
