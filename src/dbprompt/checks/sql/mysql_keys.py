"""MySQL indexes a TEXT, BLOB or JSON column only by a prefix; its parser does not know, and MariaDB lets it pass.

Poor: `CREATE INDEX i ON orders (note)` where note is TEXT: error 1170 on MySQL.
Better: `CREATE INDEX i ON orders (note(100))`, or VARCHAR(100) for the column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbprompt.checks.base import Statement
from dbprompt.checks.sql import sqlglot_parser
from dbprompt.evidence import Finding, Severity

__all__ = ["mysql_key_findings"]

_LARGE = {
    "TEXT",
    "TINYTEXT",
    "MEDIUMTEXT",
    "LONGTEXT",
    "BLOB",
    "TINYBLOB",
    "MEDIUMBLOB",
    "LONGBLOB",
    "JSON",
    "GEOMETRY",
}


def mysql_key_findings(statements: Sequence[Statement], setup: str) -> Iterator[Finding]:
    """A warning for every index on a whole column of a large type."""
    from sqlglot import exp

    large: dict[tuple[str, str], str] = {}
    for _, text in sqlglot_parser.split(setup, "mysql"):
        for tree in sqlglot_parser.trees(text, "mysql"):
            _remember(tree, large)
    for statement in statements:
        for tree in sqlglot_parser.trees(statement.sql, "mysql"):
            _remember(tree, large)
            if not isinstance(tree, exp.Create | exp.Alter):
                continue
            table = tree.find(exp.Table)
            for column in _indexed(tree):
                kind = large.get((table.name.lower() if table else "", column.lower()))
                if kind:
                    message = (
                        f"{column} is {kind}, and MySQL refuses a key on the whole of it (error 1170, which MariaDB "
                        f"does not have): index a prefix, {column}(100), or make it a VARCHAR."
                    )
                    yield Finding("sql.key_without_length", Severity.WARNING, statement.where, message)


def _remember(tree: object, large: dict[tuple[str, str], str]) -> None:
    """The columns of large types that a statement defines."""
    from sqlglot import exp

    if not isinstance(tree, exp.Create | exp.Alter):
        return
    table = tree.find(exp.Table)
    for column in tree.find_all(exp.ColumnDef):
        kind = column.kind.sql(dialect="mysql").upper().partition("(")[0] if column.kind else ""
        if table is not None and kind in _LARGE:
            large[table.name.lower(), column.name.lower()] = kind


def _indexed(tree: object) -> Iterator[str]:
    """Names of columns that stand in a key without a length."""
    from sqlglot import exp

    if not isinstance(tree, exp.Expr):
        return
    kinds = (exp.IndexParameters, exp.IndexColumnConstraint, exp.PrimaryKey, exp.UniqueColumnConstraint)
    for holder in tree.find_all(*kinds):
        if isinstance(holder, exp.IndexColumnConstraint) and "FULLTEXT" in str(holder.args.get("kind", "")).upper():
            continue
        items = [*holder.expressions, *(holder.args.get("columns") or [])]
        if isinstance(holder.this, exp.Schema):
            items += holder.this.expressions
        for item in items:
            bare = item.this if isinstance(item, exp.Ordered) else item
            if isinstance(bare, exp.Column | exp.Identifier):
                yield bare.name
