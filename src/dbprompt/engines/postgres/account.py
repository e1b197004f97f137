"""Which operating-system account runs PostgreSQL, and which directories it can reach.

PostgreSQL refuses to run as root. When we are root, the postmaster runs as `nobody`; no account is ever created.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dbprompt.errors import EngineUnavailableError

__all__ = ["RUNTIME_VARIABLE", "Account", "cache_directory", "runtime_base"]

RUNTIME_VARIABLE = "DBPROMPT_RUNTIME_DIR"
_MEMORY_FILE_SYSTEM = Path("/dev/shm")  # noqa: S108  (a directory of our own is made in it, with mkdtemp)
_ROOM = 1 << 30
_LONGEST_BASE = 60  # a unix socket path may have 107 bytes, 103 on macOS


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group that the postmaster runs as."""

    name: str
    uid: int
    gid: int

    @classmethod
    def choose(cls) -> Account:
        """Ourselves, or `nobody` when we are root."""
        if os.getuid() != 0:
            return cls(str(os.getuid()), os.getuid(), os.getgid())
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError as error:
            raise EngineUnavailableError(
                "PostgreSQL does not run as root, and there is no account `nobody` to run it as: use another account."
            ) from error
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    @property
    def is_us(self) -> bool:
        """Whether no change of user is needed."""
        return self.uid == os.getuid()

    def reaches(self, directory: Path) -> bool:
        """Whether this account may enter a directory and everything above it."""
        if self.is_us:
            return True
        resolved = directory.resolve()
        return all(path.stat().st_mode & stat.S_IXOTH for path in (resolved, *resolved.parents))

    def take(self, path: Path) -> None:
        """Gives one path to this account."""
        if not self.is_us:
            os.chown(path, self.uid, self.gid)


def runtime_base(account: Account) -> Path:
    """Where servers live while they run: memory if there is room for them, else the temporary directory."""
    given = os.environ.get(RUNTIME_VARIABLE)
    choices = [Path(given)] if given else [_MEMORY_FILE_SYSTEM, Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108
    for path in choices:
        if not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
            continue
        if path == _MEMORY_FILE_SYSTEM and shutil.disk_usage(path).free < _ROOM:
            continue
        if account.reaches(path) and len(str(path)) <= _LONGEST_BASE:
            return path
    raise EngineUnavailableError(
        f"No directory for a temporary PostgreSQL among {', '.join(map(str, choices))}: it has to be writable, at most "
        f"{_LONGEST_BASE} characters long, and open to account {account.name}. Name one in {RUNTIME_VARIABLE}."
    )


def cache_directory() -> Path:
    """Where prepared data directories are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    for path in (base / "dbprompt", Path(tempfile.gettempdir()) / f"dbprompt-cache-{os.getuid()}"):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if path.stat().st_uid == os.getuid() and os.access(path, os.W_OK | os.X_OK):
            return path
    raise EngineUnavailableError(f"No cache directory: {base} is not writable. Name a writable one in XDG_CACHE_HOME.")
