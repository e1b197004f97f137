"""Where a sandbox lives: a database, the role that owns it, and a connection for each of its two sides.

Making one costs a quarter of what a small design takes, and throwing it away half as much. So both happen beside the
work: while one sandbox is in use the next home is made, and one that is done with is dropped in the background. A home
is never used twice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from dbprompt.engines.postgres.deadline import GONE_SECONDS
from dbprompt.errors import EngineError

if TYPE_CHECKING:
    from dbprompt.engines.postgres.server import Server
    from dbprompt.engines.postgres.wire import Wire

__all__ = ["Home", "Homes", "beside", "drop_home", "quoted", "session_options"]

_T = TypeVar("_T")

_LEAVING_SECONDS = 0.002  # what a backend takes to go
_PATIENCE_SECONDS = 30.0
_SWEEP = 200  # homes after which the traces of those that are gone make room in the server's own catalogues
_ONCE = 1  # sandboxes that a process uses before it is taken for one that uses many


class Ask(Protocol):
    """Runs a statement of our own as superuser, outside every sandbox."""

    def __call__(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        """Its rows."""


@dataclass(slots=True)
class Home:
    """A database and the role of the same name.

    Args:
        name: of both.
        wire: the role's connection; None until somebody makes one.
        admin: the superuser's connection to this database; None until somebody makes one.
        statement_seconds: what the role's connection is limited to.
    """

    name: str
    wire: Wire | None = None
    admin: Wire | None = None
    statement_seconds: float = 0.0

    def close(self) -> None:
        """Closes the connections."""
        for wire in (self.wire, self.admin):
            if wire is not None:
                wire.close()
        self.wire = self.admin = None

    def answers(self) -> bool:
        """Whether both connections still work: a neighbour may have crashed the server since they were made."""
        wires = [wire for wire in (self.wire, self.admin) if wire is not None]
        return all(wire.query("SELECT 1").ok for wire in wires)


class Homes:
    """The homes of one server of ours.

    Args:
        server: where they are.
        ahead: whether to make the next one while another is in use.
    """

    def __init__(self, server: Server, *, ahead: bool) -> None:
        self._server = server
        self._ahead = ahead
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._wire: Wire | None = None  # of its own: whoever has to end a statement must not wait for a CREATE DATABASE
        self._taken = self._dropped = 0
        self._next: Future[Home] | None = None
        self._leaving: list[Future[None]] = []

    def make_ahead(self, statement_seconds: float) -> None:
        """Has the next home made beside the caller's work, where homes are made ahead."""
        with self._lock:
            if self._ahead and self._next is None:
                self._next = beside(lambda: self._make(statement_seconds))

    def take(self, statement_seconds: float) -> Home:
        """An empty home.

        Raises:
            EngineError: none can be made, or an earlier one could not be thrown away.
        """
        with self._lock:
            ahead, self._next = self._next, None
            leaving, self._leaving = self._leaving, []
        for one in leaving:
            _result(one)
        home = (self._claim(ahead, statement_seconds) if ahead else None) or self._make(statement_seconds)
        with self._lock:
            self._taken += 1
            many = self._taken > _ONCE
        if many:
            self.make_ahead(statement_seconds)
        return home

    def discard(self, name: str, roles: Iterable[str]) -> None:
        """Throws a home away, with the roles that were made in it. Whether that worked shows at the next `take`."""
        also = tuple(roles)
        leaving = beside(lambda: self._drop(name, also))
        with self._lock:
            self._leaving.append(leaving)

    def stop(self) -> None:
        """Closes what is open; the server takes the databases with it."""
        with self._lock:
            ahead, self._next = self._next, None
            self._leaving = []
        if ahead is not None:
            ahead.add_done_callback(_close)
        if self._asking.acquire(timeout=0.1):  # else its thread finds the server gone, and ends by itself
            try:
                if self._wire is not None:
                    self._wire.close()
                    self._wire = None
            finally:
                self._asking.release()

    def _claim(self, ahead: Future[Home], statement_seconds: float) -> Home | None:
        """The home that was made ahead, if it is any good."""
        try:
            home = _result(ahead)
        except EngineError:
            return None
        if home.statement_seconds == statement_seconds and home.answers():
            return home
        home.close()
        self.discard(home.name, ())
        return None

    def _make(self, statement_seconds: float) -> Home:
        home = Home(self._server.new_name(), statement_seconds=statement_seconds)
        try:
            self._server.create_home(home.name, self._ask)
            options = session_options(statement_seconds)
            home.wire = self._server.connect(user=home.name, database=home.name, options=options)
            home.admin = self._server.connect_admin(home.name)
        except BaseException:
            home.close()
            with contextlib.suppress(EngineError):
                self._drop(home.name, ())
            raise
        return home

    def _drop(self, name: str, roles: tuple[str, ...]) -> None:
        drop_home(self._ask, name, roles, lambda: self._server.alive)
        self._dropped += 1
        if self._dropped % _SWEEP == 0:
            self._ask("VACUUM pg_database, pg_authid, pg_auth_members, pg_shdepend")

    def _ask(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        with self._asking:
            if self._wire is None or not self._wire.alive:
                self._wire = self._server.connect_patiently()
            return self._wire.ask(sql, *values)


def session_options(statement_seconds: float) -> tuple[str, ...]:
    """The settings that a role's session starts with."""
    return (f"statement_timeout={int(statement_seconds * 1000)}", "lock_timeout=2000")


def drop_home(ask: Ask, name: str, roles: Iterable[str], alive: Callable[[], bool]) -> None:
    """Throws a database, its role and its other roles away."""
    _wait_until_alone(ask, name, alive)
    try:
        ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    except EngineError:  # its owner may have declared it a template
        ask(f"ALTER DATABASE {name} IS_TEMPLATE false")
        ask(f"DROP DATABASE {name} WITH (FORCE)")
    for role in (*roles, name):
        ask(f"DROP ROLE IF EXISTS {quoted(role)}")


def quoted(name: str) -> str:
    """A name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def _wait_until_alone(ask: Ask, name: str, alive: Callable[[], bool]) -> None:
    """Waits for the backends to be gone: DROP DATABASE would sleep a tenth of a second for them.

    A sandbox that flooded the lock table makes even this question fail until its backend is gone.
    """
    until = time.monotonic() + GONE_SECONDS
    while time.monotonic() < until and alive():
        time.sleep(_LEAVING_SECONDS)
        with contextlib.suppress(EngineError):
            if not ask("SELECT 1 FROM pg_stat_activity WHERE datname = $1", name):
                return


def beside(work: Callable[[], _T]) -> Future[_T]:
    """Does something in a thread of its own."""
    future: Future[_T] = Future()
    thread = threading.Thread(target=_fulfil, args=(future, work), name="dbprompt-homes", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is on its way out
        _fulfil(future, work)
    return future


def _fulfil(future: Future[_T], work: Callable[[], _T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # whoever asks for the result has it
        future.set_exception(error)


def _result(future: Future[_T]) -> _T:
    try:
        return future.result(_PATIENCE_SECONDS)
    except TimeoutError as error:
        raise EngineError("The temporary PostgreSQL makes or drops no database any more.") from error


def _close(ahead: Future[Home]) -> None:
    if ahead.exception() is None:
        ahead.result().close()
