"""What to do about an engine's error, beyond what the engine says: the names that there are, the type that is meant.

A model repairs a wrong name at once if it is shown the right ones, and guesses again if it is not.
"""

from __future__ import annotations

import difflib
import re
from typing import Protocol

from dbprompt.checks.sql.tree import Parsed, strings
from dbprompt.engines.base import Outcome
from dbprompt.errors import EngineError

__all__ = ["Catalogue", "advise", "advise_syntax"]

_MANY = 40
_TYPES = {
    "datetime": "timestamptz", "datetime2": "timestamptz", "tinyint": "smallint, or boolean for a flag",
    "mediumint": "integer", "number": "numeric or bigint", "varchar2": "text or varchar(n)",
    "nvarchar": "text or varchar(n)", "nvarchar2": "text", "longtext": "text", "mediumtext": "text", "tinytext": "text",
    "clob": "text", "string": "text", "blob": "bytea", "longblob": "bytea", "binary": "bytea", "varbinary": "bytea",
    "double": "double precision", "uniqueidentifier": "uuid", "bool8": "boolean", "enum": "a type made by CREATE TYPE",
    "year": "smallint", "int64": "bigint", "uint64": "numeric(20)", "decimal128": "numeric", "json5": "jsonb",
    "objectid": "uuid", "hash": "text",
}  # fmt: skip
_EXTENSION_OF = {
    "uuid_generate_v4": "gen_random_uuid(), which needs no extension",
    "uuid_generate_v1": 'gen_random_uuid(), or CREATE EXTENSION "uuid-ossp" before',
    "gin_trgm_ops": "CREATE EXTENSION pg_trgm before",
    "gist_trgm_ops": "CREATE EXTENSION pg_trgm before",
    "similarity": "CREATE EXTENSION pg_trgm before",
    "vector_cosine_ops": "CREATE EXTENSION vector before",
    "vector_l2_ops": "CREATE EXTENSION vector before",
    "vector": "CREATE EXTENSION vector before",
    "citext": "CREATE EXTENSION citext before",
    "hstore": "CREATE EXTENSION hstore before",
    "ltree": "CREATE EXTENSION ltree before",
    "geometry": "CREATE EXTENSION postgis before",
    "geography": "CREATE EXTENSION postgis before",
    "crypt": "CREATE EXTENSION pgcrypto before",
    "gen_salt": "CREATE EXTENSION pgcrypto before",
    "digest": "CREATE EXTENSION pgcrypto before",
    "unaccent": "CREATE EXTENSION unaccent before",
    "charindex": "strpos()",
    "curdate": "current_date",
    "getdate": "now()",
    "instr": "strpos()",
    "len": "length()",
    "newid": "gen_random_uuid()",
    "rand": "random()",
    "sysdate": "now()",
    "ifnull": "coalesce()",
    "isnull": "coalesce()",
    "nvl": "coalesce()",
    "date_format": "to_char()",
    "datediff": "the minus operator on dates",
    "dateadd": "+ interval",
    "group_concat": "string_agg()",
    "uuid_generate_v7": "uuidv7() from PostgreSQL 18 on, else gen_random_uuid()",
}
_SYNTAX = {
    "auto_increment": "use GENERATED ALWAYS AS IDENTITY",
    "autoincrement": "use GENERATED ALWAYS AS IDENTITY",
    "identity": "use GENERATED ALWAYS AS IDENTITY",
    "unsigned": "PostgreSQL has no unsigned integers: use bigint and a CHECK (... >= 0)",
    "engine": "PostgreSQL has no storage engines: leave the clause out",
    "comment": "use COMMENT ON ... IS '...' as a statement of its own",
    "`": 'quote names with ", not with `',
    "modify": "use ALTER COLUMN ... TYPE ...",
    "separator": "use string_agg(expression, separator)",
    "duplicate": "use ON CONFLICT (...) DO UPDATE",
    "replace": "use INSERT ... ON CONFLICT (...) DO UPDATE",
    "qualify": "filter a window function in an outer SELECT",
    "\\": "it is a psql command, and only SQL can be checked",
    "...": "write out what the dots stand for",
    "..": "write out what the dots stand for",
    "[": "quote names with double quotes",
    "?": "write parameters as $1, $2 and so on",
    ":": "write parameters as $1, $2 and so on",
    "%": "write parameters as $1, $2 and so on",
    "{": "fill in the placeholder",
    "<": "fill in the placeholder",
    "@": "write parameters as $1, $2 and so on",
}


