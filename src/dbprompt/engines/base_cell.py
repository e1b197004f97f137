"""An engine in a process of its own: started when needed, lent to one sandbox at a time, ended when it misbehaves.

An engine that lives inside its caller's process could take that process with it, and a C++ engine cannot be stopped
safely from a thread. So it lives in a cell (`cell.py`) that can be killed.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from dbprompt.engines.base import Answer, Limits, Needs, Outcome
from dbprompt.errors import EngineError
from dbprompt.messages import Json

__all__ = ["CellEngine", "CellSandbox", "Remark", "cell_path"]

_Reply: TypeAlias = dict[str, Json]

_START_SECONDS = 30.0
_GRACE_SECONDS = 2.5  # the cell's own timer comes first
_LONGEST_REPLY = 16 << 20
_USES = 200  # sandboxes that one cell serves: then a new one has fresh memory
_IDLE = 2


def cell_path(name: str) -> Path:
    """Where the script of a cell lies."""
    return Path(__file__).with_name(name)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the engine accepted, and that will fail when it is used.

    Args:
        kind: what it is about: table, view or trigger.
        name: its name.
        table: the table it belongs to.
        problem: what is wrong, in the engine's words or ours.
    """

    kind: str
    name: str
    table: str
    problem: str


class _CellEndedError(Exception):
    """The process of a cell is gone."""


