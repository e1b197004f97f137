"""What backups come to: how much is lost at worst, how long a restore takes. Arithmetic, with its formula.

Loss after the primary is lost: nothing with a synchronous standby; else what the archive does not have yet.
Loss after a site is lost, or a mistake that the standbys repeat: what the archive does not have yet
(`archive_every_s`), without an archive the longest time between two whole backups.
Restore: detection + bytes on disk in three years (raw x 2.0: rows and indexes) / restore_mb_per_s. Log that is replayed
after a physical backup comes on top: how fast that goes depends on the machine, and the restore test measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbprompt.capacity import Capacity
from dbprompt.machines.storage import ON_DISK_PER_RAW
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.backup import Backup, BackupPlan
from dbprompt.sections.schedule import Schedule

__all__ = ["DETECT_S", "WHOLE", "Recovery", "gap_h", "recovery"]

WHOLE = ("base_backup", "snapshot", "logical_dump")
DETECT_S = 300
"""Until a failure is known where the design does not say: a person is called and looks."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """The figures.

    Args:
        archive_loss_s: what the backups alone lose at worst; None if no schedule says how often they run.
        sync_standby: whether a synchronous standby holds every committed transaction.
        takes_over: whether a standby takes over, so that losing the primary needs no restore.
        point_in_time: whether any moment can be restored: an archive of the log on top of a physical backup.
        detect_s: until the failure is known.
        restored_bytes: rows and indexes in three years; None without a brief.
        copy_s: the time for that; None without a brief.
    """

    archive_loss_s: float | None
    sync_standby: bool
    takes_over: bool
    point_in_time: bool
    detect_s: float
    restored_bytes: float | None
    copy_s: float | None

    @property
    def loss_s(self) -> float | None:
        """What is lost at worst when the primary is lost."""
        return 0.0 if self.sync_standby else self.archive_loss_s

    @property
    def restore_s(self) -> float | None:
        """Detection and copying."""
        return None if self.copy_s is None else self.detect_s + self.copy_s


def recovery(design: DatabaseDesign, backup: Backup, capacity: Capacity | None) -> Recovery:
    """The figures of a design's backups."""
    nodes = design.infrastructure.nodes if design.infrastructure else ()
    failover = design.infrastructure.failover if design.infrastructure else None
    standbys = {node.role for node in nodes} & {"sync_standby", "async_standby"}
    archives = [plan for plan in backup.plans if plan.method == "wal_archive"]
    physical = [plan for plan in backup.plans if plan.method in {"base_backup", "snapshot"}]
    restored = capacity.projected_3y_gb * 1e9 * ON_DISK_PER_RAW if capacity else None
    return Recovery(
        archive_loss_s=_archive_loss(backup, archives if physical else []),
        sync_standby="sync_standby" in standbys,
        takes_over=bool(standbys) and failover is not None,
        point_in_time=bool(archives and physical),
        detect_s=float(failover.detect_s) if failover else float(DETECT_S),
        restored_bytes=restored,
        copy_s=restored / 1e6 / backup.restore_mb_per_s if restored is not None else None,
    )


def _archive_loss(backup: Backup, archives: list[BackupPlan]) -> float | None:
    """What the archive does not have yet; without one, the longest time between two whole backups of any one plan."""
    if archives:
        return float(min(plan.archive_every_s or 0 for plan in archives))
    gaps = [gap for plan in backup.plans if plan.method in WHOLE and (gap := gap_h(plan.schedule)) is not None]
    return min(gaps) * 3600 if gaps else None


def gap_h(schedule: str | None) -> float | None:
    """The longest time between two runs, in hours; None for what never runs.

    >>> gap_h("15 2 * * *"), gap_h("0 3 * * 0"), gap_h("0 3 31 2 *")
    (24.0, 168.0, None)
    """
    if schedule is None:
        return None
    try:
        return Schedule.of(schedule).longest_gap.total_seconds() / 3600
    except ValueError:
        return None
