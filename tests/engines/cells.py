"""What the attacks on both engines in cells share."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbprompt.engines.base import Answer, Limits, Outcome
from dbprompt.engines.base_cell import CellEngine
from dbprompt.ladder import verify

LIMITS = Limits(statement_seconds=0.8)
DEADLINE = 6.0
SECRET = "dbprompt-canary-text"


@contextmanager
def canary() -> Iterator[Path]:
    """A folder that everybody may write to, with a file that everybody may read."""
    folder = Path("/tmp") / f"dbprompt-cell-{os.getpid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "read.csv").write_text(f"a,b\n{SECRET},2\n")
    try:
        yield folder
    finally:
        left = [path for path in folder.iterdir() if path.name != "read.csv"]
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        assert left == []


def attack(engine: CellEngine, dialect: str, sql: str, folder: Path) -> tuple[Outcome, ...]:
    """What a script comes to, statement by statement; the next check has to work, and nothing may have leaked."""
    aimed = sql.replace("{folder}", str(folder))
    began = time.monotonic()
    evidence = verify(aimed, dialect=dialect, limits=LIMITS)
    with engine.sandbox(limits=LIMITS) as sandbox:
        outcomes = tuple(sandbox.run(piece) for piece in aimed.split(";;"))
    assert time.monotonic() - began < DEADLINE
    assert SECRET not in str(evidence) + str(outcomes)
    assert verify("CREATE TABLE t (id INTEGER PRIMARY KEY)", dialect=dialect).ok
    assert [path.name for path in folder.iterdir()] == ["read.csv"]
    assert outcomes[-1].answer is not Answer.ACCEPTED
    return outcomes


def children() -> list[int]:
    """Our processes that are cells of SQLite."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,command"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [int(row[0]) for row in rows if int(row[1]) == os.getpid() and "sqlite_cell.py" in row[2]]
