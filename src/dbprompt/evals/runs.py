"""A run on disk: what was asked (run.json), what came of it (results.jsonl), and the files of each case."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean

from pydantic import TypeAdapter, ValidationError

from dbprompt.evals.base import RunError, write_whole
from dbprompt.evals.ledger import read_lines
from dbprompt.evals.outcomes import Key, Outcome
from dbprompt.evals.statistics import Interval, wilson
from dbprompt.messages import Usage

__all__ = ["Kind", "Manifest", "Run", "load_run", "write_manifest"]

MANIFEST = "run.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a run is about.

    Args:
        suite: its name.
        prompt: `name@version`.
        model: as it was given; `recorded` if each recording says it.
        mode: replay, record, live or batch.
        sections: what is asked for; empty for all that the prompt knows.
        keys: of every case and repeat that can be asked.
        without: cases that have no recording: they are missing, and shown.
        why: each expectation is there, by case and id.
        started_at: when the folder was made, in UTC.
        as_of: the day that partitions are counted from.
        dbprompt: the version that ran it.
    """

    suite: str
    prompt: str
    model: str
    mode: str
    sections: tuple[str, ...]
    keys: tuple[Key, ...]
    without: tuple[str, ...] = ()
    why: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    started_at: str = ""
    as_of: str = ""
    dbprompt: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What came of the expectations of one check kind: `met` of `n`, over all cases and repeats."""

    check: str
    n: int
    met: int
    level: str


@dataclass(frozen=True)
class Run:
    """A run as it stands on disk, complete or not.

    Args:
        folder: of the run.
        manifest: what was asked.
        outcomes: the last one of each key of the manifest, in its order.
        unreadable: lines that a kill has torn.
    """

    folder: Path
    manifest: Manifest
    outcomes: tuple[Outcome, ...]
    unreadable: int = 0

    def __str__(self) -> str:
        """`suite: prompt, model`."""
        return f"{self.manifest.suite}: {self.manifest.prompt}, {self.manifest.model}"

    @cached_property
    def by_case(self) -> dict[str, tuple[Outcome, ...]]:
        """The repeats of each case."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.key.case, []).append(outcome)
        return {case: tuple(repeats) for case, repeats in found.items()}

    @property
    def missing(self) -> tuple[str, ...]:
        """Cases and repeats without an outcome: not reached yet, or without a recording."""
        done = {outcome.key for outcome in self.outcomes}
        open_ = [key.label for key in self.manifest.keys if key not in done]
        return (*open_, *self.manifest.without)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Those that gave no proven design; they score 0."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "failed")

    @property
    def passes(self) -> dict[str, bool]:
        """Whether each case passed in every repeat."""
        return {case: all(one.passed for one in repeats) for case, repeats in self.by_case.items()}

    @property
    def scores(self) -> dict[str, tuple[float, ...]]:
        """The scores of each case, a list of repeats."""
        return {case: tuple(one.score for one in repeats) for case, repeats in self.by_case.items()}

    @property
    def pass_rate(self) -> Interval:
        """The share of cases that passed, with Wilson's interval."""
        return wilson(sum(self.passes.values()), len(self.passes))

    @property
    def mean_score(self) -> float:
        """The mean over cases of the mean over repeats; failed ones are in it with 0."""
        return fmean(fmean(scores) for scores in self.scores.values()) if self.outcomes else 0.0

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The expectations by check kind, the worst first."""
        n: Counter[tuple[str, str]] = Counter()
        met: Counter[tuple[str, str]] = Counter()
        for outcome in self.outcomes:
            for score in outcome.scores:
                n[score.check, score.level] += 1
                met[score.check, score.level] += score.passed
        kinds = [Kind(check, count, met[check, level], level) for (check, level), count in n.items()]
        return tuple(sorted(kinds, key=lambda kind: (kind.met / kind.n, kind.level, kind.check)))

    @property
    def not_asked(self) -> int:
        """Expectations about sections that this run did not ask for."""
        return sum(len(outcome.not_asked) for outcome in self.outcomes)

    @property
    def usage(self) -> Usage:
        """What was spent in all."""
        return sum((one.measures.usage for one in self.outcomes if one.measures), Usage())

    @property
    def cost(self) -> float | None:
        """In US dollars; None if a price is missing for any of it."""
        costs = [one.measures.cost for one in self.outcomes if one.measures]
        return sum(cost for cost in costs if cost is not None) if costs and None not in costs else None

    @property
    def seconds(self) -> float:
        """The time of all cases, one after the other."""
        return sum(one.measures.seconds or 0.0 for one in self.outcomes if one.measures)

    def case_file(self, outcome: Outcome, name: str) -> str | None:
        """The text of a case's file; None if it is not there."""
        try:
            return (self.folder / outcome.key.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None


def load_run(folder: str | Path) -> Run:
    """Reads a run; `run.json` and `results.jsonl` are enough, without the files of the cases.

    Raises:
        RunError: there is no run.
    """
    home = Path(folder)
    file = home / MANIFEST
    try:
        manifest = TypeAdapter(Manifest).validate_json(file.read_bytes())
    except OSError as error:
        raise RunError(f"{home} holds no run: {MANIFEST} cannot be read ({error.strerror or error})") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RunError(f"{file} is no run: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    lines, torn = read_lines(home)
    return Run(home, manifest, _last(lines, manifest.keys), torn)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes run.json, all or nothing."""
    data = TypeAdapter(Manifest).dump_python(manifest, mode="json")
    write_whole(folder / MANIFEST, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _last(lines: Iterable[Outcome], keys: Iterable[Key]) -> tuple[Outcome, ...]:
    by_key = {outcome.key: outcome for outcome in lines}
    return tuple(by_key[key] for key in keys if key in by_key)
