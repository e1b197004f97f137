"""Views, lifecycles, jobs and stored copies, tried on rows on the real engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from answers import weak_answers

from dbprompt import DatabaseDesign
from dbprompt.checks.registry import Proof, Subject
from dbprompt.engines.postgres import PostgresEngine, installations
from dbprompt.evidence import Report, Status, Tier
from dbprompt.proofs.jobs import index_upkeep_runs, jobs_run
from dbprompt.proofs.lifecycle import rows_come_and_go
from dbprompt.proofs.sync_triggers import copies_follow
from dbprompt.proofs.views import view_refreshes
from dbprompt.render.postgres.lifecycle import lifecycle_statements
from dbprompt.render.postgres.upkeep_queries import UpkeepLimits, upkeep_queries

DAY = date(2026, 3, 1)
LINES_SUM = (
    "UPDATE orders SET total = (SELECT coalesce(sum(l.price), 0) FROM lines l WHERE l.order_id = orders.id)"
    " WHERE id IN (NEW.order_id, OLD.order_id)"
)


def _column(name: str, kind: str, **more: object) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def _key(columns: Sequence[str], target: str, **more: object) -> dict[str, Any]:
    return {"columns": columns, "references": target, "referenced_columns": ["id"], **more}


def _tables(granularity: str = "month") -> list[dict[str, Any]]:
    number = _column("id", "bigint", identity=True)
    return [
        {
            "name": "orders",
            "columns": [number, _column("status", "text"), _column("total", "decimal", precision=12, scale=2)],
            "primary_key": ["id"],
        },
        {
            "name": "lines",
            "columns": [number, _column("order_id", "bigint"), _column("price", "decimal", precision=12, scale=2)],
            "primary_key": ["id"],
            "foreign_keys": [_key(["order_id"], "orders", on_delete="cascade")],
        },
        {
            "name": "order",
            "columns": [number, _column("order_id", "bigint"), _column("seen_at", "timestamptz")],
            "primary_key": ["id", "seen_at"],
            "foreign_keys": [_key(["order_id"], "orders")],
            "partitioning": {"strategy": "range", "column": "seen_at", "granularity": granularity},
        },
        {"name": "sessions", "columns": [number, _column("left_at", "timestamptz")], "primary_key": ["id"]},
    ]


def _proven(proof: Proof, section: str, of: dict[str, Any], *, granularity: str = "month") -> Report:
    copies = [{"table": "orders", "column": "total", "source": "lines", "reason": "read often", "sync": "trigger"}]
    schema = {"tables": _tables(granularity), "denormalized": copies}
    design = DatabaseDesign.model_validate({"schema": schema, **of})
    return proof(Subject(design, section), DAY)


def _status(report: Report) -> list[Status]:
    assert all(verdict.tier is Tier.ENGINE for verdict in report.verdicts)
    return [verdict.status for verdict in report.verdicts]


def _view(sql: str, key: Sequence[str], *, concurrently: bool = True) -> Report:
    view = {"name": "v", "sql": sql, "unique_key": key, "concurrently": concurrently, "refresh": "0 1 * * *"}
    return _proven(view_refreshes, "views", {"views": {"views": [view]}})


@pytest.mark.parametrize("concurrently", [True, False])
def test_a_view_is_refreshed_on_rows(concurrently: bool) -> None:
    """A sound view is filled from rows and holds what its SELECT gives."""
    report = _view(
        "SELECT order_id, sum(price) AS price FROM lines GROUP BY 1", ["order_id"], concurrently=concurrently
    )
    assert report.findings == () and _status(report) == [Status.PASSED]


@pytest.mark.parametrize("concurrently", [True, False])
def test_a_key_that_is_not_unique_is_found_on_rows(concurrently: bool) -> None:
    """The unique index stands while the view is empty, and the refresh with rows is what fails."""
    sql = "SELECT 1 AS one, id, price FROM lines"
    report = _view(sql, ["one"], concurrently=concurrently)
    assert [(f.code, f.where) for f in report.findings] == [("views.key_not_unique", "/views/0/unique_key")]
    assert _status(report) == [Status.FAILED]


def test_a_view_that_fails_on_rows_is_found() -> None:
    """A division that no empty table shows."""
    report = _view("SELECT id, 1 / (price - price) AS share FROM lines", ["id"])
    assert [f.code for f in report.findings] == ["views.refresh_fails"] and "division" in report.findings[0].message


def test_a_view_that_is_another_each_time_is_not_called_proven() -> None:
    """What cannot be compared with its SELECT is inconclusive."""
    report = _view("SELECT id, random() AS lot FROM lines", ["id"])
    assert report.findings == () and _status(report) == [Status.INCONCLUSIVE]


def _life(**life: object) -> dict[str, Any]:
    return {"lifecycle": {"tables": [life]}}


@pytest.mark.parametrize("granularity", ["day", "week", "month", "quarter", "year"])
@pytest.mark.parametrize("archive", [None, "object_store"])
def test_partitions_come_and_go(granularity: str, archive: str | None) -> None:
    """A row of the next period is refused before and taken after; the expired partition goes, young rows stay."""
    life = _life(
        table="order", age_column="seen_at", keep_days=800, leaves_by="drop_partition", partitions_ahead=2,
        archive_to=archive,
    )  # fmt: skip
    report = _proven(rows_come_and_go, "lifecycle", life, granularity=granularity)
    assert report.findings == () and _status(report) == [Status.PASSED]
    assert "refused before and taken after" in report.verdicts[0].uncovered
    assert "took the expired partition" in report.verdicts[0].uncovered


def test_a_partition_column_in_a_foreign_key_is_not_called_wrong() -> None:
    """The made-up row of the next period has no parent there: that says nothing about the partitions."""
    parts = weak_answers("wallet", repaired=True)
    design = DatabaseDesign.model_validate({name: parts[name] for name in ("schema", "lifecycle")})
    report = rows_come_and_go(Subject(design, "lifecycle"), DAY)
    assert report.findings == ()
    told = {verdict.artefact: verdict for verdict in report.verdicts}
    assert told["lifecycle of entry"].status is Status.INCONCLUSIVE
    assert "foreign key" in told["lifecycle of entry"].uncovered
    assert told["lifecycle of transfer"].status is Status.PASSED


def test_expired_rows_are_deleted_in_batches() -> None:
    """Old rows go, two a transaction, and young ones stay."""
    life = _life(table="sessions", age_column="left_at", keep_days=30, leaves_by="delete_in_batches")
    report = _proven(rows_come_and_go, "lifecycle", life)
    assert report.findings == () and _status(report) == [Status.PASSED]


def test_rows_that_are_referred_to_are_not_called_proven() -> None:
    """Orders cannot leave under rows that refer to them: inconclusive, with the reason."""
    life = _life(table="orders", age_column="left_at", keep_days=30, leaves_by="delete_in_batches")
    tables = _tables()
    tables[0]["columns"].append(_column("left_at", "timestamptz"))
    design = DatabaseDesign.model_validate({"schema": {"tables": tables}, **life})
    (verdict,) = rows_come_and_go(Subject(design, "lifecycle"), DAY).verdicts
    assert verdict.status is Status.INCONCLUSIVE and "refer to orders" in verdict.uncovered


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("INTERVAL '1 month'", "INTERVAL '2 months'", "orders_make"),
        ("ahead LOOP", "ahead - 2 LOOP", "order_make_partitions"),
        ("<= (today - keep_days)", "<= (today)", "young"),
        ("EXECUTE format('DROP TABLE %s', part);", "EXIT;", "order_drop_partitions"),
    ],
)
def test_a_broken_function_is_found(monkeypatch: pytest.MonkeyPatch, good: str, bad: str, says: str) -> None:
    """The proof is no formality: a function that makes too little or drops too much fails it."""
    import dbprompt.render.postgres as written

    def broken(design: DatabaseDesign) -> Any:
        from dataclasses import replace

        for one in lifecycle_statements(design):
            yield replace(
                one, sql=one.sql.replace(good.replace("INTERVAL", "interval"), bad.replace("INTERVAL", "interval"))
            )

    monkeypatch.setattr(written, "lifecycle_statements", broken)
    life = _life(table="order", age_column="seen_at", keep_days=90, leaves_by="drop_partition", partitions_ahead=3)
    report = _proven(rows_come_and_go, "lifecycle", life)
    assert Status.PASSED not in _status(report), report


def _job(kind: str, target: str | None = None, sql: str | None = None) -> dict[str, Any]:
    return {"name": f"job_{kind}", "kind": kind, "target": target, "schedule": "0 3 * * *", "sql": sql}


def test_jobs_of_every_kind_run() -> None:
    """What we write for each kind runs outside of a transaction block: VACUUM, REINDEX CONCURRENTLY, CALL, REFRESH."""
    view = {"name": "v", "sql": "SELECT id FROM lines", "unique_key": ["id"], "refresh": "0 3 * * *"}
    parts = {"table": "order", "age_column": "seen_at", "keep_days": 90, "leaves_by": "drop_partition"}
    left = {"table": "sessions", "age_column": "left_at", "keep_days": 30, "leaves_by": "delete_in_batches"}
    jobs = [
        _job("create_partitions", "order"), _job("drop_partitions", "order"), _job("delete_expired", "sessions"),
        _job("refresh_view", "v"), _job("analyze"), _job("vacuum", "order"), _job("reindex"),
        _job("sql", sql="DELETE FROM sessions WHERE left_at < now();"),
    ]  # fmt: skip
    jobs += [{**_job("reindex", "v"), "name": "one"}, {**_job("vacuum"), "name": "all"}]
    of = {
        "views": {"views": [view]},
        "lifecycle": {"tables": [{**parts, "partitions_ahead": 2}, left]},
        "upkeep": {"jobs": jobs},
    }
    report = _proven(jobs_run, "upkeep", of)
    assert report.findings == () and _status(report) == [Status.PASSED] * len(jobs)


def test_a_job_that_fails_is_found_at_its_place() -> None:
    """A column that is not there, in a job that would have failed at night."""
    report = _proven(jobs_run, "upkeep", {"upkeep": {"jobs": [_job("sql", sql="DELETE FROM sessions WHERE gone")]}})
    assert [(f.code, f.where) for f in report.findings] == [("upkeep.job_fails", "/jobs/0/sql")]


def _synced(sql: str, events: Sequence[str]) -> Report:
    sync = {"name": "keep_total", "table": "lines", "copy_table": "orders", "copy_column": "total"}
    return _proven(
        copies_follow, "upkeep", {"upkeep": {"jobs": [], "sync_triggers": [{**sync, "events": events, "sql": sql}]}}
    )


def test_a_copy_follows_its_source() -> None:
    """Lines are added, changed, moved and removed, and the total of both orders follows."""
    report = _synced(LINES_SUM, ["insert", "update", "delete"])
    assert report.findings == () and _status(report) == [Status.PASSED]
    for change in ("an update of price", "moving a row by order_id", "a delete", "an insert"):
        assert change in report.verdicts[0].uncovered


@pytest.mark.parametrize(
    ("sql", "events", "says"),
    [
        (LINES_SUM, ["insert", "update"], "a delete"),
        (LINES_SUM, ["insert", "delete"], "moving a row"),
        (LINES_SUM.replace("IN (NEW.order_id, OLD.order_id)", "= NEW.order_id"), ["insert", "update"], "moving a row"),
        (LINES_SUM.replace("sum(l.price)", "max(3)"), ["insert", "update", "delete"], "changed nothing"),
        (LINES_SUM.replace("coalesce(sum(l.price), 0)", "1 / 0"), ["insert", "update", "delete"], "fails"),
    ],
)
def test_a_copy_that_is_left_behind_is_found(sql: str, events: list[str], says: str) -> None:
    """A missing event, a parent that is not named, a value of nothing: each is found with what was done."""
    report = _synced(sql, events)
    assert [(f.code, f.where) for f in report.findings] == [("upkeep.copy_does_not_follow", "/sync_triggers/0/sql")]
    assert says in report.findings[0].message and _status(report) == [Status.FAILED]


def test_a_copy_that_adds_up_is_not_called_proven() -> None:
    """A trigger that adds to what is there has nothing to be compared with."""
    report = _synced(
        "UPDATE orders SET total = total + 1 WHERE id IN (NEW.order_id, OLD.order_id)", ["insert", "update"]
    )
    assert report.findings == () and _status(report) == [Status.INCONCLUSIVE]


def test_the_questions_about_indexes_run() -> None:
    """Each question runs on the engine of the target."""
    report = _proven(index_upkeep_runs, "upkeep", {"upkeep": {"jobs": [_job("analyze")]}})
    assert report.findings == () and _status(report) == [Status.PASSED]


@pytest.mark.parametrize("major", [one.major for one in installations()])
def test_the_questions_about_indexes_find_what_they_ask_for(major: int) -> None:
    """An unused, a duplicate, an invalid and a bloated index, a bare foreign key and dead rows, on every major here."""
    limits = UpkeepLimits(index_bytes=0, table_rows=100)
    setup = (
        "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES p, a int, b text)",
        "INSERT INTO p SELECT g FROM generate_series(1, 10) g",
        "INSERT INTO t SELECT g, 1 + g % 10, g % 3, repeat('x', 20) FROM generate_series(1, 20000) g",
        "CREATE INDEX t_a ON t (a)", "CREATE INDEX t_b ON t (b)", "CREATE INDEX t_b_again ON t (b)",
        "DELETE FROM t WHERE id % 10 > 0", "VACUUM (ANALYZE) t", "DELETE FROM t WHERE id % 20 > 0",
        "SELECT count(*) FROM t WHERE b > 'y'", "CREATE UNIQUE INDEX CONCURRENTLY t_p ON t (p)",
    )  # fmt: skip
    with PostgresEngine.of(major).sandbox() as sandbox:
        for sql in setup:
            sandbox.run(sql)
        sandbox.run("SELECT pg_stat_force_next_flush()")
        sandbox.reconnect()  # a session hands its counters over when it ends
        found = {}
        for one in upkeep_queries(limits):
            outcome, rows = sandbox.fetch(one.sql)
            assert outcome.ok, (one.name, outcome.message)
            found[one.name] = " ".join(str(value) for row in rows for value in row)
    assert "t_b" in found["unused_indexes"] and "t_pkey" not in found["unused_indexes"]
    assert "t_p_fkey" in found["unindexed_foreign_keys"]
    assert "t_b" in found["duplicate_indexes"] and "t_b_again" in found["duplicate_indexes"]
    assert "t_a" not in found["duplicate_indexes"]
    assert "t_p" in found["invalid_indexes"]
    assert "t_pkey" in found["bloated_indexes"]
    assert found["dead_rows"].startswith("public t")
    assert found["missing_indexes"].startswith("public t")
