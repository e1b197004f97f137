"""Plans at a volume that nobody loaded, on every PostgreSQL that is here."""

from __future__ import annotations

from datetime import date

import pytest
from design_cases import subject

from dbprompt.checks.base_plans import Planning
from dbprompt.checks.registry import Subject, design_checks
from dbprompt.engines.postgres import installations
from dbprompt.errors import SetupError
from dbprompt.evidence import Evidence, Exhibit, Report, Severity, Status, Tier, Verdict
from dbprompt.ladder import climb
from dbprompt.plans import explain, plan_queries

DAY = date(2026, 3, 1)
MAJORS = sorted({18, *(one.major for one in installations())}, reverse=True)
on_each = pytest.mark.parametrize("major", MAJORS)

SHOP = """
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email varchar(255) NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    status varchar(20) NOT NULL DEFAULT 'pending',
    total numeric(12, 2) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"""
HISTORY = "SELECT id, total, created_at FROM orders WHERE user_id = $1 ORDER BY created_at DESC LIMIT 20"
COMPOSITE = "CREATE INDEX orders_user_created ON orders (user_id, created_at DESC);"
BY_STATUS = "CREATE INDEX orders_status ON orders (status);"
ROWS = {"users": 1_000_000, "orders": 100_000_000}


def _codes(evidence: Evidence | Report) -> list[str]:
    return [finding.code for finding in evidence.findings]


def _verdicts(evidence: Evidence | Report) -> dict[str, Verdict]:
    return {one.artefact: one for one in evidence.verdicts if one.checker.endswith("planner")}


def _plan(evidence: Evidence | Report, query: str) -> Exhibit:
    (found,) = (one for one in evidence.exhibits if isinstance(one.data, dict) and one.data["query"] == query)
    return found


def _data(exhibit: Exhibit) -> dict[str, object]:
    assert isinstance(exhibit.data, dict)
    return dict(exhibit.data)


@on_each
def test_orders_of_users_at_a_hundred_million(major: int) -> None:
    """The history of a user uses the composite index; a status that 80 % of the rows have does not use its own."""
    evidence = explain(
        SHOP + COMPOSITE + BY_STATUS,
        {"history": HISTORY, "shipped": "SELECT * FROM orders WHERE status = 'shipped'"},
        rows=ROWS,
        frequencies={"orders.status": {"shipped": 0.8}},
        version=major,
    )
    history = _data(_plan(evidence, "history"))
    without = history["without"]
    assert history["indexes"] == ["orders_user_created"]
    assert isinstance(without, dict)
    assert without["orders_user_created"] > 1_000 * float(str(history["cost"]))
    assert _plan(evidence, "history").text.startswith("Limit 20 > Index Scan orders_user_created on orders (user_id =")
    ignored, unused = evidence.findings
    assert (ignored.code, ignored.where) == ("plans.index_ignored", "/queries/1")
    assert "80,000,00" in ignored.message and "80%" in ignored.message and "orders_status" in ignored.message
    assert (unused.code, unused.where) == ("plans.unused_index", "/indexes/orders_status")
    verdicts = _verdicts(evidence)
    assert verdicts["query history"].status is Status.PASSED
    assert verdicts["query history"].tier is Tier.ENGINE
    assert verdicts["query history"].checker.startswith(f"postgresql {major}")
    assert verdicts["query shipped"].status is Status.INCONCLUSIVE
    assert verdicts["index orders_status"].status is Status.INCONCLUSIVE


@on_each
def test_a_rare_status_does_use_its_index(major: int) -> None:
    """The same index serves a value that few rows have: what decides is the stated share."""
    evidence = explain(
        SHOP + BY_STATUS,
        {"failed": "SELECT * FROM orders WHERE status = 'failed'"},
        rows=ROWS,
        frequencies={"orders.status": {"shipped": 0.8, "failed": 0.000001}},
        version=major,
    )
    assert _data(_plan(evidence, "failed"))["indexes"] == ["orders_status"]
    assert evidence.findings == ()