class _Cell:
    """One process."""

    def __init__(self, command: Sequence[str]) -> None:
        self.uses = 0
        self._buffer = b""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-W", "ignore", str(cell_path("cell.py")), *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TZ": "UTC"}, cwd="/",
        )  # fmt: skip

    def ask(self, do: str, seconds: float, **order: Json) -> _Reply:
        """Sends one order and waits for its answer, at most a little longer than the cell's own deadline."""
        line = json.dumps({"do": do, "seconds": seconds, **order}).encode() + b"\n"
        assert self._process.stdin is not None  # noqa: S101  (it is a pipe)
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError as error:
            raise _CellEndedError from error
        answer = json.loads(self._read_line(time.monotonic() + seconds + _GRACE_SECONDS))
        if not isinstance(answer, dict):
            raise _CellEndedError
        return answer

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _read_line(self, until: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101  (it is a pipe)
        number = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([number], [], [], left)[0]:
                raise _CellEndedError
            piece = os.read(number, 1 << 16)
            if not piece or len(self._buffer) > _LONGEST_REPLY:
                raise _CellEndedError
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


class CellSandbox:
    """One throw-away database in a cell. Create it with the engine's `sandbox`.

    Attributes:
        label: the engine and its version, for verdicts.
        limits: what its statements may use.
        ended: why the cell is gone; empty while it lives.
    """

    def __init__(self, cell: _Cell, label: str, limits: Limits) -> None:
        self.label = label
        self.limits = limits
        self.ended = ""
        self._cell = cell
        self._began = time.monotonic()
        cell.ask("open", _START_SECONDS, disk_bytes=limits.disk_bytes)

    def run(self, sql: str) -> Outcome:
        """Runs one statement."""
        return self._attempt("run", sql)

    def prepare(self, sql: str, parameter_types: Sequence[str] = ()) -> Outcome:
        """Has the engine resolve every name of one statement, without running it. It infers the parameters' types."""
        return self._attempt("prepare", sql)

    def split(self, sql: str) -> tuple[str, ...]:
        """The statements of a script as the engine itself cuts them; none if it refuses the script."""
        pieces = self._ask("split", sql=sql).get("pieces", []) if not self.ended else []
        return tuple(map(str, pieces)) if isinstance(pieces, list) else ()

    def inspect(self) -> tuple[Remark, ...]:
        """What the engine accepted, and what will fail when it is used."""
        found = self._ask("inspect").get("found", []) if not self.ended else []
        return tuple(
            Remark(str(one["kind"]), str(one["name"]), str(one["table"]), str(one["problem"]))
            for one in (found if isinstance(found, list) else [])
            if isinstance(one, dict)
        )

    def close(self) -> bool:
        """Throws the database away; whether the cell can serve another."""
        if not self.ended:
            self._ask("close")
        return not self.ended

    def _attempt(self, do: str, sql: str) -> Outcome:
        if self.ended:
            return Outcome(Answer.UNDECIDED, message=f"not tried: {self.ended}")
        if time.monotonic() - self._began > self.limits.total_seconds:
            message = f"not tried: the {self.limits.total_seconds:g} s for all statements are used up"
            return Outcome(Answer.UNDECIDED, message=message)
        began = time.monotonic()
        reply = self._ask(do, sql=sql)
        if self.ended:
            message = f"it did not end within {self.limits.statement_seconds:g} s, or ended its engine: it was stopped"
            return Outcome(Answer.UNDECIDED, condition="stopped", message=message)
        return _outcome(reply, time.monotonic() - began)

    def _ask(self, do: str, **order: Json) -> _Reply:
        try:
            return self._cell.ask(do, self.limits.statement_seconds, **order)
        except (_CellEndedError, json.JSONDecodeError):
            self.ended = "an earlier statement ended the engine"
            return {}


class CellEngine:
    """An engine whose sandboxes live in cells. At most a few idle cells are kept; all end with the process.

    Attributes:
        name: `sqlite`.
        version: `3.40.1`.
    """

    def __init__(self, name: str, version: str, command: Sequence[str]) -> None:
        self.name = name
        self.version = version
        self._command = tuple(command)
        self._idle: list[_Cell] = []
        self._lock = threading.Lock()
        _engines.append(self)

    @property
    def label(self) -> str:
        """The engine and its version, for verdicts."""
        return f"{self.name} {self.version}"

    @contextmanager
    def sandbox(self, needs: Needs = Needs(), limits: Limits = Limits()) -> Iterator[CellSandbox]:  # noqa: B008
        """Lends out an empty database and throws it away afterwards. Extensions and roles are not to be had here."""
        cell = self._take()
        try:
            sandbox = CellSandbox(cell, self.label, limits)
        except _CellEndedError:  # an idle cell may have been killed meanwhile
            cell.stop()
            cell = _Cell(self._command)
            try:
                sandbox = CellSandbox(cell, self.label, limits)
            except _CellEndedError as error:
                cell.stop()
                raise EngineError(f"The process for {self.label} does not start.") from error
        reusable = False
        try:
            yield sandbox
            reusable = sandbox.close()
        finally:
            self._give_back(cell, reusable=reusable)

    def stop(self) -> None:
        """Ends the idle cells; the next sandbox starts new ones."""
        with self._lock:
            cells, self._idle = self._idle, []
        for cell in cells:
            cell.stop()

    def forget(self) -> None:
        """Leaves the cells to the process that started them."""
        self._idle = []
        self._lock = threading.Lock()

    def _take(self) -> _Cell:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Cell(self._command)

    def _give_back(self, cell: _Cell, *, reusable: bool) -> None:
        cell.uses += 1
        with self._lock:
            if reusable and cell.uses < _USES and len(self._idle) < _IDLE:
                self._idle.append(cell)
                return
        cell.stop()


_engines: list[CellEngine] = []


def _stop_all() -> None:
    for engine in _engines:
        engine.stop()


def _forget_after_fork() -> None:
    for engine in _engines:
        engine.forget()


atexit.register(_stop_all)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_after_fork)


def _outcome(reply: _Reply, seconds: float) -> Outcome:
    closed, lacking, ignored = (str(reply.get(key) or "") for key in ("closed", "lacking", "unknown_pragma"))
    note = str(reply.get("note") or "")
    if ignored:
        note = f"there is no pragma {ignored}: it does nothing"
    position = reply.get("position")
    return Outcome(
        Answer(str(reply.get("answer"))),
        code=lacking,
        condition="closed" if closed else "lacking" if lacking else str(reply.get("condition") or ""),
        message=str(reply.get("message") or ""),
        position=position if isinstance(position, int) else 0,
        seconds=seconds,
        note=note,
    )
