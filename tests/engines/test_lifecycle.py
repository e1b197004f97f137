"""Servers come and go with their process: nothing is left running or lying about, and processes do not meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dbprompt.engines.base import Limits, Needs
from dbprompt.engines.postgres import PostgresEngine, installations
from dbprompt.engines.postgres.account import RUNTIME_VARIABLE, Account, runtime_base
from dbprompt.engines.postgres.binaries import BINDIR_VARIABLE
from dbprompt.errors import EngineError, EngineUnavailableError
from dbprompt.ladder import verify

CHECK = "import dbprompt; assert dbprompt.verify('CREATE TABLE t (id int)').ok; print('ready', flush=True)"
PATIENCE = 20.0


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory of the test's own, short enough for a socket."""
    path = Path("/tmp") / f"dbp-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    path.mkdir()
    path.chmod(0o755)
    monkeypatch.setenv(RUNTIME_VARIABLE, str(path))
    return path


def start(code: str) -> subprocess.Popen[str]:
    """Another process that has just checked something."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process


def running_in(path: Path) -> list[str]:
    """Command lines of processes that name a directory."""
    listed = subprocess.run(["ps", "-ww", "-eo", "command"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(path) in line and not line.startswith("ps ")]


def wait_until_empty(path: Path) -> None:
    """Waits for the last process and file to go, and insists on it."""
    until = time.monotonic() + PATIENCE
    while (running_in(path) or any(path.iterdir())) and time.monotonic() < until:
        time.sleep(0.05)
    assert running_in(path) == []
    assert list(path.iterdir()) == []
    path.rmdir()


def test_a_process_that_ends_leaves_nothing(runtime: Path) -> None:
    """After a normal end, no postmaster runs and no directory remains."""
    process = start(CHECK)
    assert process.wait(PATIENCE) == 0
    process.communicate()

    wait_until_empty(runtime)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_killed_leaves_nothing(runtime: Path, how: signal.Signals) -> None:
    """After kill -9 and after Ctrl-C in the middle of a statement, the guardian cleans up."""
    code = f"{CHECK}; dbprompt.verify('SELECT pg_sleep(4)')"
    process = start(code)
    time.sleep(0.3)
    process.send_signal(how)
    process.communicate()

    wait_until_empty(runtime)


def test_what_even_the_guardian_left_is_swept_at_the_next_start(runtime: Path) -> None:
    """When process and guardian are both killed, the next start stops the orphan and removes its directory."""
    process = start(f"{CHECK}; input()")
    (left,) = runtime.iterdir()
    guardians = subprocess.run(
        ["pgrep", "-f", f"guardian.py {left}"], capture_output=True, text=True, check=True
    ).stdout.split()
    for pid in (*map(int, guardians), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert running_in(left)

    follower = start(CHECK)
    follower.communicate()

    wait_until_empty(runtime)


def test_a_forked_child_has_servers_of_its_own(runtime: Path) -> None:
    """A fork neither shares nor stops its parent's server."""
    code = (
        f"{CHECK}\nimport os\npid = os.fork()\n"
        "ok = dbprompt.verify('CREATE TABLE t (id int)').ok\n"
        "if pid:\n    assert os.waitpid(pid, 0)[1] == 0\n    ok = dbprompt.verify('SELECT 1').ok\n"
        "raise SystemExit(0 if ok else 1)"
    )
    process = start(code)
    assert process.wait(PATIENCE) == 0
    process.communicate()

    wait_until_empty(runtime)


def test_processes_do_not_meet(runtime: Path) -> None:
    """Several processes check at the same time, each on a server of its own."""
    code = f"{CHECK}; assert all(dbprompt.verify('CREATE TABLE t (id int)').ok for _ in range(20))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) for _ in range(3)]

    assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0]
    wait_until_empty(runtime)


def test_threads_share_a_server_without_seeing_each_other() -> None:
    """Checks from many threads at once each see only their own tables, with roles or without."""

    def check(number: int) -> bool:
        role = f"CREATE ROLE app; GRANT SELECT ON t{number} TO app;" if number % 4 == 0 else ""
        sql = f"CREATE TABLE t{number} (id int PRIMARY KEY); {role} SELECT id FROM t{number}"
        return verify(sql).ok and not verify(f"SELECT id FROM t{number}").ok

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(check, range(24)))
    assert threading.active_count() < 20


