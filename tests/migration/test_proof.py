"""`dbprompt.verify_migration`: what it promises beyond single rules."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dbprompt.engines.base import Limits
from dbprompt.engines.postgres import PostgresEngine, installations
from dbprompt.errors import SetupError, TargetError
from dbprompt.evidence import Status, Tier
from dbprompt.migration import verify_migration

HAS_15 = any(one.major == 15 for one in installations())
BEFORE = "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL, extra text)"
INDEX = "CREATE INDEX i ON orders (code)"


def test_a_schema_that_does_not_run_is_no_finding() -> None:
    """`before` is not judged: it has to run, or nothing is said at all."""
    with pytest.raises(SetupError) as caught:
        verify_migration("CREATE TABLE t (id nonsense)", INDEX)

    assert [finding.where for finding in caught.value.findings] == ["/before/0"]


def test_an_unknown_version_is_an_error() -> None:
    """A version that is none is refused before anything runs."""
    with pytest.raises(TargetError):
        verify_migration(BEFORE, INDEX, version="next")


def test_an_empty_migration_fails() -> None:
    """Nothing to prove is a failure, never a pass."""
    evidence = verify_migration(BEFORE, "-- nothing yet")

    assert not evidence.ok
    assert [finding.code for finding in evidence.findings] == ["sql.empty"]


@pytest.mark.skipif(not HAS_15, reason="no PostgreSQL 15 on this machine")
def test_the_target_version_decides() -> None:
    """The migration runs on the server that it is for: a not-null constraint can be NOT VALID since 18 only."""
    up = "ALTER TABLE orders ADD CONSTRAINT n NOT NULL extra NOT VALID"

    assert verify_migration(BEFORE, up, version=18).ok
    assert not verify_migration(BEFORE, up, version=15).ok


def test_another_version_than_the_target_is_owned_up_to() -> None:
    """Where the target's server is missing, the verdicts say on which one it ran."""
    evidence = verify_migration(BEFORE, INDEX, version=9)

    engine = [verdict for verdict in evidence.verdicts if verdict.tier is Tier.ENGINE and verdict.where == "/up/0"]
    assert all("instead of 9" in verdict.uncovered for verdict in engine)


def test_a_lock_is_held_until_its_transaction_ends() -> None:
    """In a block, later statements run under the lock that an earlier one took; the step says since when."""
    evidence = verify_migration(BEFORE, "BEGIN; ALTER TABLE orders ADD COLUMN a int; SELECT 1; COMMIT; SELECT 2")

    held = [
        [(lock.mode.words, lock.since) for lock in step.locks if lock.relation == "orders"] for step in evidence.steps
    ]
    assert held == [[], [("ACCESS EXCLUSIVE", 1)], [("ACCESS EXCLUSIVE", 1)], [], []]


def test_times_follow_the_rows() -> None:
    """What a lock stops is reckoned from the caller's row counts, and is not reckoned without them."""
    small, large, unknown = (
        verify_migration(BEFORE, INDEX, rows=rows).steps[0].blocked_seconds
        for rows in ({"orders": 1000}, {"orders": 58_000_000}, None)
    )

    assert unknown is None
    assert small is not None
    assert large is not None
    assert small < 0.1
    assert 30 < large < 120


def test_rows_honour_keys_checks_partitions_and_domains() -> None:
    """Tables get rows that their constraints accept; one that gets none is named with its reason."""
    before = """
        CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE TABLE shops (code char(3) PRIMARY KEY CHECK (code ~ '^[A-Z]+$'), share percent NOT NULL,
            mood mood NOT NULL);
        CREATE TABLE staff (shop char(3) REFERENCES shops, number int, boss int, PRIMARY KEY (shop, number),
            FOREIGN KEY (shop, boss) REFERENCES staff);
        CREATE TABLE stays (id uuid PRIMARY KEY, starts date NOT NULL, ends date NOT NULL CHECK (ends > starts),
            state text NOT NULL CHECK (state IN ('open', 'done')), tags text[] NOT NULL,
            price numeric(5, 2) NOT NULL CHECK (price > 0));
        CREATE TABLE log (at timestamptz NOT NULL, region text NOT NULL, PRIMARY KEY (at, region))
            PARTITION BY LIST (region);
        CREATE TABLE log_eu PARTITION OF log FOR VALUES IN ('eu');
        CREATE TABLE never (id int NOT NULL CHECK (id > 5 AND id < 5));
    """
    evidence = verify_migration(before, "SELECT 1")

    seeded = dict(evidence.seeded)
    assert [name for name in ("shops", "staff", "stays", "log") if not seeded[name]] == []
    assert [name for name, _ in evidence.unseeded] == ["never"]
    rows = next(verdict for verdict in evidence.verdicts if verdict.artefact == "rows and values")
    assert rows.status is Status.PASSED
    assert "never without rows" in rows.uncovered


def test_a_migration_cannot_falsify_what_is_seen_of_it() -> None:
    """Functions and operators planted in front of the catalogue's own change nothing in the evidence."""
    planted = """
        CREATE FUNCTION public.pg_relation_filenode(oid) RETURNS oid LANGUAGE sql AS 'SELECT 1::oid';
        CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
        CREATE FUNCTION public.never(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR public.>= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.never);
        SET search_path = public, pg_catalog;
    """
    evidence = verify_migration(
        BEFORE, planted + "ALTER TABLE orders ALTER COLUMN extra TYPE int USING 1", rows={"orders": 10**8}
    )

    last = evidence.steps[-1]
    assert last.ok
    assert last.rewritten == ("orders",)
    assert not evidence.ok


