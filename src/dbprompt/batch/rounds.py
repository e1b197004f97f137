"""The third driver: many jobs in step. Each round asks for all that they wait for at once, as few batches as can be.

Every rule of a conversation is in its session, every rule of a job's order in the job: as with the other two drivers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from dbprompt.batch.base import BatchPolicy, Ended, OnWait, Pending
from dbprompt.batch.base_course import Course, Talk
from dbprompt.batch.base_folder import BatchFolder
from dbprompt.batch.line import BatchLine
from dbprompt.calls.prices import Price
from dbprompt.errors import AskError
from dbprompt.providers.base_batch import BatchApi

if TYPE_CHECKING:
    from dbprompt.providers.tape import Tape

__all__ = ["drive_batches", "drive_rounds"]

R = TypeVar("R")


def drive_batches(
    courses: Sequence[Course[R]],
    api: BatchApi,
    folder: BatchFolder,
    *,
    policy: BatchPolicy | None = None,
    workers: int = 4,
    tape: Tape | None = None,
    stop: Event | None = None,
    on_wait: OnWait | None = None,
    on_end: Callable[[int, R | AskError], None] | None = None,
    price: Price | None = None,
) -> list[R | AskError]:
    """Runs jobs to their ends through a batch API, and gives these in order.

    Args:
        courses: the jobs.
        api: who answers.
        folder: where the state stands.
        policy: bounds.
        workers: how many checks run at the same time.
        tape: in mode `record`, keeps each exchange as if it had been a call by itself.
        stop: once set, nothing more is handed in or waited for.
        on_wait: is told of each wait.
        on_end: is told of each job as it ends, by its number in `courses`.
        price: what the model costs in a batch; None if nobody told.

    Raises:
        EngineError: an engine failed by itself.
        OutputError: the folder cannot be written.
    """
    bounds = policy or BatchPolicy()
    halt = stop or Event()
    line = BatchLine(
        api,
        folder,
        bounds,
        sleep=time.sleep if stop is None else halt.wait,
        stopped=halt.is_set,
        on_wait=on_wait,
        tape=tape,
        price=price,
    )
    asked = f"{api.name}:{api.model}"
    return drive_rounds(courses, line.ask, asked=asked, attempts=bounds.attempts, workers=workers, on_end=on_end)


def drive_rounds(
    courses: Sequence[Course[R]],
    ask: Callable[[Sequence[Pending]], Sequence[Ended]],
    *,
    asked: str,
    attempts: int,
    workers: int = 4,
    on_end: Callable[[int, R | AskError], None] | None = None,
) -> list[R | AskError]:
    """Runs jobs to their ends, and gives these in order.

    Args:
        courses: the jobs.
        ask: gives an answer, or why there is none, for each request.
        asked: who is asked, as `provider:model`.
        attempts: how often a request is asked that fails for no fault of its own.
        workers: how many checks run at the same time.
        on_end: is told of each job as it ends, by its number in `courses`.

    Raises:
        EngineError: an engine failed by itself; it would fail for every job.
    """
    told: set[int] = set()
    with ExitStack() as seen, ThreadPoolExecutor(workers, thread_name_prefix="dbprompt") as pool:
        for course in courses:
            seen.callback(course.close)
        while True:
            begun = [(course, talk) for course in courses for talk in course.next_wave()]
            list(pool.map(lambda pair: pair[0].begin(pair[1]), begun))
            for at, course in enumerate(courses):
                if course.end is not None and at not in told:
                    told.add(at)
                    if on_end is not None:
                        on_end(at, course.end)
            waiting = [(course, talk) for course in courses for talk in course.waiting()]
            if waiting:
                ends = ask([_pending(course, talk) for course, talk in waiting])
                taken = zip(waiting, ends, strict=True)
                list(pool.map(lambda pair: pair[0][0].take(pair[0][1], pair[1], attempts, asked), taken))
            elif len(told) == len(courses):
                break
    return [end for course in courses if (end := course.end) is not None]


def _pending(course: Course[R], talk: Talk[Any]) -> Pending:
    assert talk.request is not None  # noqa: S101  it waits
    return Pending(talk.request, course.lane, len(talk.session.turns))
