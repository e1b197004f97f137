"""SQLite's cell: hostile SQL reaches nothing, ends by the deadline, and the next check works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import LIMITS, attack, canary, children

from dbprompt.engines import sqlite
from dbprompt.engines.base import Answer, Limits
from dbprompt.ladder import verify

BOMB = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT"
ATTACKS = {
    "attach a file": "ATTACH '{folder}/evil.db' AS evil",
    "attach by expression": "ATTACH '{folder}/' || 'evil.db' AS evil",
    "attach a URI": "ATTACH 'file:{folder}/evil.db?mode=rwc' AS evil",
    "vacuum into a file": "VACUUM INTO '{folder}/evil.db'",
    "load a library": "SELECT load_extension('{folder}/evil.so')",
    "write a file": "SELECT writefile('{folder}/evil', 'x')",
    "read a file": "SELECT readfile('{folder}/read.csv')",
    "edit a file": "SELECT edit('x', 'touch {folder}/evil')",
    "read by virtual table": "CREATE VIRTUAL TABLE temp.c USING csv(filename='{folder}/read.csv')",
    "list a directory": "SELECT * FROM fsdir('/')",
    "tokenizer pointer": "SELECT fts3_tokenizer('simple', x'4141414141414141')",
    "temporary files elsewhere": "PRAGMA temp_store_directory = '{folder}'",
    "temporary files at all": "PRAGMA temp_store = FILE",
    "tamper with the schema": "PRAGMA writable_schema = ON",
    "lift the size limit": "PRAGMA max_page_count = 1000000000",
    "lift the heap limit": "PRAGMA hard_heap_limit = 0",
    "map memory": "PRAGMA mmap_size = 100000000000",
    "grow the cache": "PRAGMA cache_size = -100000000",
    "count for ever": f"{BOMB} count(*) FROM r",
    "stream for ever": f"{BOMB} n, randomblob(1000) FROM r",
    "sort for ever": f"{BOMB} n FROM r ORDER BY randomblob(1000)",
    "fill the memory": "CREATE TABLE b AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
    "SELECT randomblob(1000000) FROM r",
    "one large value": "SELECT zeroblob(2000000000)",
    "one large text": "SELECT length(printf('%.*c', 2000000000, 'x'))",
    "grow a text": "SELECT group_concat(hex(randomblob(1000000))) FROM (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL "
    "SELECT n + 1 FROM r) SELECT n FROM r)",
    "cross join": "CREATE TABLE s AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000) "
    "SELECT n FROM r;;SELECT count(*) FROM s a, s b, s c, s d",
    "deep expression": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "endless trigger": "CREATE TABLE l (n);;CREATE TRIGGER t AFTER INSERT ON l BEGIN "
    f"INSERT INTO l VALUES (NEW.n); END;;PRAGMA recursive_triggers = ON;;INSERT INTO l {BOMB} n FROM r",
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where an attack could be seen."""
    with canary() as path:
        yield path


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_gets_out_or_goes_on(folder: Path, name: str) -> None:
    """Nothing is read, written, loaded or used up, through the ladder and at the sandbox alone."""
    attack(sqlite.engine(), "sqlite", ATTACKS[name], folder)


def test_an_interrupted_statement_leaves_its_database() -> None:
    """SQLite is asked to stop first, so the statements after a slow one are still checked."""
    with sqlite.engine().sandbox(limits=LIMITS) as sandbox:
        sandbox.run("CREATE TABLE t (id INTEGER)")
        assert sandbox.run(f"{BOMB} count(*) FROM r").answer is Answer.UNDECIDED
        assert sandbox.run("SELECT id FROM t").ok


def test_a_killed_cell_is_replaced() -> None:
    """When its process dies, a sandbox says so and the next one works."""
    engine = sqlite.engine()
    engine.stop()
    with engine.sandbox(limits=LIMITS) as sandbox:
        (pid,) = children()
        os.kill(pid, signal.SIGKILL)
        assert [sandbox.run("SELECT 1").answer for _ in range(2)] == [Answer.UNDECIDED] * 2
    with engine.sandbox(limits=LIMITS) as sandbox:
        assert sandbox.run("SELECT 1").ok


def test_sandboxes_do_not_see_each_other() -> None:
    """Two at once, and one after the other, each have a database of their own."""
    engine = sqlite.engine()
    with engine.sandbox() as one, engine.sandbox() as other:
        assert one.run("CREATE TABLE t (id INTEGER)").ok
        assert not other.run("SELECT id FROM t").ok
    with engine.sandbox() as later:
        assert not later.run("SELECT id FROM t").ok


def test_the_time_for_all_statements_is_bounded() -> None:
    """A script of many slow statements ends by the total deadline, and what was not tried is open."""
    began = time.monotonic()
    evidence = verify(
        f"{BOMB} count(*) FROM r;" * 20, dialect="sqlite", limits=Limits(statement_seconds=0.4, total_seconds=1.0)
    )

    assert time.monotonic() - began < 4.0
    assert sum("used up" in verdict.uncovered for verdict in evidence.not_proven) >= 15


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_cell_outlives_its_owner(how: signal.Signals) -> None:
    """After kill -9 and Ctrl-C in the middle of an endless statement, the cell ends by itself."""
    code = (
        "import dbprompt; assert dbprompt.verify('SELECT 1', dialect='sqlite').ok; print('ready', flush=True);"
        f"dbprompt.verify('{BOMB} count(*) FROM r', dialect='sqlite', "
        "limits=__import__('dbprompt.engines.base').engines.base.Limits(statement_seconds=2.0))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    (cell,) = map(int, listed.stdout.split())
    time.sleep(0.3)
    process.send_signal(how)
    process.communicate()

    until = time.monotonic() + 6.0
    while Path(f"/proc/{cell}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{cell}").exists()
