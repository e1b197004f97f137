"""Rules over SQL text: what is read from a whole script, and what is left to others."""

from __future__ import annotations

from datetime import date

import pytest

from dbprompt.checks.base import Statement
from dbprompt.checks.sql.rules import written_rules
from dbprompt.evidence import Report, Severity
from dbprompt.ladder import verify

DAY = date(2026, 3, 1)
VISITS = "CREATE TABLE visits (id bigint, on_day date, PRIMARY KEY (id, on_day)) PARTITION BY RANGE (on_day)"
SEEN = "ALTER TABLE orders ENABLE ROW LEVEL SECURITY"
T = "CREATE TABLE t (id bigint PRIMARY KEY, name text)"
VIEW = "CREATE MATERIALIZED VIEW daily AS SELECT 1 AS day"


def judged(*script: str, setup: str = "") -> Report:
    """What the rules say of a script, without an engine."""
    statements = [Statement(f"/statements/{number}", sql[:20], sql) for number, sql in enumerate(script)]
    return written_rules(statements, setup=setup, today=DAY)


def found(report: Report) -> list[str]:
    """Code and number of the statement of each finding."""
    return sorted(f"{finding.code} {finding.where.rpartition('/')[2]}" for finding in report.findings)


@pytest.mark.parametrize(
    ("script", "setup", "expected"),
    [
        (["CREATE TABLE t (id bigint PRIMARY KEY, paid_at timestamp)", "COMMENT ON COLUMN t.paid_at IS 'UTC'"], "", []),
        (["CREATE TABLE t (id bigint)", "ALTER TABLE t ADD PRIMARY KEY (id)"], "", []),
        (["CREATE TABLE t (id bigint PRIMARY KEY)", "ALTER TABLE t ADD price real"], "", ["types.float_money 1"]),
        (["CREATE TEMP TABLE t (id bigint)"], "", []),
        (["CREATE TABLE t (id bigint PRIMARY KEY, o bigint)", "ALTER TABLE t ADD FOREIGN KEY (o) REFERENCES x"], "",
         ["indexes.foreign_key_unindexed 1"]),
        (["CREATE TABLE t (id bigint PRIMARY KEY, o bigint REFERENCES x)", "CREATE INDEX ON t (o, id)"], "", []),
        (["CREATE TABLE t (id bigint PRIMARY KEY, o bigint REFERENCES x)", "CREATE INDEX ON t (lower(o))"], "",
         ["indexes.foreign_key_unindexed 0"]),
        (["ALTER TABLE t ADD note text"], "CREATE TABLE t (id serial, price money)", []),
        (["ALTER TABLE t ALTER price TYPE real"], "CREATE TABLE t (price numeric)", ["types.float_money 0"]),
        (["SELECT id FROM t WHERE at BETWEEN $1 AND $2"], "CREATE TABLE t (id int PRIMARY KEY, at timestamptz)",
         ["queries.between_timestamps 0"]),
        (["SELECT id FROM t WHERE on_day BETWEEN $1 AND $2"], "CREATE TABLE t (id int PRIMARY KEY, on_day date)", []),
        (["SELECT id FROM t WHERE data ->> 'a' = 'b'"],
         "CREATE TABLE t (id int PRIMARY KEY, data jsonb); CREATE INDEX ON t ((data ->> 'a') DESC)", []),
        (["SELECT id FROM t ORDER BY id OFFSET 0"], "", []),
        ([VISITS], "", ["partitions.none_ahead 0"]),
        ([VISITS, "CREATE TABLE d PARTITION OF visits DEFAULT"], "", []),
        ([VISITS, "CREATE TABLE p PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)"], "", []),
        ([VISITS, "CREATE TABLE p PARTITION OF visits FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')"], "",
         ["partitions.none_ahead 1"]),
        ([VISITS, "CREATE TABLE p PARTITION OF visits FOR VALUES FROM ('2026-03-01') TO ('2026-06-01')"], "", []),
        ([VISITS, "SELECT partman.create_parent('public.visits', 'on_day', '1 month')"], "", []),
        (["DROP TABLE orders"], "", ["migration.destructive 0"]),
        (["CREATE TABLE tmp (id bigint PRIMARY KEY)", "DROP TABLE tmp"], "", []),
        (["DROP SCHEMA app"], "", []),
        (["DROP SCHEMA app CASCADE"], "", ["migration.destructive 0"]),
        (["CREATE VIEW v AS SELECT id FROM orders"], SEEN, ["security.definer_view 0"]),
        (["CREATE VIEW v WITH (security_invoker) AS SELECT id FROM orders"], SEEN, []),
        (["CREATE VIEW v AS SELECT id FROM products"], SEEN, []),
        (["CREATE TABLE t (id bigint PRIMARY KEY, tenant_id bigint)"], "", []),
        (["CREATE TABLE t (id bigint PRIMARY KEY, tenant_id bigint)"], SEEN, ["rls.missing 0"]),
        (["SELECT cron.schedule('0 1 * * *', 'REFRESH MATERIALIZED VIEW CONCURRENTLY public.daily')"], VIEW,
         ["views.concurrent_refresh_without_unique 0"]),
        (["CREATE UNIQUE INDEX ON daily (day)", "REFRESH MATERIALIZED VIEW CONCURRENTLY daily"], VIEW, []),
        (["GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC"],
         "CREATE TABLE a (id int PRIMARY KEY, api_key text)", ["security.sensitive_exposed 0"]),
        (["GRANT SELECT ON a TO app"], "CREATE TABLE a (id int PRIMARY KEY, api_key text)", []),
        (["CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"], "", []),
        (["CREATE TABLE u (LIKE t INCLUDING INDEXES)"], T, []),
        (["CREATE TABLE u (LIKE t INCLUDING ALL EXCLUDING INDEXES)"], T, ["references.no_primary_key 0"]),
        (["WITH w AS (SELECT id FROM t) SELECT * FROM w"], T, []),
        (["WITH w AS (SELECT * FROM t) SELECT * FROM w"], T, ["queries.select_star 0"]),
        (["SELECT v.* FROM t, LATERAL (VALUES (t.id)) AS v (a)", "SELECT * FROM unnest($1, $2) AS v (a, b)"], T, []),
        (["SELECT * FROM generate_series(1, 3) AS n JOIN t ON t.id = n"], T, ["queries.select_star 0"]),
        (["CREATE TEMP TABLE s AS SELECT id FROM t", "DELETE FROM s"], T, []),
        (["DROP TABLE IF EXISTS s"], T, []),
        (["DROP TABLE IF EXISTS t"], T, ["migration.destructive 0"]),
        (["DROP TABLE IF EXISTS t"], "", ["migration.destructive 0"]),
        (["CREATE TABLE s (id smallint PRIMARY KEY)"], "", []),
        (["CREATE TABLE s (id bigint PRIMARY KEY REFERENCES t ON DELETE SET NULL)"], T,
         ["references.set_null_on_not_null 0"]),
        (["CREATE TABLE s (id bigint PRIMARY KEY, t bigint NOT NULL REFERENCES t ON DELETE SET NULL)",
          "CREATE INDEX ON s (t)", "ALTER TABLE s ALTER t DROP NOT NULL"], T, []),
        (["UPDATE t SET name = 'x' WHERE true", "DELETE FROM t WHERE 1 = 1 OR id = 3"], T,
         ["queries.write_without_where 0", "queries.write_without_where 1"]),
        (["DELETE FROM t WHERE 1 = 1 AND id = 3", "SELECT id FROM t WHERE false"], T, []),
        (["SELECT id FROM t WHERE name = NULL", "SELECT id FROM t WHERE id NOT IN (1, NULL)"], T,
         ["queries.constant_condition 0", "queries.constant_condition 1"]),
        (["UPDATE t SET name = NULL WHERE id IN (1, NULL)"], T, []),
        (["ALTER TABLE t ADD CHECK (name IN ('a', NULL))"], T, ["expressions.constant_check 0"]),
        (["ALTER TABLE t ADD CHECK (name IN ('a') OR name IS NULL), ADD CHECK (false) NO INHERIT"], T, []),
        (["ALTER TABLE t ADD CHECK (name NOT IN ('a', NULL))"], T, []),
        (["COMMENT ON TABLE t IS 'a_text_that_is_much_longer_than_any_name_may_be_and_yet_is_no_name_at_all'"], "", []),
    ],
)  # fmt: skip
def test_rules_read_the_whole_script(script: list[str], setup: str, expected: list[str]) -> None:
    """A finding stands at the statement that makes it so, and what comes later can mend it."""
    assert found(judged(*script, setup=setup)) == expected


