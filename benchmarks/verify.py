"""What the ladder costs beside the bare tools, in one run: `python benchmarks/verify.py`.

The same statements (20 tables, 20 indexes, 20 queries) go through each bare tool and through our rung over it. Compare
the ratios: seconds are noisy on a shared machine.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import postgast
import sqlglot
from rich.console import Console
from rich.table import Table

from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.sql import sqlglot_parser
from dbprompt.checks.sql.grammar import GrammarRung
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.ladder import climb

TABLES = 20
ROUNDS = 12


def statements() -> tuple[list[Statement], list[Statement]]:
    """A design of 20 tables: its DDL, and a query a table."""
    ddl = []
    for at in range(TABLES):
        parent = f" REFERENCES t{at - 1} (id)" if at else ""
        ddl.append(
            f"CREATE TABLE t{at} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, email text, "
            f"amount numeric(12,2) CHECK (amount >= 0), created_at timestamptz NOT NULL DEFAULT now(), "
            f"other bigint{parent})"
        )
    ddl += [f"CREATE INDEX i{at} ON t{at} (name, created_at DESC)" for at in range(TABLES)]
    queries = [f"SELECT id FROM t{at} WHERE name = $1 ORDER BY created_at DESC LIMIT 20" for at in range(TABLES)]
    return (
        [Statement(f"/d/{at}", f"statement {at}", sql) for at, sql in enumerate(ddl)],
        [Statement(f"/q/{at}", f"query {at}", sql, ("text",), QUERY_KINDS) for at, sql in enumerate(queries)],
    )


def median_ms(work: Callable[[], object]) -> float:
    """Milliseconds of the middle one of several rounds, after one to warm up."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def tiers(screen: Console) -> None:
    """Each rung against its bare tool."""
    ddl, queries = statements()
    both = [*ddl, *queries]
    engine = PostgresEngine.of()
    rung = GrammarRung()

    def bare_engine() -> None:
        with engine.sandbox() as sandbox:
            for one in ddl:
                assert sandbox.run(one.sql).ok
            for one in queries:
                assert sandbox.prepare(one.sql, one.parameter_types).ok

    rows = [
        ("1 sqlglot", lambda: [sqlglot.parse(s.sql, dialect="postgres") for s in both],
         lambda: [sqlglot_parser.opine(s.sql, "postgres") for s in both]),
        ("2 postgast", lambda: [postgast.parse(s.sql) for s in both], lambda: [rung.climb(s) for s in both]),
        ("0-4 engine and all below", bare_engine, lambda: climb(ddl, queries)),
    ]  # fmt: skip
    table = Table("tier", "bare, statements/s", "ours, statements/s", "ours / bare time")
    for name, bare, ours in rows:
        one, other = median_ms(bare), median_ms(ours)
        table.add_row(name, f"{len(both) / one * 1000:,.0f}", f"{len(both) / other * 1000:,.0f}", f"{other / one:.2f}")
    screen.print(table)


def worker(seconds: float) -> int:
    """How many 20-table designs one process proves in this time, after a warm start."""
    ddl, queries = statements()
    climb(ddl, queries)
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        climb(ddl, queries)
        done += 1
    return done


def throughput(screen: Console, seconds: float = 6.0) -> None:
    """Designs a second on one process and on two."""
    context = multiprocessing.get_context("spawn")
    for processes in (1, 2):
        with context.Pool(processes) as pool:
            done = sum(pool.map(worker, [seconds] * processes))
        screen.print(f"{processes} process{'es' if processes > 1 else ''}: {done / seconds:.1f} designs/s of 20 tables")


def cold_start(screen: Console) -> None:
    """A fresh process, from nothing imported to its first verdict."""
    code = "import dbprompt; assert dbprompt.verify('CREATE TABLE t (id int)').ok"
    times = []
    for _ in range(4):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    screen.print(f"cold start with a cached template: {statistics.median(times[1:]):.2f} s")


def memory(screen: Console, designs: int) -> None:
    """Peak memory of this process over many designs in a row."""
    ddl, queries = statements()
    for _ in range(20):
        climb(ddl, queries)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(designs):
        climb(ddl, queries)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    screen.print(f"peak memory over {designs} designs: {grown / 1024:+.1f} MB on {before / 1024:.0f} MB")


def main() -> None:
    """Prints everything; `--designs N` sets how many are run for the memory figure."""
    screen = Console(width=110)
    designs = int(sys.argv[sys.argv.index("--designs") + 1]) if "--designs" in sys.argv else 200
    cold_start(screen)
    tiers(screen)
    memory(screen, designs)
    throughput(screen)
    screen.print(json.dumps({"cores": os.cpu_count(), "engine": PostgresEngine.of().version}))


if __name__ == "__main__":
    main()
