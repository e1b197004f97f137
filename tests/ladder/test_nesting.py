"""A text that nests deeply is read or given up, in the time of any other; sqlglot by itself dies of some, and hangs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dbprompt.checks.sql.nesting import MOST_TYPES
from dbprompt.checks.sql.sqlglot_parser import Said, opine, trees

CASES = Path(__file__).parents[1] / "cases/sql.yaml"


def _around(before: str, inside: str, after: str, times: int) -> str:
    return before * times + inside + after * times


DEEP = {
    "brackets": ("SELECT ", "(", "1", ")"),
    "queries": ("SELECT * FROM ", "(SELECT * FROM ", "t", ")"),
    "functions": ("SELECT ", "f(", "1", ")"),
    "cases": ("SELECT ", "CASE WHEN true THEN ", "1", " END"),
    "nots": ("SELECT ", "NOT ", "true", ""),
    "signs": ("SELECT ", "- ", "1", ""),
    "joins": ("SELECT * FROM a", " JOIN a", "", ""),
    "joins and commas": ("SELECT * FROM a", " JOIN a, b", "", ""),
    "intervals": ("SELECT ", "INTERVAL ", "'1 day'", ""),
    "elements": ("SELECT a", "[1]", "", ""),
    "methods": ("SELECT a", ".f(1)", "", ""),
    "explained": ("", "DESCRIBE ", "SELECT 1", ""),
    # each level of these takes sqlglot twice the time of the one inside
    "types": ("SELECT ", "int(", "1", ")"),
    "types with more": ("SELECT ", "char(1, ", "1", ")"),
    "arrays": ("SELECT ", "ARRAY[", "1", "]"),
    "structs": ("SELECT ", "struct(", "1", ")"),
    "types in a row": ("SELECT ", "INT ", "'1'", ""),
    "types in a cast": ("SELECT CAST(1 AS ", "ARRAY<", "int", ">"),
}


@pytest.mark.parametrize("dialect", ["postgres", "mysql", "duckdb", "tsql"])
@pytest.mark.parametrize("name", DEEP)
def test_no_depth_ends_the_process_or_the_day(dialect: str, name: str) -> None:
    """Forty levels and twenty thousand: the parser answers; of twenty thousand it makes nothing."""
    start, before, inside, after = DEEP[name]
    for times in (40, 20_000):
        text = start + _around(before, inside, after, times)
        said = opine(text, dialect).said
    assert said in {Said.GAVE_UP, Said.REFUSED} and trees(text, dialect) == ()


@pytest.mark.parametrize("dialect", ["postgres", "mysql"])
def test_what_people_and_programs_write_is_read(dialect: str) -> None:
    """Long lists, long conditions, many queries in a row and a dozen levels are no depth."""
    rows = ", ".join(f"({-number}, 'x', NULL, now())" for number in range(3_000))
    written = [
        f"INSERT INTO t VALUES {rows}",
        f"SELECT * FROM t WHERE a IN ({', '.join(str(-number) for number in range(5_000))})",
        f"SELECT * FROM t WHERE {' OR '.join(f'(a = {n} AND NOT b LIKE {n!r})' for n in range(1_000))}",
        " UNION ALL ".join(f"SELECT {n} AS n, 'x' AS x FROM t WHERE a > {n}" for n in range(400)),
        f"SELECT CASE {' '.join(f'WHEN a > {n} THEN {n}' for n in range(400))} ELSE 0 END FROM t",
        "SELECT " + _around("coalesce(", "1", ", 2)", 12),
        "SELECT * FROM a " + " ".join(f"LEFT JOIN t{n} ON t{n}.id = a.t{n}_id AND t{n}.b > 0" for n in range(60)),
        f"CREATE TABLE t ({', '.join(f'c{n} numeric(10, 2) NOT NULL DEFAULT 0' for n in range(500))})",
    ]
    assert [opine(text, dialect).said for text in written] == [Said.PARSED] * len(written)


def test_no_known_statement_is_too_deep() -> None:
    """None of the cases comes near the bounds."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))["cases"]
    deep = [case["id"] for case in cases if opine(case["sql"], case["dialect"]).said is Said.GAVE_UP]
    assert cases and not deep and MOST_TYPES > 2


def test_a_mistake_of_the_parsers_is_no_verdict() -> None:
    """sqlglot breaks off with a `TypeError` over this one."""
    assert opine("NUMBER_TO_STR (SELECT #>> ()", "postgres").said in {Said.GAVE_UP, Said.REFUSED}
