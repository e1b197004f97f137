"""Who may do what, what is encrypted, what is recorded; and the answer to each item of compliance."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbprompt.sections.base import ColumnName, Days, Identifier, Part, Section, SqlExpression, TableName, Words, asked

__all__ = [
    "AtRest",
    "AuditEvent",
    "ComplianceAnswer",
    "FieldProtection",
    "Grant",
    "InTransit",
    "Privilege",
    "Role",
    "RowPolicy",
    "Security",
]

Privilege = Literal["select", "insert", "update", "delete"]


class Grant(Part):
    """Privileges on tables."""

    privileges: Annotated[tuple[Privilege, ...], Field(min_length=1)]
    tables: Annotated[tuple[TableName, ...], Field(description="[] for all tables, future ones too")] = ()
    columns: Annotated[
        tuple[ColumnName, ...], Field(description="only these columns of the one table; [] for all")
    ] = ()

    @model_validator(mode="after")
    def _columns_need_one_table(self) -> Self:
        if self.columns and len(self.tables) != 1:
            raise ValueError("columns are granted of exactly one table")
        if self.columns and "delete" in self.privileges:
            raise ValueError("DELETE takes whole rows and is not granted by column")
        return self


class Role(Part):
    """One database role. The owner of the tables is made by dbprompt and is none of these."""

    name: Identifier
    purpose: Literal["application", "read_only", "support", "analytics", "migration", "monitoring", "backup"]
    login: bool = True
    connection_limit: Annotated[int, Field(ge=1, le=10_000)] | None = None
    grants: tuple[Grant, ...] = ()
    sees_all_rows: Annotated[
        bool, Field(description="row policies do not hold for it (BYPASSRLS); never for the application")
    ] = False


class RowPolicy(Part):
    """A row-level policy. Row security is switched on, and forced for the owner, for every table that has one."""

    name: Identifier
    table: TableName
    roles: Annotated[tuple[Identifier, ...], Field(description="roles that it is for; [] for all")] = ()
    command: Literal["all", "select", "insert", "update", "delete"] = "all"
    using: Annotated[SqlExpression | None, Field(description="which rows are seen, changed or deleted")] = None
    check: Annotated[SqlExpression | None, Field(description="which rows may be written; null: as in using")] = None

    @model_validator(mode="after")
    def _clauses_fit_command(self) -> Self:
        if self.using is None and self.check is None:
            raise ValueError("a policy needs using or check")
        if self.command == "insert" and self.using is not None:
            raise ValueError("a policy for insert has only check")
        if self.command in {"select", "delete"} and self.check is not None:
            raise ValueError(f"a policy for {self.command} has only using")
        return self


class AtRest(Part):
    """Encryption of files and backups."""

    method: Literal["provider_kms", "volume", "none"]
    key_rotation_days: Days | None = None
    reason: Words = ""


class InTransit(Part):
    """Encryption between client and server."""

    minimum_tls: Literal["1.2", "1.3", "none"]
    verify_client: Annotated[bool, Field(description="clients show certificates")] = False


class FieldProtection(Part):
    """The decision for one sensitive column."""

    table: TableName
    column: ColumnName
    protection: Annotated[
        Literal["access_control", "application_encryption", "one_way_hash", "token", "vault_reference"],
        Field(description="access_control: readable for those with the grant; encryption at rest covers the rest"),
    ]
    reason: Words = ""


class AuditEvent(Part):
    """Something that is recorded. `data_changes` by trigger: dbprompt writes the audit table and its triggers."""

    event: Literal["data_changes", "data_reads", "schema_changes", "logins", "administration", "slow_queries"]
    tables: Annotated[tuple[TableName, ...], Field(description="data events: the tables")] = ()
    means: Literal["trigger", "pgaudit", "server_log", "application"]
    level: Literal["all", "errors", "slow"] = "all"
    keep_days: Annotated[Days, Field(description="records younger than this are never deleted")]
    read_by: Annotated[
        tuple[Identifier, ...], Field(description="by trigger: roles that may read the record; [] for the owner alone")
    ] = ()

    @model_validator(mode="after")
    def _means_can_see_it(self) -> Self:
        if self.means == "trigger" and self.event != "data_changes":
            raise ValueError(
                f"a trigger sees data_changes only; record {self.event} by pgaudit, server_log or application"
            )
        if self.means == "pgaudit" and self.event in {"logins", "slow_queries"}:
            raise ValueError(f"pgaudit records statements, not {self.event}; record them by server_log or application")
        if self.event in {"data_changes", "data_reads"} and not self.tables:
            raise ValueError(f"{self.event} needs the tables")
        if self.read_by and self.means != "trigger":
            raise ValueError(f"roles are granted a record by trigger only; write read_by [] for {self.means}")
        return self


class ComplianceAnswer(Part):
    """How one item of the brief's compliance is met."""

    kind: Literal["regime", "residency", "encryption", "audit", "access_control"]
    item: Annotated[str, Field(min_length=1, max_length=1000, description="the item, in the brief's own word")]
    answer: Annotated[Words, Field(min_length=1)]
    met_in: Annotated[
        tuple[
            Literal["schema", "security", "infrastructure", "backup", "lifecycle", "monitoring", "runbooks", "outside"],
            ...,
        ],
        Field(min_length=1, description="sections that meet it; outside: not the database's part"),
    ]


class Security(Section):
    """Roles, policies, encryption, audit, compliance."""

    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    policies: Annotated[tuple[RowPolicy, ...], Field(json_schema_extra=asked)] = ()
    at_rest: AtRest
    in_transit: InTransit
    fields: Annotated[tuple[FieldProtection, ...], Field(json_schema_extra=asked)] = ()
    audit: Annotated[tuple[AuditEvent, ...], Field(json_schema_extra=asked)] = ()
    compliance: Annotated[tuple[ComplianceAnswer, ...], Field(json_schema_extra=asked)] = ()

    def role(self, name: str) -> Role | None:
        """The role of this name."""
        return next((role for role in self.roles if role.name == name), None)

    @property
    def recorded(self) -> dict[str, int]:
        """The tables whose changes a trigger records, and for how many days."""
        kept: dict[str, int] = {}
        for event in self.audit:
            for table in event.tables if event.means == "trigger" else ():
                kept[table] = max(event.keep_days, kept.get(table, 0))
        return kept

    def masked(self, table: str) -> tuple[str, ...]:
        """The columns of a table whose stored value is no reader's business: what is not left to access control."""
        return tuple(
            field.column for field in self.fields if field.table == table and field.protection != "access_control"
        )