def test_databases_are_thrown_away() -> None:
    """No database and no role is left once its sandbox is closed, even if the caller failed in it."""
    engine = PostgresEngine.of()
    names = []
    with pytest.raises(KeyboardInterrupt), engine.sandbox(Needs(roles=True)) as sandbox:
        names.append(sandbox.name)
        sandbox.create_role("app_role", "CREATE ROLE app_role")
        raise KeyboardInterrupt
    with engine.sandbox(Needs(roles=True)) as sandbox:
        assert not sandbox.rows("SELECT 1 FROM pg_database WHERE datname = $1", names[0])
        assert not sandbox.rows("SELECT 1 FROM pg_roles WHERE rolname IN ($1, 'app_role')", names[0])


def test_a_server_started_ahead_is_the_one_that_is_used(runtime: Path) -> None:
    """A start beside the caller's work makes one server, and the sandbox has the database that was made with it."""
    code = (
        "import os\nfrom dbprompt.engines.postgres import PostgresEngine\nengine = PostgresEngine.of()\n"
        "engine.start()\nengine.start()\nwith engine.sandbox() as sandbox:\n"
        f"    assert os.listdir({str(runtime)!r}) == [sandbox.server.directory.name]\n"
        "    assert sandbox.name == 'dbprompt_1' and sandbox.run('SELECT 1').ok\nprint('ready', flush=True)"
    )
    start(code).communicate()

    wait_until_empty(runtime)


def test_a_start_that_nobody_waited_for_leaves_nothing(runtime: Path) -> None:
    """A process that ends while its server is still starting stops that server too."""
    process = start("from dbprompt.engines.postgres import PostgresEngine; PostgresEngine.of().start(); print('ready')")
    assert process.wait(PATIENCE) == 0
    process.communicate()

    wait_until_empty(runtime)


def test_why_a_start_ahead_failed_is_told_to_who_asks_for_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the thread of an early start, so its failure has to show at the sandbox."""

    def refuse(*_: object) -> None:
        raise EngineError("no room")

    engine = PostgresEngine(installations()[0])
    monkeypatch.setattr(engine, "_new_server", refuse)
    engine.start()

    with pytest.raises(EngineError, match="no room"), engine.sandbox():
        pass
    engine.stop()


def test_a_dead_server_is_replaced() -> None:
    """When the postmaster dies, the next check starts another."""
    engine = PostgresEngine.of()
    with engine.sandbox() as sandbox:
        pid = int((sandbox.server.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)

    assert verify("CREATE TABLE t (id int)").ok


def test_the_time_for_all_statements_is_bounded() -> None:
    """A script of many slow statements ends by the total deadline, and what was not tried is open."""
    began = time.monotonic()
    evidence = verify("SELECT pg_sleep(0.4);" * 20, limits=Limits(statement_seconds=1.0, total_seconds=1.0))

    assert time.monotonic() - began < 4.0
    assert sum("used up" in verdict.uncovered for verdict in evidence.not_proven) >= 15


def test_pg_sleep_ends_by_the_default_deadline() -> None:
    """`SELECT pg_sleep(100)` is open after five seconds, not failed and not waited for."""
    began = time.monotonic()
    evidence = verify("SELECT pg_sleep(100)")

    assert time.monotonic() - began < 7.0
    assert [finding.code for finding in evidence.findings] == ["engine.query_canceled"]
    assert evidence.not_proven


def test_a_wrong_program_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without PostgreSQL is an error that names it, not a silent fallback."""
    monkeypatch.setenv(BINDIR_VARIABLE, str(tmp_path))

    with pytest.raises(EngineUnavailableError, match=str(tmp_path)):
        installations()


def test_the_postmaster_never_runs_as_root() -> None:
    """Whoever we are, the server's account is not root, and it can enter its directory."""
    account = Account.choose()

    assert account.uid != 0
    assert account.reaches(runtime_base(account))
