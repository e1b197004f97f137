"""A program directory that the server's account may enter."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from dbprompt.engines.postgres.account import Account
from dbprompt.engines.postgres.binaries import Installation
from dbprompt.errors import EngineError, EngineUnavailableError

__all__ = ["environment", "reachable"]


def environment() -> dict[str, str]:
    """The environment of every PostgreSQL program: nothing of ours but the library path."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **kept}


def reachable(installation: Installation, account: Account) -> Path:
    """The installation's own directory, or that of a copy.

    A virtual environment in root's home is closed to `nobody`: its programs are copied once to a public place.
    """
    if account.reaches(installation.bindir):
        return installation.bindir
    root = installation.bindir.resolve().parent
    key = hashlib.sha256(f"{root} {root.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    home = _public_directory(account) / f"dbprompt-programs-{installation.version}-{key}"
    if not home.is_dir():
        _copy(root, home)
    if home.stat().st_uid != os.getuid():
        raise EngineError(f"{home} belongs to somebody else: remove it, or set TMPDIR to a directory of your own.")
    return home / root.parent.name / root.name / installation.bindir.name


def _public_directory(account: Account) -> Path:
    for path in (Path("/var/tmp"), Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  (checked, and owned by us)
        if path.is_dir() and os.access(path, os.W_OK) and account.reaches(path):
            return path
    raise EngineUnavailableError(
        f"Account {account.name} can enter no temporary directory to run PostgreSQL from: use an account other than "
        "root, or a virtual environment outside root's home."
    )


def _copy(root: Path, home: Path) -> None:
    """Copies a program tree, and the libraries that a wheel keeps beside its package, all or nothing."""
    staging = Path(tempfile.mkdtemp(prefix="dbprompt-programs-", dir=home.parent))
    try:
        staging.chmod(0o755)
        package = root.parent
        shutil.copytree(root, staging / package.name / root.name, symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, staging / libraries.name, symlinks=True)
        staging.rename(home)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        if not home.is_dir():  # else another process was faster
            raise EngineError(f"The PostgreSQL programs could not be copied to {home}: {error}") from error
