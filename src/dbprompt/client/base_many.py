"""Many jobs at once: so many at a time, each by itself, their ends in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from threading import Lock
from typing import Generic, TypeAlias, TypeVar

from dbprompt.errors import (
    AskError,
    AuthenticationError,
    DbpromptError,
    Problem,
    QuotaError,
    UnknownModelError,
    VariableError,
)
from dbprompt.providers.base_halt import Halt, Halted, halting

__all__ = ["OnEnd", "amany", "many", "prepared"]

J = TypeVar("J")
R = TypeVar("R")
X = TypeVar("X")

OnEnd: TypeAlias = "Callable[[int, R | AskError], None]"
"""Told of each item as it ends, by its number from 0: its result, or why there is none."""

_MOST_TOLD = 20
_LOOK_AGAIN_S = 0.05


def prepared(items: Iterable[X], job: Callable[[X], J]) -> list[J]:
    """The jobs, every one of them, before the first is begun.

    Raises:
        VariableError: variables of some items do not fill the prompt; all of them are named, the first with why.
        DbpromptError: an item is wrong in another way; a note says which.
    """
    jobs: list[J] = []
    problems: list[Problem] = []
    others: list[int] = []
    for number, item in enumerate(items):
        try:
            jobs.append(job(item))
        except VariableError as error:
            if len(problems) >= _MOST_TOLD:
                others.append(number)
                continue
            problems += [Problem(f"item {number}: {one.where}", one.value, one.fix) for one in error.problems]
        except (DbpromptError, TypeError) as error:
            error.add_note(f"map: this is item {number} (the first is 0); nothing was asked.")
            raise
    if others:
        problems.append(Problem("items", ", ".join(map(str, others)), "these are wrong as well"))
    if problems:
        raise VariableError("map (nothing was asked)", problems)
    return jobs


def many(
    jobs: Sequence[Callable[[], R]],
    *,
    at_once: int,
    on_end: OnEnd[R] | None = None,
    crowded: Callable[[], bool] = lambda: False,
    one_model: bool = True,
) -> list[R | AskError]:
    """Runs the jobs in threads, and gives how they ended, in order.

    Whatever ends it early (Ctrl-C, a failing engine, an error of `on_end`) calls off what is under way: requests end
    with their connections, waits end at once, and no thread is left when the error comes out.

    Args:
        jobs: each gives its result, or raises an `AskError`.
        at_once: how many at a time.
        on_end: is told of each as it ends, in the thread that called this.
        crowded: whether so many wait for the model that a new one would only spend its time in the queue: it is begun
            later.
        one_model: whether there is nobody else to ask: then a wrong key or no credit ends all that were not asked yet.
    """
    ends, halt, door = _Ends[R](len(jobs), at_once, on_end, one_model), Halt(), Lock()

    def run(job: Callable[[], R]) -> R | AskError:
        with halting(halt):
            with door:
                halt.check()
                while crowded():
                    halt.sleep(_LOOK_AGAIN_S)
            try:
                return ends.hopeless() or ends.seen(job())
            except AskError as error:
                return ends.seen(error)
            except BaseException:  # the others have not to wait until it is heard of
                halt.set()
                raise

    with ThreadPoolExecutor(min(at_once, len(jobs)) or 1, "dbprompt map") as pool:
        try:
            running = {pool.submit(copy_context().run, run, job): number for number, job in enumerate(jobs)}
            for one in as_completed(running):
                if not isinstance(one.exception(), Halted):  # what called it off is another one's error
                    ends.take(running[one], one.result())
        except BaseException as error:
            halt.set()
            pool.shutdown(cancel_futures=True)
            ends.tell(error)
            raise
    return ends.all()


async def amany(
    jobs: Sequence[Callable[[], Awaitable[R]]],
    *,
    at_once: int,
    on_end: OnEnd[R] | None = None,
    crowded: Callable[[], bool] = lambda: False,
    one_model: bool = True,
) -> list[R | AskError]:
    """The same in tasks; whatever ends it early cancels them, and waits until they are gone."""
    ends = _Ends[R](len(jobs), at_once, on_end, one_model)
    left, door = iter(enumerate(jobs)), asyncio.Lock()

    async def run() -> None:
        for number, job in left:
            async with door:
                while crowded():
                    await asyncio.sleep(_LOOK_AGAIN_S)
            try:
                end = ends.hopeless() or ends.seen(await job())
            except AskError as error:
                end = ends.seen(error)
            ends.take(number, end)

    running = [asyncio.ensure_future(run()) for _ in range(min(at_once, len(jobs)))]
    try:
        await asyncio.gather(*running)
    except BaseException as error:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        ends.tell(error)
        raise
    return ends.all()


class _Ends(Generic[R]):
    """How the jobs ended by now."""

    def __init__(self, count: int, at_once: int, on_end: OnEnd[R] | None, one_model: bool) -> None:
        if at_once < 1:
            raise ValueError(f"at_once is {at_once}: at least 1 has to go")
        self._ends: list[R | AskError | None] = [None] * count
        self._on_end, self._one_model = on_end, one_model
        self._known = 0
        self._answered = False
        self._hopeless: AskError | None = None

    def take(self, number: int, end: R | AskError) -> None:
        """One has ended, and is told."""
        self._ends[number] = end
        self._known += 1
        if self._on_end is not None:
            self._on_end(number, end)

    def seen(self, end: R | AskError) -> R | AskError:
        """The same end, looked at by whoever has it first: it may spare the others their question."""
        if not isinstance(end, AskError):
            self._answered = True
        elif self._one_model and (isinstance(end, QuotaError) or (isinstance(end, _ALL_ALIKE) and not self._answered)):
            self._hopeless = self._hopeless or end
        return end

    def hopeless(self) -> AskError | None:
        """Why there is no sense in asking: the account or the model is not there, for this one as for another."""
        first = self._hopeless
        if first is None:
            return None
        error = type(first)(f"{first} (Told to another item of map; this one was not asked.)")
        error.__cause__ = first
        return error

    def tell(self, error: BaseException) -> None:
        """Says in a note how far it came, and who knows the ends."""
        who = "on_end was told of each" if self._on_end else "on_end= is told of each as it ends"
        error.add_note(f"map: {self._known} of {len(self._ends)} had ended by then; {who}.")

    def all(self) -> list[R | AskError]:
        """All, in order."""
        return [end for end in self._ends if end is not None]


_ALL_ALIKE = (AuthenticationError, UnknownModelError)
