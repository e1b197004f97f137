"""One running postmaster: started from the template, watched by a guardian, gone when we are gone."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dbprompt.engines.postgres import guardian, run_directory, template
from dbprompt.engines.postgres.account import Account, runtime_base
from dbprompt.engines.postgres.binaries import Installation
from dbprompt.engines.postgres.homes import Ask, Home, Homes
from dbprompt.engines.postgres.programs import environment, reachable
from dbprompt.errors import EngineError

if TYPE_CHECKING:
    from dbprompt.engines.postgres.wire import Wire

__all__ = ["Server"]

_MEMORY_BYTES = 640 << 20  # per process: enough for an index build, too little for a memory bomb
_FILE_BYTES = 192 << 20
_START_SECONDS = 30.0
_ADMIN_OPTIONS = (
    "search_path=pg_catalog",
    "statement_timeout=0",
    "lock_timeout=0",
    "local_preload_libraries=",
    "default_transaction_read_only=off",
    "standard_conforming_strings=on",
)
_STOP_SECONDS = 10.0


class Server:
    """A temporary PostgreSQL, ours alone.

    Args:
        installation: the programs it runs from.
        ahead: whether homes of sandboxes are made ahead.

    Attributes:
        installation: the programs it runs from.
        directory: its run directory; `data` and the socket lie in it.
        borrowed: whether it is in use by others.
    """

    borrowed = False

    def __init__(self, installation: Installation, *, ahead: bool = True) -> None:
        self.installation = installation
        self._homes = Homes(self, ahead=ahead)
        self._account = Account.choose()
        self._owner = os.getpid()
        self._names = itertools.count(1)
        self._lock = threading.RLock()
        self._admin: Wire | None = None
        base = runtime_base(self._account)
        run_directory.sweep(base)
        try:
            self._start(base)
        except EngineError:
            template.discard(installation, self._account)  # a broken template must not break every later start
            self._start(base)

    @property
    def alive(self) -> bool:
        """Whether the guardian, and so the postmaster, still runs."""
        return self._owner == os.getpid() and self._guardian.poll() is None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def new_name(self) -> str:
        """A name for a database and its role."""
        return f"dbprompt_{next(self._names)}"

    def make_ahead(self, statement_seconds: float) -> None:
        """Has the next sandbox's database made before it is asked for, where that is done here."""
        self._homes.make_ahead(statement_seconds)

    def take_home(self, statement_seconds: float) -> Home:
        """An empty database of its own for a sandbox."""
        return self._homes.take(statement_seconds)

    def discard_home(self, name: str, roles: Iterable[str]) -> None:
        """Throws a sandbox's database away, with the roles that it made."""
        self._homes.discard(name, roles)

    def create_home(self, name: str, ask: Ask) -> None:
        """A role that can do nothing by itself, and a database that it owns."""
        ask(f"CREATE ROLE {name} LOGIN")
        strategy = "STRATEGY file_copy" if self.installation.major >= 15 else ""
        ask(f"CREATE DATABASE {name} OWNER {name} TEMPLATE {template.PARENT} {strategy}")

    def disk_bytes(self, name: str) -> int:
        """How much room a database takes by now; the holes in files that were only made longer take none."""
        with contextlib.suppress(EngineError, OSError):  # a flooded lock table: the deadline comes soon
            found = self.administer("SELECT oid FROM pg_database WHERE datname = $1", name)
            folder = self.data / "base" / str(found[0][0]) if found else None
            return sum(entry.stat().st_blocks * 512 for entry in folder.iterdir()) if folder else 0
        return 0

    def connect(self, *, user: str, database: str, options: tuple[str, ...] = ()) -> Wire:
        """A new connection."""
        from dbprompt.engines.postgres.wire import Wire  # the driver: a server starts while it is loaded

        return Wire(str(self.directory), user=user, database=database, options=options)

    def connect_admin(self, database: str) -> Wire:
        """A superuser's connection, deaf to what a sandbox may have set for its database.

        It resolves names in `pg_catalog` only, so nothing planted there answers it.
        """
        return self.connect(user=template.ADMIN, database=database, options=_ADMIN_OPTIONS)

    def administer(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        """Runs a statement of our own outside every sandbox."""
        with self._lock:
            if self._admin is None or not self._admin.alive:
                self._admin = self.connect_patiently()
            return self._admin.ask(sql, *values)

    def check_setting(self, name: str, value: str) -> str:
        """What the server program says against a configuration setting; empty if it accepts it. Nothing is applied."""
        user, group = (None, None) if self._account.is_us else (self._account.uid, self._account.gid)
        asked = subprocess.run(
            [self._program("postgres"), "-D", str(self.data), "-C", name, "-c", f"{name}={value}"],
            env=environment(), cwd="/", user=user, group=group, extra_groups=None if user is None else [],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        if not asked.returncode:
            return ""
        complaint = next((line for line in asked.stderr.splitlines() if "FATAL:" in line or "ERROR:" in line), "")
        return complaint.partition(":  ")[2] or asked.stderr.strip() or "the server program refused it"

    def stop(self) -> None:
        """Stops the postmaster and removes everything of it."""
        if self._owner != os.getpid():
            return  # a forked child holds no server
        self._homes.stop()
        with self._lock:
            if self._admin is not None:
                self._admin.close()
                self._admin = None
        stdin = self._guardian.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.close()  # the guardian's signal to end it
        try:
            self._guardian.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        if self.directory.exists():  # the guardian was killed, and could not see to it
            run_directory.stop_postmaster(self.directory)
        run_directory.remove(self.directory)

    def _program(self, name: str) -> str:
        return str(reachable(self.installation, self._account) / name)

    def _start(self, base: Path) -> None:
        self.directory, lock = run_directory.create(base, self._account)
        try:
            template.copy_to(self.data, self.installation, self._account)
            self._guardian = self._spawn(lock)
        except BaseException:
            run_directory.remove(self.directory)
            raise
        finally:
            os.close(lock)  # the guardian holds it from here on
        try:
            self.administer("SELECT 1")
        except BaseException:
            self.stop()
            raise

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        command = [self._program("postgres"), "-D", str(self.data), "-k", str(self.directory)]
        order = [
            str(self.directory), str(self._account.uid), str(self._account.gid),
            str(_MEMORY_BYTES), str(_FILE_BYTES), str(os.getpid()), *command,
        ]  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, *order],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment(), pass_fds=(lock,), start_new_session=True,
        )  # fmt: skip

    def connect_patiently(self) -> Wire:
        """The superuser's connection; waits while the server starts, recovers, or is short of shared memory."""
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self.connect_admin("postgres")
            except EngineError as error:
                if self._guardian.poll() is not None or time.monotonic() > until:
                    raise EngineError(
                        f"The temporary PostgreSQL does not run: {self._last_words() or error}"
                    ) from error
            time.sleep(0.003)

    def _last_words(self) -> str:
        try:
            return (self.directory / "log").read_text(errors="replace").strip()[-800:]
        except OSError:
            return ""
