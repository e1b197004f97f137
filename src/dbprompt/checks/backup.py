"""Backups lose no more than the brief allows, lie where it allows, and are tried.

Poor: a nightly dump beside an RPO of a minute; WAL kept for a week and a base backup every month; all of it on the
primary's own disk; a restore that nobody ever tried.
Better: WAL shipped every minute on top of a daily snapshot of the same tool, a copy in a second region of the same
jurisdiction, everything encrypted, a restore test each month.

The figures are those of `machines/recovery.py`, with its formulas in the exhibit.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Exhibit, Finding, Report
from dbprompt.machines.recovery import WHOLE, Recovery, gap_h, recovery
from dbprompt.machines.regions import lies_in, no_other_region
from dbprompt.sections.backup import Backup, BackupPlan
from dbprompt.sections.infrastructure import Infrastructure
from dbprompt.sections.schedule import schedule_problem

__all__ = ["backup"]

_CAN = {
    "wal_archive": ("managed_service", "pgbackrest", "wal_g", "barman"),
    "base_backup": ("pgbackrest", "wal_g", "barman", "pg_basebackup"),
    "snapshot": ("managed_service",),
    "logical_dump": ("pg_dump",),
}
_OWN_REPOSITORY = {"pgbackrest", "wal_g", "barman"}
_FASTEST_MB_PER_S = {"nvme": 2_000.0, "ssd": 600.0, "network_ssd": 1_000.0, "hdd": 200.0}
_SHORTEST_WINDOW_DAYS = 7
_RAREST_TEST_H = 100 * 24


def backup(subject: Subject) -> Report:
    """The section `backup`."""
    section = subject.design.backup
    if subject.section != "backup" or section is None:
        return Report()
    figures = recovery(subject.design, section, subject.capacity)
    findings = [*_plans(section), *_chain(section), *_tested(section)]
    if subject.design.infrastructure is not None:
        findings += [*_places(section, subject.design.infrastructure, subject.brief)]
    if subject.brief is not None:
        findings += [*_aims(section, figures, subject.brief), *_duties(section, subject.brief)]
    uncovered = "that it runs, and how fast a restore is: restore_mb_per_s is an assumption"
    report = judged(subject, findings, checker=rules("backup"), uncovered=uncovered)
    return report + Report(exhibits=(_exhibit(section, figures, subject.brief),))


def _plans(section: Backup) -> Iterator[Finding]:
    names = [plan.name for plan in section.plans]
    for at, plan in enumerate(section.plans):
        where = f"/plans/{at}"
        if plan.name in names[:at]:
            yield error("backup.duplicate", where, f"two plans are named {plan.name}; give each its own name")
        if plan.tool not in _CAN[plan.method]:
            message = f"{plan.tool} makes no {plan.method}; write one of {listing(_CAN[plan.method])}"
            yield error("backup.tool_cannot", where, message)
        if plan.schedule is not None and (problem := schedule_problem(plan.schedule)):
            yield error("backup.never_runs", where, f"schedule {plan.schedule} of {plan.name}: {problem}")


def _chain(section: Backup) -> Iterator[Finding]:
    """A log archive is worth something only on top of a whole physical backup that is as old as it."""
    bases = [plan for plan in section.plans if plan.method in {"base_backup", "snapshot"}]
    for at, plan in enumerate(section.plans):
        if plan.method != "wal_archive":
            continue
        if not bases:
            message = (
                f"{plan.name} archives the log, and there is no base_backup or snapshot to replay it on; a "
                "logical_dump does not do. Add one"
            )
            yield error("backup.no_base", f"/plans/{at}", message)
            continue
        fitting = [base for base in bases if _fit(plan, base)]
        if not fitting and plan.tool in _CAN[plan.method]:
            message = (
                f"{plan.name} is made by {plan.tool}, and {listing(base.name for base in bases)} by "
                f"{listing(dict.fromkeys(base.tool for base in bases))}, which cannot replay it; use one tool for both"
            )
            yield error("backup.tools_apart", f"/plans/{at}", message)
        yield from _window(at, plan, fitting)
    yield from _kept(section)


def _fit(archive: BackupPlan, base: BackupPlan) -> bool:
    """Whether a base can be rolled forward by an archive: a tool with a repository reads its own only."""
    if base.tool in _OWN_REPOSITORY or archive.tool == "managed_service" or base.tool == "managed_service":
        return archive.tool == base.tool
    return True


def _window(at: int, archive: BackupPlan, bases: list[BackupPlan]) -> Iterator[Finding]:
    """There has to be a base from before every moment that can be restored, and all log since."""
    gaps = [(gap_h(base.schedule), base) for base in bases]
    for gap, base in gaps:
        if gap is not None and min(base.keep_days, archive.keep_days) * 24 < gap:
            message = (
                f"{base.name} comes every {gap / 24:g} days and is kept for {base.keep_days}, {archive.name} for "
                f"{archive.keep_days}: at times no base with all its log is left; keep both longer than that"
            )
            yield error("backup.chain_broken", f"/plans/{at}", message)


def _kept(section: Backup) -> Iterator[Finding]:
    longest = max((plan.keep_days for plan in section.plans if plan.method in WHOLE), default=None)
    if longest is not None and longest < _SHORTEST_WINDOW_DAYS:
        message = (
            f"nothing is kept for more than {longest} days, and a mistake in the data is often found later; keep whole "
            f"backups for {_SHORTEST_WINDOW_DAYS} days at least"
        )
        yield warning("backup.window_short", "/plans", message)


def _tested(section: Backup) -> Iterator[Finding]:
    test = section.restore_test
    if test is None:
        message = "nobody tries a restore; add restore_test with a schedule and what is restored and compared"
        yield error("backup.no_restore_test", "/restore_test", message)
        return
    gap = gap_h(test.schedule)
    if gap is None or gap > _RAREST_TEST_H:
        often = "never" if gap is None else f"every {gap / 24:g} days"
        message = f"the restore test comes {often} ({test.schedule}); try it each quarter at least"
        yield warning("backup.test_rare", "/restore_test", message)


def _places(section: Backup, infrastructure: Infrastructure, brief: Brief | None) -> Iterator[Finding]:
    fastest = _FASTEST_MB_PER_S[infrastructure.storage]
    if section.restore_mb_per_s > fastest:
        message = (
            f"a restore of {section.restore_mb_per_s:g} MB a second is faster than {infrastructure.storage} "
            f"(/infrastructure/storage) is written to; {fastest:g} is the most, 100 to 300 is usual"
        )
        yield error("backup.too_fast", "/restore_mb_per_s", message)
    managed = infrastructure.deployment == "managed_cloud"
    for at, plan in enumerate(section.plans):
        if plan.tool == "managed_service" and infrastructure.deployment in {"self_hosted_cloud", "on_premise"}:
            message = (
                f"{plan.name} is left to a managed service, and the deployment is {infrastructure.deployment} "
                "(/infrastructure/deployment); use pgbackrest, wal_g or barman"
            )
            yield error("backup.tool_out_of_place", f"/plans/{at}", message)
        elif managed and plan.tool in {*_OWN_REPOSITORY, "pg_basebackup"}:
            message = (
                f"{plan.name} uses {plan.tool}, and a managed server gives nobody its files or archive_command "
                "(/infrastructure/deployment is managed_cloud); use managed_service, or pg_dump for a logical_dump"
            )
            yield error("backup.tool_out_of_place", f"/plans/{at}", message)
    primary = infrastructure.primary
    whole = [plan for plan in section.plans if plan.method in WHOLE]
    if primary is None or not whole:
        return
    if all(plan.storage == "local" for plan in whole):
        message = f"every whole backup is on local disks and goes with the site of {primary.name}; use object_store"
        yield error("backup.one_place", "/plans", message)
    elif all(plan.region == primary.region for plan in whole):
        if brief is not None and no_other_region(primary.region, brief.compliance.residency):
            message = (
                f"every whole backup is in {primary.region}, as {primary.name} is, and the brief lets data be nowhere "
                "else; keep one at another provider or account there"
            )
            yield warning("backup.one_place", "/plans", message)
            return
        message = (
            f"every whole backup is in {primary.region}, as {primary.name} is; keep one in a second region, in which "
            "the data may be"
        )
        yield error("backup.one_place", "/plans", message)


def _aims(section: Backup, figures: Recovery, brief: Brief) -> Iterator[Finding]:
    aims = brief.availability
    loss = figures.archive_loss_s
    if loss is None or loss > aims.rpo_s:
        at = next((at for at, plan in enumerate(section.plans) if plan.method == "wal_archive"), None)
        where = "/plans" if at is None else f"/plans/{at}"
        found = "an unknown time" if loss is None else f"{loss:g} s"
        by = "archive_every_s of its wal_archive" if figures.point_in_time else "a wal_archive on top of a base_backup"
        told = f"the backups lose up to {found}, and the brief's rpo_s is {aims.rpo_s:g}; set it by {by}"
        if figures.sync_standby and loss is not None and figures.point_in_time:
            yield warning(
                "backup.rpo_missed", where, f"{told} (a synchronous standby covers the loss of one node only)"
            )
        else:
            yield error("backup.rpo_missed", where, told)
    if not figures.takes_over and figures.restore_s is not None and figures.restore_s > aims.rto_s:
        message = (
            f"no standby takes over (/infrastructure/nodes), and a restore takes {figures.restore_s:,.0f} s "
            f"({figures.detect_s:g} s until it is known, then {(figures.restored_bytes or 0) / 1e9:,.0f} GB at "
            f"{section.restore_mb_per_s:g} MB a second), while the brief's rto_s is {aims.rto_s:g}; a standby is "
            "needed, or storage that restores faster"
        )
        yield error("backup.rto_missed", "/restore_mb_per_s", message)


def _duties(section: Backup, brief: Brief) -> Iterator[Finding]:
    places = brief.compliance.residency
    shortest = min((entity.retention_days for entity in brief.entities if entity.retention_days), default=None)
    for at, plan in enumerate(section.plans):
        where = f"/plans/{at}"
        if "at_rest" in brief.compliance.encryption and not plan.encrypted:
            message = f"{plan.name} is not encrypted, and the brief asks for encryption at rest; backups are data too"
            yield error("backup.not_encrypted", where, message)
        inside = [lies_in(plan.region, place) for place in places]
        if places and not any(inside):
            message = f"{plan.name} is kept in {plan.region}, and data may be in {listing(places)} only"
            if None in inside:
                yield warning("backup.residency", where, f"{message}; whether it lies there is not known")
            else:
                yield error("backup.residency", where, f"{message}; choose a region there")
        if shortest is not None and plan.keep_days > shortest:
            message = (
                f"{plan.name} is kept for {plan.keep_days} days, and rows of the brief leave after {shortest}: they "
                "live on in the backup; keep it shorter"
            )
            yield warning("backup.outlives_rows", where, message)


def _exhibit(section: Backup, figures: Recovery, brief: Brief | None) -> Exhibit:
    aims = brief.availability if brief else None
    lines = [
        f"loss by the backups alone: {_seconds(figures.archive_loss_s)}"
        + (f", asked for {aims.rpo_s:g} s" if aims else ""),
        f"loss when the primary is lost: {_seconds(figures.loss_s)}",
        f"restore: {figures.detect_s:g} s until it is known + "
        + (f"{figures.restored_bytes / 1e6:,.0f} MB" if figures.restored_bytes is not None else "an unknown size")
        + f" / {section.restore_mb_per_s:g} MB/s = {_seconds(figures.restore_s)}"
        + (f", asked for {aims.rto_s:g} s" if aims else ""),
        "a standby takes over" if figures.takes_over else "no standby takes over: the restore is the recovery",
    ]
    return Exhibit("/plans", "recovery point and recovery time", "\n".join(lines))


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f} s"
