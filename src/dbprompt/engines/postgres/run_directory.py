"""Run directories: one per server, locked while it lives, swept away once nobody holds the lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from dbprompt.engines.postgres.account import Account

__all__ = ["create", "remove", "stop_postmaster", "sweep"]

_PREFIX = "dbprompt-pg-"
_NEWBORN = "dbprompt-new-"  # not locked yet: whoever sweeps has to leave it alone
_LOCK = "lock"
_NEWBORN_SECONDS = 60.0


def create(base: Path, account: Account) -> tuple[Path, int]:
    """Makes a run directory, and the open lock that has to be held as long as it is in use."""
    newborn = Path(tempfile.mkdtemp(prefix=_NEWBORN, dir=base))
    path = newborn.with_name(_PREFIX + newborn.name.removeprefix(_NEWBORN))
    lock = os.open(newborn / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    account.take(newborn)
    newborn.rename(path)
    return path, lock


def remove(path: Path) -> None:
    """Removes a run directory."""
    shutil.rmtree(path, ignore_errors=True)


def sweep(base: Path) -> None:
    """Removes what dead processes left behind, and stops a postmaster that still runs in there."""
    for path in (*base.glob(f"{_PREFIX}*"), *base.glob(f"{_NEWBORN}*")):
        with contextlib.suppress(OSError):
            if _is_stale(path):
                stop_postmaster(path)
                remove(path)


def _is_stale(path: Path) -> bool:
    if os.getuid() not in {0, path.stat().st_uid}:
        return False
    if path.name.startswith(_NEWBORN):
        return time.time() - path.stat().st_mtime > _NEWBORN_SECONDS
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime > _NEWBORN_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def stop_postmaster(path: Path) -> None:
    """Ends the postmaster of a run directory, after making sure that the process is that one."""
    try:
        pid = int((path / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    asked = ["ps", "-ww", "-o", "command=", "-p", str(pid)]  # -ww: or the line ends at the width of a screen
    command = subprocess.run(asked, capture_output=True, text=True, check=False)
    if str(path) in command.stdout:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        for _ in range(200):
            if not (path / "data" / "postmaster.pid").exists():
                return
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
