"""What is handed back of a migration: the evidence, its steps, and the time model in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dbprompt.checks.base_migration import MODEL, Passage, Step, Task, duration
from dbprompt.engines.postgres.catalogue import Difference
from dbprompt.engines.postgres.seeding import Mode, Seeds
from dbprompt.evidence import Evidence, Exhibit, Finding, Severity, Status, Tier, Verdict
from dbprompt.messages import Json

__all__ = ["RULES", "MigrationEvidence", "blocked_words", "exhibit", "rule_verdicts", "step_row", "whole_verdicts"]

RULES = "dbprompt migration rules"


@dataclass(frozen=True, slots=True)
class MigrationEvidence(Evidence):
    """The evidence of a migration.

    Args:
        steps: the statements of `up`, each with its locks, rewrites, scans and safe forms.
        rerunnable: whether `up` runs a second time and changes nothing; None if it did not run once.
        undone: what differs after `up` and `down`; None if there is no `down`.
        seeded: rows that were made up, by table.
        unseeded: tables without rows, and why.
    """

    steps: tuple[Step, ...] = ()
    rerunnable: bool | None = None
    undone: tuple[Difference, ...] | None = None
    seeded: tuple[tuple[str, int], ...] = ()
    unseeded: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing is wrong, and the engine ran every statement that it was shown."""
        plain = Evidence(self.findings, self.verdicts, self.exhibits)
        return plain.ok and all(step.ok or step.outcome is None for step in self.steps)

    def to_json(self) -> dict[str, Json]:
        """Plain data."""
        return {
            **Evidence.to_json(self),
            "ok": self.ok,
            "steps": [_step_json(step) for step in self.steps],
            "rerunnable": self.rerunnable,
            "undone": None if self.undone is None else [str(one) for one in self.undone],
            "seeded": dict(self.seeded),
            "unseeded": dict(self.unseeded),
        }


def blocked_words(step: Step) -> str:
    """Who waits for a statement, and for how long: `writes, about 58 s`."""
    if not step.observed:
        return "not observed"
    if not step.blocks:
        return "nobody"
    if step.blocked_seconds is None:
        return f"{step.blocks}, size not known"
    return f"{step.blocks}, {duration(step.blocked_seconds) if step.blocked_seconds else 'moments'}"


def step_row(step: Step) -> tuple[str, ...]:
    """A statement as cells: itself, lock, who waits, rewrites, scans, in a transaction, safe form."""
    lock = step.strongest
    held = f" (since {lock.since + 1})" if lock is not None and lock.since < step.number else ""
    may = {True: "yes", False: "no", None: ""}[step.in_transaction]
    return (
        f"{step.number + 1}. {step.title}",
        f"{lock.mode.words} on {lock.on}{held}" if lock is not None else "" if step.ok else "failed",
        blocked_words(step) if step.ok else "",
        ", ".join(step.rewritten),
        ", ".join(step.scanned),
        may,
        "; ".join(form.partition(":")[0] for form in step.safe_forms),
    )


def exhibit(step: Step) -> Exhibit:
    """What a statement was seen to do, for people and as data."""
    lines = [f"{lock.mode.words} on {lock.relation}" for lock in step.locks]
    lines += [f"{work.task} of {work.table}" for work in step.work]
    lines += [f"blocks {blocked_words(step)}", *step.safe_forms]
    return Exhibit(step.where, f"locks of {step.title}", "\n".join(lines), _step_json(step))


def rule_verdicts(passage: Passage, findings: Sequence[Finding]) -> Iterator[Verdict]:
    """The rules' verdict on each statement whose locks were seen."""
    wrong = {finding.where for finding in findings if finding.severity is Severity.ERROR}
    for step in passage.steps:
        seen = step.observed and step.ok
        status = Status.FAILED if step.where in wrong else Status.PASSED if seen else Status.NOT_CHECKED
        gaps = [MODEL] if step.blocked_seconds else [] if seen else ["its locks could not be observed"]
        if any(work.task is Task.CHANGE for work in step.work) and not step.changed:
            gaps.append("it touched none of the rows made up here: its effect on data was not seen")
        tier = Tier.RULE if status is not Status.NOT_CHECKED else Tier.NOTHING
        yield Verdict(step.title, step.where, status, tier, RULES, "; ".join(gaps))


def whole_verdicts(
    passage: Passage, seeds: Seeds, mode: Mode, findings: Sequence[Finding], checker: str
) -> Iterator[Verdict]:
    """The verdicts on the migration as a whole: its rows, its second run, its way back."""
    codes = {finding.code for finding in findings if finding.severity is Severity.ERROR}
    filled = sum(1 for count in seeds.rows.values() if count)
    if not filled:
        nothing = f"no table has rows here ({mode.value})"
        yield Verdict("rows and values", "/up", Status.NOT_CHECKED, Tier.NOTHING, checker, nothing)
    else:
        kept = not codes & {"migration.data_lost", "migration.destructive"}
        gaps = "; ".join(f"{name} without rows: {why}" for name, why in seeds.refused.items())
        made_up = f"rows made up {mode.value}, {max(seeds.rows.values())} a table; real ones may differ"
        status = Status.PASSED if kept else Status.FAILED
        yield Verdict("rows and values", "/up", status, Tier.ENGINE, checker, "; ".join(filter(None, (made_up, gaps))))
    ran = all(step.ok for step in passage.steps)
    again = not (passage.again or passage.drift)
    second = Status.INCONCLUSIVE if not (again and ran) else Status.PASSED
    why = (
        ""
        if again and ran
        else "it does not run twice"
        if passage.again
        else "it changes things again"
        if ran
        else "it failed"
    )
    yield Verdict("second run", "/up", second, Tier.ENGINE, checker, why)
    if not passage.has_down:
        yield Verdict("way back", "/down", Status.NOT_CHECKED, Tier.NOTHING, checker, "no down migration was given")
        return
    exact = "migration.down_incomplete" not in codes
    left = "; ".join(map(str, passage.undone[:3])) + (" ..." if len(passage.undone) > 3 else "")
    if others := sorted({loss.name for loss in passage.losses if loss.after_down}):
        left = "; ".join(filter(None, (left, f"data not brought back: {', '.join(others)}")))
    yield Verdict("way back", "/down", Status.PASSED if exact else Status.FAILED, Tier.ENGINE, checker, left)


def _step_json(step: Step) -> dict[str, Json]:
    return {
        "statement": step.number,
        "sql": step.title,
        "locks": [
            {"relation": lock.relation, "mode": lock.mode.words, "since": lock.since, "table": lock.on}
            for lock in step.locks
        ],
        "blocks": step.blocks,
        "blocked_seconds": step.blocked_seconds,
        "rewritten": list(step.rewritten),
        "rebuilt": list(step.rebuilt),
        "scanned": list(step.scanned),
        "changed": dict(step.changed),
        "in_transaction": step.in_transaction,
        "block": step.block,
        "lock_timeout": step.lock_timeout,
        "waits_for_writers": step.waits_for_writers,
        "safe_forms": list(step.safe_forms),
        "error": step.outcome.message if step.outcome is not None and not step.outcome.ok else None,
    }
