"""A server that is the user's own and in use: sandboxes are databases that we create on it, and drop.

Nothing there is proven as a superuser, no setting is tried and no untrusted extension is created: what needs that is
undecided. Time is bounded as everywhere; memory and disk are only as bounded as that server bounds them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path

from dbprompt.engines.postgres.binaries import Installation
from dbprompt.engines.postgres.homes import Home, drop_home
from dbprompt.engines.postgres.wire import Wire
from dbprompt.errors import EngineError, EngineUnavailableError

__all__ = ["BorrowedServer", "borrow"]

_ADMIN_OPTIONS = ("search_path=pg_catalog", "statement_timeout=0", "default_transaction_read_only=off")
_OLDEST = 14


def borrow(dsn: str) -> Installation:
    """The server behind a DSN.

    Raises:
        EngineError: it does not answer, is too old, or its role may not create what a sandbox needs.
    """
    wire = _connect(dsn)
    try:
        ((version, user, superuser, may_database, may_role),) = wire.ask(
            "SELECT split_part(current_setting('server_version'), ' ', 1), current_user, rolsuper, rolcreatedb, "
            "rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        wire.close()
    if superuser != "t" and not (may_database == may_role == "t"):
        raise EngineError(
            f"Role {user} of the given DSN may not create databases and roles, which a sandbox needs: "
            f"ALTER ROLE {user} CREATEDB CREATEROLE, or leave the DSN out to use a temporary server."
        )
    found = Installation(Path("dsn"), str(version), "dsn", dsn)
    if found.major < _OLDEST:
        raise EngineError(f"The server of the given DSN is PostgreSQL {version}; {_OLDEST} is the oldest.")
    return found


class BorrowedServer:
    """A server that was there before us and stays.

    Attributes:
        installation: its version and DSN.
        borrowed: that it is in use by others.
    """

    borrowed = True

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._owner = os.getpid()
        self._names = itertools.count(1)
        self._run = secrets.token_hex(3)
        self._passwords: dict[str, str] = {}
        self._lock = threading.RLock()
        self._admin: Wire | None = None
        self.administer("SELECT 1")

    @property
    def alive(self) -> bool:
        """Whether it can be used by this process."""
        return self._owner == os.getpid()

    @property
    def data(self) -> Path:
        """It has a data directory, which is none of our business."""
        raise EngineUnavailableError("This check needs a server of its own: leave the DSN out for it.")

    def new_name(self) -> str:
        """A name for a database and its role that no other process has."""
        return f"dbprompt_{self._run}_{next(self._names)}"

    def take_home(self, statement_seconds: float) -> Home:
        """A role that can do nothing by itself, and a database that it owns. None is made ahead on this server."""
        name = self.new_name()
        try:
            self._create_home(name)
        except BaseException:
            with contextlib.suppress(EngineError):
                self.discard_home(name, ())
            raise
        return Home(name)

    def discard_home(self, name: str, roles: Iterable[str]) -> None:
        """Throws a sandbox's database away, at once."""
        drop_home(self.administer, name, roles, lambda: self.alive)

    def _create_home(self, name: str) -> None:
        password = self._passwords[name] = secrets.token_hex(16)
        self.administer(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.administer(f"GRANT {name} TO CURRENT_USER")  # or we could not make it an owner
        self.administer(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'")
        self.administer(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")

    def connect(self, *, user: str, database: str, options: tuple[str, ...] = ()) -> Wire:
        """A new connection of a sandbox's role."""
        changes = {"user": user, "dbname": database, "password": self._passwords.get(user, "")}
        return _connect(self.installation.dsn, changes, options)

    def connect_admin(self, database: str) -> Wire:
        """A new connection of the DSN's own role, which resolves names in `pg_catalog` only."""
        return _connect(self.installation.dsn, {"dbname": database}, _ADMIN_OPTIONS)

    def administer(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        """Runs a statement of our own outside every sandbox."""
        with self._lock:
            if self._admin is None or not self._admin.alive:
                self._admin = _connect(self.installation.dsn, {}, _ADMIN_OPTIONS)
            return self._admin.ask(sql, *values)

    def disk_bytes(self, name: str) -> int:
        """How large a database is by now."""
        with contextlib.suppress(EngineError):
            found = self.administer("SELECT pg_database_size(oid) FROM pg_database WHERE datname = $1", name)
            return int(found[0][0] or 0) if found else 0
        return 0

    def check_setting(self, name: str, value: str) -> str:
        """Never asked: no setting is tried on a server that is in use."""
        raise EngineError(f"{name} = {value} cannot be tried on a server that is in use.")

    def stop(self) -> None:
        """Leaves it."""
        if self._admin is not None and self._owner == os.getpid():
            self._admin.close()
        self._admin = None


def _connect(dsn: str, changes: dict[str, str] | None = None, options: tuple[str, ...] = ()) -> Wire:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        values = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    except ProgrammingError as error:
        raise EngineError(f"The given DSN cannot be read: {error}") from error
    values |= changes or {}
    user, database = values.pop("user", ""), values.pop("dbname", "")
    try:
        return Wire("", user=user, database=database, options=options, server=values)
    except EngineError as error:
        raise EngineError(f"The server of the given DSN does not let us in: {error}") from error
