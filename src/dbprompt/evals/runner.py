"""Runs a suite: what is done already is not done again, and whatever kills it, nothing that was finished is lost.

The cases go through any executor of the shape of `concurrent.futures` (threads by default, or `dask.distributed`'s
`Client.get_executor()`), so many at a time and no more. There is no event loop in it: it runs in a notebook as it is.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TypedDict, Unpack

from dbprompt.batch import BatchPolicy, BatchWait
from dbprompt.calls.prices import Price
from dbprompt.evals.base import RunError, write_whole
from dbprompt.evals.batch import attempt_batched
from dbprompt.evals.ledger import Ledger, read_lines
from dbprompt.evals.outcomes import Key, Outcome
from dbprompt.evals.plan import Plan, plan_of
from dbprompt.evals.runs import Run, load_run, write_manifest
from dbprompt.evals.suite import Suite, load_suite
from dbprompt.evals.trial import Attempt, CaseLimits, Shard, Task, attempt_all
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import Provider
from dbprompt.sections import SectionName

__all__ = ["PlanOptions", "Progress", "RunWatch", "run_plan", "run_suite"]

_FILES_AT_ONCE = 4
"""Each is waited for until it is on the disk, and a disk takes several in the time of one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Args:
        done: cases with an outcome, those of earlier starts included.
        total: of the run.
        running: what is being done now, case by case.
        seconds_left: at the pace so far; None before the first case is done.
        last: the case that was finished just now.
        waits: the wait for batches that begins now; None if there is something to do.
    """

    done: int
    total: int
    running: tuple[str, ...] = ()
    seconds_left: float | None = None
    last: Outcome | None = None
    waits: BatchWait | None = None


RunWatch = Callable[[Progress], None]


class PlanOptions(TypedDict, total=False):
    """What is handed on to `plan_of`; see there."""

    prompt: str | Prompt
    model: str | Provider
    repeat: int
    sections: Iterable[SectionName] | None
    replay: Sequence[Path]
    record: Path | None
    live: bool
    batch: bool
    base_url: str | None
    limits: CaseLimits | None
    prices: Mapping[str, Price] | None
    as_of: date | None


def run_suite(
    suite: str | Path | Suite,
    *,
    out: str | Path | None = None,
    executor: Executor | None = None,
    workers: int = 2,
    shard: int = 1,
    again: bool = False,
    retry_failed: bool = False,
    watch: RunWatch | None = None,
    batch_policy: BatchPolicy | None = None,
    **options: Unpack[PlanOptions],
) -> Run:
    """Asks for the design of each case and scores it; by default from the suite's recordings, without a network.

    Args:
        suite: a suite or its file.
        out: the run's folder; by default `build/evals/SUITE/PROMPT.MODEL`. A run that is there is gone on with.
        executor: where the cases run; `workers` threads here if not given.
        workers: how many cases at a time, or how many shards.
        shard: recorded cases that are handed to a worker at once, at most; fewer where that leaves a worker idle. Cases
            that ask a model go one by one, so that a lost worker asks for one case again.
        again: a run that is complete is done anew.
        retry_failed: cases that failed are asked once more.
        watch: is told how far it is.
        batch_policy: with `batch`: how long, how often and how patiently the provider is asked.
        options: prompt, model, repeat, sections, replay, record, live, batch, limits, prices: see `plan_of`.

    Raises:
        SuiteError: the suite is wrong.
        RunError: no case can be asked, the folder cannot be written, or cases broke off.
        DbpromptError: every case would end the same way: no engine, no package, no key.
    """
    read = suite if isinstance(suite, Suite) else load_suite(suite)
    plan = plan_of(read, **options)
    folder = Path(out) if out is not None else default_folder(plan)
    return run_plan(
        plan,
        folder,
        executor=executor,
        workers=workers,
        shard=shard,
        again=again,
        retry_failed=retry_failed,
        watch=watch,
        batch_policy=batch_policy,
    )


def default_folder(plan: Plan) -> Path:
    """Where a run goes if nobody says where."""
    model = "".join(mark if mark.isalnum() or mark in ".-" else "-" for mark in plan.manifest.model)
    return Path("build/evals") / plan.manifest.suite / f"{plan.manifest.prompt}.{model[:60]}"


def run_plan(
    plan: Plan,
    folder: Path,
    *,
    executor: Executor | None = None,
    workers: int = 2,
    shard: int = 1,
    again: bool = False,
    retry_failed: bool = False,
    watch: RunWatch | None = None,
    batch_policy: BatchPolicy | None = None,
) -> Run:
    """Does what is left of a plan, and hands back the whole run.

    Args:
        plan: what is to be asked.
        folder: of the run; made if it is not there.
        executor: where the cases run; `workers` threads here if not given.
        workers: how many cases at a time, or how many shards.
        shard: recorded cases that are handed to a worker at once, at most; fewer where that leaves a worker idle. Cases
            that ask a model go one by one, so that a lost worker asks for one case again.
        again: a run that is complete is done anew; one that was cut short is gone on with.
        retry_failed: cases that failed are asked once more.
        watch: is told how far it is.
        batch_policy: with `batch`: how long, how often and how patiently the provider is asked.

    Raises:
        RunError: the folder cannot be written, another process writes to it, or cases broke off.
        DbpromptError: every case would end the same way: no engine, no package, no key.
    """
    if workers < 1 or shard < 1:
        raise ValueError(f"workers is {workers} and shard {shard}; at least one case has to run at a time")
    if plan.manifest.mode == "batch" and executor is not None:
        raise RunError("batches are asked from here: leave the executor (or the scheduler) out")
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(folder))
        begun = _begun(plan, folder)
        write_manifest(folder, begun.manifest)
        before = load_run(folder)
        if again and before.outcomes and not _open_keys(begun, before, retry_failed=False):
            ledger.set_aside()
            write_manifest(folder, plan.manifest)
            before = load_run(folder)
        else:
            plan = begun
        left = _open_keys(plan, before, retry_failed)
        pace = _Pace(len(plan.tasks), len(plan.tasks) - len(left), watch)
        tasks = [_told(task, pace, executor) for task in plan.tasks if task.key in left]
        pace.say()
        if plan.manifest.mode == "batch":
            _in_batches(tasks, folder, ledger, pace, workers, batch_policy)
            return load_run(folder)
        disk = stack.enter_context(ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="dbprompt-disk"))
        pool = executor or stack.enter_context(_threads(workers))
        size = _shard_size(len(tasks), workers, shard) if plan.manifest.mode == "replay" else 1
        _Loop(pool, disk, workers, size, folder, ledger, pace).run(tasks)
    return load_run(folder)


def _begun(plan: Plan, folder: Path) -> Plan:
    """The plan, gone on with where the folder holds a run of the same suite."""
    try:
        before = load_run(folder).manifest
        return plan.gone_on_with(before) if before.suite == plan.manifest.suite else plan
    except (RunError, ValueError):  # there is none, or none that can be read, or it was of no day
        return plan


def _open_keys(plan: Plan, run: Run, retry_failed: bool) -> set[Key]:
    done = {one.key for one in run.outcomes if not (retry_failed and one.state == "failed")}
    return {task.key for task in plan.tasks} - done


def _in_batches(
    tasks: Sequence[Task], folder: Path, ledger: Ledger, pace: _Pace, workers: int, policy: BatchPolicy | None
) -> None:
    """All cases in step. A run that is done anew has a state of its own, since its old answers are there still."""

    def keep(task: Task, made: Attempt) -> None:
        for name, text in made.files.items():
            write_whole(folder / task.key.folder / name, text)
        ledger.append(made.outcome)
        pace.end(task.key, made.outcome)

    for task in tasks:
        pace.begin(task.key)
    asked_before = Counter(one.key for one in read_lines(folder)[0])
    anew = len(list(folder.glob("results.*.jsonl")))
    state = folder / (f"batch.{anew}" if anew else "batch")
    attempt_batched(
        tasks, state, asked_before=asked_before, keep=keep, workers=workers, policy=policy, on_wait=pace.waits
    )


def _told(task: Task, pace: _Pace, executor: Executor | None) -> Task:
    """Only our own threads can be told of each step: an executor of the caller's may be in another folder."""
    return replace(task, tell=pace.step) if executor is None else replace(task, home=Path.cwd())


