"""What has to be seen happening on an engine: roles that see only their rows, backups that come back, jobs that run.

A proof loads the design into a sandbox and tries it out there, with rows where it needs rows. One proof a file.
"""

from __future__ import annotations

from collections.abc import Mapping

from dbprompt.checks.registry import Proof
from dbprompt.proofs.access_settings import access_settings_hold
from dbprompt.proofs.alerts import alerts_fire, alerts_parse, health_view_runs
from dbprompt.proofs.audit import audit_holds
from dbprompt.proofs.backfills import backfills_resume
from dbprompt.proofs.backup import backup_comes_back, scripts_are_sound
from dbprompt.proofs.diagram import diagram_reads, topology_reads
from dbprompt.proofs.jobs import index_upkeep_runs, jobs_run
from dbprompt.proofs.lifecycle import rows_come_and_go
from dbprompt.proofs.machines import archive_settings, pooler_starts, server_settings
from dbprompt.proofs.migration_forms import migration_forms
from dbprompt.proofs.migrations import initial_migration, planned_changes_run
from dbprompt.proofs.roles import roles_hold
from dbprompt.proofs.row_policies import row_policies_hold
from dbprompt.proofs.runbooks import runbooks_run
from dbprompt.proofs.sync_triggers import copies_follow
from dbprompt.proofs.views import view_refreshes
from dbprompt.sections import SectionName

__all__ = ["PROOFS"]

PROOFS: Mapping[SectionName, tuple[Proof, ...]] = {
    "schema": (diagram_reads,),
    "views": (view_refreshes,),
    "lifecycle": (rows_come_and_go,),
    "security": (roles_hold, row_policies_hold, audit_holds, access_settings_hold),
    "infrastructure": (server_settings, pooler_starts, topology_reads),
    "backup": (archive_settings, scripts_are_sound, backup_comes_back),
    "monitoring": (alerts_parse, alerts_fire, health_view_runs),
    "runbooks": (runbooks_run,),
    "upkeep": (jobs_run, copies_follow, index_upkeep_runs),
    "migrations": (initial_migration, planned_changes_run, backfills_resume, migration_forms),
}
"""The proofs of each section, in the order in which they are tried."""
