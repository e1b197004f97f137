"""The cases of a run through the provider's batch API: all in step, each written down as it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dbprompt.batch import (
    BatchPolicy,
    Course,
    OnWait,
    StillWaitingError,
    design_waves,
    drive_batches,
    open_folder,
)
from dbprompt.calls.seeing import Seeing
from dbprompt.calls.trace import Trace
from dbprompt.errors import AskError, VariableError
from dbprompt.evals.base import RunError
from dbprompt.evals.outcomes import Key
from dbprompt.evals.trial import STOPS, Attempt, Task, judged, planned_prompt, told_steps
from dbprompt.jobs.base import JobSettings
from dbprompt.jobs.design import DesignJob
from dbprompt.providers import open_batch_api
from dbprompt.providers.base import keys_of
from dbprompt.result import Result

__all__ = ["attempt_batched"]


@dataclass(slots=True)
class _Case:
    """A case on its way."""

    task: Task
    course: Course[Result]


def attempt_batched(
    tasks: Sequence[Task],
    folder: Path,
    *,
    asked_before: Mapping[Key, int],
    keep: Callable[[Task, Attempt], None],
    workers: int,
    policy: BatchPolicy | None = None,
    on_wait: OnWait | None = None,
) -> None:
    """Asks for the designs of these cases and scores them.

    Args:
        tasks: the cases; all of one model.
        folder: where the state of the batches stands.
        asked_before: how many outcomes a case has already: asked once more, it is not answered by the same answers.
        keep: is given each outcome as it is had.
        workers: how many checks run at the same time.
        policy: bounds.
        on_wait: is told of each wait.

    Raises:
        RunError: cases were still waited for at the deadline; the others are kept.
        DbpromptError: every case would end the same way: no engine, no package, no key.
    """
    if not tasks:
        return
    first = tasks[0]
    if not isinstance(first.model, str):
        raise RunError("a batch asks anthropic:MODEL or openai:MODEL, not a provider of your own")
    provenance = f"asked in batches, {first.key.model}"
    api = open_batch_api(first.model, base_url=first.base_url, timeout_s=first.limits.timeout_s)
    waiting: list[Key] = []
    with closing(api), open_folder(folder) as state:
        cases: list[_Case] = []
        for task in tasks:
            try:
                lane = f"{task.key.repeat}.{asked_before.get(task.key, 0)}"
                cases.append(_begun(task, provenance, lane, keys_of(api)))
            except VariableError as error:
                keep(task, judged(task, error, provenance, None))

        def ended(at: int, end: Result | AskError) -> None:
            case = cases[at]
            if isinstance(end, STOPS):
                raise end
            if isinstance(end, StillWaitingError):
                waiting.append(case.task.key)
            else:
                keep(case.task, judged(case.task, end, provenance, None))

        courses = [case.course for case in cases]
        price = first.price.in_a_batch() if first.price else None
        drive_batches(courses, api, state, policy=policy, workers=workers, on_wait=on_wait, on_end=ended, price=price)
    if waiting:
        shown = ", ".join(key.label for key in waiting[:5])
        raise RunError(
            f"{len(waiting)} of {len(tasks)} cases are still waited for ({shown}); what is finished is kept, "
            "and the batches go on at the provider: start again to go on"
        )


def _begun(task: Task, provenance: str, lane: str, keys: tuple[str, ...]) -> _Case:
    job = DesignJob.of(
        planned_prompt(task),
        task.case.case.brief,
        sections=task.sections,
        settings=JobSettings(task.limits.attempts, task.limits.max_output_tokens),
        provenance=provenance,
        as_of=task.as_of,
    )
    seeing = Seeing(Trace(), keys=keys)
    job.trace = seeing.trace
    return _Case(task, Course(design_waves(job, seeing), f"{task.key.case}.{lane}", told_steps(task), seeing))
