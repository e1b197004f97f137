"""Databases are made ahead and dropped behind, and no check notices: none is used twice, and none that is dead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbprompt.engines.base import Answer, Limits
from dbprompt.engines.postgres import PostgresEngine, homes, run_directory
from dbprompt.engines.postgres.server import Server
from dbprompt.errors import EngineError
from dbprompt.ladder import verify

PATIENCE = 10.0


@pytest.fixture
def engine() -> Iterator[PostgresEngine]:
    """An engine that has been used often enough to make homes ahead."""
    found = PostgresEngine.of()
    for _ in range(3):
        with found.sandbox() as sandbox:
            assert sandbox.run("SELECT 1").ok
    yield found
    found.stop()


def own(server: object) -> Server:
    """A server that is not the user's."""
    assert isinstance(server, Server)
    return server


def server_of(engine: PostgresEngine) -> Server:
    """The server that sandboxes are on."""
    with engine.sandbox() as sandbox:
        return own(sandbox.server)


def with_one_home_ahead(engine: PostgresEngine) -> Server:
    """The server once the last sandbox's database has gone and only the one made ahead stands."""
    with engine.sandbox() as sandbox:
        server, used = own(sandbox.server), sandbox.name
    wait_for_ready(server, 1, gone=used)
    return server


def databases(server: Server) -> set[str]:
    """The sandboxes' databases that there are."""
    rows = server.administer("SELECT datname FROM pg_database WHERE datname ~ '^dbprompt_[0-9]'")
    return {str(row[0]) for row in rows}


def wait_for_ready(server: Server, number: int, *, gone: str = "") -> set[str]:
    """Waits for so many databases, each with both of its connections, and none of them `gone`."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        rows = server.administer(
            "SELECT datname FROM pg_stat_activity WHERE datname ~ '^dbprompt_[0-9]' GROUP BY 1 HAVING count(*) = 2"
        )
        ready = {str(row[0]) for row in rows}
        if len(ready) == number and ready == databases(server) and gone not in ready:
            return ready
        time.sleep(0.02)
    raise AssertionError(databases(server))


def test_the_next_home_is_made_while_one_is_in_use_and_none_is_used_twice(engine: PostgresEngine) -> None:
    """Beside the database in use stands one that is empty; once a sandbox is closed, its database goes."""
    with engine.sandbox() as first:
        assert first.run("CREATE TABLE t (id int)").ok
        ready = wait_for_ready(own(first.server), 2)
        used = first.name
    with engine.sandbox() as second:
        assert second.name in ready - {used}
        assert second.fetch("SELECT count(*) FROM pg_class WHERE relname = 't'")[1] == [("0",)]
        assert used not in databases(own(second.server))


def test_a_home_that_died_while_it_waited_is_not_lent(engine: PostgresEngine) -> None:
    """When a crash has closed every connection, the next check is still decided."""
    server = with_one_home_ahead(engine)
    ((pid,),) = server.administer("SELECT min(pid) FROM pg_stat_activity WHERE datname ~ '^dbprompt_[0-9]'")
    os.kill(int(str(pid)), signal.SIGKILL)

    assert verify("CREATE TABLE t (id int); SELECT id FROM t").ok


def test_a_home_made_ahead_has_the_limits_of_its_sandbox(engine: PostgresEngine) -> None:
    """The session's own time-out is that of the limits asked for, whatever was expected."""
    with_one_home_ahead(engine)

    with engine.sandbox(limits=Limits(statement_seconds=1.5)) as sandbox:
        assert sandbox.fetch("SHOW statement_timeout")[1] == [("1500ms",)]


def test_a_server_that_cannot_be_cleaned_is_replaced(engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be thrown away behind a sandbox costs the server before the next one is lent."""

    def refuse(*_: object) -> None:
        raise EngineError("it stays")

    before = server_of(engine)
    with engine.sandbox(), monkeypatch.context() as patched:
        patched.setattr(homes, "drop_home", refuse)
        with engine.sandbox():
            pass
        time.sleep(0.1)

    with engine.sandbox() as sandbox:
        assert sandbox.server is not before
        assert sandbox.run("SELECT 1").ok
    assert not before.directory.exists()


def test_work_meanwhile_moves_on_and_no_deadline_is_lost_over_it(engine: PostgresEngine) -> None:
    """While the engine works our own work is taken on, and a statement that switched its time-out off still ends."""
    steps = 0

    def work() -> Iterator[None]:
        nonlocal steps
        while True:
            steps += 1
            time.sleep(0.001)
            yield

    began = time.monotonic()
    with engine.sandbox(limits=Limits(statement_seconds=0.5)) as sandbox:
        sandbox.meanwhile(work())
        assert sandbox.run("CREATE TABLE t (id int)").ok
        asleep = "DO $$ BEGIN PERFORM set_config('statement_timeout', '0', false); PERFORM pg_sleep(100); END $$"
        assert sandbox.run(asleep).answer is Answer.UNDECIDED

    assert steps > 100
    assert time.monotonic() - began < PATIENCE


def test_a_directory_that_is_just_being_made_is_not_swept(tmp_path: Path) -> None:
    """Between its making and its locking a run directory belongs to nobody, and stays; what was left so is swept."""
    young, old = tmp_path / "dbprompt-new-a", tmp_path / "dbprompt-new-b"
    for path in (young, old):
        path.mkdir()
    os.utime(old, (time.time() - 3600, time.time() - 3600))

    run_directory.sweep(tmp_path)

    assert young.exists()
    assert not old.exists()
