"""What came of one case: one line of results.jsonl, under the key that says what exactly was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import StringConstraints, TypeAdapter, ValidationError

from dbprompt.evals.measures import Measures
from dbprompt.evals.scorers import Score

__all__ = ["Key", "Outcome", "outcome_from_line"]


@dataclass(frozen=True, slots=True)
class Key:
    """What exactly was asked: if any of this changes, the case is done again.

    Args:
        case: its name.
        case_hash: of brief and expectations.
        prompt_hash: of the templates of the sections that are asked for.
        schema_hash: of the schemas that the answers have to fit.
        settings_hash: of sections, limits and dbprompt's version.
        model: who answers.
        answers: `live`, or the hash of the recording that answers.
        repeat: counted from 1.
        as_of: the day that partitions are counted from.
    """

    case: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    case_hash: str
    prompt_hash: str
    schema_hash: str
    settings_hash: str
    model: str
    answers: str
    repeat: int
    as_of: str = ""

    @property
    def folder(self) -> str:
        """Where in a run's folder the case's files are."""
        return f"cases/{self.case}.{self.repeat}"

    @property
    def label(self) -> str:
        """For people: the case, and which repeat if there are several."""
        return self.case if self.repeat == 1 else f"{self.case} (repeat {self.repeat})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case, asked and scored.

    Args:
        key: what was asked.
        state: `answered`; `failed` if no proven design was had. A failed case scores 0, whatever was had of it.
        why: it failed.
        kind: of the failure: the name of the error.
        scores: of every expectation that speaks of a section that was asked for; all failed if the case failed.
        not_asked: expectations about sections that this run did not ask for, with the section.
        measures: proven artefacts, findings, repairs, tokens, cost, time; None if nothing was had.
        likeness: F1 with the gold schema by tables, columns, keys, foreign keys; empty without one.
        provenance: where the answers came from.
        finished_at: when, in UTC.
    """

    key: Key
    state: Literal["answered", "failed"]
    why: str = ""
    kind: str = ""
    scores: tuple[Score, ...] = ()
    not_asked: Mapping[str, str] = field(default_factory=dict)
    measures: Measures | None = None
    likeness: Mapping[str, float | None] = field(default_factory=dict)
    provenance: str = ""
    finished_at: str = ""

    @property
    def musts(self) -> tuple[Score, ...]:
        """The expectations that count."""
        return tuple(score for score in self.scores if score.level == "must")

    @property
    def score(self) -> float:
        """The share of `must` expectations that the design meets; 0 if it failed, or if nothing could be looked at."""
        return self.score_by(frozenset(score.id for score in self.musts))

    def score_by(self, expectations: frozenset[str]) -> float:
        """The score by some of them only: what two runs have in common, say."""
        counted = [score.passed for score in self.musts if score.id in expectations]
        return sum(counted) / len(counted) if counted and self.state == "answered" else 0.0

    @property
    def passed(self) -> bool:
        """Every `must` is met. One that is not fails the case."""
        return self.score == 1.0

    @property
    def source(self) -> str:
        """Who answered, without the path of a recording: `replayed, authored, 2026-11-22, anthropic:MODEL`."""
        head, _, rest = self.provenance.partition(": ")
        return f"replayed, {rest}" if head.startswith("replayed") and rest else self.provenance

    def line(self) -> str:
        """The outcome as one line of JSON, without its end."""
        return _OUTCOME.dump_json(self).decode()


_OUTCOME = TypeAdapter(Outcome)


def outcome_from_line(line: str | bytes) -> Outcome | None:
    """The outcome of a line; None if it was torn by a kill, or is none of ours."""
    try:
        return _OUTCOME.validate_json(line)
    except ValidationError:
        return None
