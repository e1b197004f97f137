"""Stand-ins for extensions that are not here: what is around them is checked, and the evidence says how."""

from __future__ import annotations

import pytest

from dbprompt.evidence import Evidence, Severity, Status, Tier, Verdict
from dbprompt.ladder import verify

HYPERTABLE = (
    "CREATE EXTENSION timescaledb; CREATE TABLE m (at timestamptz NOT NULL, device bigint NOT NULL, v real, "
    "PRIMARY KEY (device, at));"
)


def engine(evidence: Evidence) -> list[Verdict]:
    """The engine's verdicts in order."""
    return [verdict for verdict in evidence.verdicts if verdict.tier is Tier.ENGINE]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT create_hypertable('m', 'at', chunk_time_interval => INTERVAL '1 day', if_not_exists => TRUE)",
        "SELECT create_hypertable('m', by_range('at', INTERVAL '7 days'))",
        "SELECT add_retention_policy('m', INTERVAL '90 days')",
        "SELECT time_bucket('5 minutes', at) AS b, avg(v), last(v, at) FROM m GROUP BY b",
    ],
)
def test_timescaledb_calls_are_checked_by_a_stand_in_that_says_so(sql: str) -> None:
    """The extension is named and open; a call passes with the note that a stand-in looked up table and column only."""
    extension, _, call = engine(verify(HYPERTABLE + sql))

    assert extension.status is Status.INCONCLUSIVE
    assert "timescaledb" in extension.uncovered
    assert call.status is Status.PASSED
    assert "stand-in" in call.uncovered


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT create_hypertable('m', 'time')", 'column "time" does not exist'),
        ("SELECT create_hypertable('metrics', 'at')", 'relation "metrics" does not exist'),
        ("SELECT create_hypertable('m', 'v')", 'invalid type for dimension "v"'),
        (
            "CREATE TABLE n (id bigint PRIMARY KEY, at timestamptz); SELECT create_hypertable('n', 'at')",
            "cannot create a unique index without the column",
        ),
        ("SELECT nope FROM m", 'column "nope" does not exist'),
    ],
)
def test_what_is_wrong_beside_timescaledb_is_still_found(sql: str, words: str) -> None:
    """Missing tables and columns, a time column of the wrong type, a key without the time column."""
    errors = [finding.message for finding in verify(HYPERTABLE + sql).findings if finding.severity is Severity.ERROR]

    assert len(errors) == 1
    assert words in errors[0]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE m SET (timescaledb.compress, timescaledb.compress_segmentby = 'device')",
        "CREATE MATERIALIZED VIEW c WITH (timescaledb.continuous) AS SELECT time_bucket('1 h', at) FROM m GROUP BY 1",
        "SELECT timescaledb_information.nothing_we_know()",
    ],
)
def test_what_no_stand_in_can_do_is_open(sql: str) -> None:
    """Compression and continuous aggregates are neither passed nor refused, and name the extension."""
    evidence = verify(HYPERTABLE + sql)

    assert not evidence.errors
    assert engine(evidence)[-1].status is Status.INCONCLUSIVE
    assert "timescaledb" in engine(evidence)[-1].uncovered


def test_foreign_tables_are_declared_and_reach_nothing() -> None:
    """Servers, mappings and foreign tables are checked as declarations; a query of one is resolved, and not run."""
    evidence = verify(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'x');"
        "CREATE FOREIGN TABLE f (id int, n text) SERVER s; SELECT n FROM f; SELECT nope FROM f;"
        "CREATE FOREIGN TABLE g (id FOO) SERVER s; CREATE FOREIGN TABLE h (id int) SERVER nowhere"
    )

    status = [verdict.status for verdict in engine(evidence)]
    assert status[:4] == [Status.INCONCLUSIVE, Status.PASSED, Status.PASSED, Status.INCONCLUSIVE]
    assert [finding.where for finding in evidence.errors] == ["/statements/4", "/statements/5", "/statements/6"]
    assert "not reached" in engine(evidence)[2].uncovered
