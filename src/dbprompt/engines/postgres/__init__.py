"""PostgreSQL as an engine: embedded, from the system, or from a directory that the user names."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dbprompt.engines.base import Limits, Needs
from dbprompt.engines.postgres.binaries import Installation, installations, nearest
from dbprompt.errors import EngineError, EngineUnavailableError, MissingExtraError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dbprompt.engines.postgres.borrowed import BorrowedServer
    from dbprompt.engines.postgres.sandbox import PostgresSandbox
    from dbprompt.engines.postgres.server import Server

__all__ = ["DSN_VARIABLE", "PostgresEngine", "describe_servers", "installations"]

DSN_VARIABLE = "DBPROMPT_PG_DSN"


def describe_servers() -> list[str]:
    """The servers that sandboxes can run on here, best first, a line each; empty if there is none."""
    if sys.platform == "win32":
        return []
    return [f"{one.version} ({one.origin}, {one.bindir})" for one in installations()]


class PostgresEngine:
    """One version of PostgreSQL.

    A process has at most two servers of it: one that all sandboxes share, and one for sandboxes with roles of their
    own, which live there one at a time. Both start when they are first needed and stop with the process.
    """

    name = "postgresql"

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._servers: dict[bool, Server | BorrowedServer] = {}
        self._coming: Future[Server | BorrowedServer] | None = None
        self._starting = threading.Lock()
        self._roles_turn = threading.Lock()
        _engines.append(self)

    @classmethod
    def of(cls, major: int | None = None, bindir: Path | None = None) -> PostgresEngine:
        """The engine for a target major version: the same major if it is on this machine, else the best there is.

        A server that the user names in DBPROMPT_PG_DSN goes before all of them: it is used, or it is an error.

        Raises:
            EngineUnavailableError: there is no PostgreSQL here.
            MissingExtraError: the driver is not installed.
        """
        if sys.platform == "win32":
            raise EngineUnavailableError("The PostgreSQL sandbox needs a POSIX system: use WSL or a container.")
        if find_spec("psycopg") is None:
            raise MissingExtraError("psycopg", "postgres")
        dsn = os.environ.get(DSN_VARIABLE, "")
        installation = _borrowed(dsn) if dsn and bindir is None else nearest(major, bindir)
        with _choosing:
            for engine in _engines:
                if engine.installation == installation:
                    return engine
            return cls(installation)

    @property
    def version(self) -> str:
        """`18.6`."""
        return self.installation.version

    @contextmanager
    def sandbox(self, needs: Needs = Needs(), limits: Limits = Limits()) -> Iterator[PostgresSandbox]:  # noqa: B008
        """Lends out an empty database and throws it away afterwards."""
        if not needs.roles:
            yield from self._lend(needs, limits)
            return
        with self._roles_turn:
            yield from self._lend(needs, limits)

    def start(self, needs: Needs = Needs(), limits: Limits = Limits()) -> None:  # noqa: B008
        """Has the server of such a sandbox start beside the caller's work, if it does not run yet.

        Should that fail, whoever asks for the sandbox tries again and is told why.
        """
        from dbprompt.engines.postgres.homes import beside

        if needs.roles not in self._servers and (self._coming is None or self._coming.done()):
            self._coming = beside(lambda: self._server(needs, limits))

    def stop(self) -> None:
        """Stops the servers; the next sandbox starts new ones."""
        if self._coming is not None:
            self._coming.exception()  # waits until it runs, or does not
        with self._starting:
            for server in self._servers.values():
                server.stop()
            self._servers.clear()

    def _lend(self, needs: Needs, limits: Limits) -> Iterator[PostgresSandbox]:
        from dbprompt.engines.postgres.sandbox import PostgresSandbox

        server = self._server(needs, limits)
        try:
            sandbox = PostgresSandbox(server, limits, needs.extensions)
        except EngineError:  # a crash, or a lock table flooded by a neighbour: a new server has neither
            self._abandon(server)
            server = self._server(needs, limits)
            sandbox = PostgresSandbox(server, limits, needs.extensions)
        try:
            yield sandbox
        finally:
            try:
                sandbox.close()
            except EngineError:
                self._abandon(server)

    def _server(self, needs: Needs, limits: Limits) -> Server | BorrowedServer:
        with self._starting:
            server = self._servers.get(needs.roles)
            if server is None or not server.alive:
                if server is not None:
                    server.stop()
                server = self._servers[needs.roles] = self._new_server(needs, limits)
            return server

    def _new_server(self, needs: Needs, limits: Limits) -> Server | BorrowedServer:
        if self.installation.dsn:
            from dbprompt.engines.postgres.borrowed import BorrowedServer

            return BorrowedServer(self.installation)
        from dbprompt.engines.postgres.server import Server

        server = Server(self.installation, ahead=not needs.roles)
        server.make_ahead(limits.statement_seconds)
        return server

    def _abandon(self, server: Server | BorrowedServer) -> None:
        """Stops a server that a sandbox left in a state which cannot be cleaned."""
        with self._starting:
            for roles, known in tuple(self._servers.items()):
                if known is server:
                    del self._servers[roles]
        server.stop()


@cache
def _borrowed(dsn: str) -> Installation:
    """The user's own server, asked once."""
    from dbprompt.engines.postgres.borrowed import borrow

    return borrow(dsn)


_engines: list[PostgresEngine] = []
_choosing = threading.Lock()


def _stop_all() -> None:
    for engine in _engines:
        engine.stop()


def _forget_after_fork() -> None:
    """A forked child starts servers of its own; its parent's locks may be held by threads that it does not have."""
    global _choosing  # noqa: PLW0603
    _choosing = threading.Lock()
    _engines.clear()


atexit.register(_stop_all)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_after_fork)