@on_each
@pytest.mark.parametrize(
    ("index", "codes"),
    [
        (COMPOSITE, []),
        ("CREATE INDEX half ON orders (user_id);", ["plans.sort"]),
        ("CREATE INDEX bad ON orders (total);", ["plans.unserved", "plans.unused_index"]),
    ],
    ids=["good", "half", "bad"],
)
def test_good_half_and_bad_indexes_are_told_apart(major: int, index: str, codes: list[str]) -> None:
    """The fitting index passes, one without the sort is said to sort, one on another column not to serve."""
    evidence = explain(SHOP + index, {"history": HISTORY}, rows={"users": 20_000, "orders": 100_000_000}, version=major)
    assert _codes(evidence) == codes


@on_each
def test_a_condition_that_keeps_the_index_out(major: int) -> None:
    """A function around the column, and a parameter of another type, are planned as they are written."""
    ddl = SHOP + COMPOSITE + "CREATE INDEX orders_created ON orders (created_at);"
    evidence = explain(
        ddl,
        {
            "day": "SELECT count(*) FROM orders WHERE created_at::date = $1",
            "typed": "SELECT 1 FROM users WHERE id = $1::numeric",
        },
        rows=ROWS,
        version=major,
    )
    assert [(one.code, one.where) for one in evidence.findings if one.severity is Severity.WARNING] == [
        ("plans.unserved", "/queries/0"),
        ("plans.unserved", "/queries/1"),
    ]


@on_each
def test_an_index_that_another_one_covers(major: int) -> None:
    """Without it the plan costs the same by a wider index of the same table."""
    ddl = SHOP + "CREATE INDEX orders_total ON orders (total); CREATE INDEX wide ON orders (total, user_id);"
    queries = {
        "dear": "SELECT count(*) FROM orders WHERE total > $1",
        "theirs": "SELECT id FROM orders WHERE total = $1 AND user_id = $2",
    }
    evidence = explain(ddl, queries, rows=ROWS, version=major)
    covered = [one for one in evidence.findings if one.code == "plans.covered_index"]
    assert [one.where for one in covered] == ["/indexes/orders_total"]
    assert "wide" in covered[0].message


EVENTS = """
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    device_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX events_device ON events (device_id, occurred_at);
""" + "".join(
    f"CREATE TABLE events_{month:02} PARTITION OF events FOR VALUES FROM ('2026-{month:02}-01') TO "
    f"('2026-{month + 1:02}-01');"
    for month in range(1, 9)
)


@on_each
def test_partitions_are_left_out_or_not(major: int) -> None:
    """A query that names the partition key reads one partition of eight; one that does not reads all, which is said."""
    evidence = explain(
        EVENTS,
        {
            "hour": "SELECT count(*) FROM events WHERE device_id = $1 AND occurred_at >= $2 AND occurred_at < $3",
            "device": "SELECT count(*) FROM events WHERE device_id = $1",
        },
        rows={"events": 80_000_000},
        version=major,
    )
    assert [(one.code, one.where) for one in evidence.findings if one.code == "plans.no_pruning"] == [
        ("plans.no_pruning", "/queries/1")
    ]
    hour, device = _plan(evidence, "hour"), _plan(evidence, "device")
    assert _data(hour)["indexes"] == _data(device)["indexes"] == ["events_device"]
    assert "Append" not in hour.text and "Append of 8" in device.text
    assert "sample values" in hour.text


@on_each
def test_the_latest_of_all_partitions_stops_early(major: int) -> None:
    """Partitions read one after another in order, until there are enough rows, are no missing pruning."""
    ddl = EVENTS + "CREATE INDEX events_occurred ON events (occurred_at);"
    latest = "SELECT id FROM events ORDER BY occurred_at DESC LIMIT 10"
    evidence = explain(ddl, {"latest": latest}, rows={"events": 80_000_000}, version=major)
    assert "plans.no_pruning" not in _codes(evidence)
    assert "plans.sort" not in _codes(evidence)


