"""What the ladder costs beside the bare tools, in one run: `python benchmarks/verify.py [--designs N]`.

A design is 60 statements: 20 tables (identity key, numeric with a CHECK, two texts, timestamp with a default, foreign
key to the table before), an index on each, and a query on each that is prepared under its parameter's type. Each
design has names of its own, so nothing that is kept from the one before can help.

The bare engine is psycopg on the same warm temporary server: a role and a database of its own for each design from the
same template, one connection, autocommit (each statement by itself, as in the sandbox), queries sent with PQprepare,
then the connection is closed and role and database are dropped. Ours is `climb`: both parsers, the allow-list, the
sandbox, and the questions to the catalogue afterwards. Both take turns, so noise falls on both; compare the ratios.
`cpu` is processor time, which a busy neighbour changes less than the clock; work that is done beside the design (the
next sandbox made ahead, the last one dropped behind) is in it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import postgast
import psycopg
import sqlglot
from rich.console import Console
from rich.table import Table

from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.sql import sqlglot_parser
from dbprompt.checks.sql.grammar import GrammarRung
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.engines.postgres.server import Server
from dbprompt.engines.postgres.template import ADMIN, PARENT
from dbprompt.ladder import climb

TABLES = 20
TEXT = 25  # the number of PostgreSQL's type text
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_numbers = count(1)


@dataclass(frozen=True)
class Design:
    """The statements of one design."""

    ddl: tuple[Statement, ...]
    queries: tuple[Statement, ...]

    @classmethod
    def next(cls) -> Design:
        """One that nobody has seen before."""
        name = f"d{next(_numbers)}"
        ddl = []
        for at in range(TABLES):
            parent = f" REFERENCES {name}_t{at - 1} (id)" if at else ""
            ddl.append(
                f"CREATE TABLE {name}_t{at} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, "
                "email text, amount numeric(12,2) CHECK (amount >= 0), created_at timestamptz NOT NULL DEFAULT now(), "
                f"other bigint{parent})"
            )
        ddl += [f"CREATE INDEX {name}_i{at} ON {name}_t{at} (name, created_at DESC)" for at in range(TABLES)]
        asked = [
            f"SELECT id FROM {name}_t{at} WHERE name = $1 ORDER BY created_at DESC LIMIT 20" for at in range(TABLES)
        ]
        return cls(
            tuple(Statement(f"/d/{at}", f"statement {at}", sql) for at, sql in enumerate(ddl)),
            tuple(Statement(f"/q/{at}", f"query {at}", sql, ("text",), QUERY_KINDS) for at, sql in enumerate(asked)),
        )

    @property
    def all(self) -> tuple[Statement, ...]:
        """Every statement."""
        return self.ddl + self.queries


class Bare:
    """psycopg on the server of our sandboxes."""

    def __init__(self, server: Server) -> None:
        self.parts: dict[str, list[float]] = {}
        self._host = str(server.directory)
        self._admin = psycopg.connect(host=self._host, user=ADMIN, dbname="postgres", autocommit=True)
        self._since = 0.0

    def run(self, design: Design) -> None:
        """One design."""
        name = f"bare_{os.getpid()}_{next(_numbers)}"
        self._since = time.perf_counter()
        self._admin.execute(f"CREATE ROLE {name} LOGIN")
        strategy = "STRATEGY file_copy" if self._admin.info.server_version >= 150000 else ""
        self._admin.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE {PARENT} {strategy}")
        self._took("role and database")
        with psycopg.connect(host=self._host, user=name, dbname=name, autocommit=True) as connection:
            self._took("connection")
            for one in design.ddl[:TABLES]:
                connection.execute(one.sql)
            self._took("tables")
            for one in design.ddl[TABLES:]:
                connection.execute(one.sql)
            self._took("indexes")
            for one in design.queries:
                assert (
                    connection.pgconn.prepare(b"", one.sql.encode(), [TEXT]).status == psycopg.pq.ExecStatus.COMMAND_OK
                )
            self._took("queries")
        while self._admin.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", (name,)).fetchall():
            time.sleep(0.001)  # DROP DATABASE would sleep a tenth of a second for the backend
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self._admin.execute(f"DROP ROLE {name}")
        self._took("end and drop")

    def _took(self, part: str) -> None:
        now = time.perf_counter()
        self.parts.setdefault(part, []).append((now - self._since) * 1000)
        self._since = now


def ours(design: Design) -> None:
    """The whole ladder over one design."""
    report = climb(design.ddl, design.queries)
    assert not report.errors
    assert len(report.verdicts) == 3 * 3 * TABLES  # sqlglot, native grammar, engine


def warm_server() -> Server:
    """The server that sandboxes of this process share."""
    with PostgresEngine.of().sandbox() as sandbox:
        if not isinstance(sandbox.server, Server):
            raise SystemExit("This needs a server of our own: unset DBPROMPT_PG_DSN.")
        return sandbox.server


def below(server: Server) -> list[int]:
    """The postmaster and its children."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    children = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=False)
    return [postmaster, *map(int, children.stdout.split())]


