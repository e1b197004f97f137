"""One case, asked and scored: a plain function of plain values, so that any executor can run it anywhere.

It writes nothing into the run's folder: the files go back with the outcome, and the runner writes both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic_core import to_json

from dbprompt.calls.bounds import Bounds
from dbprompt.calls.prices import Price
from dbprompt.calls.trace import Trace
from dbprompt.client import Client
from dbprompt.drivers import Watch
from dbprompt.errors import (
    AskError,
    AuthenticationError,
    EngineError,
    MissingExtraError,
    QuotaError,
    UnknownModelError,
    VariableError,
)
from dbprompt.evals.base import RunError, digest
from dbprompt.evals.likeness import Likeness, likeness
from dbprompt.evals.measures import measures
from dbprompt.evals.outcomes import Key, Outcome
from dbprompt.evals.scorers import Score, score_all, sections_of
from dbprompt.evals.suite import SuiteCase
from dbprompt.library import load_prompt
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import Provider, open_provider
from dbprompt.providers.tape import Tape
from dbprompt.result import Result
from dbprompt.sections import DatabaseDesign, SectionName
from dbprompt.sections.schema import Schema

__all__ = [
    "STOPS",
    "Attempt",
    "CaseLimits",
    "Shard",
    "Task",
    "attempt",
    "attempt_all",
    "judged",
    "planned_prompt",
    "prompt_hash",
    "told_steps",
]

STOPS = (EngineError, MissingExtraError, AuthenticationError, QuotaError, UnknownModelError)
"""What would end every other case the same way, so that the run ends instead."""


@dataclass(frozen=True, slots=True)
class CaseLimits:
    """How far a case may go: repair rounds a section, tokens an answer, seconds an answer."""

    attempts: int = 3
    max_output_tokens: int = 16_000
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Task:
    """A case to be asked. It can be pickled if `prompt` and `model` are names and nobody is told.

    Args:
        key: what its outcome stands under.
        case: the brief and its expectations.
        sections: what is asked for.
        prompt: the family that asks.
        model: a name, or a provider of your own.
        base_url: an OpenAI-compatible server.
        recording: the file that answers, or that answers are recorded to.
        mode: what is done with it.
        limits: how far it may go.
        as_of: the day that partitions are counted from.
        price: what the model costs.
        tell: is told each step, for progress.
        home: the folder that relative paths are meant from; the current one if it is not said.
    """

    key: Key
    case: SuiteCase
    sections: tuple[SectionName, ...]
    prompt: str | Prompt
    model: str | Provider
    base_url: str | None
    recording: Path | None
    mode: Literal["replay", "record", "live"]
    limits: CaseLimits
    as_of: date
    price: Price | None = None
    tell: Callable[[Key, str, str], None] | None = None
    home: Path = Path()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An outcome, and the files that its numbers lead to, by name."""

    outcome: Outcome
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Shard:
    """What came of cases that were asked one after the other, in their order.

    Args:
        ends: an outcome, or the error that broke the case off. Shorter than the tasks if a case stopped all.
        stop: what would end every other case the same way.
    """

    ends: tuple[Attempt | Exception, ...]
    stop: Exception | None = None


def attempt_all(tasks: Sequence[Task]) -> Shard:
    """Asks for several cases, one after the other; what the first ones gave is kept, whatever ends the last."""
    ends: list[Attempt | Exception] = []
    for task in tasks:
        try:
            ends.append(attempt(task))
        except STOPS as error:
            return Shard(tuple(ends), error)
        except Exception as error:  # a bug breaks its own case off, and the runner says so
            ends.append(error)
    return Shard(tuple(ends))


def attempt(task: Task) -> Attempt:
    """Asks for the design of a case and scores it.

    Raises:
        RunError: this process reads another prompt or recording than the run was planned with.
        DbpromptError: the run cannot go on like this: an engine or a package is missing, or nobody answers with this
            key. What a model or a recording did wrong is an outcome.
    """
    started = time.monotonic()
    prompt = planned_prompt(task)
    tape, provider, shared = _line(task)
    client = Client(
        provider,
        recording=tape,
        attempts=task.limits.attempts,
        max_output_tokens=task.limits.max_output_tokens,
        per_call=Bounds(deadline_s=task.limits.timeout_s),
        prices={f"{provider.name}:{provider.model}": task.price} if task.price else {},
        watch=told_steps(task),
    )
    end: Result | AskError | VariableError
    try:
        with nullcontext() if shared else client:  # what is shared has more cases to answer
            end = client.design(task.case.case.brief, prompt=prompt, sections=task.sections, as_of=task.as_of)
    except (AuthenticationError, QuotaError, UnknownModelError):
        raise
    except (AskError, VariableError) as error:
        end = error
    return judged(task, end, client.provenance, time.monotonic() - started)


