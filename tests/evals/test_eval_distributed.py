"""A run on a Dask cluster: the same results as here, whatever happens to workers and connections. Loopback only."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("distributed", reason="the extra 'distributed' (Dask) is not installed")

from dbprompt.calls.trace import Trace
from dbprompt.cli import app
from dbprompt.errors import DbpromptError, MissingExtraError, RecordingError
from dbprompt.evals import Progress, Run, RunError, load_suite, run_suite
from dbprompt.evals import distributed as mine
from dbprompt.evals.distributed import Cluster, connect
from dbprompt.evals.outcomes import Outcome
from dbprompt.evals.suite import Suite

ROOT = Path(__file__).parents[2]
PROMPT = "evals/prompts/terse_architect/1.0.0"
RECORDED = ROOT / "evals/recordings/postgres/marketplace.terse_architect@1.0.0.json"
HOST = "127.0.0.1"


@dataclass(slots=True)
class Local:
    """A scheduler and two worker processes."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


def _dask(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    log = (folder / f"{words[0]}.log").open("ab")
    with log:
        command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:], "--no-dashboard"]
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def _worker(folder: Path, address: str) -> subprocess.Popen[bytes]:
    options = ("--nthreads", "1", "--no-nanny", "--host", HOST, "--memory-limit", "0", "--death-timeout", "20")
    return _dask(folder, "worker", address, *options)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """A cluster of this test alone, in a folder of its own."""
    folder = tmp_path / "dask"
    folder.mkdir()
    said = folder / "scheduler.json"
    scheduler = _dask(folder, "scheduler", "--host", HOST, "--port", "0", "--scheduler-file", str(said))
    workers: list[subprocess.Popen[bytes]] = []
    try:
        until = time.monotonic() + 60
        while not said.exists() or not said.read_text().strip().endswith("}"):
            assert time.monotonic() < until, (folder / "scheduler.log").read_text()
            time.sleep(0.05)
        address = json.loads(said.read_text())["address"]
        workers += [_worker(folder, address) for _ in range(2)]
        with connect(address) as cluster:
            _wait_for(cluster, 2)
        yield Local(address, scheduler, workers)
    finally:
        for one in [*workers, scheduler]:
            one.kill()
            one.wait()


def _suite(folder: Path, cases: int) -> tuple[Suite, Path]:
    """The recorded case under many names, with a recording each."""
    marketplace = load_suite(ROOT / "evals/suites/postgres.yaml").only(("marketplace",))
    names = [f"m{at}" for at in range(cases)]
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(RECORDED, folder / f"{name}.terse_architect.json")
    return replace(marketplace, cases=tuple(replace(marketplace.cases[0], name=name) for name in names)), folder


def _run(suite: tuple[Suite, Path], out: Path, **options: object) -> Run:
    return run_suite(  # type: ignore[arg-type]
        suite[0], prompt=str(ROOT / PROMPT), sections=["selection"], replay=[suite[1]], out=out, **options
    )


def _bare(run: Run) -> list[Outcome]:
    """What was found, without what no two runs have in common: the clock."""
    return [
        replace(one, finished_at="", measures=one.measures and replace(one.measures, seconds=0.0))
        for one in run.outcomes
    ]


def _same(theirs: Run, ours: Run) -> bool:
    def by_case(run: Run) -> dict[str, Outcome]:
        return {one.key.case: one for one in _bare(run)}

    def said(run: Run, one: Outcome) -> list[tuple[object, ...]]:
        trace = Trace.from_json(run.case_file(one, "trace.json") or "")
        return [(each.section, each.messages, each.ended, each.answer) for each in trace]

    names = ("design.json", "evidence.json")
    files = all(theirs.case_file(one, name) == ours.case_file(one, name) for one in ours.outcomes for name in names)
    files &= all(said(theirs, one) == said(ours, one) for one in ours.outcomes)
    return by_case(theirs) == by_case(ours) and len(theirs.outcomes) == len(ours.outcomes) and files


def _lines(run: Run) -> int:
    return len((run.folder / "results.jsonl").read_text().splitlines())


def test_eval_killed_worker_costs_no_case(tmp_path: Path, local: Local) -> None:
    """One of two workers is killed in mid-run, the other one is held up: each case is there once, as a run here says.

    The workers run in another folder than the runner, so relative paths are ours and not theirs.
    """
    suite = _suite(tmp_path / "recordings", 24)
    hurt = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.done >= 4 and not hurt.is_set():
            hurt.set()
            local.workers[1].send_signal(signal.SIGSTOP)  # slow: it does nothing for a second
            threading.Timer(1.0, local.workers[1].send_signal, [signal.SIGCONT]).start()
            local.workers[0].send_signal(signal.SIGKILL)

    with connect(local.address) as cluster:
        theirs = _run(suite, tmp_path / "theirs", executor=cluster, workers=4, shard=2, watch=watch)
    assert hurt.is_set() and local.workers[0].wait(10) == -signal.SIGKILL
    ours = _run(suite, tmp_path / "ours")
    assert _lines(theirs) == 24 and not theirs.failed and not theirs.missing
    assert _same(theirs, ours)


def _wait_for(cluster: Cluster, threads: int) -> None:
    until = time.monotonic() + 30
    while cluster.threads < threads and time.monotonic() < until:
        time.sleep(0.05)
    assert cluster.threads == threads


