"""DuckDB inside its cell: in memory, no file, no network, no extension, a configuration that is locked.

Loaded by `cell.py` with the directory of the duckdb package as its argument.
"""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Protocol, TypeAlias

Answer: TypeAlias = dict[str, object]


class Statement(Protocol):
    """One statement as DuckDB's parser sees it."""

    query: str
    type: object


class Connection(Protocol):
    """The part of a DuckDB connection that is used here."""

    description: object

    def execute(self, sql: str, parameters: Sequence[object] = ...) -> Connection:
        """Runs statements."""
        ...

    def extract_statements(self, sql: str) -> list[Statement]:
        """Parses a script."""
        ...

    def fetchmany(self, size: int) -> list[tuple[object, ...]]:
        """The next rows."""
        ...

    def fetchone(self) -> object:
        """The next row."""
        ...

    def interrupt(self) -> None:
        """Stops what runs."""
        ...

    def close(self) -> None:
        """Closes it."""
        ...


_CLOSED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "max_temp_directory_size": "0KB",
    "threads": "1",
}
_CONDITIONS = {
    "ParserException": "syntax_error",
    "SyntaxException": "syntax_error",
    "BinderException": "binder_error",
    "ConversionException": "invalid_value",
    "ConstraintException": "constraint_violation",
    "NotImplementedException": "feature_not_supported",
    "OutOfRangeException": "out_of_range",
    "InvalidInputException": "invalid_input",
    "DependencyException": "dependent_objects",
    "TransactionException": "transaction_error",
}
_UNDECIDED = {
    "PermissionException", "IOException", "HTTPException", "OutOfMemoryException", "InterruptException",
    "InternalException", "FatalException", "ConnectionException",
}  # fmt: skip
_FILE = re.compile(r"Table with name (\S*/\S*|\S+\.(?:csv|tsv|parquet|json|jsonl|ndjson|arrow|xlsx|db|duckdb)\S*) does")
_SETTING = re.compile(r"\s*(?:SET|RESET)\s+(?:(?:GLOBAL|SESSION|LOCAL)\s+)?(?!VARIABLE\b)\"?(\w+)\"?", re.IGNORECASE)
_REACHING = re.compile(r"directory|path|proxy|secret|extension|external|profil|log|lock", re.IGNORECASE)
_NOT_HERE = re.compile(r"exists in the (\w+) extension|[Rr]equires the extension (\w+)|extension \"?(\w+)\"? is not")


def prepare_backend(packages: str) -> Callable[[int], Database]:
    """Loads the package while its files may still be read."""
    sys.path.insert(0, packages)
    module = importlib.import_module("duckdb")
    module.connect(":memory:").close()
    return lambda disk_bytes: Database(module, disk_bytes)  # called by keyword


