"""Plan proof against the truth: plans on faked statistics beside plans on two million rows that were really loaded.

Prints a table for each PostgreSQL that is here, then how long plan proof takes. Run: `python benchmarks/plans.py`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from rich.console import Console
from rich.table import Table

from dbprompt.checks.base import Statement
from dbprompt.checks.base_plans import PlanQuery, Volume
from dbprompt.engines.base import Limits, Outcome
from dbprompt.engines.postgres import PostgresEngine, installations
from dbprompt.engines.postgres.plan_tree import Plan
from dbprompt.engines.postgres.plans import Planner
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.sizes import Figures
from dbprompt.plans import plan_queries

DAYS = 400
ORDERS, USERS = 2_000_000, 40_000
SCHEMA = (
    "CREATE TYPE order_status AS ENUM ('open', 'paid', 'shipped', 'lost')",
    "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE, "
    "created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "user_id bigint NOT NULL REFERENCES users (id), status order_status NOT NULL, total numeric(12,2) NOT NULL, "
    "is_gift boolean NOT NULL, created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE INDEX orders_user_latest ON orders (user_id, created_at DESC)",
    "CREATE INDEX orders_status ON orders (status)",
    "CREATE INDEX orders_lost ON orders (created_at) WHERE status = 'lost'",
    "CREATE INDEX orders_day ON orders USING brin (created_at)",
)
LOAD = (
    f"INSERT INTO users (email, created_at) SELECT 'person' || n || '@example.org', now() - interval '{DAYS} days' "
    f"+ n * interval '{DAYS} days' / {USERS} FROM generate_series(1, {USERS}) n",
    "INSERT INTO orders (user_id, status, total, is_gift, created_at) "
    f"SELECT 1 + floor(random() * {USERS})::bigint, (CASE WHEN r < 0.8 THEN 'shipped' WHEN r < 0.949 THEN 'paid' "
    "WHEN r < 0.999 THEN 'open' ELSE 'lost' END)::order_status, (random() * 50000)::numeric(12,2), random() < 0.5, "
    f"now() - interval '{DAYS} days' + n * interval '{DAYS} days' / {ORDERS} "
    f"FROM (SELECT n, random() AS r FROM generate_series(1, {ORDERS}) n) rows",
    "VACUUM ANALYZE users",
    "VACUUM ANALYZE orders",
    "VACUUM orders",  # on 15 the first does not mark pages as visible to all
)
FREQUENCIES = {"orders.status": {"shipped": 0.8, "paid": 0.149, "open": 0.05, "lost": 0.001}}
QUERIES = {
    "history": ("SELECT * FROM orders WHERE user_id = $1 ORDER BY created_at DESC LIMIT 20", ("bigint",)),
    "next page": (
        "SELECT * FROM orders WHERE user_id = $1 AND created_at < $2 ORDER BY created_at DESC LIMIT 20",
        ("bigint", "timestamptz"),
    ),
    "by key": ("SELECT * FROM orders WHERE id = $1", ("bigint",)),
    "by email": ("SELECT * FROM users WHERE email = $1", ("text",)),
    "shipped, 80 %": ("SELECT * FROM orders WHERE status = 'shipped'", ()),
    "lost, 0.1 %": ("SELECT * FROM orders WHERE status = 'lost' ORDER BY created_at LIMIT 50", ()),
    "open, 5 %": ("SELECT count(*) FROM orders WHERE status = 'open'", ()),
    "any status": ("SELECT * FROM orders WHERE status = $1 LIMIT 100", ("order_status",)),
    "last week": ("SELECT sum(total) FROM orders WHERE created_at >= now() - interval '7 days'", ()),
    "last year": ("SELECT sum(total) FROM orders WHERE created_at >= now() - interval '360 days'", ()),
    "between": ("SELECT count(*) FROM orders WHERE created_at >= $1 AND created_at < $2", ("timestamptz",) * 2),
    "by status": ("SELECT status, count(*) FROM orders GROUP BY status", ()),
    "with user": (
        "SELECT u.email, o.total FROM orders o JOIN users u ON u.id = o.user_id WHERE o.id = $1",
        ("bigint",),
    ),
    "best users": (
        "SELECT u.email, sum(o.total) FROM orders o JOIN users u ON u.id = o.user_id GROUP BY u.email "
        "ORDER BY 2 DESC LIMIT 10",
        (),
    ),
    "of some users": ("SELECT * FROM orders WHERE user_id = ANY ($1)", ("bigint[]",)),
    "largest": ("SELECT * FROM orders ORDER BY total DESC LIMIT 10", ()),
    "gifts": ("SELECT * FROM orders WHERE is_gift AND user_id = $1", ("bigint",)),
    "latest": ("SELECT * FROM orders ORDER BY id DESC LIMIT 20", ()),
    "pay": ("UPDATE orders SET status = 'paid' WHERE id = $1", ("bigint",)),
    "who never": ("SELECT id FROM users u WHERE NOT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)", ()),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """One query's plan on loaded rows and on faked ones."""

    name: str
    real: Plan
    faked: Plan

    @property
    def same(self) -> bool:
        """Whether both are the same tree: kinds, tables, indexes."""
        return shape(self.real) == shape(self.faked)


