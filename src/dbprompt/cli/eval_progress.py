"""Progress of an eval: what is being done, how far it is, how long it still takes."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape

from dbprompt.batch import BatchWait
from dbprompt.evals.runner import Progress

__all__ = ["EvalProgress"]


class EvalProgress:
    """A line as each case ends; where there is a terminal, a line below that changes with every step."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._status = screen.status("")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Begins."""
        if self._screen.is_terminal:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends."""
        self._status.stop()

    def watch(self, progress: Progress) -> None:
        """Told by the runner, from any thread."""
        with self._lock:
            head = f"{progress.done} of {progress.total} cases{_left(progress)}"
            if progress.last is not None:
                one = progress.last
                said = f"{one.score:.2f}" if one.state == "answered" else "[red]failed[/]"
                self._screen.print(f"{head}: {escape(one.key.label)} {said}", highlight=False)
            elif not progress.running and progress.waits is None:
                self._screen.print(f"{head} are there already" if progress.done else head, highlight=False)
            if self._screen.is_terminal:
                doing = "; ".join(progress.running) if progress.waits is None else _waiting(progress.waits)
                self._status.update(f"{head}  [dim]{escape(doing)}[/]")


def _left(progress: Progress) -> str:
    seconds = progress.seconds_left
    if seconds is None or progress.done >= progress.total:
        return ""
    return f", {_duration(seconds)} left"


def _waiting(wait: BatchWait) -> str:
    asked = "1 request" if wait.requests == 1 else f"{wait.requests} requests"
    batches = "1 batch" if wait.batches == 1 else f"{wait.batches} batches"
    why = "" if wait.error is None else f" ({type(wait.error).__name__} at the last look)"
    return f"{asked} in {batches}; looks again in {_duration(wait.seconds).removeprefix('about ')}{why}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
