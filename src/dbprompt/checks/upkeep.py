"""Every promise of the other sections has its job, every job has something to work on, and runs often enough.

Poor: `activity` has three partitions ahead, and no job makes them; a view that the section `views` refreshes each hour,
and whose job runs each night; `0 3 31 2 *`, a day that never comes; VACUUM and REINDEX of the whole database in the
same minute of the same night.
Better: one `create_partitions` job a day for three partitions of a month: a failed run is made good the next day.

pg_cron reads five fields, in UTC unless somebody changed it; schedules follow its rules (`sections.schedule`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from dbprompt.checks.base_access import Access, accesses
from dbprompt.checks.base_design import advice, error, judged, listing, rules, warning
from dbprompt.checks.base_matching import is_misshapen
from dbprompt.checks.base_trees import Broken, statements
from dbprompt.checks.sql.allow import Route, rule
from dbprompt.checks.sql.tree import parse
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.postgres import UnsafeSqlError, single_statement
from dbprompt.render.postgres.lifecycle import is_split_by_time
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.lifecycle import PERIOD_DAYS, TableLifecycle
from dbprompt.sections.schedule import Schedule, duration, schedule_problem
from dbprompt.sections.schema import Table
from dbprompt.sections.upkeep import Job, Upkeep

__all__ = ["upkeep"]

_HEAVY = {"vacuum", "reindex", "refresh_view", "delete_expired"}
_OFTEN_DAYS = 7
_OF_LIFECYCLE = {"create_partitions", "drop_partitions", "delete_expired"}


def upkeep(subject: Subject) -> Report:
    """The section `upkeep` against the sections that need its jobs and triggers."""
    section = subject.design.upkeep
    if subject.section != "upkeep" or section is None or subject.design.schema is None:
        return Report()
    findings = (*_jobs(subject, section), *_missing(subject, section))
    return judged(subject, findings, checker=rules("upkeep"), uncovered="that pg_cron runs")


def _jobs(subject: Subject, section: Upkeep) -> Iterator[Finding]:
    seen: set[str] = set()
    for at, job in enumerate(section.jobs):
        where = f"/jobs/{at}"
        if job.name in seen:
            message = f"there is another job {job.name}; the second would take the first one's place. Rename or drop it"
            yield error("upkeep.job_twice", where, message, may_drop=True)
        seen.add(job.name)
        yield from _target(subject, job, where)
        if job.kind == "sql":
            yield from _sql(job, where)
        if problem := schedule_problem(job.schedule):
            yield error("upkeep.schedule", f"{where}/schedule", f"schedule of job {job.name}: {problem}")
        else:
            yield from _often_enough(subject.design, job, where)
    yield from _at_once(section)


def _target(subject: Subject, job: Job, where: str) -> Iterator[Finding]:
    design = subject.design
    if job.target is None or is_misshapen(subject, job.target):
        return
    tables = [table.name for table in design.schema.tables] if design.schema else []
    views = [view.name for view in design.views.views] if design.views else []
    if job.kind == "refresh_view":
        if design.views is not None and job.target not in views:
            message = f"job {job.name} refreshes {job.target}, which is no view of the section views ({listing(views)})"
            yield error("upkeep.unknown_target", f"{where}/target", message)
    elif job.target not in tables and (job.kind in _OF_LIFECYCLE or job.target not in views):
        message = f"job {job.name} works on {job.target}, which is not there; tables: {listing(tables)}"
        yield error("upkeep.unknown_target", f"{where}/target", message)
    elif job.kind in _OF_LIFECYCLE and design.lifecycle is not None:
        wanted = [life.table for life in design.lifecycle.tables if job.kind in _promised(life)]
        if job.target not in wanted:
            message = (
                f"job {job.name} is a {job.kind} of {job.target}, and the section lifecycle promises none for it "
                f"({listing(wanted)}); drop the job, or change the table's life"
            )
            yield error("upkeep.not_promised", where, message, may_drop=True)


def _promised(life: TableLifecycle) -> tuple[str, ...]:
    """The kinds of jobs that a table's life needs."""
    kinds = {"drop_partition": "drop_partitions", "delete_in_batches": "delete_expired"}
    leaving = (kinds[life.leaves_by],) if life.leaves_by in kinds else ()
    return (*(("create_partitions",) if life.partitions_ahead else ()), *leaving)


def _sql(job: Job, where: str) -> Iterator[Finding]:
    """One statement that the allow-list knows; it meets the engine in the proof."""
    place = f"{where}/sql"
    try:
        text = single_statement(job.sql or "")
    except UnsafeSqlError as unsafe:
        yield error("upkeep.not_one", place, f"job {job.name}: {unsafe.reason}")
        return
    found = parse(text)
    if not isinstance(found, tuple) or len(found) != 1:
        broken = statements(text)
        why = str(broken) if isinstance(broken, Broken) else "it is not one statement"
        yield error("upkeep.not_one", place, f"the SQL of job {job.name} is no statement: {why}")
        return
    ruling = rule(found[0])
    if ruling.route is not Route.RUN:
        why = ruling.reason or f"a {found[0].kind} is none that a job of an application runs"
        yield error("upkeep.forbidden", place, f"job {job.name} may not run: {why}")


