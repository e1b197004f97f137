"""CREATE TYPE and CREATE TABLE with their comments, in an order that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from dbprompt.render.postgres.base import Statement, UnsafeSqlError, identifier, literal, names, wrap_expression
from dbprompt.render.postgres.naming import Names
from dbprompt.render.postgres.partitions import partition_statements
from dbprompt.render.postgres.types import FIRST_WITH_UUIDV7, UUIDV7_FUNCTION, column_type, default_sql
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Column, DefaultKind, EnumType, Exclusion, ForeignKey, Schema, Table

__all__ = ["creation_order", "schema_statements"]

_INDENT = "    "


def schema_statements(design: DatabaseDesign, schema: Schema, *, as_of: date, version: int) -> Iterator[Statement]:
    """Functions, enums, tables with their partitions, the foreign keys of cycles, then comments.

    Raises:
        UnsafeSqlError: with section and place, a free expression could leave its parentheses.
    """
    given = Names(design)
    order = creation_order(schema)
    made = {schema.tables[at].name: rank for rank, at in reversed(list(enumerate(order)))}
    written = {at: _Table(table, at, given, made) for at, table in enumerate(schema.tables)}
    if version < FIRST_WITH_UUIDV7:
        yield from _uuid_function(schema)
    yield from (_enum(enum, at) for at, enum in enumerate(schema.enums))
    for at in order:
        yield written[at].statement
        yield from partition_statements(schema.tables[at], f"/tables/{at}", as_of=as_of, names=given)
    for at in order:
        yield from written[at].later
    for at in order:
        yield from _comments(schema.tables[at], at)


def creation_order(schema: Schema) -> tuple[int, ...]:
    """Positions of the tables, each after those that it refers to; in a cycle, document order decides who waits.

    A depth-first walk without recursion, so that a long chain of references cannot exhaust the stack.
    """
    position = {table.name: at for at, table in reversed(list(enumerate(schema.tables)))}
    parents = [
        [position[key.references] for key in table.foreign_keys if key.references in position]
        for table in schema.tables
    ]
    order: list[int] = []
    seen: set[int] = set()
    for start in range(len(schema.tables)):
        if start in seen:
            continue
        seen.add(start)
        path = [(start, iter(parents[start]))]
        while path:
            at, waiting = path[-1]
            following = next((parent for parent in waiting if parent not in seen), None)
            if following is None:
                order.append(at)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(parents[following])))
    return tuple(order)


class _Table:
    """One table as text: its statement, and the foreign keys that have to wait for other tables."""

    def __init__(self, table: Table, at: int, given: Names, made: Mapping[str, int]) -> None:
        self._table = table
        self._where = f"/tables/{at}"
        keys = {number: _foreign_key(table, key, given) for number, key in enumerate(table.foreign_keys)}
        waits = {
            number for number, key in enumerate(table.foreign_keys) if made.get(key.references, -1) > made[table.name]
        }
        lines = [self._column(column, number) for number, column in enumerate(table.columns)]
        lines += self._constraints(given)
        lines += [text for number, text in keys.items() if number not in waits]
        self.statement = Statement(
            f"CREATE TABLE {identifier(table.name)} (\n"
            + ",\n".join(_INDENT + line for line in lines)
            + f"\n){_partition_by(table)}",
            "schema",
            self._where,
            f"table {table.name}",
            "table",
        )
        self.later = tuple(
            Statement(
                f"ALTER TABLE {identifier(table.name)}\n{_INDENT}ADD {keys[number]}",
                "schema",
                f"{self._where}/foreign_keys/{number}",
                f"table {table.name}",
                "foreign_key",
            )
            for number in sorted(waits)
        )

    def _column(self, column: Column, number: int) -> str:
        words = [identifier(column.name), column_type(column)]
        if not column.nullable and not column.identity:  # identity says NOT NULL by itself
            words.append("NOT NULL")
        try:
            if column.identity:
                words.append("GENERATED ALWAYS AS IDENTITY")
            if column.generated is not None:
                words.append(f"GENERATED ALWAYS AS {wrap_expression(column.generated)} STORED")
            if column.default is not None:
                words.append(f"DEFAULT {default_sql(column, column.default)}")
        except UnsafeSqlError as error:
            part = "generated" if column.generated is not None else "default"
            raise error.at("schema", f"{self._where}/columns/{number}/{part}") from error
        return " ".join(words)

    def _constraints(self, given: Names) -> Iterator[str]:
        table = self._table
        if table.primary_key:
            yield f"CONSTRAINT {identifier(given.take(table.name, 'pkey'))} PRIMARY KEY ({names(table.primary_key)})"
        for unique in table.uniques:
            name = given.take("_".join((table.name, *unique.columns)), "key")
            yield f"CONSTRAINT {identifier(name)} UNIQUE ({names(unique.columns)})"
        for number, check in enumerate(table.checks):
            condition = self._wrapped(check.expression, f"/checks/{number}/expression")
            yield f"CONSTRAINT {identifier(check.name)} CHECK {condition}"
        for number, exclusion in enumerate(table.exclusions):
            yield self._exclusion(exclusion, f"/exclusions/{number}")

    def _exclusion(self, exclusion: Exclusion, where: str) -> str:
        sides = []
        for number, element in enumerate(exclusion.elements):
            is_column = self._table.column(element.expression) is not None
            side = (
                identifier(element.expression)
                if is_column
                else self._wrapped(element.expression, f"{where}/elements/{number}/expression")
            )
            sides.append(f"{side} WITH {element.operator}")
        deeper = "\n" + 2 * _INDENT
        condition = f"{deeper}WHERE {self._wrapped(exclusion.where, f'{where}/where')}" if exclusion.where else ""
        return f"CONSTRAINT {identifier(exclusion.name)}{deeper}EXCLUDE USING gist ({', '.join(sides)}){condition}"

    def _wrapped(self, expression: str, where: str) -> str:
        try:
            return wrap_expression(expression)
        except UnsafeSqlError as error:
            raise error.at("schema", self._where + where) from error


def _foreign_key(table: Table, key: ForeignKey, given: Names) -> str:
    name = given.take("_".join((table.name, *key.columns)), "fkey")
    rule = "" if key.on_delete == "no_action" else f" ON DELETE {key.on_delete.replace('_', ' ').upper()}"
    emptied = tuple(name for name in key.columns if (column := table.column(name)) and column.nullable)
    if key.on_delete == "set_null" and len(emptied) < len(key.columns):
        rule += f" ({names(emptied)})"  # a tenant column in the key stays as it is; PostgreSQL 15 and newer
    return (
        f"CONSTRAINT {identifier(name)} FOREIGN KEY ({names(key.columns)})"
        f" REFERENCES {identifier(key.references)} ({names(key.referenced_columns)}){rule}"
    )


def _partition_by(table: Table) -> str:
    split = table.partitioning
    return f" PARTITION BY {split.strategy.upper()} ({identifier(split.column)})" if split else ""


def _enum(enum: EnumType, at: int) -> Statement:
    values = ", ".join(literal(value) for value in enum.values)
    sql = f"CREATE TYPE {identifier(enum.name)} AS ENUM ({values})"
    return Statement(sql, "schema", f"/enums/{at}", f"enum {enum.name}", "enum")


def _uuid_function(schema: Schema) -> Iterator[Statement]:
    for at, table in enumerate(schema.tables):
        for number, column in enumerate(table.columns):
            if column.default is not None and column.default.kind is DefaultKind.TIME_ORDERED_UUID:
                where = f"/tables/{at}/columns/{number}"
                yield Statement(UUIDV7_FUNCTION, "schema", where, "function uuidv7", "function")
                return


def _comments(table: Table, at: int) -> Iterator[Statement]:
    where, artefact = f"/tables/{at}", f"table {table.name}"
    if table.comment:
        sql = f"COMMENT ON TABLE {identifier(table.name)} IS {literal(table.comment)}"
        yield Statement(sql, "schema", where, artefact, "comment")
    for number, column in enumerate(table.columns):
        if column.comment:
            name = f"{identifier(table.name)}.{identifier(column.name)}"
            sql = f"COMMENT ON COLUMN {name} IS {literal(column.comment)}"
            yield Statement(sql, "schema", f"{where}/columns/{number}", artefact, "comment")
