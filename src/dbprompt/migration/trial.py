"""The trial of a migration: walks through it on sandboxes of their own, and what they come to together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dbprompt.checks.base_migration import Loss, Lost, Passage, Sizes
from dbprompt.checks.migration_locks import migration_locks
from dbprompt.checks.migration_order import migration_order
from dbprompt.checks.migration_outcome import migration_outcome
from dbprompt.checks.sql.grammar import Step as Climbed
from dbprompt.checks.sql.postgres_run import PostgresRun
from dbprompt.checks.sql.setup import needs, run_setup
from dbprompt.checks.sql.tree import Parsed
from dbprompt.engines.base import Limits, Needs
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.engines.postgres.catalogue import Catalogue, differences, snapshot
from dbprompt.engines.postgres.contents import Contents, read, same
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.seeding import Mode, Seeds, seed
from dbprompt.engines.postgres.seeding.tables import Hints
from dbprompt.errors import SetupError
from dbprompt.evidence import Finding, Report, Severity
from dbprompt.migration.contents import losses
from dbprompt.migration.evidence import MigrationEvidence, exhibit, rule_verdicts, whole_verdicts
from dbprompt.migration.hints import hints_of, meant_to_change
from dbprompt.migration.walk import Walk, adds_required, go_through, run_again, run_together

__all__ = ["Trial"]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One walk with everything around it."""

    walk: Walk
    seeds: Seeds
    sizes: Sizes
    before: Catalogue
    after: Catalogue
    restored: Catalogue | None
    down_report: Report
    rows_before: Contents
    rows_after: Contents
    rows_restored: Contents | None
    label: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A migration and where it is tried."""

    setup: tuple[Parsed, ...]
    up: tuple[Climbed, ...]
    down: tuple[Climbed, ...] | None
    rows: dict[str, int]
    losing: frozenset[str]
    engine: PostgresEngine
    target: int | None
    limits: Limits

    def run(self) -> MigrationEvidence:
        """Walks with rows that hold NULLs; if that is what fails, with rows that do not; at last without any rows."""
        hints = hints_of(one.parsed for one in self.up if one.parsed is not None)
        over_data: dict[int, Finding] = {}
        for mode in Mode:
            seen = self._walk(hints, mode)
            failed = [number for number in seen.walk.data_errors if not adds_required(seen.walk.steps[number])]
            if not failed:
                break
            over_data |= {number: _over_data(seen, number, mode) for number in failed}
        for number in failed:  # without any rows: then it is no other rows that would help
            del over_data[number]
        return self._judge(seen, mode, hints, tuple(over_data.values()))

    def _walk(self, hints: Hints, mode: Mode) -> _Seen:
        with self.engine.sandbox(self._needs(), self.limits) as sandbox:
            run = self._prepared(sandbox)
            seeds = seed(sandbox, hints, mode)
            before, rows_before = snapshot(sandbox), read(sandbox)
            self._check_names(before)
            sizes = Sizes(self.rows, {table.name: table.width for table in rows_before.values()})
            walk = go_through(sandbox, run, self.up, sizes)
            after, rows_after = snapshot(sandbox), read(sandbox)
            down_report, restored, rows_restored = Report(), None, None
            if self.down is not None:
                down_report = go_through(sandbox, run, self.down, sizes).report
                restored, rows_restored = snapshot(sandbox), read(sandbox)
            return _Seen(
                walk,
                seeds,
                sizes,
                before,
                after,
                restored,
                down_report,
                rows_before,
                rows_after,
                rows_restored,
                sandbox.label,
            )

    def _second(self, seen: _Seen, mode: Mode, hints: Hints) -> Passage:
        """What a fresh sandbox tells: the script in one transaction, then twice in a row."""
        with self.engine.sandbox(self._needs(), self.limits) as sandbox:
            self._prepared(sandbox)
            seed(sandbox, hints, mode)
            together = run_together(sandbox, self.up, seen.walk.steps)
            first = run_again(sandbox, self.up)
            after, rows_after = snapshot(sandbox), read(sandbox)
            failed_once = {number for number, _ in first}
            again = [(number, outcome) for number, outcome in run_again(sandbox, self.up) if number not in failed_once]
            changed = [str(one) for one in differences(after, snapshot(sandbox))]
            changed += [f"rows of {name} are others" for name in same(rows_after, read(sandbox))]
        relations = {name for kind, name in seen.after if kind in {"table", "view", "materialized view"}}
        undone = differences(seen.before, seen.restored) if seen.restored is not None else ()
        return Passage(
            steps=seen.walk.steps,
            sizes=seen.sizes,
            losing=self.losing,
            losses=(*_losses(seen, self.up), *_overwritten(seen, (*self.up, *(self.down or ())))),
            again=tuple(again),
            drift=tuple(changed),
            together=tuple(together),
            left_open=seen.walk.left_open,
            has_down=self.down is not None,
            undone=undone,
            relations=frozenset(relations),
            invalid=_invalid(seen),
        )

    def _judge(self, seen: _Seen, mode: Mode, hints: Hints, over_data: Sequence[Finding]) -> MigrationEvidence:
        passage = self._second(seen, mode, hints)
        rules = [*migration_locks(passage), *migration_order(passage), *migration_outcome(passage), *over_data]
        report = seen.walk.report + seen.down_report + Report(tuple(rules))
        verdicts = (
            *report.verdicts,
            *rule_verdicts(passage, rules),
            *whole_verdicts(passage, seen.seeds, mode, rules, seen.label),
        )
        return MigrationEvidence(
            findings=report.findings,
            verdicts=verdicts,
            exhibits=tuple(exhibit(step) for step in passage.steps if step.observed),
            steps=passage.steps,
            rerunnable=not (passage.again or passage.drift) if all(step.ok for step in passage.steps) else None,
            undone=passage.undone if self.down is not None else None,
            seeded=tuple(seen.seeds.rows.items()),
            unseeded=tuple(seen.seeds.refused.items()),
        )

    def _prepared(self, sandbox: PostgresSandbox) -> PostgresRun:
        run = PostgresRun(sandbox, self._uncovered())
        run_setup(run, self.setup, root="/before")
        if sandbox.in_transaction:
            sandbox.run("COMMIT")
        return run

    def _check_names(self, before: Catalogue) -> None:
        """Raises SetupError for sizes and losses of what is not there: they would be taken without a word."""
        tables = {name.replace('"', "") for kind, name in before if kind in {"table", "materialized view"}}
        columns = {name.replace('"', "") for kind, name in before if kind == "column"}
        known = f"The tables of `before`: {', '.join(sorted(tables)) or 'none'}."
        for name in self.rows:
            if name.removeprefix("public.") not in tables:
                raise SetupError(f"`rows` names {name!r}, which is no table of `before`. {known}")
        for name in sorted(self.losing):
            if name not in tables | columns:
                what = "which is no table of `before` and no column of one, as `orders` or `orders.status` would be"
                raise SetupError(f"`losing` names {name!r}, {what}. {known}")

    def _uncovered(self) -> str:
        here = self.engine.installation.major
        return "" if self.target in {None, here} else f"on {here} instead of {self.target}"

    def _needs(self) -> Needs:
        steps = (*self.up, *(self.down or ()))
        return needs([*self.setup, *(one.parsed for one in steps if one.parsed is not None)])


def _over_data(seen: _Seen, number: int, mode: Mode) -> Finding:
    step = seen.walk.steps[number]
    words = step.outcome.message if step.outcome is not None else ""
    invalid = _invalid(seen)
    left = f" It leaves index {', '.join(invalid)} behind, invalid, which has to be dropped." if invalid else ""
    message = (
        f"It fails over rows that the schema before allows ({mode.value}): {words}.{left} Look at the real rows "
        "first, and mend them in the same migration."
    )
    return Finding("migration.depends_on_data", Severity.WARNING, step.where, message)


def _invalid(seen: _Seen) -> tuple[str, ...]:
    """Indexes that `up` left invalid."""
    found = (name for (kind, name), text in seen.after.items() if kind == "index" and text.endswith("(INVALID)"))
    return tuple(name for name in found if ("index", name) not in seen.before)


def _losses(seen: _Seen, up: Sequence[Climbed]) -> tuple[Loss, ...]:
    """What `up` did to the rows, without what its UPDATEs mean to change; and whether `down` brings it back."""
    meant = meant_to_change(one.parsed for one in up if one.parsed is not None)
    found = [
        loss
        for loss in losses(seen.rows_before, seen.rows_after)
        if not (loss.what is Lost.VALUES and loss.name in meant)
    ]
    if seen.rows_restored is None:
        return tuple(found)
    still = {(loss.what, loss.name) for loss in losses(seen.rows_before, seen.rows_restored)}
    instead = {Lost.VALUES: Lost.COLUMN, Lost.ROWS: Lost.TABLE}  # made anew by that name, and empty
    still |= {(instead[what], name) for what, name in still if what in instead}
    return tuple(replace(loss, after_down=(loss.what, loss.name) in still) for loss in found)


def _overwritten(seen: _Seen, script: Sequence[Climbed]) -> tuple[Loss, ...]:
    """Values that UPDATEs of the script set and that are others after `up` and `down` than before."""
    if seen.rows_restored is None:
        return ()
    meant = meant_to_change(one.parsed for one in script if one.parsed is not None)
    told = {loss.name for loss in losses(seen.rows_before, seen.rows_after) if loss.what is not Lost.VALUES}
    return tuple(
        replace(loss, after_down=True, updated=True)
        for loss in losses(seen.rows_before, seen.rows_restored)
        if loss.what is Lost.VALUES and loss.name in meant - told
    )