class Catalogue(Protocol):
    """Something that answers questions about the database's own tables."""

    def rows(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        """The rows of one of our queries."""


def advise_syntax(message: str) -> str:
    """What to write instead, where the parser stopped at something well known."""
    near = re.search(r'at or near "(.+)"', message)
    if near is None:
        return "use LIMIT count OFFSET start" if "LIMIT #,#" in message else ""
    return _SYNTAX.get(near.group(1).lower(), "")


def advise(outcome: Outcome, statement: Parsed, catalogue: Catalogue) -> str:
    """What to do about a refusal: names that exist, a type or function that is meant."""
    try:
        return _advise(outcome, statement, catalogue)
    except EngineError:  # advice is a kindness: without it the finding still stands
        return ""


def _advise(outcome: Outcome, statement: Parsed, catalogue: Catalogue) -> str:
    match outcome.condition:
        case "syntax_error":
            return advise_syntax(outcome.message)
        case "undefined_column":
            return _columns(statement, catalogue)
        case "undefined_table":
            return _hidden(outcome, statement) or _tables(outcome, catalogue)
        case "undefined_object" | "undefined_function":
            return _index_clause(outcome, statement) or _objects(outcome, catalogue)
        case "invalid_text_representation" if "enum" in outcome.message:
            return _labels(outcome, catalogue)
    return ""


def _columns(statement: Parsed, catalogue: Catalogue) -> str:
    tables = {str(node["relname"]) for key, node in _relations(statement) if key in {"RangeVar", "relation", "pktable"}}
    found = []
    for table in sorted(tables)[:4]:
        names = _names(
            catalogue,
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "WHERE c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') "
            "AND c.relnamespace <> 'pg_catalog'::regnamespace ORDER BY a.attnum",
            table,
        )
        if names:
            found.append(f"the columns of {table} are {', '.join(names[:_MANY])}")
    return "; ".join(found)


def _relations(statement: Parsed) -> list[tuple[str, dict[str, object]]]:
    """Nodes that name a table; fields such as `relation` hold one without a kind of its own."""
    found: list[tuple[str, dict[str, object]]] = []
    waiting: list[object] = [statement.body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for key, value in one.items():
                if isinstance(value, dict) and "relname" in value:
                    found.append((key, value))
                waiting.append(value)
        elif isinstance(one, list):
            waiting.extend(one)
    return found


def _hidden(outcome: Outcome, statement: Parsed) -> str:
    """Why a table that is in FROM cannot be named: its alias took its place."""
    name = _quoted(outcome.message)
    if not outcome.message.startswith("invalid reference to FROM-clause entry"):
        return ""
    aliases = [
        str(alias["aliasname"])
        for _, relation in _relations(statement)
        if relation["relname"] == name and isinstance(alias := relation.get("alias"), dict)
    ]
    if name in aliases or not aliases:
        return "name what stands before it in FROM, or write LATERAL before the subquery"
    return f"the alias {aliases[0]} hides the name {name} here: write {aliases[0]} instead"


def _index_clause(outcome: Outcome, statement: Parsed) -> str:
    """MySQL's INDEX within a table, which is read here as a column of that name."""
    name = _quoted(outcome.message)
    for column in statement.below.get("ColumnDef", ()) if outcome.message.startswith("type ") else ():
        kind = column.get("typeName")
        if column.get("colname") in {"index", "key"} and isinstance(kind, dict) and name in strings(kind.get("names")):
            table = next((relation["relname"] for _, relation in _relations(statement)), "...")
            return f"an index is a statement of its own: CREATE INDEX {name} ON {table} (...)"
    return ""


def _tables(outcome: Outcome, catalogue: Catalogue) -> str:
    names = _names(
        catalogue,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace NOT IN "
        "('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace) ORDER BY 1",
    )
    if not names:
        return "no table exists yet: create it first"
    return _near(_quoted(outcome.message).rpartition(".")[2], names) or f"there are {', '.join(names[:_MANY])}"


def _objects(outcome: Outcome, catalogue: Catalogue) -> str:
    if outcome.message.startswith("function "):
        name = outcome.message.removeprefix("function ").partition("(")[0].rpartition(".")[2]
        known = _EXTENSION_OF.get(name)
        return f"use {known}" if known and "CREATE" not in known else known or _functions(name, catalogue)
    if "no default operator class" in outcome.message:
        return _operator_class(outcome.message)
    name = _quoted(outcome.message).rpartition(".")[2].removesuffix("[]")
    if outcome.message.startswith("type ") and name in _TYPES:
        return f"use {_TYPES[name]}"
    if name in _EXTENSION_OF:
        return _EXTENSION_OF[name]
    if outcome.message.startswith("unrecognized configuration parameter"):
        return _near(name, _names(catalogue, "SELECT name FROM pg_settings"))
    if outcome.message.startswith("type "):
        types = "SELECT typname FROM pg_type WHERE typname !~ '^_' AND typisdefined"
        return _near(name, _names(catalogue, types))
    return ""


def _operator_class(message: str) -> str:
    """What an index method does take, where a type has nothing for it."""
    method = _quoted(message)
    if method == "gin":
        return (
            "gin takes arrays, jsonb and tsvector; for text use gin_trgm_ops (CREATE EXTENSION pg_trgm before) or "
            "to_tsvector(...), for plain values a btree"
        )
    return "a btree takes plain values" if method in {"gist", "spgist", "brin"} else ""


def _functions(name: str, catalogue: Catalogue) -> str:
    same = _names(
        catalogue,
        "SELECT proname || '(' || pg_get_function_identity_arguments(oid) || ')' FROM pg_proc WHERE proname = $1 "
        "ORDER BY 1 LIMIT 6",
        name,
    )
    if same:
        return f"there are {', '.join(same)}"
    return _near(name, _names(catalogue, "SELECT DISTINCT proname FROM pg_proc"))


def _labels(outcome: Outcome, catalogue: Catalogue) -> str:
    kind = re.search(r"for enum (\S+):", outcome.message)
    labels = _names(
        catalogue,
        "SELECT e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid WHERE t.typname = $1 "
        "ORDER BY e.enumsortorder",
        kind.group(1).rpartition(".")[2] if kind else "",
    )
    return f"its labels are {', '.join(labels[:_MANY])}" if labels else ""


def _near(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.75)
    return f"did you mean {' or '.join(close)}?" if close else ""


def _names(catalogue: Catalogue, sql: str, *values: str) -> list[str]:
    return [str(row[0]) for row in catalogue.rows(sql, *values)]


def _quoted(message: str) -> str:
    found = re.search(r'"([^"]+)"', message)
    return found.group(1) if found else ""
