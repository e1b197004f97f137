"""Backups for people: the plans, what they lose and how long a restore takes, and how one restores and tries it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.machines.recovery import WHOLE, Recovery, recovery
from dbprompt.render.background import Background
from dbprompt.render.backup import SCRIPTED_TOOLS
from dbprompt.render.capacity import size
from dbprompt.render.markdown import cell, code, fenced, table, text
from dbprompt.render.metrics import BACKUP_METRIC
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.backup import Backup, BackupPlan

__all__ = ["backup_chapter", "backup_page", "recovery_lines", "span"]

_HOW = {
    "managed_service": "set in the managed service",
    "pgbackrest": "pgbackrest --stanza=main backup, archive_command = pgbackrest archive-push",
    "wal_g": "wal-g backup-push, archive_command = wal-g wal-push",
    "barman": "barman backup, archive_command = barman-wal-archive",
}


def span(seconds: float) -> str:
    """Seconds in the unit that reads best.

    >>> span(45), span(900), span(7200), span(604800)
    ('45 s', '15 min', '2 h', '7 days')
    """
    for unit, factor in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 * factor if unit != "min" else factor):
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def backup_page(design: DatabaseDesign, background: Background) -> Mapping[str, str]:
    """`ops/backup.md`."""
    if design.backup is None:
        return {}
    return {"ops/backup.md": "\n\n".join(("# Backup and restore", *_body(design, design.backup, background))) + "\n"}


def backup_chapter(design: DatabaseDesign, background: Background) -> Iterator[str]:
    """Plans and figures; the procedure stands in `ops/backup.md`."""
    if design.backup is None:
        return
    yield "## Backup"
    if design.backup.reason:
        yield text(design.backup.reason)
    yield _plans(design.backup)
    yield "\n".join(f"- {line}" for line in recovery_lines(design, design.backup, background))
    yield "Scripts, procedure and restore test: `ops/backup.md`."


def recovery_lines(design: DatabaseDesign, backup: Backup, background: Background) -> Iterator[str]:
    """The figures with their formulas, a sentence each."""
    figures = recovery(design, backup, background.capacity)
    aims = background.brief.availability if background.brief else None
    yield _loss(figures, aims.rpo_s if aims else None)
    yield f"Point in time: {'any moment since the oldest whole backup' if figures.point_in_time else 'not possible'}."
    if figures.restored_bytes is not None and figures.copy_s is not None and figures.restore_s is not None:
        aim = f", asked for {span(aims.rto_s)}" if aims else ""
        over = " when the primary is lost, a standby takes over and no restore is needed" if figures.takes_over else ""
        yield (
            f"Restore: {size(figures.restored_bytes)} (rows and indexes in 3 years) / "
            f"{backup.restore_mb_per_s:g} MB a second = {span(figures.copy_s)}, and {span(figures.detect_s)} "
            f"until somebody knows: {span(figures.restore_s)}{aim};{over or ' there is no standby'}. Replaying the "
            "log comes on top."
        )


def _loss(figures: Recovery, asked: float | None) -> str:
    aim = f" (asked for at most {span(asked)})" if asked is not None else ""
    loss = "unknown" if figures.archive_loss_s is None else span(figures.archive_loss_s)
    if figures.sync_standby:
        return (
            f"Lost with the primary: nothing, the synchronous standby has it{aim}. Lost with the site: what the "
            f"archive does not have yet, {loss}."
        )
    return f"Lost at worst: what the archive does not have yet, {loss}{aim}."


def _body(design: DatabaseDesign, backup: Backup, background: Background) -> Iterator[str]:
    yield _plans(backup)
    yield "\n".join(f"- {line}" for line in recovery_lines(design, backup, background))
    if any(plan.tool in SCRIPTED_TOOLS for plan in backup.plans):
        yield "## By the scripts"
        yield "Both read where the database is from libpq's settings; no secret stands in them or on a command line."
        yield fenced("\n".join(_crontab(backup)), "text")
        yield (
            "The role needs to read everything (pg_read_all_data), and BYPASSRLS where row policies are in force: "
            "pg_dump refuses to dump a part of the rows. A base backup needs REPLICATION."
        )
    others = [plan.name for plan in backup.plans if plan.tool not in SCRIPTED_TOOLS and plan.method in WHOLE]
    if others:
        sample = f'{BACKUP_METRIC}{{plan="{others[0]}"}}'
        yield (
            f"{', '.join(map(code, others))}: made outside of these scripts. Its success has to be reported too, as "
            f"{code(sample)} with the time in seconds; the alert on backup_age_h knows of no other."
        )
    yield "## Restore"
    yield "\n".join(f"{number}. {step}" for number, step in enumerate(_restore_steps(backup), start=1))
    yield "## Restore test"
    if backup.restore_test is None:
        yield "None is scheduled."
    else:
        test = backup.restore_test
        yield f"Every {code(test.schedule)} (UTC), on a server of its own: {text(test.what)}"
        yield "Note how long it took: it is the figure that the arithmetic above only assumes."


def _plans(backup: Backup) -> str:
    return table(
        ("Plan", "Method", "Tool", "When (UTC)", "Kept", "Storage", "Region", "Encrypted"), map(_plan, backup.plans)
    )


def _plan(plan: BackupPlan) -> tuple[str, ...]:
    when = f"always, at most {plan.archive_every_s} s late" if plan.schedule is None else code(plan.schedule)
    words = (plan.method, plan.tool, plan.storage)
    method, tool, storage = (cell(word.replace("_", " ")) for word in words)
    kept = f"{plan.keep_days:,} days"
    return code(plan.name), method, tool, when, kept, storage, code(plan.region), "yes" if plan.encrypted else "no"


def _crontab(backup: Backup) -> Iterator[str]:
    for plan in backup.plans:
        if plan.tool in SCRIPTED_TOOLS:
            yield f"{plan.schedule} backup_agent ops/backup.sh {plan.name}"


def _restore_steps(backup: Backup) -> Iterator[str]:
    tools = {plan.tool for plan in backup.plans if plan.method in {*WHOLE, "wal_archive"}}
    for tool in sorted(tools & set(_HOW)):
        yield (
            f"By {cell(tool.replace('_', ' '))} ({code(_HOW[tool])}): restore into a **new** server, to the moment "
            "before the mistake; never over the old one, which may still be needed."
        )
    if "pg_basebackup" in tools:
        yield "Base backup: `RESTORE_DIRECTORY=/new/data ops/restore.sh FILE`, then set `restore_command` and start."
    if "pg_dump" in tools:
        yield (
            "Dump: make the roles, `createdb` an empty database, `PGDATABASE=... ops/restore.sh FILE`. The script "
            "checks the sum, refuses a database that is not empty, and stops at the first error."
        )
    yield "Compare: rows of the largest tables, the newest row of each, the health view."
    yield "Point the application (or the pooler) at the restored server, and take a new backup at once."
