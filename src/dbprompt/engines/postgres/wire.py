"""One connection, driven by hand: every wait has an end, no reply fills our memory, and COPY is answered."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from psycopg import errors, pq

from dbprompt.errors import EngineError

__all__ = ["Reply", "Watch", "Wire", "condition_name"]

Watch: TypeAlias = Callable[[float], None]

_PIECE = 200
_TICK_SECONDS = 0.2
_NOTHING = object()
_FIELDS = pq.DiagnosticField


@dataclass(slots=True)
class Reply:
    """What the server said to one message."""

    rows: list[tuple[str | None, ...]] = field(default_factory=list)
    command: str = ""
    code: str = ""
    message: str = ""
    detail: str = ""
    hint: str = ""
    position: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there was no error."""
        return not self.code


class Wire:
    """One connection to one database.

    Args:
        socket_directory: where the server listens.
        user: the role.
        database: the database.
        options: settings for the session, as `name=value`.
        server: how else to reach it, as libpq's parameters.
    """

    def __init__(
        self,
        socket_directory: str,
        *,
        user: str,
        database: str,
        options: Sequence[str] = (),
        server: Mapping[str, str] | None = None,
    ) -> None:
        flags = " ".join(f"-c {option}" for option in options)
        values = {
            **(server or {"host": socket_directory}),
            "user": user,
            "dbname": database,
            "client_encoding": "UTF8",
            "connect_timeout": "5",
            "application_name": "dbprompt",
            "options": flags,
        }
        conninfo = " ".join(f"{key}='{_escaped(value)}'" for key, value in values.items() if value)
        self._connection = pq.PGconn.connect(conninfo.encode())
        if self._connection.status != pq.ConnStatus.OK:
            message = self._connection.get_error_message().strip()
            self._connection.finish()
            raise EngineError(f"No connection to the temporary PostgreSQL: {message}")
        self.pid = self._connection.backend_pid
        self.meanwhile: Iterator[None] | None = None  # taken a step further whenever we would wait
        self._watched = 0.0
        self._poll = select.poll()
        self._poll.register(self._connection.socket, select.POLLIN)

    @property
    def alive(self) -> bool:
        """Whether the connection still stands."""
        return self._connection.status == pq.ConnStatus.OK

    @property
    def busy(self) -> bool:
        """Whether a statement is still running."""
        return self._connection.transaction_status == pq.TransactionStatus.ACTIVE

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        return self._connection.transaction_status not in {pq.TransactionStatus.IDLE, pq.TransactionStatus.UNKNOWN}

    @property
    def failed_transaction(self) -> bool:
        """Whether a statement of the open transaction block failed, so that only its end is accepted."""
        return self._connection.transaction_status == pq.TransactionStatus.INERROR

    def close(self) -> None:
        """Closes the connection."""
        self._connection.finish()

    def query(self, sql: str, *, watch: Watch | None = None, keep: bool = False) -> Reply:
        """Sends one statement. `watch` is called while it runs, with the seconds so far; `keep` keeps its rows.

        It goes by the extended protocol, under which the server itself refuses text that holds a second statement.
        """
        self._connection.send_query_params(sql.encode(), None)
        if not keep:
            self._in_pieces()
        return self._collect(watch, keep=keep)

    def ask(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        """The rows of a query of our own, with `$1` parameters as text."""
        self._connection.send_query_params(sql.encode(), [value.encode() for value in values])
        reply = self._collect(None, keep=True)
        if reply.code:
            raise EngineError(f"The temporary PostgreSQL failed at our own query: {reply.message}")
        return reply.rows

    def parse(self, sql: str, types: Sequence[int], *, watch: Watch | None = None) -> Reply:
        """Has one statement parsed and analysed under the given parameter types (0: to be inferred)."""
        self._connection.send_prepare(b"", sql.encode(), list(types))
        return self._collect(watch)

    def _in_pieces(self) -> None:
        """Has rows delivered piece by piece, so that a large answer is never held in memory."""
        if pq.version() >= 170000:
            self._connection.set_chunked_rows_mode(_PIECE)
        else:
            self._connection.set_single_row_mode()

    def _collect(self, watch: Watch | None, *, keep: bool = False) -> Reply:
        connection, reply, began = self._connection, Reply(), time.monotonic()
        while (result := self._next_result(watch, began)) is not None:
            match result.status:
                case pq.ExecStatus.TUPLES_OK if keep:
                    reply.rows.extend(_rows(result))
                case pq.ExecStatus.COPY_OUT:
                    self._drain_copy(watch, began)
                case pq.ExecStatus.COPY_IN:
                    connection.put_copy_end()
                case pq.ExecStatus.COMMAND_OK:
                    reply.command = (result.command_status or b"").decode(errors="replace")
                case pq.ExecStatus.FATAL_ERROR:
                    _note_error(result, reply)
            if connection.status != pq.ConnStatus.OK:
                break
        if not self.alive and reply.ok:
            reply.code, reply.message = "08006", "the connection was lost"
        reply.seconds = time.monotonic() - began
        return reply

    def _next_result(self, watch: Watch | None, began: float) -> pq.abc.PGresult | None:
        self._tick(watch, began)
        while self._connection.is_busy():
            self._wait(watch, began)
        return self._connection.get_result()

    def _drain_copy(self, watch: Watch | None, began: float) -> None:
        while (size := self._connection.get_copy_data(1)[0]) >= 0:
            if size == 0:
                self._wait(watch, began)

    def _wait(self, watch: Watch | None, began: float) -> None:
        self._tick(watch, began)
        while self.meanwhile is not None and not self._poll.poll(0):
            if next(self.meanwhile, _NOTHING) is _NOTHING:
                self.meanwhile = None
            self._tick(watch, began)
        if self._poll.poll(_TICK_SECONDS * 1000):
            with contextlib.suppress(errors.OperationalError):  # the server hung up: the next result says why
                self._connection.consume_input()

    def _tick(self, watch: Watch | None, began: float) -> None:
        now = time.monotonic()
        if watch is not None and now - max(began, self._watched) > _TICK_SECONDS:
            self._watched = now
            watch(now - began)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def condition_name(code: str) -> str:
    """The name of an SQLSTATE, `undefined_column`; the code itself if it has none."""
    try:
        name = errors.lookup(code).__name__
    except KeyError:
        return code
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return words.strip("_")


def _rows(result: pq.abc.PGresult) -> list[tuple[str | None, ...]]:
    columns = range(result.nfields)
    return [
        tuple(None if (value := result.get_value(row, column)) is None else value.decode() for column in columns)
        for row in range(result.ntuples)
    ]


def _note_error(result: pq.abc.PGresult, reply: Reply) -> None:
    def text(which: pq.DiagnosticField) -> str:
        return (result.error_field(which) or b"").decode(errors="replace")

    reply.code = text(_FIELDS.SQLSTATE) or "08006"
    reply.message = text(_FIELDS.MESSAGE_PRIMARY) or "the connection was lost"
    reply.detail = text(_FIELDS.MESSAGE_DETAIL)
    reply.hint = text(_FIELDS.MESSAGE_HINT)
    reply.position = int(text(_FIELDS.STATEMENT_POSITION) or 0)
