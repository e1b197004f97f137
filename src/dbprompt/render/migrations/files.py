"""The folder `migrations/`: the same steps in four forms, and each backfill as a script of its own."""

from __future__ import annotations

from collections.abc import Mapping

from dbprompt.render.background import Background
from dbprompt.render.migrations.alembic import alembic_files
from dbprompt.render.migrations.backfill import backfill_script
from dbprompt.render.migrations.flyway import flyway_files
from dbprompt.render.migrations.liquibase import liquibase_changelog
from dbprompt.render.migrations.plain_sql import plain_files
from dbprompt.render.migrations.plan import versioned_steps
from dbprompt.render.migrations.steps import Versioned
from dbprompt.sections import DatabaseDesign

__all__ = ["forms", "migration_files"]


def migration_files(design: DatabaseDesign, background: Background) -> Mapping[str, str]:
    """Texts by path, `migrations/plain/0001_initial.up.sql`; none without the section.

    Raises:
        UnsafeSqlError: a free expression of the schema could leave its parentheses.
    """
    if design.migrations is None or design.schema is None:
        return {}
    steps = versioned_steps(design, as_of=background.as_of, version=background.version)
    return forms(steps, design.migrations.lock_timeout_ms)


def forms(steps: tuple[Versioned, ...], lock_timeout_ms: int) -> Mapping[str, str]:
    """The steps in every form."""
    files = {f"migrations/plain/{name}": text for name, text in plain_files(steps).items()}
    files |= {f"migrations/alembic/{name}": text for name, text in alembic_files(steps).items()}
    files |= {f"migrations/flyway/{name}": text for name, text in flyway_files(steps).items()}
    files["migrations/liquibase/changelog.sql"] = liquibase_changelog(steps)
    for one in steps:
        if one.step.batch is not None:
            name = f"migrations/backfill_{one.step.batch.table}_{one.step.batch.column}.sql"
            files[name] = backfill_script(one.step.batch, lock_timeout_ms)
    return files
