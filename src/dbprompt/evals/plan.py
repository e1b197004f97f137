"""What a run is going to ask: a task for each case and repeat, under the key that its outcome will stand under."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from dbprompt.calls.prices import Price, price_of
from dbprompt.client import DEFAULT_PROMPT
from dbprompt.errors import Problem
from dbprompt.evals.base import RunError, SuiteError, digest
from dbprompt.evals.outcomes import Key
from dbprompt.evals.recordings import find_recording, recording_path, who_answered
from dbprompt.evals.runs import Manifest
from dbprompt.evals.suite import Suite, SuiteCase
from dbprompt.evals.trial import CaseLimits, Task, prompt_hash
from dbprompt.library import load_prompt
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import Provider
from dbprompt.sections import SECTIONS, SectionName, output_schema

__all__ = ["Plan", "plan_of"]

RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Plan:
    """The tasks of a run, and what its folder says about them.

    Args:
        tasks: of every case and repeat that can be asked.
        manifest: for run.json.
        is_dated: somebody said which day partitions are counted from; else it is today, and may be another.
    """

    tasks: tuple[Task, ...]
    manifest: Manifest
    is_dated: bool = False

    def gone_on_with(self, before: Manifest) -> Plan:
        """The plan as what is left of a run that was begun before: of its day, unless another was said."""
        manifest = replace(self.manifest, started_at=before.started_at or self.manifest.started_at)
        if self.is_dated or not before.as_of:
            return replace(self, manifest=manifest)
        day = date.fromisoformat(before.as_of)
        tasks = tuple(replace(t, as_of=day, key=replace(t.key, as_of=before.as_of)) for t in self.tasks)
        keys = tuple(task.key for task in tasks)
        return replace(self, tasks=tasks, manifest=replace(manifest, as_of=before.as_of, keys=keys))


@dataclass(frozen=True, slots=True)
class _Source:
    """Who answers: from files, onto files, or live."""

    mode: Literal["replay", "record", "live", "batch"]
    folders: tuple[Path, ...] = ()


def plan_of(
    suite: Suite,
    *,
    prompt: str | Prompt = DEFAULT_PROMPT,
    model: str | Provider = "",
    repeat: int = 1,
    sections: Iterable[SectionName] | None = None,
    replay: Sequence[Path] = (),
    record: Path | None = None,
    live: bool = False,
    batch: bool = False,
    base_url: str | None = None,
    limits: CaseLimits | None = None,
    prices: Mapping[str, Price] | None = None,
    as_of: date | None = None,
) -> Plan:
    """Plans a run.

    Raises:
        RunError: no case can be asked, or the options contradict each other.
        SuiteError: `sections` names one that there is not.
        PromptError: there is no such prompt.
    """
    source = _source(suite, model, replay, record, live, batch)
    if repeat < 1:
        raise RunError(f"repeat is {repeat}; every case has to be asked once at least")
    wished = tuple(sections or ())
    strangers = [name for name in wished if name not in SECTIONS]
    if strangers:
        fix = f"write one of {', '.join(SECTIONS)}"
        raise SuiteError("sections", [Problem("sections", repr(name), fix) for name in strangers])
    planner = _Planner(
        family=load_prompt(prompt) if isinstance(prompt, str) else prompt,
        named=prompt,
        model=model,
        source=source,
        sections=tuple(name for name in SECTIONS if name in wished),
        base_url=base_url,
        limits=limits or CaseLimits(),
        prices=prices or {},
        as_of=as_of or date.today(),
    )
    found = [(case, at, planner.task(case, at)) for case in suite.cases for at in range(1, repeat + 1)]
    tasks = tuple(task for _, _, task in found if task is not None)
    without = tuple(case.name if at == 1 else f"{case.name} (repeat {at})" for case, at, task in found if task is None)
    if not tasks:
        looked = " or ".join(str(folder) for folder in source.folders)
        raise RunError(f"{suite.name}: no case has a recording for {planner.family} in {looked}; record some first")
    return Plan(tasks, planner.manifest(suite, tasks, without), is_dated=as_of is not None)


def _source(
    suite: Suite, model: str | Provider, replay: Sequence[Path], record: Path | None, live: bool, batch: bool
) -> _Source:
    if sum((bool(replay), record is not None, live, batch)) > 1:
        raise RunError("give one of replay, record and live, or batch")
    if batch and not isinstance(model, str):
        raise RunError("a batch asks anthropic:MODEL or openai:MODEL, not a provider of your own")
    if batch:
        return _Source("batch")
    if live or not isinstance(model, str):
        return _Source("live")
    if record is not None:
        return _Source("record", (record,))
    return _Source("replay", tuple(replay) or (suite.recordings,))


@dataclass(frozen=True, slots=True)
class _Hashes:
    """What is the same for all cases that are asked for the same sections."""

    prompt: str
    schema: str
    settings: str


@dataclass(frozen=True, slots=True)
class _Planner:
    family: Prompt
    named: str | Prompt
    model: str | Provider
    source: _Source
    sections: tuple[SectionName, ...]
    base_url: str | None
    limits: CaseLimits
    prices: Mapping[str, Price]
    as_of: date
    _known: dict[tuple[SectionName, ...], _Hashes] = field(default_factory=dict)

    def task(self, case: SuiteCase, repeat: int) -> Task | None:
        """The task; None if nothing is recorded for it."""
        sections = self.sections or case.sections or self.family.sections
        model, base_url, recording, answers = self.model, self.base_url, None, "live"
        if self.source.mode == "record":
            if not model:
                raise RunError("say which model to ask: anthropic:MODEL or openai:MODEL")
            recording = recording_path(self.source.folders[0], case.name, self.family.name, repeat)
        elif self.source.mode == "replay":
            recording = find_recording(self.source.folders, case.name, self.family, repeat)
            if recording is None:
                return None
            known = who_answered(recording)
            answers, model, base_url = known.hash, model or known.model, base_url or known.base_url
        elif not model:
            raise RunError("say which model to ask: anthropic:MODEL or openai:MODEL")
        asked = self._asked_for(sections)
        said = model if isinstance(model, str) else f"{model.name}:{model.model}"
        key = Key(
            case=case.name,
            case_hash=case.hash,
            prompt_hash=asked.prompt,
            schema_hash=asked.schema,
            settings_hash=asked.settings,
            model=said,
            answers=answers,
            repeat=repeat,
            as_of=self.as_of.isoformat(),
        )
        price = price_of(said, self.prices, shipped=base_url is None)
        return Task(
            key,
            case,
            sections,
            self.named,
            model,
            base_url,
            recording,
            "live" if self.source.mode == "batch" else self.source.mode,
            self.limits,
            self.as_of,
            price,
        )

    def _asked_for(self, sections: tuple[SectionName, ...]) -> _Hashes:
        if sections not in self._known:
            self._known[sections] = _Hashes(
                prompt=prompt_hash(self.family, sections),
                schema=digest([output_schema(SECTIONS[name], name).hash for name in sections]),
                settings=digest([*sections, self.limits.attempts, self.limits.max_output_tokens, version("dbprompt")]),
            )
        return self._known[sections]

    def manifest(self, suite: Suite, tasks: Sequence[Task], without: tuple[str, ...]) -> Manifest:
        """What the run's folder says."""
        models = sorted({task.key.model for task in tasks})
        return Manifest(
            suite=suite.name,
            prompt=str(self.family),
            model=", ".join(models),
            mode=self.source.mode,
            sections=self.sections,
            keys=tuple(task.key for task in tasks),
            without=without,
            why=dict(_reasons(suite)),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            as_of=self.as_of.isoformat(),
            dbprompt=version("dbprompt"),
        )


def _reasons(suite: Suite) -> Iterator[tuple[str, dict[str, str]]]:
    for case in suite.cases:
        yield case.name, {one.id: one.why for one in case.case.expectations}
