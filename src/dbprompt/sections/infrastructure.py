"""Machines: tiers, nodes, failover, the connection pool, and what they cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbprompt.sections.base import Identifier, Part, Section, Words, asked

__all__ = ["Failover", "Infrastructure", "InstanceTier", "Node", "OtherCost", "Pool"]

Place = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class InstanceTier(Part):
    """A size of server. Tiers are listed from the smallest to the largest."""

    name: Identifier
    cpus: Annotated[int, Field(ge=1, le=1024)]
    memory_gb: Annotated[int, Field(ge=1, le=65_536)]
    storage_gb: Annotated[int, Field(ge=1, le=1_000_000)]
    iops: Annotated[int, Field(ge=1, le=10_000_000)]
    usd_month: Annotated[float, Field(ge=0, description="estimated price of one node a month, storage included")]


class Node(Part):
    """One server."""

    name: Identifier
    role: Literal["primary", "sync_standby", "async_standby", "read_replica", "pooler"]
    region: Annotated[Place, Field(description="as the brief names it, or narrower: eu, eu-central-1")]
    zone: Annotated[Place, Field(description="availability zone: a, b, c")]
    tier: Annotated[Identifier, Field(description="name of a tier")]


class Failover(Part):
    """How a standby takes over."""

    by: Literal["managed_service", "patroni", "repmgr", "pg_auto_failover", "operator", "by_hand"]
    detect_s: Annotated[int, Field(ge=0, le=86_400, description="until the failure is known")]
    promote_s: Annotated[int, Field(ge=0, le=86_400, description="until the standby takes writes")]


class Pool(Part):
    """The pooler between application and server. Sizes are per pooler instance and database."""

    tool: Literal["pgbouncer", "rds_proxy", "application"]
    mode: Literal["transaction", "session", "statement"]
    application_servers: Annotated[int, Field(ge=1, le=100_000)]
    pool_size: Annotated[int, Field(ge=1, le=10_000, description="server connections of each pooler instance")]
    reserve_size: Annotated[int, Field(ge=0, le=10_000)] = 0
    instances: Annotated[int, Field(ge=1, le=1_000, description="pooler instances; tool application: its servers")] = 1
    max_client_connections: Annotated[int, Field(ge=1, le=1_000_000, description="client connections of each instance")]
    session_settings: Annotated[
        Literal["none", "per_transaction", "per_session"],
        Field(
            description="how the application sets what row policies and statements read, such as a tenant's id: "
            "per_transaction (SET LOCAL) or per_session; none: nothing is set"
        ),
    ] = "none"
    reason: Words = ""

    @property
    def server_connections(self) -> int:
        """Connections to the database that all instances may open: instances x (pool_size + reserve_size)."""
        return self.instances * (self.pool_size + self.reserve_size)

    @property
    def client_connections(self) -> int:
        """Connections of clients that all instances accept."""
        return self.instances * self.max_client_connections


class OtherCost(Part):
    """Something beside the nodes that is paid for."""

    name: Words
    usd_month: Annotated[float, Field(ge=0)]


class Infrastructure(Section):
    """Where the database runs."""

    deployment: Literal["managed_cloud", "self_hosted_cloud", "on_premise", "hybrid"]
    storage: Literal["nvme", "ssd", "network_ssd", "hdd"]
    tiers: Annotated[tuple[InstanceTier, ...], Field(min_length=1)]
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]
    failover: Failover | None = None
    pool: Annotated[Pool | None, Field(json_schema_extra=asked)] = None
    other_costs: tuple[OtherCost, ...] = ()
    reason: Words = ""

    def tier(self, name: str) -> InstanceTier | None:
        """The tier of this name."""
        return next((tier for tier in self.tiers if tier.name == name), None)

    @property
    def primary(self) -> Node | None:
        """The node that takes writes."""
        return next((node for node in self.nodes if node.role == "primary"), None)

    @property
    def standbys(self) -> tuple[Node, ...]:
        """The nodes that wait to take over."""
        return self.having("sync_standby", "async_standby")

    def having(self, *roles: str) -> tuple[Node, ...]:
        """The nodes of these roles, in their order."""
        return tuple(node for node in self.nodes if node.role in roles)