def _shard_size(tasks: int, workers: int, most: int) -> int:
    """So large that few are sent, so small that nobody waits for the last one while others idle."""
    return max(1, min(most, tasks // (workers * 2)))


def _threads(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="dbprompt-eval")


@dataclass(slots=True)
class _Pace:
    """Counts, and tells the watcher. Told by several threads."""

    total: int
    done: int
    watch: RunWatch | None
    _began: float = field(default_factory=time.monotonic)
    _done_here: int = 0
    _running: dict[Key, str] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, key: Key) -> None:
        with self._lock:
            self._running[key] = key.label
            self.say()

    def step(self, key: Key, section: str, step: str) -> None:
        words = {"Ask": "asked", "Check": "checking", "Done": "proven", "GaveUp": "given up"}
        with self._lock:
            self._running[key] = f"{key.label}: {section} {words.get(step, step)}"
            self.say()

    def end(self, key: Key, outcome: Outcome | None) -> None:
        with self._lock:
            self._running.pop(key, None)
            self.done += outcome is not None
            self._done_here += outcome is not None
            self.say(outcome)

    def waits(self, wait: BatchWait) -> None:
        with self._lock:
            self.say(waits=wait)

    def say(self, last: Outcome | None = None, waits: BatchWait | None = None) -> None:
        if self.watch is None:
            return
        spent = time.monotonic() - self._began
        left = spent / self._done_here * (self.total - self.done) if self._done_here else None
        self.watch(Progress(self.done, self.total, tuple(self._running.values()), left, last, waits))


@dataclass(frozen=True, slots=True)
class _Ended:
    """What came of a shard, case by case, and what ends the run with it."""

    ends: tuple[tuple[Task, Attempt | Exception], ...] = ()
    stop: BaseException | None = None

    @classmethod
    def of(cls, tasks: Sequence[Task], future: Future[Shard]) -> _Ended:
        if future.cancelled():
            lost = "the connection to the workers was lost; what is finished is kept: start again to go on"
            return cls(stop=RunError(lost))
        error = future.exception()
        if error is None:
            shard = future.result()
            return cls(tuple(zip(tasks, shard.ends, strict=False)), shard.stop)
        return cls(tuple((task, error) for task in tasks)) if isinstance(error, Exception) else cls(stop=error)


@dataclass(slots=True)
class _Loop:
    """So many shards of cases under way, each case written down as its shard ends."""

    pool: Executor
    disk: Executor
    workers: int
    size: int
    folder: Path
    ledger: Ledger
    pace: _Pace
    _running: dict[Future[Shard], tuple[Task, ...]] = field(default_factory=dict)
    _broken: list[tuple[Task, BaseException]] = field(default_factory=list)

    def run(self, tasks: Sequence[Task]) -> None:
        waiting = iter(tasks)
        try:
            while self._fill(waiting):
                finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
                ended = [_Ended.of(self._running.pop(future), future) for future in finished]
                stops = [one.stop for one in ended if one.stop is not None]
                if not stops:
                    self._fill(waiting)  # the next ones run while these are written down
                for one in ended:
                    self._keep(one)
                if stops:
                    raise stops[0]
        except BaseException:
            self._drop()
            raise
        if self._broken:
            count = f"{len(self._broken)} of {len(tasks)} cases broke off, the others are kept; start again to go on"
            shown = "; ".join(f"{task.key.label}: {type(error).__name__}: {error}" for task, error in self._broken[:3])
            raise RunError(f"{count}. {shown}") from self._broken[0][1]

    def _fill(self, waiting: Iterator[Task]) -> bool:
        while len(self._running) < self.workers and (tasks := tuple(islice(waiting, self.size))):
            for task in tasks:
                self.pace.begin(task.key)
            self._running[self.pool.submit(attempt_all, tasks)] = tasks
        return bool(self._running)

    def _keep(self, ended: _Ended) -> None:
        """Writes down what came: the files of all cases, several at a time for a slow disk's sake, then their lines."""
        kept = [(task, end) for task, end in ended.ends if isinstance(end, Attempt)]
        files = ((task.key.folder, name, text) for task, made in kept for name, text in made.files.items())
        for _ in self.disk.map(lambda one: write_whole(self.folder / one[0] / one[1], one[2]), files):
            pass  # raises what went wrong
        self.ledger.append(*(made.outcome for _, made in kept))
        for task, end in ended.ends:
            if isinstance(end, Exception):
                self._broken.append((task, end))
            self.pace.end(task.key, end.outcome if isinstance(end, Attempt) else None)

    def _drop(self) -> None:
        """What is under way is not waited for longer than it needs; what did not begin never does."""
        for future in self._running:
            future.cancel()
