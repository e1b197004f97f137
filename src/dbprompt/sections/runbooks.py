"""What people do when something happens: slow queries, incidents, restore, failover, migrations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbprompt.sections.base import Identifier, Part, Section, SqlStatement, Words, asked

__all__ = ["Runbook", "Runbooks", "SlowQueryCase", "Step"]


class SlowQueryCase(Part):
    """One row of the slow-query playbook."""

    problem: Annotated[Words, Field(min_length=1, description="what is seen")]
    cause: Annotated[Words, Field(min_length=1)]
    fix: Annotated[Words, Field(min_length=1)]
    diagnosis: Annotated[
        SqlStatement | None, Field(description="one SELECT on the server's own views that shows it")
    ] = None


class Step(Part):
    """One step, and how to see that it worked."""

    action: Annotated[Words, Field(min_length=1)]
    sql: Annotated[SqlStatement | None, Field(description="one statement to run, if the step is one")] = None
    expect: Words = ""


class Runbook(Part):
    """One procedure."""

    name: Identifier
    kind: Literal["incident", "restore", "failover", "migration", "maintenance"]
    when: Annotated[Words, Field(min_length=1)]
    steps: Annotated[tuple[Step, ...], Field(min_length=2, max_length=20)]


class Runbooks(Section):
    """All procedures."""

    slow_queries: Annotated[tuple[SlowQueryCase, ...], Field(max_length=20, json_schema_extra=asked)] = ()
    runbooks: Annotated[tuple[Runbook, ...], Field(min_length=1, max_length=40)]