@pytest.mark.parametrize(
    "hostile",
    [
        "SET statement_timeout = 0; SELECT pg_sleep(60)",
        "BEGIN; ROLLBACK TO nowhere; SELECT 1; COMMIT",
        "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$",
        "INSERT INTO orders (code) SELECT repeat('x', 1000) FROM generate_series(1, 100000000)",
        "ALTER ROLE CURRENT_USER SUPERUSER; COPY orders TO '/tmp/dbprompt-migration-escaped'",
        "LOCK TABLE orders; SET ROLE postgres; DROP OWNED BY CURRENT_USER",
    ],
)
def test_hostile_migrations_end_and_leave_nothing(hostile: str) -> None:
    """Whatever a script does, it ends by the deadline, reaches nothing outside, and the next proof works."""
    began = time.monotonic()
    evidence = verify_migration(BEFORE, hostile, limits=Limits(statement_seconds=0.5, total_seconds=8))

    assert time.monotonic() - began < 30
    assert not evidence.ok or "INSERT" in hostile
    assert not Path("/tmp/dbprompt-migration-escaped").exists()
    assert verify_migration(BEFORE, "CREATE INDEX CONCURRENTLY i ON orders (code)").ok


def test_nothing_is_left_on_the_server() -> None:
    """Databases, roles and connections of a proof are gone when it returns."""
    verify_migration(BEFORE, "CREATE INDEX CONCURRENTLY i ON orders (code)", "DROP INDEX CONCURRENTLY i")

    with PostgresEngine.of().sandbox() as sandbox:
        names = sandbox.rows(
            "SELECT datname FROM pg_database WHERE datname ~ '^dbprompt_[0-9]' AND datname <> $1", sandbox.name
        )
        others = sandbox.rows(
            "SELECT 1 FROM pg_stat_activity WHERE datname ~ '^dbprompt_[0-9]' AND datname <> $1", sandbox.name
        )
    assert names == []
    assert others == []


def test_evidence_is_plain_data() -> None:
    """`to_json` holds every step with its locks, and what up and down left."""
    data = verify_migration(BEFORE, INDEX, "SELECT 1").to_json()

    steps = data["steps"]
    assert isinstance(steps, list)
    assert isinstance(steps[0], dict)
    assert steps[0]["locks"] == [{"relation": "orders", "mode": "SHARE", "since": 0, "table": "orders"}]
    assert data["undone"] == ["index i is left behind"]
    assert data["rerunnable"] is False


def test_rights_given_and_taken_back_are_as_before() -> None:
    """GRANT and REVOKE cancel out; a right that stays is named, and the sandbox's own role is called owner."""
    grant = "GRANT SELECT ON orders TO PUBLIC"

    assert verify_migration(BEFORE, grant, "REVOKE SELECT ON orders FROM PUBLIC").undone == ()
    (left,) = verify_migration(BEFORE, grant, "SELECT 1").undone or ()
    assert (left.kind, left.name) == ("rights", "orders")
    assert "=r/owner" in str(left.now)
    assert "dbprompt_" not in str(left)


def _changed(up: str, down: str | None, **options: list[str]) -> list[tuple[str, str]]:
    before = "CREATE TABLE t (id bigint PRIMARY KEY, a int NOT NULL, b text)"
    found = verify_migration(before, up, down, rows={"t": 1000}, **options).findings
    return [(one.severity.value, one.where) for one in found if one.code == "migration.data_changed"]


def test_values_that_down_does_not_bring_back_are_said() -> None:
    """What an UPDATE overwrites for good is a warning, a NULL that it fills advice; what comes back, neither."""
    assert _changed("UPDATE t SET a = 0", "SELECT 1") == [("warning", "/down")]
    assert _changed("UPDATE t SET b = '' WHERE b IS NULL", "SELECT 1") == [("advice", "/down")]
    assert _changed("UPDATE t SET a = a + 1", "UPDATE t SET a = a - 1") == []
    assert _changed("UPDATE t SET a = 0", "SELECT 1", losing=["t.a"]) == []
    assert _changed("UPDATE t SET a = 0", None) == []


@pytest.mark.parametrize(("where", "unseen"), [("code = 'no such value'", True), ("true", False)])
def test_a_change_that_met_no_row_is_owned_up_to(where: str, unseen: bool) -> None:
    """An UPDATE that touched none of the made-up rows says so in its verdict; one that did does not."""
    evidence = verify_migration(BEFORE, f"UPDATE orders SET extra = 'x' WHERE {where}")

    said = [one for one in evidence.verdicts if one.where == "/up/0" and "touched none" in one.uncovered]
    assert bool(said) is unseen


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rows": {"orders": -1}}, "-1"),
        ({"rows": {"zz": 1}}, "'zz'"),
        ({"losing": ["nope.x"]}, "'nope.x'"),
        ({"losing": ["orders.x"]}, "'orders.x'"),
    ],
)
def test_sizes_and_losses_of_nothing_are_errors(options: dict, named: str) -> None:
    """`rows` and `losing` name what `before` has, or the call fails with what it does have."""
    with pytest.raises(SetupError, match=named) as caught:
        verify_migration(BEFORE, INDEX, **options)

    assert "orders" in str(caught.value)
