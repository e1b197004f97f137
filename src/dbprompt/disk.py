"""Files that are there whole or not at all, and folders that one process writes to."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import IO

__all__ = ["sync_folder", "take_lock", "write_whole"]


def write_whole(file: Path, text: str | Iterable[str]) -> None:
    """Writes a file all or nothing; when this returns, it is on the disk. Its folder is made if it is not there.

    Raises:
        OSError: it cannot be written, or is no file, such as a pipe; what was there is as it was.
    """
    file = file.resolve()
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "is there and is no file")
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with fresh.open("x", encoding="utf-8", newline="\n") as out:
            out.writelines([text] if isinstance(text, str) else text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """What was made, renamed or taken away in a folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def take_lock(lock: IO[str]) -> str:
    """Takes a lock file for this process, or says who has it. The system frees the lock of a killed process."""
    import fcntl  # late: Windows has none

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        return lock.read().strip() or "another process"
    lock.truncate(0)
    lock.write(f"process {os.getpid()}\n")
    lock.flush()
    return ""
