"""The other dialects: SQLite and DuckDB on their engines, the rest graded as parsed at best."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from dbprompt.engines import duckdb
from dbprompt.errors import MissingExtraError, SetupError
from dbprompt.evidence import Severity, Status, Tier
from dbprompt.ladder import verify


class Case(TypedDict, total=False):
    id: str
    dialect: str
    sql: str
    valid: bool
    wrong: bool
    error: str | None


FILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "sql.yaml").read_text(encoding="utf-8"))
CASES: list[Case] = FILE["cases"]
ON_ENGINES = [case for case in CASES if case["dialect"] in {"sqlite", "duckdb"}]
PARSED = [case for case in CASES if case["dialect"] not in {"postgres", "sqlite", "duckdb"}]
# What sqlglot cannot parse although the engine takes it: open, and never an error.
KNOWN_LIMITS = {"mysql_g8", "mysql_g19", "tsql_g6", "oracle_g9"}


@pytest.mark.parametrize("case", ON_ENGINES, ids=[case["id"] for case in ON_ENGINES])
def test_sqlite_and_duckdb_verdicts_are_the_engines(case: Case) -> None:
    """Every recorded engine verdict comes out again, with the engine's own words as the cause."""
    evidence = verify(case["sql"], dialect=case["dialect"], setup=FILE["setup"][case["dialect"]])

    errors = [finding.message for finding in evidence.findings if finding.severity is Severity.ERROR]
    assert evidence.ok is case["valid"], errors
    if not case["valid"]:
        first_words = str(case["error"]).partition(". ")[0]
        assert len(errors) == 1
        assert first_words in errors[0]


@pytest.mark.parametrize("case", PARSED, ids=[f"{case['dialect']}-{case['id']}" for case in PARSED])
def test_dialects_without_an_engine_are_graded_as_parsed_at_best(case: Case) -> None:
    """No verdict above a parser's, what is missing beside each, an opaque Command open, no good statement refused."""
    evidence = verify(case["sql"], dialect=case["dialect"], setup=FILE["setup"].get(case["dialect"]))

    assert {verdict.tier for verdict in evidence.verdicts} <= {Tier.PARSER, Tier.NOTHING}
    nobody = [verdict for verdict in evidence.verdicts if verdict.tier is Tier.NOTHING]
    assert nobody
    assert all("sqlglot" in verdict.uncovered for verdict in nobody)
    assert not [finding for finding in evidence.findings if finding.severity is Severity.ERROR]
    assert not [verdict for verdict in evidence.verdicts if verdict.status is Status.FAILED]
    if case["valid"] and any(verdict.status is Status.INCONCLUSIVE for verdict in evidence.verdicts):
        assert case["id"] in KNOWN_LIMITS | {case["id"] for case in PARSED if case["valid"]}
    if case.get("wrong"):
        assert [finding.code for finding in evidence.findings] == ["sql.key_without_length"]


def test_a_mysql_key_on_a_whole_text_is_found_where_it_is_made() -> None:
    """TEXT in a key is warned of in CREATE TABLE, ALTER TABLE and CREATE INDEX; a prefix or FULLTEXT is fine."""
    poor = (
        "CREATE TABLE a (id INT PRIMARY KEY, n TEXT, KEY k (n)); CREATE TABLE b (j JSON, v VARCHAR(9));"
        "ALTER TABLE b ADD INDEX i (j); CREATE INDEX x ON b (v, j)"
    )
    better = "CREATE TABLE a (id INT PRIMARY KEY, n TEXT, v VARCHAR(9), KEY k (n(20)), KEY m (v), FULLTEXT KEY f (n))"

    found = [finding.where for finding in verify(poor, dialect="mysql").findings]

    assert found == ["/statements/0", "/statements/2", "/statements/3"]
    assert not verify(better, dialect="mysql").findings


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb"])
def test_one_cause_is_one_finding(dialect: str) -> None:
    """A broken statement hides neither its neighbours nor where it stands; what only lacks it is inconclusive."""
    evidence = verify(
        "CREATE TABLE a (id INTEGER;\nCREATE TABLE b (id INTEGER);\n\nSELECT nope FROM b; SELECT id FROM a;"
        "SELECT id FROM b",
        dialect=dialect,
    )

    status = {v.where: v.status for v in evidence.verdicts if v.tier is Tier.ENGINE}
    assert [finding.where for finding in evidence.errors] == ["/statements/0", "/statements/2"]
    assert status["/statements/1"] is status["/statements/4"] is Status.PASSED
    assert status["/statements/3"] is Status.INCONCLUSIVE