def _often_enough(design: DatabaseDesign, job: Job, where: str) -> Iterator[Finding]:
    life = next((t for t in (design.lifecycle.tables if design.lifecycle else ()) if t.table == job.target), None)
    table = design.schema.table(life.table) if life and design.schema else None
    if job.kind == "refresh_view":
        yield from _as_the_view_says(design, job, f"{where}/schedule")
    elif job.kind == "create_partitions" and life and table and is_split_by_time(table):
        yield from _made_in_time(job, life, table, f"{where}/schedule")
    elif job.kind in {"drop_partitions", "delete_expired"} and life:
        yield from _gone_in_time(job, life, f"{where}/schedule")
        if job.kind == "delete_expired" and table is not None and design.indexes is not None:
            yield from _by_index(job, life, accesses(table, design.indexes), where)
    elif job.kind == "reindex" and Schedule.of(job.schedule).longest_gap.days < _OFTEN_DAYS:
        message = f"job {job.name} rebuilds indexes more often than once a week, which B-trees rarely need"
        yield advice("upkeep.reindex_often", f"{where}/schedule", f"{message}; make it weekly or monthly")


def _as_the_view_says(design: DatabaseDesign, job: Job, where: str) -> Iterator[Finding]:
    view = next((v for v in (design.views.views if design.views else ()) if v.name == job.target), None)
    if view is not None and view.refresh.split() != job.schedule.split():
        message = f"job {job.name} runs at {job.schedule}, and the views section has {view.refresh} for {view.name}"
        yield error("upkeep.refresh_differs", where, f"{message}; write the same")


def _made_in_time(job: Job, life: TableLifecycle, table: Table, where: str) -> Iterator[Finding]:
    """Longest time between two runs < partitions ahead x the days of one."""
    grain = table.partitioning.granularity if table.partitioning else None
    days, gap = PERIOD_DAYS[grain or "month"] * life.partitions_ahead, Schedule.of(job.schedule).longest_gap
    if gap.days >= days:
        message = (
            f"job {job.name} runs each {duration(gap)}, and the {life.partitions_ahead} partitions ahead of "
            f"{life.table} (lifecycle) last {days} days: with one missed run inserts fail. Run it daily"
        )
        yield error("upkeep.too_seldom", where, message)


def _gone_in_time(job: Job, life: TableLifecycle, where: str) -> Iterator[Finding]:
    gap = Schedule.of(job.schedule).longest_gap
    if life.keep_days and gap.days > _OFTEN_DAYS and gap.days * 10 > life.keep_days:
        message = f"job {job.name} runs each {duration(gap)}, so rows of {life.table} stay that much longer than the"
        yield warning("upkeep.too_seldom", where, f"{message} {life.keep_days} days of the lifecycle; run it daily")


def _by_index(job: Job, life: TableLifecycle, ways: Sequence[Access], where: str) -> Iterator[Finding]:
    column = life.age_column or ""
    if not any(
        way.method in {"btree", "brin"} and way.predicate is None and column in way.keys[0].columns for way in ways
    ):
        message = (
            f"job {job.name} looks for old rows of {life.table} by {column}, and no index of the design begins with "
            "it: each batch reads the whole table. Add one, or a brin index if rows arrive in the order of time"
        )
        yield warning("upkeep.delete_unindexed", where, message)


def _at_once(section: Upkeep) -> Iterator[Finding]:
    heavy = [
        (at, job) for at, job in enumerate(section.jobs) if job.kind in _HEAVY and not schedule_problem(job.schedule)
    ]
    for (_, first), (at, second) in combinations(heavy, 2):
        if Schedule.of(first.schedule).meets(Schedule.of(second.schedule)):
            message = f"jobs {first.name} ({first.schedule}) and {second.name} ({second.schedule}) start in the same "
            yield advice(
                "upkeep.at_once", f"/jobs/{at}/schedule", f"{message}minute; move one, so that they do not compete"
            )


def _missing(subject: Subject, section: Upkeep) -> Iterator[Finding]:
    """What lifecycle and views promise, and no job keeps."""
    design = subject.design
    have = {(job.kind, job.target) for job in section.jobs}
    for at, life in enumerate(design.lifecycle.tables if design.lifecycle else ()):
        for kind in _promised(life):
            if (kind, life.table) not in have and not subject.misshapen:
                message = (
                    f"{life.table} needs a {kind} job (/lifecycle/tables/{at}: {_why(life, kind)}), and there is none"
                )
                yield error(
                    "upkeep.job_missing", "/jobs", f"{message}; add a job with kind {kind} and target {life.table}"
                )
    for at, view in enumerate(design.views.views if design.views else ()):
        if ("refresh_view", view.name) not in have and not subject.misshapen:
            message = f"view {view.name} needs a refresh_view job (/views/views/{at}: refresh {view.refresh})"
            yield error("upkeep.job_missing", "/jobs", f"{message}, and there is none; add it with this schedule")


def _why(life: TableLifecycle, kind: str) -> str:
    return (
        f"partitions_ahead {life.partitions_ahead}"
        if kind == "create_partitions"
        else f"leaves_by {life.leaves_by}, keep_days {life.keep_days}"
    )
