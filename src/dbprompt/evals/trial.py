"""One case, asked and scored: a plain function of plain values, so that any executor can run it anywhere.

It writes nothing into the run's folder: the files go back with the outcome, and the runner writes both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from dbprompt.client import Client
from dbprompt.drivers import Watch
from dbprompt.errors import AskError, AuthenticationError, QuotaError, UnknownModelError, VariableError
from dbprompt.evals.exchange import Listener
from dbprompt.evals.likeness import Likeness, likeness
from dbprompt.evals.measures import Price, measures
from dbprompt.evals.outcomes import Key, Outcome
from dbprompt.evals.scorers import Score, score_all
from dbprompt.evals.suite import SuiteCase
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import Provider, RetryPolicy, open_provider
from dbprompt.providers.tape import Tape
from dbprompt.result import Result
from dbprompt.sections import SECTIONS, DatabaseDesign, SectionName
from dbprompt.sections.schema import Schema

__all__ = ["Attempt", "Bounds", "Task", "attempt"]


@dataclass(frozen=True, slots=True)
class Bounds:
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
        bounds: how far it may go.
        as_of: the day that partitions are counted from.
        price: what the model costs.
        tell: is told each step, for progress.
    """

    key: Key
    case: SuiteCase
    sections: tuple[SectionName, ...]
    prompt: str | Prompt
    model: str | Provider
    base_url: str | None
    recording: Path | None
    mode: Literal["replay", "record", "live"]
    bounds: Bounds
    as_of: date
    price: Price | None = None
    tell: Callable[[Key, str, str], None] | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An outcome, and the files that its numbers lead to, by name."""

    outcome: Outcome
    files: dict[str, str]


def attempt(task: Task) -> Attempt:
    """Asks for the design of a case and scores it.

    Raises:
        DbpromptError: the run cannot go on like this: an engine or a package is missing, or nobody answers with this
            key. What a model or a recording did wrong is an outcome.
    """
    started = time.monotonic()
    tape = Tape.open(task.recording, mode=task.mode, keep=True) if task.recording else None
    listener = Listener(_opened(task, tape), closes=isinstance(task.model, str))
    client = Client(
        listener,
        recording=tape,
        attempts=task.bounds.attempts,
        max_output_tokens=task.bounds.max_output_tokens,
        retry=RetryPolicy(deadline_s=task.bounds.timeout_s),
        watch=_watch(task),
    )
    why = kind = ""
    try:
        with client:
            result = client.design(task.case.case.brief, prompt=task.prompt, sections=task.sections, as_of=task.as_of)
    except (AuthenticationError, QuotaError, UnknownModelError):
        raise
    except (AskError, VariableError) as error:
        partial = getattr(error, "partial", None)
        result = partial if isinstance(partial, Result) else Result(design=DatabaseDesign(), as_of=task.as_of)
        why, kind = str(error), type(error).__name__
    spent = time.monotonic() - started
    outcome = _outcome(task, result, why, kind, client.provenance, spent)
    files = {
        "design.json": result.design.model_dump_json(indent=2, exclude_none=True) + "\n",
        "evidence.json": json.dumps(result.evidence.to_json(), indent=2, ensure_ascii=False) + "\n",
        "exchange.json": listener.exchange.to_json(),
    }
    return Attempt(outcome, files)


def _opened(task: Task, tape: Tape | None) -> Provider:
    if not isinstance(task.model, str):
        return task.model
    return open_provider(task.model, base_url=task.base_url, timeout_s=task.bounds.timeout_s, tape=tape)


def _watch(task: Task) -> Watch | None:
    tell = task.tell
    if tell is None:
        return None
    return lambda section, step: tell(task.key, section, type(step).__name__)


def _outcome(task: Task, result: Result, why: str, kind: str, provenance: str, seconds: float) -> Outcome:
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
    if kind:
        told = f"no proven design was had ({kind})"
        return replace(bare, scores=tuple(Score(e.id, e.check, e.level, False, told) for e in case.expectations))
    scores = score_all(case.expectations, result.design, case.brief, result.evidence, as_of=result.as_of)
    not_asked = {score.id: section for score in scores if (section := _lacking(score, task.sections))}
    kept = tuple(score for score in scores if score.id not in not_asked)
    return replace(bare, scores=kept, not_asked=not_asked)


def _lacking(score: Score, asked: tuple[SectionName, ...]) -> SectionName:
    """The section that a score failed for want of, if this run did not ask for it; see `Scene.need`."""
    left_out = (name for name in SECTIONS if name not in asked)
    return next((name for name in left_out if score.reason == f"the design has no section {name}"), "")


def _likeness(task: Task, result: Result) -> dict[str, float | None]:
    schema = result.design.schema
    if task.case.gold is None or not isinstance(schema, Schema):
        return {}
    found: Likeness = likeness(schema, task.case.gold, task.case.case.brief)
    return {name: getattr(found, name).f1 for name in asdict(found)}
