"""What the checks of SQL text pass around."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QUERY_KINDS", "Statement"]

QUERY_KINDS = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement to check, and where it came from.

    Args:
        where: JSON pointer, as in `Finding`.
        artefact: its kind and name as a person would say it, `table orders`.
        sql: its text: exactly one statement.
        parameter_types: SQL types of `$1`, `$2`, ...; only used when it is prepared.
        kinds: node types that it may be (`QUERY_KINDS`); None for anything.
        line: line of the script that it starts on, from 1.
        column: column that it starts on, from 1.
    """

    where: str
    artefact: str
    sql: str
    parameter_types: tuple[str, ...] = ()
    kinds: frozenset[str] | None = None
    line: int = 1
    column: int = 1

    def place(self, position: int) -> str:
        """Where a 1-based character of the statement lies, ` (line 3, column 7)`; empty for 0."""
        if position <= 0:
            return ""
        before = self.sql[: position - 1]
        down = before.count("\n")
        column = len(before) - before.rfind("\n") if down else self.column + len(before)
        return f" (line {self.line + down}, column {column})"