def test_sqlite_scripts_are_cut_as_sqlite_cuts_them() -> None:
    """A trigger's semicolons, quotes and comments do not end a statement."""
    script = (
        "-- ; first\nCREATE TABLE t (a TEXT DEFAULT ';', b); /* ; */ CREATE TRIGGER r AFTER INSERT ON t BEGIN "
        "UPDATE t SET b = ';' WHERE a = NEW.a; DELETE FROM t WHERE a IS NULL; END; SELECT a FROM t"
    )

    evidence = verify(script, dialect="sqlite")

    assert evidence.ok
    assert {verdict.where for verdict in evidence.verdicts} == {f"/statements/{n}" for n in range(3)}


def test_an_extension_that_is_part_of_duckdb_is_there() -> None:
    """LOAD of one that every DuckDB has is accepted as by a bare one; any other is still not let in."""
    evidence = verify("LOAD json; LOAD spatial", dialect="duckdb")

    assert [v.status for v in evidence.verdicts if v.tier is Tier.ENGINE] == [Status.PASSED, Status.INCONCLUSIVE]


def test_what_sqlite_only_notices_at_the_first_use_is_warned_of() -> None:
    """Broken views, triggers and foreign keys, and a misspelt pragma, which SQLite accepts without a word."""
    evidence = verify(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER REFERENCES nowhere(id));"
        "CREATE VIEW v AS SELECT nope FROM t;"
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (NEW.id); END; PRAGMA foreign_kyes = ON;"
        "CREATE TABLE later (id INTEGER REFERENCES t(id)); CREATE VIEW fine AS SELECT id FROM later",
        dialect="sqlite",
    )

    assert evidence.ok
    found = {finding.where: finding.code for finding in evidence.findings if finding.severity is Severity.WARNING}
    assert found == {
        "/statements/0": "sql.broken_reference",
        "/statements/1": "sql.broken_view",
        "/statements/2": "sql.broken_trigger",
        "/statements/3": "sql.unknown_pragma",
    }


def test_what_duckdb_may_not_touch_is_parsed_and_not_run() -> None:
    """COPY to a file counts as parsed, its source is resolved, and the evidence says that it was not run."""
    setup = "CREATE TABLE orders (id BIGINT)"

    good = verify("COPY orders TO '/data/o.parquet' (FORMAT parquet)", dialect="duckdb", setup=setup)
    bad = verify("COPY (SELECT nope FROM orders) TO '/data/o.csv'", dialect="duckdb", setup=setup)

    assert good.ok
    assert [finding.code for finding in good.findings] == ["sql.not_run"]
    assert {v.tier: v.status for v in good.verdicts}[Tier.ENGINE] is Status.INCONCLUSIVE
    assert [finding.code for finding in bad.findings] == ["engine.undefined_column"]


@pytest.mark.parametrize(
    ("dialect", "sql", "name"),
    [("duckdb", "INSTALL spatial", "spatial"), ("sqlite", "CREATE VIRTUAL TABLE v USING vec0(a)", "vec0")],
)
def test_a_missing_extension_is_inconclusive(dialect: str, sql: str, name: str) -> None:
    """An extension that the sandbox has not got is named and open; the rest is still checked."""
    evidence = verify(f"{sql}; CREATE TABLE t (id INTEGER)", dialect=dialect)

    engine = [v for v in evidence.verdicts if v.tier is Tier.ENGINE]
    assert [v.status for v in engine] == [Status.INCONCLUSIVE, Status.PASSED]
    assert name in engine[0].uncovered


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb"])
def test_parameters_are_prepared_and_setups_have_to_run(dialect: str) -> None:
    """A query with parameters is resolved, not run; a setup that fails is the caller's error."""
    evidence = verify("SELECT id FROM t WHERE id = ?", dialect=dialect, setup="CREATE TABLE t (id INTEGER)")

    assert evidence.ok
    assert "prepared, not run" in evidence.verdicts[-1].uncovered
    assert {verdict.where for verdict in evidence.verdicts} == {"/statements/0"}
    assert not verify("SELECT no FROM t WHERE id = ?", dialect=dialect, setup="CREATE TABLE t (id INTEGER)").ok
    with pytest.raises(SetupError, match="/setup/1"):
        verify("SELECT 1", dialect=dialect, setup="CREATE TABLE t (id INTEGER); SELECT nope FROM t")


def test_without_duckdb_it_is_parsed_only_and_the_evidence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is never a pass of the engine."""
    monkeypatch.setattr("dbprompt.engines.duckdb.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match="duckdb"):
        duckdb.engine()

    evidence = verify("CREATE TABLE t (id FOO)", dialect="duckdb")

    assert Tier.ENGINE not in {verdict.tier for verdict in evidence.verdicts}
    assert any("dbprompt[duckdb]" in verdict.uncovered for verdict in evidence.not_proven)


def test_another_major_version_is_owned_up_to() -> None:
    """A pass on another major version than the target's says so."""
    assert find_spec("duckdb")

    assert "instead of 0" in verify("SELECT 1", dialect="duckdb", version="0.10").verdicts[-1].uncovered
    assert "instead of" not in verify("SELECT 1", dialect="sqlite", version=3).verdicts[-1].uncovered