def judged(task: Task, end: Result | AskError | VariableError, provenance: str, seconds: float | None) -> Attempt:
    """The outcome of a case that was asked: its design, or why there is none, scored."""
    why = kind = ""
    if isinstance(end, Result):
        result = end
    else:
        partial = getattr(end, "partial", None)
        result = partial if isinstance(partial, Result) else Result(design=DatabaseDesign(), as_of=task.as_of)
        why, kind = str(end), type(end).__name__
    outcome = _outcome(task, result, why, kind, provenance, seconds)
    said = getattr(end, "trace", None)
    trace = said if isinstance(said, Trace) else Trace()  # nothing was asked
    files = {
        "design.json": result.design.model_dump_json(indent=2, exclude_none=True) + "\n",
        "evidence.json": to_json(result.evidence.to_json(), indent=2).decode() + "\n",
        "trace.json": trace.to_json(),
    }
    return Attempt(outcome, files)


def prompt_hash(prompt: Prompt, sections: Sequence[SectionName]) -> str:
    """Of the templates of these sections."""
    return digest([prompt.turn_hash(name) for name in sections if name in prompt.sections])


def planned_prompt(task: Task) -> Prompt:
    """The prompt of a case.

    Raises:
        RunError: it is not the one that the run was planned with.
    """
    if not isinstance(task.prompt, str):
        return task.prompt
    is_path = "/" in task.prompt or "\\" in task.prompt or task.prompt.startswith(".")
    name = str(task.home / task.prompt) if is_path else task.prompt
    return _planned_prompt(name, task.sections, task.key.prompt_hash)


@lru_cache(maxsize=8)
def _planned_prompt(name: str, sections: tuple[SectionName, ...], wanted: str) -> Prompt:
    """Read once a process: the hash is part of the name, so a changed prompt is another one."""
    prompt = load_prompt(name)
    if prompt_hash(prompt, sections) != wanted:
        raise RunError(f"{name} is not the prompt that the run was planned with; start again")
    return prompt


def _line(task: Task) -> tuple[Tape | None, Provider, bool]:
    """Who answers, through which tape, and whether other cases are answered by the same."""
    recording = None if task.recording is None else task.home / task.recording
    if not isinstance(task.model, str):
        return (Tape.open(recording, mode=task.mode, keep=True) if recording else None), task.model, True
    if recording is not None and task.mode == "replay":
        seen = _recorded(recording, task.key.answers)
        seen.path = task.recording or recording  # named as the plan names it, wherever that is
        if not seen.takes_turns:
            return seen, _replaying(recording, task.key.answers, task.model, task.base_url, task.limits.timeout_s), True
    tape = Tape.open(recording, mode=task.mode, keep=True) if recording else None
    if tape is not None:
        tape.path = task.recording if task.mode == "replay" and task.recording else tape.path
    opened = open_provider(task.model, base_url=task.base_url, timeout_s=task.limits.timeout_s, tape=tape)
    return tape, opened, False


@lru_cache(maxsize=64)
def _recorded(recording: Path, wanted: str) -> Tape:
    """Read once a process: the hash is part of the name, so a changed recording is another one."""
    tape = Tape.open(recording)
    if tape.hash != wanted:
        raise RunError(f"{recording} is not the recording that the run was planned with; start again")
    return tape


@lru_cache(maxsize=64)
def _replaying(recording: Path, wanted: str, model: str, base_url: str | None, timeout_s: float) -> Provider:
    """A provider without a network: nothing is open in it, so nobody closes it."""
    return open_provider(model, base_url=base_url, timeout_s=timeout_s, tape=_recorded(recording, wanted))


def told_steps(task: Task) -> Watch | None:
    """What tells the task's listener of each step."""
    tell = task.tell
    if tell is None:
        return None
    return lambda section, step: tell(task.key, section, type(step).__name__)


def _outcome(task: Task, result: Result, why: str, kind: str, provenance: str, seconds: float | None) -> Outcome:
    case = task.case.case
    prices = {task.key.model: task.price} if task.price else None
    bare = Outcome(
        key=task.key,
        state="failed" if kind else "answered",
        why=why,
        kind=kind,
        measures=measures(result, model=task.key.model, prices=prices, seconds=seconds),
        likeness=_likeness(task, result),
        provenance=provenance,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if kind:  # what there is of a design tells of no expectation which sections it was about
        told = f"no proven design was had ({kind})"
        scores = tuple(Score(e.id, e.check, e.level, False, told) for e in case.expectations)
        needed = {e.id: sections_of(e) for e in case.expectations}
    else:
        scores = score_all(case.expectations, result.design, case.brief, result.evidence, as_of=result.as_of)
        needed = {score.id: (score.lacks,) for score in scores if score.lacks}
    left_out = {id_: [name for name in names if name not in task.sections] for id_, names in needed.items()}
    not_asked = {id_: names[0] for id_, names in left_out.items() if names}
    kept = tuple(score for score in scores if score.id not in not_asked)
    return replace(bare, scores=kept, not_asked=not_asked)


def _likeness(task: Task, result: Result) -> dict[str, float | None]:
    schema = result.design.schema
    if task.case.gold is None or not isinstance(schema, Schema):
        return {}
    found: Likeness = likeness(schema, task.case.gold, task.case.case.brief)
    return {name: getattr(found, name).f1 for name in asdict(found)}
