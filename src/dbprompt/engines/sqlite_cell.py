"""SQLite inside its cell: in memory only, an authorizer on everything that reaches out, a handler that looks at the
clock, and limits on sizes. Loaded by `cell.py`; it knows the standard library and nothing else.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

Answer: TypeAlias = dict[str, object]
Row: TypeAlias = tuple[object, ...]

_STEPS = 2_000  # of SQLite's virtual machine, between two looks at the clock
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 64 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 5_000,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 5_000_000,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
    sqlite3.SQLITE_LIMIT_ATTACHED: 2,
}
# Settings that reach beyond the database, or that would take its limits away.
_CLOSED_PRAGMAS = {
    "activate_extensions", "data_store_directory", "hard_heap_limit", "key", "lock_proxy_file", "max_page_count",
    "mmap_size", "rekey", "soft_heap_limit", "temp_store", "temp_store_directory", "threads", "trusted_schema",
    "writable_schema", "cache_size", "page_size",
}  # fmt: skip
_CLOSED_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
_UNDECIDED = {
    "SQLITE_AUTH", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_INTERRUPT", "SQLITE_IOERR", "SQLITE_NOMEM",
    "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_TOOBIG",
}  # fmt: skip
_CONDITIONS = (
    (r"syntax error|unrecognized token|incomplete input", "syntax_error"),
    (r"no such table|no such view", "undefined_table"),
    (r"no such column|has no column named", "undefined_column"),
    (r"no such function|wrong number of arguments", "undefined_function"),
    (r"no such (index|trigger|collation|savepoint)|unknown database", "undefined_object"),
    (r"already exists", "duplicate_object"),
    (r"duplicate column name", "duplicate_column"),
    (r"ambiguous column", "ambiguous_column"),
    (r"constraint failed", "constraint_violation"),
    (r"misuse of (aggregate|window)|aggregate functions are not allowed", "grouping_error"),
)


def prepare_backend() -> type[Database]:
    """Nothing has to be loaded first: SQLite is in the standard library."""
    sqlite3.connect(":memory:").close()
    return Database


class Database:
    """One database in memory."""

    def __init__(self, disk_bytes: int) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
        for which, value in _LIMITS.items():
            self._connection.setlimit(which, value)
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.execute(f"PRAGMA max_page_count = {max(1_000, disk_bytes // 4096)}")
        self._pragmas = {row[0] for row in self._connection.execute("PRAGMA pragma_list")}
        self._until = 0.0
        self._denied = ""
        self._unknown_pragma = ""
        self._connection.set_authorizer(self._authorize)
        self._connection.set_progress_handler(self._is_late, _STEPS)

    def run(self, sql: str, seconds: float) -> Answer:
        """Runs one statement to its end; with parameters it is prepared only."""
        return self._guarded(sql, seconds, self._step_through)

    def prepare(self, sql: str, seconds: float) -> Answer:
        """Has SQLite compile one statement, with nothing bound to its parameters."""
        return self._guarded(sql, seconds, self._explain)

    def inspect(self, seconds: float) -> Answer:
        """What only comes out at the first use: views and triggers over missing names, keys to missing parents."""
        self._until = time.monotonic() + seconds
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA foreign_keys = OFF")  # or a broken key hides a broken trigger
        found: list[dict[str, str]] = []
        for kind, name, table in self._connection.execute(
            "SELECT type, name, tbl_name FROM sqlite_schema WHERE type IN ('table', 'view', 'trigger') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid LIMIT 500"
        ).fetchall():
            if kind == "view":
                problem = self._problem(f"EXPLAIN SELECT * FROM {_quoted(name)}")
                found += [{"kind": kind, "name": name, "table": table, "problem": problem}] if problem else []
            elif kind == "trigger":
                problem = self._trigger_problem(table)
                found += [{"kind": kind, "name": name, "table": table, "problem": problem}] if problem else []
            else:
                found += [
                    {"kind": kind, "name": name, "table": table, "problem": problem} for problem in self._parents(name)
                ]
        return {"answer": "accepted", "found": found}

    def close(self) -> None:
        """Throws the database away."""
        self._connection.close()

    def _guarded(self, sql: str, seconds: float, work: Callable[[str], str]) -> Answer:
        self._until = time.monotonic() + seconds
        self._denied = self._unknown_pragma = ""
        try:
            note = work(sql)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
            return self._judge(error, sql)
        return {"answer": "accepted", "note": note, "unknown_pragma": self._unknown_pragma}

    def _step_through(self, sql: str) -> str:
        try:
            cursor = self._connection.execute(sql)
        except sqlite3.ProgrammingError as error:
            if "binding" not in str(error).lower():
                raise
            return self._explain(sql)
        while cursor.fetchmany(500):
            pass
        return ""

    def _explain(self, sql: str) -> str:
        """SQLite says how many parameters it wants when it gets too few."""
        text = sql if re.match(r"\s*EXPLAIN\b", sql, re.IGNORECASE) else f"EXPLAIN {sql}"
        try:
            self._connection.execute(text).fetchall()
        except sqlite3.ProgrammingError as error:
            wanted = re.search(r"uses (\d+)", str(error))
            if not wanted:
                raise
            self._connection.execute(text, (None,) * int(wanted.group(1))).fetchall()
        return "prepared, not run"

    def _judge(self, error: Exception, sql: str) -> Answer:
        message = str(error)
        name = getattr(error, "sqlite_errorname", "") or ""
        if "one statement at a time" in message:
            return _refusal("many_statements", "it holds more than one statement where one is expected")
        if message.startswith("no such module"):
            module = message.partition(": ")[2]
            return _doubt(f"module {module} is not in this SQLite, so nothing that needs it could be checked", module)
        if self._denied:
            return _doubt(f"not run: {self._denied} is closed in the sandbox", closed=self._denied)
        if "not authorized" in message:
            return _doubt("not run: it reaches out of the sandbox", closed="it")
        if any(name.startswith(prefix) for prefix in _UNDECIDED):
            late = name.startswith("SQLITE_INTERRUPT")
            return _doubt("it did not end in time: it was stopped" if late else f"it was stopped: {message}")
        condition = next((word for pattern, word in _CONDITIONS if re.search(pattern, message)), "")
        condition = condition or (name.removeprefix("SQLITE_").lower() if name else "error")
        near = re.search(r'near "([^"]+)"|unrecognized token: "([^"]+)"', message)
        token = (near.group(1) or near.group(2)) if near else ""
        position = sql.find(token) + 1 if token and sql.count(token) == 1 else 0
        return _refusal(condition, message, position)

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if action == sqlite3.SQLITE_ATTACH and first not in {":memory:", ""}:
            self._denied = "ATTACH of a file"
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _CLOSED_FUNCTIONS:
            self._denied = f"{second}()"
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA:
            name = str(first).lower()
            if name in _CLOSED_PRAGMAS and (second is not None or name in {"key", "rekey"}):
                self._denied = f"PRAGMA {name}"
                return sqlite3.SQLITE_DENY
            if name not in self._pragmas:
                self._unknown_pragma = name
        return sqlite3.SQLITE_OK

    def _is_late(self) -> int:
        return int(time.monotonic() > self._until)

    def _problem(self, sql: str) -> str:
        try:
            self._connection.execute(sql).fetchall()
        except sqlite3.Error as error:
            return "" if getattr(error, "sqlite_errorname", "") in _UNDECIDED else str(error)
        return ""

    def _trigger_problem(self, table: str) -> str:
        """SQLite compiles a trigger's body together with the statement that fires it."""
        columns = [row[1] for row in self._connection.execute(f"PRAGMA table_info({_quoted(table)})")]
        setting = ", ".join(f"{_quoted(column)} = NULL" for column in columns)
        place = _quoted(table)
        for sql in (f"INSERT INTO {place} DEFAULT VALUES", f"DELETE FROM {place}", f"UPDATE {place} SET {setting}"):
            problem = self._problem(f"EXPLAIN {sql}")
            if problem and not problem.startswith(
                ("cannot modify", f"table {table} has no", "cannot UPDATE generated")
            ):
                return problem
        return ""

    def _parents(self, table: str) -> Iterator[str]:
        """Foreign keys whose parent is missing or not unique: SQLite says so at the first insert, if it is asked to."""
        rows = self._connection.execute(f"PRAGMA foreign_key_list({_quoted(table)})").fetchall()
        for parent, child_to in _by_key(rows):
            known = self._connection.execute(f"PRAGMA table_info({_quoted(parent)})").fetchall()
            if not known:
                yield f"it references table {parent}, which does not exist"
                continue
            names = [column for column in child_to if column is not None]
            missing = [name for name in names if name.lower() not in {str(row[1]).lower() for row in known}]
            if missing:
                yield f"it references {parent}({missing[0]}), a column that does not exist"
            elif names and not self._is_key(parent, names, known):
                yield f"it references {parent}({', '.join(names)}), which is neither a primary key nor unique"

    def _is_key(self, table: str, names: Sequence[str], columns: Sequence[Row]) -> bool:
        wanted = {name.lower() for name in names}
        if {str(row[1]).lower() for row in columns if row[5]} == wanted:
            return True
        for row in self._connection.execute(f"PRAGMA index_list({_quoted(table)})").fetchall():
            if row[2] and not row[4]:
                of_index = self._connection.execute(f"PRAGMA index_info({_quoted(row[1])})").fetchall()
                if {str(one[2]).lower() for one in of_index} == wanted:
                    return True
        return False


def _by_key(rows: Sequence[Row]) -> list[tuple[str, list[str | None]]]:
    keys: dict[object, tuple[str, list[str | None]]] = {}
    for row in rows:
        keys.setdefault(row[0], (str(row[2]), []))[1].append(None if row[4] is None else str(row[4]))
    return list(keys.values())


def _quoted(name: object) -> str:
    return '"' + str(name).replace('"', '""') + '"'


def _refusal(condition: str, message: str, position: int = 0) -> Answer:
    return {"answer": "refused", "condition": condition, "message": message, "position": position}


def _doubt(message: str, lacking: str = "", closed: str = "") -> Answer:
    return {"answer": "undecided", "message": message, "lacking": lacking, "closed": closed}
