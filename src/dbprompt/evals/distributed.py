"""Cases on other machines: a Dask cluster as an executor that the runner can lose without losing a case.

Dask gives a dead worker's shard to another one. What it leaves to us is here: a worker with another dbprompt, a
cluster without workers, an error that cannot travel. The run's folder is written by the runner alone.
"""

from __future__ import annotations

import pickle
import platform
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar, cast

from dbprompt.errors import DbpromptError, MissingExtraError
from dbprompt.evals.base import RunError
from dbprompt.evals.trial import Shard

__all__ = ["SHARD", "Cluster", "connect"]

P = ParamSpec("P")
T = TypeVar("T")

SHARD = 50
"""Recorded cases in a shard, at most: about a second of work, against a few milliseconds of sending."""

WAIT_S = 60.0


@contextmanager
def connect(address: str, *, wait_s: float = WAIT_S) -> Iterator[Cluster]:
    """A cluster as an executor, from `with` to its end.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.5:8786`. The scheduler and the workers do whatever who reaches
            them says: keep them in a network of your own, or behind Dask's TLS.
        wait_s: how long the run goes on without any worker, at the beginning or later.

    Raises:
        RunError: no scheduler answers there, or it has no worker.
        MissingExtraError: Dask is not installed.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise MissingExtraError("distributed", "distributed") from error
    try:
        client = Client(address, timeout=wait_s, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RunError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=wait_s)
        except TimeoutError as error:
            fix = f"start some: dask worker {address}"
            raise RunError(f"the scheduler at {address} has no worker after {wait_s:.0f} s; {fix}") from error
        cluster = Cluster(client.get_executor(pure=False), lambda: sum(client.nthreads().values()), wait_s)
        try:
            yield cluster
        finally:
            cluster.shutdown(wait=False)


class Cluster(Executor):
    """Dask's executor, watched.

    Args:
        inner: Dask's executor.
        count: how many threads the workers have now, together.
        wait_s: how long nothing may be there to work.
    """

    def __init__(self, inner: Executor, count: Callable[[], int], wait_s: float = WAIT_S) -> None:
        self._inner, self._count, self._wait_s = inner, count, wait_s
        self._under_way: dict[Future[Any], Future[Any]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="dbprompt-cluster", daemon=True)
        self._watcher.start()

    @property
    def threads(self) -> int:
        """How many shards can be worked on at a time, now."""
        return max(1, self._count())

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Sends a call to a worker."""
        theirs: Future[T] = self._inner.submit(_there, _release(), fn, *args, **kwargs)
        ours: Future[T] = Future()
        with self._lock:
            self._under_way[ours] = theirs
        theirs.add_done_callback(lambda _: self._end(ours))
        return ours

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the watch; what is under way is waited for or cancelled."""
        self._over.set()
        self._watcher.join()
        if cancel_futures or not wait:
            self._cancel()

    def _end(self, ours: Future[Any]) -> None:
        """Ours ends once, whoever ends it: a worker, Dask's cancelling or ours. Dask's own would end twice."""
        with self._lock:
            theirs = self._under_way.pop(ours, None)
        if theirs is None:
            return
        if theirs.cancelled() or not theirs.done():
            ours.cancel()
            theirs.cancel()
        if not ours.set_running_or_notify_cancel():  # wakes who waits
            return
        error = theirs.exception()
        if error is None:
            ours.set_result(theirs.result())
        else:
            ours.set_exception(error)

    def _watch(self) -> None:
        """Without a worker, Dask waits for ever; the runner is told after a while."""
        step = min(2.0, self._wait_s / 2)
        alone = 0.0
        while not self._over.wait(step):
            alone = 0.0 if self._alive() else alone + step
            if alone >= self._wait_s:
                self._cancel()

    def _alive(self) -> bool:
        try:
            return self._count() > 0
        except Exception:  # whatever Dask says when its connection is gone: nobody is there
            return False

    def _cancel(self) -> None:
        with self._lock:
            left = list(self._under_way)
        for ours in left:
            self._end(ours)


def _release() -> tuple[str, str]:
    return version("dbprompt"), ".".join(platform.python_version_tuple()[:2])


def _there(release: tuple[str, str], fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """On the worker."""
    if _release() != release:
        mine, theirs = (f"dbprompt {one[0]}, Python {one[1]}" for one in (_release(), release))
        raise RunError(f"worker {platform.node()} has {mine}; the run was planned by {theirs}: install the same")
    made = fn(*args, **kwargs)
    if not isinstance(made, Shard):
        return made
    ends = tuple(_portable(one) if isinstance(one, Exception) else one for one in made.ends)
    return cast("T", replace(made, ends=ends, stop=_portable(made.stop) if made.stop else None))


def _portable(error: Exception) -> Exception:
    """The same error if it travels unharmed, else one of ours that says the same."""
    with suppress(Exception):  # whatever keeps it from travelling
        if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301  our own bytes, made in this line
            return error
    return (RunError if isinstance(error, DbpromptError) else RuntimeError)(f"{type(error).__name__}: {error}")
