"""The jobs as the batch driver takes them: waves of talks, each job in a lane that tells it from its equals."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

from pydantic import BaseModel

from dbprompt.batch.base_course import SessionEnd, Talk, Waves
from dbprompt.calls.seeing import Seeing
from dbprompt.errors import NoRecordingError, ProviderError
from dbprompt.jobs.ask import Answer, AskJob
from dbprompt.jobs.design import DesignJob
from dbprompt.result import Result

__all__ = ["ask_waves", "design_waves", "lanes"]

T = TypeVar("T", bound=BaseModel)


def design_waves(job: DesignJob, seeing: Seeing) -> Waves[Result]:
    """The sections of a design in the order in which they need each other.

    Raises:
        AskError: as `DesignJob.finish_all`.
    """
    with seeing.job("design", streamed=True):
        while ready := job.ready():
            with ExitStack() as sections:
                talks = [
                    Talk(
                        job.session(name),
                        seeing.checking(name, job.checker(name)),
                        sections.enter_context(seeing.section(name, streamed=True)),
                    )
                    for name in ready
                ]
                yield talks
            job.finish_all([talk.session for talk in talks], [_end(talk) for talk in talks])
    return job.result()


def ask_waves(job: AskJob[T], seeing: Seeing) -> Waves[Answer[T]]:
    """One talk.

    Raises:
        AskError: there is no answer.
    """
    with seeing.job("run", streamed=True):
        talk = Talk(job.session(), seeing.checking("", job.check))
        yield [talk]
        end = _end(talk)
        if isinstance(end, ProviderError | NoRecordingError):
            raise job.unfinished(end, talk.session, seeing.trace)
        return job.finish(talk.session, end, seeing.trace)


def lanes(asked: Iterable[str]) -> Iterator[str]:
    """How often each text came before: the same question, asked twice, is answered twice.

    >>> list(lanes(["a", "b", "a"]))
    ['0', '0', '1']
    """
    seen: Counter[str] = Counter()
    for text in asked:
        mark = hashlib.sha256(text.encode()).hexdigest()
        yield str(seen[mark])
        seen[mark] += 1


def _end(talk: Talk[T]) -> SessionEnd[T]:
    assert talk.end is not None  # noqa: S101  a wave goes on when all of it has ended
    return talk.end
