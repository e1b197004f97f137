"""DuckDB as an engine: in a process of its own, because nothing else ends a C++ engine safely.

It opens no file, has no network, loads no extension, and its configuration is locked.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from dbprompt.engines.base_cell import CellEngine, cell_path
from dbprompt.errors import EngineUnavailableError, MissingExtraError

__all__ = ["engine"]

_MEMORY_BYTES = 3 << 30  # address space; what it may really use is its own memory_limit


def engine() -> CellEngine:
    """DuckDB.

    Raises:
        EngineUnavailableError: the system cannot hold it.
        MissingExtraError: it is not installed.
    """
    if sys.platform == "win32":
        raise EngineUnavailableError("The DuckDB sandbox needs a POSIX system: use WSL or a container.")
    spec = find_spec("duckdb")  # found, not imported: only the cell loads it
    if spec is None or spec.origin is None:
        raise MissingExtraError("duckdb", "duckdb")
    return _engine(str(Path(spec.origin).parent.parent))


@cache
def _engine(packages: str) -> CellEngine:
    try:
        number = version("duckdb")
    except PackageNotFoundError as error:
        raise MissingExtraError("duckdb", "duckdb") from error
    command = [str(cell_path("duckdb_cell.py")), str(_MEMORY_BYTES), packages]
    return CellEngine("duckdb", number, command)
