"""What proofs on rows share: a stage with made-up rows in it, and verdicts of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TypeAlias

from dbprompt.checks.base_design import artefacts, not_checked
from dbprompt.checks.engine import target_engine
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.seeding import Mode, Seeds, seed
from dbprompt.engines.postgres.seeding.tables import Hints
from dbprompt.evidence import Report, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, Stage, stage
from dbprompt.sections import SectionName

__all__ = ["Rows", "Trial", "number", "refusal", "told", "tried", "with_rows"]

Rows: TypeAlias = list[tuple[str | None, ...]]
Trial: TypeAlias = Callable[[Stage, Seeds], Report]

_FAMILY = {"postgresql", "timescaledb"}


@contextmanager
def with_rows(subject: Subject, *, as_of: date, sections: Sequence[SectionName]) -> Iterator[tuple[Stage, Seeds]]:
    """A stage whose tables hold a dozen rows each, as far as rows could be made up for them."""
    with stage(subject, as_of=as_of, sections=sections) as ready:
        yield ready, seed(ready.sandbox, Hints({}), Mode.TAME)


def tried(subject: Subject, as_of: date, sections: Sequence[SectionName], trial: Trial) -> Report:
    """The report of a trial on rows; `not_checked` with the reason where there is no stage for it."""
    if not artefacts(subject):
        return Report()
    if (target := target_engine(subject)) not in _FAMILY:
        why = f"the design is for {target}, and the engine that is built in is PostgreSQL"
        return not_checked(subject, checker=target, why=why)
    try:
        with with_rows(subject, as_of=as_of, sections=sections) as (ready, seeds):
            return trial(ready, seeds)
    except NoStageError as error:
        return not_checked(subject, checker="postgresql", why=f"not tried: {error}")


def told(ready: Stage, artefact: str, where: str, status: Status, uncovered: str = "") -> Verdict:
    """The engine's verdict of one artefact."""
    said = "; ".join(part for part in (uncovered, ready.uncovered) if part)
    return Verdict(artefact, where, status, Tier.ENGINE, ready.label, said)


def refusal(outcome: Outcome) -> Status:
    """What a statement that did not run means: wrong if the engine refused it, open if it could not say."""
    return Status.FAILED if outcome.answer is Answer.REFUSED else Status.INCONCLUSIVE


def number(ready: Stage, sql: str) -> int:
    """The one number that a question of ours is answered with.

    Raises:
        NoStageError: it could not be asked.
    """
    outcome, rows = ready.sandbox.fetch(sql)
    if not outcome.ok or not rows or rows[0][0] is None:
        raise NoStageError(outcome.message or "a question of ours had no answer")
    return int(rows[0][0])
