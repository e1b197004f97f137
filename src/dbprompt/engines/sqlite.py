"""SQLite as an engine: the one in Python's standard library, in a process of its own.

It opens no file (in memory, an authorizer, no right to write), has no network and loads no extension.
"""

from __future__ import annotations

import sys
from functools import cache

from dbprompt.engines.base_cell import CellEngine, cell_path
from dbprompt.errors import EngineUnavailableError

__all__ = ["engine"]

_MEMORY_BYTES = 512 << 20


@cache
def engine() -> CellEngine:
    """SQLite.

    Raises:
        EngineUnavailableError: this Python was built without it, or the system cannot hold it.
    """
    if sys.platform == "win32":
        raise EngineUnavailableError("The SQLite sandbox needs a POSIX system: use WSL or a container.")
    try:
        import sqlite3
    except ImportError as error:
        raise EngineUnavailableError("This Python was built without SQLite: install one that has it.") from error
    return CellEngine("sqlite", sqlite3.sqlite_version, [str(cell_path("sqlite_cell.py")), str(_MEMORY_BYTES)])