@dataclass(frozen=True)
class Took:
    """Milliseconds of one round: on the clock, and of processor time of this process and of the server below it."""

    wall: float
    client: float
    server: float

    @property
    def cpu(self) -> float:
        """Processor time of both."""
        return self.client + self.server


def so_far(server: Server | None) -> Took:
    """The clock, and the processor time of this process and of the server with all its backends."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    ticks = 0
    for pid in below(server) if server else ():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return Took(time.perf_counter() * 1000, (mine.ru_utime + mine.ru_stime) * 1000, ticks * _TICK_MS)


def side_by_side(
    bare: Callable[[Design], object], other: Callable[[Design], object], rounds: int, server: Server | None = None
) -> tuple[list[Took], list[Took]]:
    """Each round of both, which take turns."""
    took: tuple[list[Took], list[Took]] = ([], [])
    for number in range(2 * (rounds + 1)):
        side = (number + number // 2) % 2  # bare, ours, ours, bare: neither always comes first
        design = Design.next()
        before = so_far(server)
        start = time.perf_counter()
        (bare, other)[side](design)
        wall = (time.perf_counter() - start) * 1000
        after = so_far(server)
        if number > 1:  # the first of each warms up
            took[side].append(Took(wall, after.client - before.client, after.server - before.server))
    return took


def tiers(screen: Console, rounds: int) -> None:
    """Each rung against its bare tool, and where the bare engine's time goes."""
    rung = GrammarRung()
    server = warm_server()
    engine = Bare(server)
    pairs: list[tuple[str, Callable[[Design], object], Callable[[Design], object], Server | None]] = [
        ("1 sqlglot", lambda d: [sqlglot.parse(s.sql, dialect="postgres") for s in d.all],
         lambda d: [sqlglot_parser.opine(s.sql, "postgres") for s in d.all], None),
        ("2 postgast, and the allow-list", lambda d: [postgast.parse(s.sql) for s in d.all],
         lambda d: [rung.read(s) for s in d.all], None),
        ("0-4 engine and all below", engine.run, ours, server),
    ]  # fmt: skip
    kinds: list[tuple[str, Callable[[list[Took]], float]]] = [
        ("wall, least", lambda took: min(one.wall for one in took)),
        ("wall, median", lambda took: statistics.median(one.wall for one in took)),
        ("cpu of client, mean", lambda took: statistics.mean(one.client for one in took)),
        ("cpu of server, mean", lambda took: statistics.mean(one.server for one in took)),
        ("cpu, mean", lambda took: statistics.mean(one.cpu for one in took)),
    ]
    table = Table("tier", "", "bare, ms", "ours, ms", "ours / bare", "ours, statements/s")
    for name, bare, other, where in pairs:
        sides = side_by_side(bare, other, rounds, where)
        for number, (kind, of) in enumerate(kinds if where else kinds[:3]):
            left, right = map(of, sides)
            speed = f"{3 * TABLES / right * 1000:,.0f}" if kind.startswith("wall") else ""
            row = (f"{left:.1f}", f"{right:.1f}", f"{right / left:.2f}", speed)
            table.add_row("" if number else name, kind, *row)
    screen.print(table)
    shares = ", ".join(f"{part} {min(took):.1f}" for part, took in engine.parts.items())
    screen.print(f"the bare engine's least, ms: {shares}")
    most = " and ".join(f"{2000 / statistics.mean(one.cpu for one in side):.0f}" for side in sides)
    screen.print(f"by processor time two cores give at most (bare and ours) {most} designs/s")