def test_eval_lost_connection_keeps_what_is_finished(tmp_path: Path, local: Local) -> None:
    """The scheduler dies: the run ends soon and says so, and the next start does the rest and nothing twice."""
    suite = _suite(tmp_path / "recordings", 16)

    def watch(progress: Progress) -> None:
        if progress.done >= 4:
            local.scheduler.kill()

    began = time.monotonic()
    with connect(local.address, wait_s=5) as cluster, pytest.raises(RunError, match="connection to the workers"):
        _run(suite, tmp_path / "run", executor=cluster, workers=2, shard=2, watch=watch)
    assert time.monotonic() - began < 60
    kept = len((tmp_path / "run/results.jsonl").read_text().splitlines())
    assert 4 <= kept < 16
    ends: list[Outcome] = []
    run = _run(suite, tmp_path / "run", watch=lambda one: ends.append(one.last) if one.last else None)
    assert len(ends) == 16 - kept and _lines(run) == 16 and not run.missing


def test_eval_cluster_without_workers_is_not_waited_for(tmp_path: Path, local: Local) -> None:
    """All workers die and none comes back: the run ends with a reason, and keeps what it has."""
    suite = _suite(tmp_path / "recordings", 16)

    def watch(progress: Progress) -> None:
        if progress.done >= 4:
            for one in local.workers:
                one.kill()

    with connect(local.address, wait_s=3) as cluster, pytest.raises(RunError, match="start again to go on"):
        _run(suite, tmp_path / "run", executor=cluster, workers=2, shard=2, watch=watch)
    assert 4 <= len((tmp_path / "run/results.jsonl").read_text().splitlines()) < 16


class _TwoEnds(Executor):
    """Cancels as Dask does: whoever cancels a future, a thread of Dask's ends it as well, at any moment."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def submit(self, fn: object, /, *args: object, **kwargs: object) -> Future[Any]:
        future: Future[Any] = Future()

        def cascade() -> None:
            future.cancel()
            future.set_running_or_notify_cancel()

        def cancelled(_: object) -> None:
            self.threads.append(threading.Thread(target=cascade))
            self.threads[-1].start()

        future.add_done_callback(cancelled)
        return future


def test_eval_lost_future_ends_once() -> None:
    """Dask ends a cancelled future itself: nobody ends it a second time, and who waits for it is woken."""
    for _ in range(50):
        inner = _TwoEnds()
        cluster = Cluster(inner, lambda: 0, wait_s=0.002)
        futures = [cluster.submit(len, "abc") for _ in range(8)]
        done, left = wait(futures, timeout=10)
        assert not left and all(one.cancelled() for one in done)
        cluster.shutdown(wait=False)
        for one in inner.threads:
            one.join()
        assert len(inner.threads) == 8


def test_eval_command_runs_on_a_cluster(tmp_path: Path, local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--scheduler` gives the results, the provenance and the files that the command gives without it."""
    monkeypatch.chdir(ROOT)
    suite, options = "evals/suites/postgres.yaml", ["--section", "selection", "--prompt", PROMPT]
    for out, more in (("theirs", ["--scheduler", local.address]), ("ours", [])):
        done = CliRunner().invoke(app, ["eval", "run", suite, *options, "--out", str(tmp_path / out), *more])
        assert done.exit_code == 0, done.output
    from dbprompt.evals import load_run

    assert _same(load_run(tmp_path / "theirs"), load_run(tmp_path / "ours"))


def test_eval_worker_with_other_files_breaks_off(tmp_path: Path) -> None:
    """A recording or prompt that is not the planned one is no outcome: the case is done again when it is right."""
    suite = _suite(tmp_path / "recordings", 2)
    file = suite[1] / "m1.terse_architect.json"

    def watch(progress: Progress) -> None:
        if not progress.done and progress.running:  # m0 runs, and nothing beside it
            file.write_text(RECORDED.read_text() + "\n")

    with pytest.raises(RunError, match=r"m1: RunError: .*not the recording that the run was planned with"):
        _run(suite, tmp_path / "run", workers=1, watch=watch)
    shutil.copy(RECORDED, file)
    assert len(_run(suite, tmp_path / "run").outcomes) == 2


def test_eval_worker_of_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with another dbprompt would score by other rules: it scores nothing."""
    with pytest.raises(RunError, match=r"has dbprompt .*install the same"):
        mine._there(("0.0.1", "3.11"), len, "abc")
    assert mine._there(mine._release(), len, "abc") == 3


def test_eval_errors_travel(tmp_path: Path) -> None:
    """An error that cannot be sent, or that would say something else on arrival, arrives as one that says the same."""
    sent = mine._portable(MissingExtraError("psycopg", "postgres"))  # unchanged where tblib teaches pickle to send it
    arrived = pickle.loads(pickle.dumps(sent))  # noqa: S301
    assert isinstance(arrived, DbpromptError)
    assert str(arrived).endswith("psycopg is not installed: pip install 'dbprompt[postgres]'")
    assert type(mine._portable(RecordingError("gone"))) is RecordingError


def test_eval_no_scheduler_is_said(tmp_path: Path) -> None:
    """An address where nobody listens is an error with the address."""
    with (
        pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"),
        connect(f"tcp://{HOST}:9", wait_s=1),
    ):
        os.abort()
