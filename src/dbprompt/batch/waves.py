"""The jobs as the batch driver takes them: waves of talks, each job in a lane that tells it from its equals."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from pydantic import BaseModel

from dbprompt.batch.base_course import Course, SessionEnd, Talk, Waves
from dbprompt.brief import Brief
from dbprompt.calls.trace import Trace
from dbprompt.drivers import Watch
from dbprompt.errors import ProviderError
from dbprompt.jobs.ask import Answer, AskJob
from dbprompt.jobs.design import DesignJob
from dbprompt.result import Result

__all__ = ["ask_courses", "ask_waves", "design_courses", "design_waves", "lanes"]

T = TypeVar("T", bound=BaseModel)


def design_courses(
    jobs: Sequence[DesignJob], briefs: Sequence[Brief], watch: Watch | None, keys: tuple[str, ...]
) -> list[Course[Result]]:
    """Many designs. Which lane is whose depends on the briefs alone, so that a list may grow between two starts."""
    told = lanes(brief.model_dump_json() for brief in briefs)
    return [Course(design_waves(job), lane, watch, job.trace, keys) for job, lane in zip(jobs, told, strict=True)]


def ask_courses(
    jobs: Sequence[AskJob[T]], watch: Watch | None, traces: Iterable[Trace | None], keys: tuple[str, ...]
) -> list[Course[Answer[T]]]:
    """Many questions, each with what takes in what is said."""
    told = zip(jobs, lanes(repr(job.messages) for job in jobs), traces, strict=True)
    return [Course(ask_waves(job, trace), lane, watch, trace, keys) for job, lane, trace in told]


def design_waves(job: DesignJob) -> Waves[Result]:
    """The sections of a design in the order in which they need each other.

    Raises:
        AskError: as `DesignJob.finish_all`.
    """
    while ready := job.ready():
        talks = [Talk(job.session(name), job.checker(name)) for name in ready]
        yield talks
        job.finish_all([talk.session for talk in talks], [_end(talk) for talk in talks])
    return job.result()


def ask_waves(job: AskJob[T], trace: Trace | None = None) -> Waves[Answer[T]]:
    """One talk.

    Raises:
        AskError: there is no answer.
    """
    talk = Talk(job.session(), job.check)
    yield [talk]
    end = _end(talk)
    if isinstance(end, ProviderError):
        raise job.unfinished(end, talk.session, trace)
    return job.finish(talk.session, end, trace)


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