def shape(plan: Plan) -> str:
    """The tree without its figures."""
    below = ", ".join(shape(child) for child in plan.children)
    own = " ".join(part for part in (plan.kind, plan.index, plan.relation) if part)
    return f"{own} [{below}]" if below else own


def build(sandbox: PostgresSandbox, statements: tuple[str, ...]) -> None:
    for sql in statements:
        outcome = sandbox.run(sql)
        assert outcome.ok, (sql, outcome)


def planned(planner: Planner) -> Iterator[Plan]:
    for sql, types in QUERIES.values():
        outcome = planner.prepare(sql, types)
        assert outcome.ok, (sql, outcome)
        plan = planner.plan()
        assert not isinstance(plan, Outcome), plan
        yield plan


def compare(engine: PostgresEngine) -> list[Pair]:
    limits = Limits(statement_seconds=300, total_seconds=900, disk_bytes=4 << 30)
    with engine.sandbox(limits=limits) as sandbox:
        build(sandbox, (*SCHEMA, *LOAD))
        real = list(planned(Planner(sandbox)))
    with engine.sandbox() as sandbox:
        build(sandbox, SCHEMA)
        planner = Planner(sandbox, now=datetime.now(UTC))
        figures = {"orders": Figures(ORDERS, 49, DAYS), "users": Figures(USERS, 45, DAYS)}
        planner.project(figures, FREQUENCIES)
        faked = list(planned(planner))
    return [Pair(name, a, b) for name, a, b in zip(QUERIES, real, faked, strict=True)]


def seconds(major: int) -> float:
    """Warm time of plan proof: the schema, two volumes, twenty queries, each index hidden in turn."""
    ddl = tuple(Statement(f"/statements/{at}", f"statement {at}", sql) for at, sql in enumerate(SCHEMA))
    queries = [
        PlanQuery(Statement(f"/queries/{at}", f"query {name}", sql, types), name)
        for at, (name, (sql, types)) in enumerate(QUERIES.items())
    ]
    volumes = [
        Volume("today", {"orders": Figures(ORDERS, 60, DAYS), "users": Figures(USERS, 60, DAYS)}),
        Volume("three years", {"orders": Figures(100_000_000, 60, 1095), "users": Figures(5_000_000, 60, 1095)}),
    ]
    times = []
    for _ in range(6):
        began = time.perf_counter()
        planning = plan_queries(ddl, queries, volumes, frequencies=FREQUENCIES, version=major, as_of=date.today())
        times.append(time.perf_counter() - began)
        assert not planning.problem and all(one.plan for one in planning.planned)
    return statistics.median(times[1:])


def main() -> int:
    console = Console(width=150)
    failed = False
    for installation in installations():
        pairs = compare(PostgresEngine.of(installation.major))
        title = f"PostgreSQL {installation.version}: {ORDERS:,} rows loaded, and none"
        table = Table("query", "plan on loaded rows", "cost", "cost faked", "", title=title, title_justify="left")
        for pair in pairs:
            cost = (f"{pair.real.cost:,.0f}", f"{pair.faked.cost:,.0f}")
            table.add_row(pair.name, shape(pair.real), *cost, "same" if pair.same else f"FAKED: {shape(pair.faked)}")
        console.print(table)
        same = sum(pair.same for pair in pairs)
        took = seconds(installation.major)
        console.print(f"{same} of {len(pairs)} plans are the same; {len(QUERIES)} queries at two volumes: {took:.2f} s")
        failed = failed or same < len(pairs)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