def test_not_in_is_told_by_what_its_list_can_hold() -> None:
    """A list that holds no null is still no anti-join, which is advice; one that may hold it is a warning."""
    report = judged(
        "SELECT id FROM t WHERE id NOT IN (SELECT s.id FROM t AS s)",
        "SELECT id FROM t WHERE name NOT IN (SELECT name FROM t)",
        "SELECT id FROM t WHERE id NOT IN (SELECT id FROM t GROUP BY ROLLUP (id))",
        setup=T,
    )
    assert [finding.severity for finding in report.findings] == [Severity.ADVICE, *[Severity.WARNING] * 2]


def test_a_star_is_followed_in_time_that_grows_with_the_text() -> None:
    """Each WITH query is looked at once, however many paths lead to it."""
    doubling = ", ".join(f"w{n} AS (SELECT a.*, b.* FROM w{n - 1} a, w{n - 1} b)" for n in range(1, 60))
    assert found(judged(f"WITH w0 AS (SELECT 1 AS n), {doubling} SELECT * FROM w59")) == []


def test_sql_text_earns_no_errors_of_itself() -> None:
    """Nobody vouches for what a person's columns mean, so a rule warns; only the user's settings make it an error."""
    report = judged("CREATE TABLE t (id bigint PRIMARY KEY, price float8, cvv text)")
    assert {finding.severity for finding in report.findings} == {Severity.WARNING}


def test_what_the_engine_refused_is_left_to_it() -> None:
    """A statement that fails, or trips over another's failure, has no rule's word added."""
    evidence = verify("CREATE TABLE t (id FOO, price float8); CREATE INDEX i ON t (price); SELECT * FROM t")
    assert [finding.code for finding in evidence.findings] == ["engine.undefined_object"]


def test_every_statement_that_was_read_has_a_verdict() -> None:
    """The evidence says that rules read it, and what they cannot tell."""
    report = judged("SELECT 1", "CREATE TABLE t (id bigint PRIMARY KEY)", setup="CREATE TABLE s (id int)")
    assert [verdict.where for verdict in report.verdicts] == ["/statements/0", "/statements/1"]
    assert all(verdict.uncovered for verdict in report.verdicts)
