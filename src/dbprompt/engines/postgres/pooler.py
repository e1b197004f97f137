"""PgBouncer's own program, if it is on this machine: whether it starts with a configuration.

It listens on a unix socket in a directory of its own that is gone afterwards, connects to nothing, and is stopped.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.account import Account, runtime_base
from dbprompt.engines.postgres.programs import environment

__all__ = ["PgBouncer", "pgbouncer"]

_START_SECONDS = 5.0
_STOP_SECONDS = 2.0
_MOST_LOG = 100_000
_READY = "process up:"


@dataclass(frozen=True, slots=True)
class PgBouncer:
    """The program and its version, `(1, 24, 1)`."""

    program: str
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        """For verdicts: `pgbouncer 1.24.1`."""
        return f"pgbouncer {'.'.join(map(str, self.version))}"

    def start(self, configuration: Callable[[Path], str], *, users: str = "") -> Outcome:
        """Starts it and stops it again as soon as it is up.

        Args:
            configuration: `pgbouncer.ini`, given the directory that its places have to lie in.
            users: `userlist.txt` in that directory.
        """
        account = Account.choose()
        directory = Path(tempfile.mkdtemp(prefix="dbprompt-pooler-", dir=runtime_base(account)))
        try:
            account.take(directory)
            file = directory / "pgbouncer.ini"
            file.write_text(configuration(directory), encoding="utf-8")
            (directory / "userlist.txt").write_text(users, encoding="utf-8")
            for path in directory.iterdir():
                account.take(path)
            return self._tried(file, account)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _tried(self, file: Path, account: Account) -> Outcome:
        user, group = (None, None) if account.is_us else (account.uid, account.gid)
        process = subprocess.Popen(
            [self.program, str(file)], env=environment(), cwd="/", user=user, group=group,
            extra_groups=None if user is None else [], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            log = _read(process, time.monotonic() + _START_SECONDS)
        finally:
            _stop(process)
        wrong = [line for line in log.splitlines() if re.search(r" (ERROR|FATAL|WARNING) ", line)]
        if _READY in log and not wrong:
            return Outcome(Answer.ACCEPTED, note="started on a unix socket and stopped")
        if _READY not in log and not wrong:
            return Outcome(Answer.UNDECIDED, message=f"it was not up within {_START_SECONDS:g} s")
        first = re.split(r" (?:ERROR|FATAL|WARNING) ", wrong[0], maxsplit=1)[1]
        return Outcome(Answer.REFUSED, condition="configuration", message=first.replace(str(file.parent), ""))


@cache
def pgbouncer() -> PgBouncer | None:
    """PgBouncer on this machine's path, or where packages put it; None if there is none."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    program = shutil.which("pgbouncer", path=path)
    if program is None:
        return None
    try:
        said = subprocess.run(
            [program, "--version"], env=environment(), capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"PgBouncer (\d+(?:\.\d+)+)", said.stdout)
    return PgBouncer(program, tuple(map(int, found[1].split(".")))) if found else None


def _read(process: subprocess.Popen[bytes], until: float) -> str:
    """What it says until it is up, ends, or the time is over."""
    stream = process.stderr
    log = b""
    while stream is not None and (left := until - time.monotonic()) > 0 and len(log) < _MOST_LOG:
        if not select.select([stream], [], [], left)[0]:
            break
        part = os.read(stream.fileno(), 4096)
        log += part
        if not part or _READY.encode() in log:
            break
    return log.decode(errors="replace")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
