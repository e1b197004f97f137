"""What the user knows: application, entities, volumes, workload, queries, constraints."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

__all__ = [
    "Attribute",
    "AttributeRole",
    "Availability",
    "Compliance",
    "Constraints",
    "Entity",
    "Lifecycle",
    "QueryKind",
    "QueryNeed",
    "Relationship",
    "Rules",
    "Target",
    "Volume",
    "Workload",
    "WorkloadPattern",
]

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
Line: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
Version: TypeAlias = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value), Field(max_length=60)
]
Count: TypeAlias = Annotated[int, Field(ge=0, le=10**15)]
RuleId: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.([a-z0-9_]+|\*)$", max_length=80)]
Percent: TypeAlias = Annotated[float, Field(ge=0, le=100)]
Sort: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]* (asc|desc)$")]


class BriefPart(BaseModel):
    """A frozen part of a brief; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


class AttributeRole(StrEnum):
    """What an attribute is to the application; rules read it, so it decides more than a type would."""

    ID = "id"
    REF = "ref"
    TENANT = "tenant"
    MONEY = "money"
    TIMESTAMP = "timestamp"
    DATE = "date"
    STATUS = "status"
    TEXT = "text"
    QUANTITY = "quantity"
    MEASURE = "measure"
    FLAG = "flag"
    PII = "pii"
    PHI = "phi"
    SECRET = "secret"  # noqa: S105  a role's name, not a secret
    JSON = "json"
    GEO = "geo"
    VECTOR = "vector"
    SEQUENCE = "sequence"
    KEY = "key"


class Attribute(BriefPart):
    """One attribute of an entity."""

    name: Name
    role: AttributeRole
    aliases: tuple[Name, ...] = ()


