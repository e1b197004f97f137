"""The files of a design by their place in the folder: what each section is written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from dbprompt.render.access import audit_file, security_file
from dbprompt.render.alerts import alert_files
from dbprompt.render.background import Background
from dbprompt.render.backup import backup_files
from dbprompt.render.dictionary import dictionary_markdown
from dbprompt.render.infrastructure import infrastructure_files
from dbprompt.render.mermaid import er_diagram
from dbprompt.render.migrations.files import migration_files
from dbprompt.render.openapi import openapi_json
from dbprompt.render.postgres import UnsafeSqlError, comment_line, schema_sql
from dbprompt.render.postgres.analysis import analysis_files
from dbprompt.render.postgres.health import health_files
from dbprompt.render.queries import queries_sql
from dbprompt.render.recovery_plan import backup_page
from dbprompt.render.runbooks import runbook_files
from dbprompt.render.upkeep import index_upkeep_files, upkeep_files
from dbprompt.sections import DatabaseDesign

__all__ = ["FILES", "Files", "files_of"]

Files: TypeAlias = Callable[[DatabaseDesign, Background], Mapping[str, str]]
"""Gives texts by path, such as `ops/alerts.yaml`; none if the design lacks the section."""


def _schema(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    title = f"Database schema of {about.title}"
    return {"schema/schema.sql": schema_sql(design, as_of=about.as_of, version=about.version, title=title)}


def _drawings(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    return {
        "schema/erd.mmd": er_diagram(design),
        "schema/dictionary.md": dictionary_markdown(design, brief=about.brief),
    }


def _queries(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    return {"queries/queries.sql": queries_sql(design, brief=about.brief, title=f"Queries of {about.title}")}


def _openapi(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    if design.schema is None:
        return {}
    return {"schema/openapi.json": openapi_json(design, brief=about.brief, title=about.title)}


FILES: Mapping[str, Files] = {
    "schema/schema.sql": _schema,
    "schema": _drawings,
    "schema/openapi.json": _openapi,
    "schema/security.sql": security_file,
    "schema/audit.sql": audit_file,
    "queries/queries.sql": _queries,
    "ops/topology.mmd": infrastructure_files,
    "ops/jobs.sql": upkeep_files,
    "ops/index_upkeep.sql": index_upkeep_files,
    "queries/analysis.sql": analysis_files,
    "ops/backup": backup_files,
    "ops/backup.md": backup_page,
    "ops/alerts": alert_files,
    "ops/health.sql": health_files,
    "ops/runbooks": runbook_files,
    "migrations": migration_files,
}
"""What writes which files. A key is the one file that it writes, or what its files have in common."""


def files_of(design: DatabaseDesign, about: Background) -> dict[str, str]:
    """Every file by its path.

    A partial design may hold SQL that could leave its place: the file that it would stand in says so instead.
    """
    files: dict[str, str] = {}
    for name, write in FILES.items():
        try:
            files |= write(design, about)
        except UnsafeSqlError as error:
            path = name if "." in name else f"{name}/WITHHELD.sql"
            reason = comment_line(str(error))
            files[path] = f"-- This was withheld: its SQL could run as something else.\n{reason}\n"
    return files
