"""Watching a statement that cannot run inside a transaction, CREATE INDEX CONCURRENTLY among them.

Its locks are gone when it ends, so it is made to wait: a second connection holds every table against it, reads which
lock it asks for, then keeps no more than a writer's lock and looks whether it still waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.wire import Wire
from dbprompt.errors import EngineError

__all__ = ["Onlooker"]

_T = TypeVar("_T")
_PATIENCE_SECONDS = 0.4
_TICK_SECONDS = 0.001
_MOST_TABLES = 200
_LOCKS = """
SELECT locktype, relation, mode, granted FROM pg_locks
WHERE pid = $1::int AND (NOT granted OR (locktype = 'relation' AND relation >= 16384))
"""


class Onlooker:
    """Holds tables while a statement runs, and reads what it asks for.

    Args:
        sandbox: where the statement runs.
        tables: their numbers.

    Attributes:
        modes: names of the locks that it held or asked for, by relation.
        waited_for_writer: it waited for a transaction that held nothing but a writer's lock.
    """

    def __init__(self, sandbox: PostgresSandbox, tables: Sequence[int]) -> None:
        self.modes: dict[int, set[str]] = {}
        self.waited_for_writer = False
        self._poller = sandbox.admin()
        self._holder: Wire = sandbox.server.connect_admin(sandbox.name)
        self._backend = str(sandbox.backend)
        self._names = self._qualified(tables[:_MOST_TABLES])
        self._done = threading.Event()

    def __enter__(self) -> Onlooker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.close()

    def watch(self, run: Callable[[], _T]) -> _T:
        """Runs the statement with its onlooker beside it."""
        holding = bool(self._names) and self._hold()
        thread = threading.Thread(target=self._look_on, args=(holding,), daemon=True)
        thread.start()
        try:
            return run()
        finally:
            self._done.set()
            thread.join()

    def _qualified(self, tables: Sequence[int]) -> tuple[str, ...]:
        found = self._poller.ask(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.oid = ANY ($1::oid[]) AND n.nspname NOT LIKE 'pg\\_%'",
            "{" + ",".join(map(str, tables)) + "}",
        )
        return tuple(str(row[0]) for row in found)

    def _hold(self) -> bool:
        names = ", ".join(self._names)
        writer, everybody = (
            f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE",
            f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE",
        )
        return all(self._holder.query(sql).ok for sql in ("BEGIN", writer, "SAVEPOINT only_writer", everybody))

    def _look_on(self, holding: bool) -> None:
        try:
            if holding:
                self._until_it_waits()
                self._holder.query("ROLLBACK TO only_writer")
                self.waited_for_writer = self._until_it_waits()
                self._holder.query("ROLLBACK")
            while not self._done.wait(_TICK_SECONDS):
                self._note()
        except EngineError:  # the statement took the server down with it; its own outcome says so
            return

    def _until_it_waits(self) -> bool:
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until and not self._done.is_set():
            if self._note():
                return True
            time.sleep(_TICK_SECONDS)
        return False

    def _note(self) -> bool:
        """Notes the locks of this moment; whether it waits for one."""
        waits = False
        for kind, relation, mode, granted in self._poller.ask(_LOCKS, self._backend):
            waits = waits or granted == "f"
            if kind == "relation":
                self.modes.setdefault(int(relation or 0), set()).add(str(mode))
        return waits