class Entity(BriefPart):
    """One kind of thing that is stored.

    `avg_row_bytes` counts raw row bytes without indexes; `retention_days` None means kept for ever.
    """

    name: Name
    aliases: tuple[Name, ...] = ()
    rows_now: Count = 0
    rows_per_day: Annotated[float, Field(ge=0, le=1e12)] = 0
    avg_row_bytes: Annotated[int, Field(ge=1, le=10**9)] = 200
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    attributes: tuple[Attribute, ...] = ()

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of this name or alias."""
        return next((a for a in self.attributes if name == a.name or name in a.aliases), None)


class Relationship(BriefPart):
    """A relationship: `from` is the child or left side."""

    from_: Name = Field(alias="from")
    to: Name
    kind: Literal["many_to_one", "one_to_one", "many_to_many"] = "many_to_one"
    optional: bool = False
    on_parent_delete: Literal["restrict", "cascade", "set_null", "keep"] = "restrict"


class Target(BriefPart):
    """The engine that the design is for. `free_choice`: the design picks the engines."""

    primary: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)] = "postgresql"
    version: Version = "18"
    supporting: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)], ...] = ()
    free_choice: bool = False

    @field_validator("version")
    @classmethod
    def _names_a_number(cls, version: str, info: ValidationInfo) -> str:
        if info.data.get("primary") in {"postgresql", "timescaledb"} and not re.search(r"[0-9]", version):
            raise ValueError(f'{version!r} names no version; write a major version such as "18" or "15.4"')
        return version

    @property
    def postgres_major(self) -> int | None:
        """The major version of PostgreSQL that is asked for, None if it is not said.

        >>> Target(version="15.4").postgres_major
        15
        >>> Target(primary="timescaledb", version="2.x on PostgreSQL 16").postgres_major
        16
        """
        if self.primary not in {"postgresql", "timescaledb"}:
            return None
        named = re.search(r"postgres\w*\s*(\d+)", self.version, re.IGNORECASE)
        found = named or (re.match(r"(\d+)", self.version) if self.primary == "postgresql" else None)
        return int(found.group(1)) if found else None


class Volume(BriefPart):
    """Sizes in decimal gigabytes of raw rows as the user states them. Ours are computed: see `dbprompt.capacity`."""

    size_now_gb: Annotated[float, Field(ge=0)]
    growth_gb_per_month: Annotated[float, Field(ge=0)]
    projected_3y_gb: Annotated[float, Field(ge=0)]


class WorkloadPattern(StrEnum):
    """What the database mostly does."""

    READ_HEAVY = "read_heavy"
    WRITE_HEAVY = "write_heavy"
    MIXED = "mixed"


class Workload(BriefPart):
    """How much is asked of the database, and how fast it has to answer (95th percentile)."""

    pattern: WorkloadPattern = WorkloadPattern.MIXED
    read_write_ratio: Annotated[
        str,
        StringConstraints(pattern=r"^(\d{1,3}(\.\d+)?:0*[1-9]\d{0,2}(\.\d+)?|0*[1-9]\d{0,2}(\.\d+)?:\d{1,3}(\.\d+)?)$"),
    ] = "50:50"
    reads_per_s_peak: Annotated[float, Field(ge=0)] = 0
    writes_per_s_peak: Annotated[float, Field(ge=0)] = 0
    concurrent_users: Count = 0
    p95_read_ms: Annotated[float, Field(gt=0)] = 100
    p95_write_ms: Annotated[float, Field(gt=0)] = 100


class QueryKind(StrEnum):
    """What a query does."""

    POINT = "point"
    RANGE = "range"
    TOP_N = "top_n"
    AGGREGATE = "aggregate"
    SEARCH = "search"
    UPDATE = "update"
    INSERT = "insert"
    DELETE = "delete"
    GEO = "geo"
    VECTOR = "vector"
    GRAPH = "graph"


class QueryNeed(BriefPart):
    """One thing that the application asks of its data.

    `eq`, `range` and `sort` name attributes of `entity`; `limit` 0 means unlimited; `freshness_s` is how many
    seconds old the answer may be.
    """

    id: Name
    text: Line
    kind: QueryKind
    entity: Name
    eq: tuple[Name, ...] = ()
    range: tuple[Name, ...] = ()
    sort: tuple[Sort, ...] = ()
    limit: Count = 0
    per_s: Annotated[float, Field(ge=0)] | None = None
    per_day: Annotated[float, Field(ge=0)] | None = None
    p95_ms: Annotated[float, Field(gt=0)] | None = None
    freshness_s: Annotated[float, Field(ge=0)] = 0

    @property
    def sort_keys(self) -> tuple[tuple[str, bool], ...]:
        """The sort as (attribute, descending)."""
        return tuple((attribute, way == "desc") for attribute, way in (key.split(" ") for key in self.sort))


class Lifecycle(BriefPart):
    """How long data is hot, how many queries touch hot data, and what happens to the rest."""

    hot_days: Annotated[int, Field(ge=0)] = 0
    hot_query_pct: Percent = 0
    archive: Annotated[str, StringConstraints(max_length=1000)] = ""


class Rules(BriefPart):
    """Rules of the checks that do not count here, or count otherwise: ids such as `types.char`, or `types.*`."""

    ignore: tuple[RuleId, ...] = ()
    severity: dict[RuleId, Literal["error", "warning", "advice"]] = {}


class Availability(BriefPart):
    """Uptime in percent; RPO (data that may be lost) and RTO (time to be back) in seconds."""

    uptime_pct: Percent = 99.9
    rpo_s: Annotated[float, Field(ge=0)] = 300
    rto_s: Annotated[float, Field(ge=0)] = 3600


class Constraints(BriefPart):
    """What the design has to live with. The budget is in US dollars a month."""

    deployment: Annotated[str, StringConstraints(max_length=1000)] = ""
    budget_usd_month: Annotated[float, Field(ge=0)] | None = None
    notes: tuple[Line, ...] = ()


class Compliance(BriefPart):
    """Rules from outside: regimes such as gdpr, regions that data may be in, what is encrypted, audited, guarded."""

    regimes: tuple[Line, ...] = ()
    residency: tuple[Line, ...] = ()
    encryption: tuple[Literal["at_rest", "in_transit", "field_level"], ...] = ()
    audit: Annotated[str, StringConstraints(max_length=1000)] = ""
    access_control: Annotated[str, StringConstraints(max_length=60)] = "role_based"