def test_heavy_work_that_an_index_serves_is_slow() -> None:
    """An index that finds millions of rows is used, and the query is still beyond its target."""
    sql = "SELECT sum(total) FROM orders WHERE user_id = $1"
    evidence = explain(SHOP + COMPOSITE, {"sum": sql}, rows={"users": 100, "orders": 100_000_000}, p95_ms=20)
    assert set(_codes(evidence)) <= {"plans.slow", "plans.index_ignored"}
    assert any("target of 20 ms" in one.message or "does not use" in one.message for one in evidence.findings)
    quick = explain(SHOP + COMPOSITE, {"sum": sql}, rows={"users": 20_000_000, "orders": 100_000_000}, p95_ms=20)
    assert quick.findings == ()


def test_ddl_that_does_not_run_is_an_error_of_the_caller() -> None:
    """Plans on half a schema would prove nothing."""
    with pytest.raises(SetupError, match="nowhere"):
        explain("CREATE TABLE a (b bigint REFERENCES nowhere (id));", {"q": "SELECT 1"}, rows={})


@pytest.mark.parametrize("sql", ["SELECT 1; DROP TABLE orders", "DROP TABLE orders", "SELECT nothing FROM orders"])
def test_what_cannot_be_planned_is_never_a_pass(sql: str) -> None:
    """Hostile and refused queries have a verdict that says why there is no plan."""
    evidence = explain(SHOP, {"q": sql}, rows=ROWS)
    verdict = _verdicts(evidence)["query q"]
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.uncovered.startswith("no plan: ")
    assert evidence.exhibits == ()


def _proven(of: Subject) -> Report:
    (check,) = design_checks("queries", run=climb, plans=plan_queries, as_of=DAY)
    return check(of).below("/queries")


def test_a_sound_design_is_proven_at_both_volumes() -> None:
    """Every query has a plan today and in three years, every index a verdict in its own section."""
    report = _proven(subject("queries"))
    statements = {one.where for one in report.exhibits}
    assert [f for f in report.findings if f.code.startswith("plans.") and f.severity is Severity.ERROR] == []
    assert len(report.exhibits) == 2 * len(statements)
    assert any("in three years" in one.title or "three years" in one.title for one in report.exhibits)
    verdicts = _verdicts(report)
    assert {where.split("/")[1] for where in (one.where for one in verdicts.values())} == {"queries", "indexes"}
    assert all(one.status is Status.PASSED for one in verdicts.values() if one.artefact.startswith("query"))


def test_a_query_that_cannot_use_the_index_that_was_made_for_it_fails() -> None:
    """The brief's hot query, its index there, and a condition that keeps it out: an error that the query can mend."""
    change = {
        "queries/order_by_number": {"sql": "SELECT id FROM orders WHERE lower(public_number) = $1", "uses_index": None}
    }
    report = _proven(subject("queries", change))
    (finding,) = (one for one in report.errors if one.code.startswith("plans."))
    assert (finding.code, finding.where) == ("plans.unserved", "/queries/queries/1")
    assert "public_number" in finding.message and "139,030,000" in finding.message
    assert _verdicts(report)["query order_by_number"].status is Status.FAILED


def test_without_a_planner_nothing_is_proven() -> None:
    """No engine: each query is not checked, with the reason."""

    def absent(*_: object, **__: object) -> Planning:
        return Planning("postgresql planner", problem="no PostgreSQL here")

    (check,) = design_checks("queries", run=climb, plans=absent, as_of=DAY)
    verdicts = _verdicts(check(subject("queries")))
    assert {one.status for one in verdicts.values()} == {Status.NOT_CHECKED}
    assert all("no PostgreSQL here" in one.uncovered for one in verdicts.values())