def worker(task: tuple[bool, float]) -> int:
    """How many designs one process gets through in this time, after a warm start."""
    bare, seconds = task
    run = Bare(warm_server()).run if bare else ours
    for _ in range(3):
        run(Design.next())
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        run(Design.next())
        done += 1
    return done


def throughput(screen: Console, seconds: float = 4.0, turns: int = 3) -> None:
    """Designs a second on one process and on two, bare and ours in turns."""
    context = multiprocessing.get_context("spawn")
    for processes in (1, 2):
        speeds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(turns):
            for bare in (True, False):
                with context.Pool(processes) as pool:
                    done = pool.map(worker, [(bare, seconds)] * processes, chunksize=1)
                speeds[bare].append(sum(done) / seconds)
        one, two = max(speeds[True]), max(speeds[False])
        screen.print(
            f"designs/s, {processes} process(es), best of {turns}: bare {one:.1f}, ours {two:.1f} ({one / two:.2f} x)"
        )


def cold_start(screen: Console) -> None:
    """A fresh process, from nothing imported to its first verdict."""
    code = "import dbprompt; assert dbprompt.verify('CREATE TABLE t (id int)').ok"
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    screen.print(
        f"cold start with a cached template, s: least {min(times[1:]):.2f}, median {statistics.median(times[1:]):.2f}"
    )


def megabytes(pids: list[int]) -> float:
    """Memory of processes; what they share is shared out among them."""
    total = 0.0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total


def endurance(screen: Console, designs: int) -> None:
    """Many designs in a row: what grows, and what is left."""
    server, began = warm_server(), time.perf_counter()
    table = Table(
        "designs", "client, MB", "server, MB", "on disk, MB", "files", "server processes", "databases", "threads"
    )
    marks = sorted({mark for mark in (20, 100, 500, 1000, designs) if mark <= designs})
    for number in range(1, designs + 1):
        ours(Design.next())
        if number in marks:
            time.sleep(0.5)  # the last home is dropped in the background
            files = [path for path in server.directory.rglob("*") if path.is_file()]
            held = sum(path.stat().st_blocks for path in files) * 512 / 1e6
            known = server.administer("SELECT count(*) FROM pg_database")[0][0]
            table.add_row(
                str(number), f"{megabytes([os.getpid()]):.1f}", f"{megabytes(below(server)):.1f}", f"{held:.1f}",
                str(len(files)), str(len(below(server))), str(known), str(threading.active_count()),
            )  # fmt: skip
    pids = below(server)
    PostgresEngine.of().stop()
    alive = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    screen.print(table)
    screen.print(
        f"{designs} designs in {time.perf_counter() - began:.0f} s; after the end {len(alive)} processes are left, and "
        f"{'its directory' if server.directory.exists() else 'no file'}"
    )


def main() -> None:
    """Prints everything; `--designs N` sets how many are run in a row, `--only` picks one part."""
    parts: dict[str, Callable[[], None]] = {}
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--designs", type=int, default=200)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--only", choices=["cold", "tiers", "endurance", "throughput"])
    given = options.parse_args()
    screen = Console(width=116)
    parts = {
        "cold": lambda: cold_start(screen),
        "tiers": lambda: tiers(screen, given.rounds),
        "endurance": lambda: endurance(screen, given.designs),
        "throughput": lambda: throughput(screen),
    }
    for name, part in parts.items():
        if given.only in {None, name}:
            part()
    facts = {"cores": os.cpu_count(), "load": os.getloadavg(), "engine": PostgresEngine.of().version}
    screen.print(json.dumps(facts))


if __name__ == "__main__":
    main()