class Database:
    """One database in memory."""

    def __init__(self, module: ModuleType, disk_bytes: int) -> None:
        self._module = module
        self._memory = f"{max(64, disk_bytes >> 20)}MB"
        self._connection = self._connect()
        self._connection.execute("SET lock_configuration = true")

    def split(self, sql: str, seconds: float) -> Answer:
        """The statements of a script as DuckDB's own parser cuts them; none if it refuses the script."""
        try:
            statements = self._connection.extract_statements(sql)
        except self._module.Error:
            return {"answer": "refused", "pieces": []}
        return {"answer": "accepted", "pieces": [statement.query for statement in statements]}

    def run(self, sql: str, seconds: float) -> Answer:
        """Runs one statement; a setting is tried on another database, a statement with parameters is prepared."""
        return self._guarded(sql, seconds, self._work)

    def prepare(self, sql: str, seconds: float) -> Answer:
        """Has DuckDB resolve every name and type of one statement."""
        return self._guarded(sql, seconds, self._prepare)

    def inspect(self, seconds: float) -> Answer:
        """What only comes out at the first use: views over names that are gone."""
        found = []
        views = "SELECT view_name FROM duckdb_views() WHERE NOT internal LIMIT 200"
        for name in [str(row[0]).replace('"', '""') for row in self._connection.execute(views).fetchmany(200)]:
            try:
                self._connection.execute(f'EXPLAIN SELECT * FROM "{name}"')
            except self._module.Error as error:
                problem = _judge(error, late=False, writes=False)
                if problem["answer"] == "refused":
                    found.append({"kind": "view", "name": name, "table": name, "problem": str(problem["message"])})
        return {"answer": "accepted", "found": found}

    def close(self) -> None:
        """Throws the database away."""
        self._connection.close()

    def _connect(self) -> Connection:
        connection: Connection = self._module.connect(":memory:", config={**_CLOSED, "memory_limit": self._memory})
        return connection

    def _guarded(self, sql: str, seconds: float, work: Callable[[str, Statement], str]) -> Answer:
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._connection.interrupt()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            statements = self._connection.extract_statements(sql)
            if len(statements) != 1:
                return _refusal("many_statements", f"it holds {len(statements)} statements where one is expected")
            return {"answer": "accepted", "note": work(sql, statements[0])}
        except _Doubt as doubt:
            return {"answer": "undecided", "message": str(doubt), "lacking": doubt.lacking, "closed": doubt.closed}
        except self._module.Error as error:
            return _judge(
                error, late=late.is_set(), writes=re.match(r"(?i)\s*COPY\b.*\bTO\b", sql, re.DOTALL) is not None
            )
        except RuntimeError as error:
            return {"answer": "undecided", "message": f"DuckDB failed by itself: {error}"}
        finally:
            timer.cancel()

    def _work(self, sql: str, statement: Statement) -> str:
        kind = str(statement.type).rpartition(".")[2]
        if kind == "LOAD":
            name = re.sub(r"(?i)^\s*(?:FORCE\s+)?(?:INSTALL|LOAD)\s+", "", sql).strip("'\"; \n").partition(" ")[0]
            if name.isidentifier() and re.match(r"(?i)\s*LOAD\b", sql) and self._is_built_in(sql):
                return "built in: there was nothing to load"
            raise _Doubt(
                f"extension {name} is not let into the sandbox, so nothing that needs it could be checked", name
            )
        if kind in {"SET", "VARIABLE_SET"} and (setting := _SETTING.match(sql)):
            return self._try_setting(sql, setting.group(1).lower())
        if getattr(statement, "named_parameters", None):
            return self._prepare(sql, statement)
        result = self._connection.execute(sql)
        while result.description is not None and result.fetchmany(500):
            pass
        return ""

    def _prepare(self, sql: str, _statement: Statement) -> str:
        self._connection.execute(f"PREPARE dbprompt_prepared AS {sql}")
        self._connection.execute("DEALLOCATE dbprompt_prepared")
        return "prepared, not run"

    def _try_setting(self, sql: str, name: str) -> str:
        """The configuration is locked here; a database of its own, thrown away at once, says what it takes."""
        if _REACHING.search(name) and self._knows(name):
            raise _Doubt(f"not run: setting {name} is closed in the sandbox", closed=name)
        other = self._connect()
        try:
            other.execute(sql)
        finally:
            other.close()
        return "tried on an empty database, not applied"

    def _is_built_in(self, load: str) -> bool:
        """Whether an extension is part of DuckDB: every other one is refused, as this database is closed."""
        try:
            self._connection.execute(load)
        except self._module.Error:
            return False
        return True

    def _knows(self, name: str) -> bool:
        rows = self._connection.execute("SELECT 1 FROM duckdb_settings() WHERE name = ?", [name])
        return rows.fetchone() is not None


class _Doubt(Exception):
    """Nothing is known about the statement."""

    def __init__(self, message: str, lacking: str = "", closed: str = "") -> None:
        super().__init__(message)
        self.lacking = lacking
        self.closed = closed


def _judge(error: Exception, *, late: bool, writes: bool) -> Answer:
    kind, message = type(error).__name__, str(error).partition("\n\nLINE ")[0].replace("\n", " ").strip()
    if late or kind == "InterruptException":
        return {"answer": "undecided", "message": "it did not end in time: it was stopped"}
    extension = _NOT_HERE.search(message)
    if extension:
        name = next(filter(None, extension.groups()))
        return {"answer": "undecided", "lacking": name, "message": f"it needs extension {name}, which is not here"}
    if kind == "PermissionException" or _FILE.search(message):
        short = "not run: it reaches for a file or the network"
        if writes:
            short = "its source and format resolve; it writes a file, so it was not run"
        return {"answer": "undecided", "closed": "files and network", "message": short}
    if "configuration has been locked" in message:
        return {"answer": "undecided", "closed": "its configuration", "message": "not run: settings are closed here"}
    if kind in _UNDECIDED:
        return {"answer": "undecided", "message": message}
    return _refusal(_condition(kind, message), message)


def _condition(kind: str, message: str) -> str:
    if kind in {"CatalogException", "BinderException"}:
        for words, condition in (
            (r"Table with name|Referenced table", "undefined_table"),
            (r"[Rr]eferenced column|does not have a column|column named", "undefined_column"),
            (r"Function with name|No function matches", "undefined_function"),
            (r"unrecognized configuration parameter|with name .* does not exist", "undefined_object"),
            (r"already exists", "duplicate_object"),
            (r"must appear in the GROUP BY", "grouping_error"),
        ):
            if re.search(words, message):
                return condition
    return _CONDITIONS.get(kind, kind.removesuffix("Exception").lower() + "_error")


def _refusal(condition: str, message: str) -> Answer:
    return {"answer": "refused", "condition": condition, "message": message, "position": 0}
