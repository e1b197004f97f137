"""Figures that follow from machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbprompt.brief import Brief
from dbprompt.machines.availability import downtime_of, loss_s, recovery_s, uptime_pct
from dbprompt.machines.connections import connections_of
from dbprompt.machines.memory import memory_of
from dbprompt.machines.postgres_settings import postgres_settings
from dbprompt.machines.regions import lies_in
from dbprompt.machines.timeouts import request_timeouts
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.infrastructure import Infrastructure, InstanceTier, Pool

BRIEF = Brief.load(Path(__file__).parents[1] / "briefs" / "pg_marketplace_orders.yaml")


def _machines(
    *nodes: tuple[str, str], memory_gb: int = 64, pool_size: int = 60, detect_s: int | None = 30
) -> Infrastructure:
    tier = {"name": "large", "cpus": 16, "memory_gb": memory_gb, "storage_gb": 500, "iops": 12_000, "usd_month": 1_000}
    listed = [
        {"name": f"db_{at}", "role": role, "region": "eu-central-1", "zone": zone, "tier": "large"}
        for at, (role, zone) in enumerate(nodes)
    ]
    failover = {"by": "patroni", "detect_s": detect_s, "promote_s": 30} if detect_s is not None else None
    pool = {
        "tool": "pgbouncer", "mode": "transaction", "application_servers": 12, "pool_size": pool_size,
        "reserve_size": 5, "instances": 2, "max_client_connections": 2_000,
    }  # fmt: skip
    return Infrastructure.model_validate(
        {
            "deployment": "self_hosted_cloud",
            "storage": "nvme",
            "tiers": [tier],
            "nodes": listed,
            "failover": failover,
            "pool": pool,
        }
    )


def test_uptime_falls_with_what_is_taken_away() -> None:
    """A standby elsewhere is better than one in the zone, and that better than none; each by the stated sum."""
    elsewhere = _machines(("primary", "a"), ("async_standby", "b"))
    beside = _machines(("primary", "a"), ("async_standby", "a"))
    alone = _machines(("primary", "a"), detect_s=None)
    assert sum(event.total_s for event in downtime_of(elsewhere)) == 2 * 60 + 0.2 * 60 + 4 * 30
    assert sum(event.total_s for event in downtime_of(alone)) == 2 * 14_400 + 0.2 * 21_600 + 4 * 900
    assert uptime_pct(elsewhere) > 99.99 > uptime_pct(beside) > 99.95 > uptime_pct(alone)
    assert (recovery_s(elsewhere), recovery_s(alone)) == (60, 14_400)
    assert (loss_s(elsewhere), loss_s(alone)) == (10, None)
    assert loss_s(_machines(("primary", "a"), ("sync_standby", "b"))) == 0


@pytest.mark.parametrize("memory_gb", [8, 16, 64, 128, 512])
@pytest.mark.parametrize("pool_size", [10, 60, 120])
def test_memory_is_never_given_twice(memory_gb: int, pool_size: int) -> None:
    """Shared buffers, upkeep and all connections sorting at once stay below the machine's memory."""
    tier = InstanceTier(name="t", cpus=16, memory_gb=memory_gb, storage_gb=500, iops=1_000, usd_month=1)
    pool = _machines(("primary", "a"), pool_size=pool_size).pool
    memory = memory_of(tier, connections_of(pool))
    assert memory.fits and memory.shared_mb == memory_gb * 256
    assert memory.most_mb == memory.shared_mb + memory.upkeep_mb + memory.connections * 4 * memory.work_mb


def test_too_many_connections_for_a_small_machine() -> None:
    """The least work_mem for thousands of connections does not fit, and that is said."""
    tier = InstanceTier(name="t", cpus=2, memory_gb=8, storage_gb=100, iops=1_000, usd_month=1)
    pool = Pool(
        tool="pgbouncer",
        mode="transaction",
        application_servers=1,
        pool_size=1_000,
        instances=2,
        max_client_connections=1,
    )
    assert not memory_of(tier, connections_of(pool)).fits


def _values(infrastructure: Infrastructure, major: int = 18) -> dict[str, str]:
    design = DatabaseDesign(infrastructure=infrastructure)
    return {setting.name: setting.value for setting in postgres_settings(design, major=major, brief=BRIEF)}


def test_settings_follow_machine_pool_and_brief() -> None:
    """Each figure changes with what it is computed from."""
    small = _values(_machines(("primary", "a"), ("sync_standby", "b"), memory_gb=16))
    large = _values(_machines(("primary", "a"), ("sync_standby", "b")))
    assert (small["shared_buffers"], large["shared_buffers"]) == ("4096MB", "16384MB")
    assert large["max_connections"] == "150"
    assert int(large["work_mem"][:-2]) > int(small["work_mem"][:-2]) >= 4
    assert int(_values(_machines(("primary", "a"), pool_size=120))["work_mem"][:-2]) < int(large["work_mem"][:-2])
    assert large["synchronous_standby_names"] == 'FIRST 1 ("db_1")'
    assert "synchronous_standby_names" not in _values(_machines(("primary", "a")))
    assert large["log_min_duration_statement"] == "160ms"  # twice 80 ms
    assert large["autovacuum_vacuum_scale_factor"] == "0.015"  # 2 million of 131 million rows
    assert large["max_wal_size"] == "4GB"
    assert not {"statement_timeout", "lock_timeout"} & set(large)  # of the roles: a job is long by right
    assert [(name, seconds) for name, seconds, _ in request_timeouts(BRIEF)] == [
        ("statement_timeout", 120), ("lock_timeout", 5),
    ]  # fmt: skip
    assert "reserved_connections" in large and "reserved_connections" not in _values(_machines(("primary", "a")), 15)


@pytest.mark.parametrize(
    ("region", "place", "said"),
    [
        ("eu-central-1", "eu", True), ("eu-central-1", "de", True), ("eu", "eu", True), ("de-fra", "eu", True),
        ("westeurope", "eu", True), ("eastus2", "us", True), ("eu-west-2", "eu", False), ("europe-west6", "eu", False),
        ("us-east-1", "eu", False), ("us-east-1", "de", False), ("eu-west-1", "de", False),
        ("berlin", "eu", None), ("eu-west-9", "eu", None), ("eu-central-1", "mars", None), ("eu", "de", None),
    ],
)  # fmt: skip
def test_where_a_region_lies(region: str, place: str, said: bool | None) -> None:
    """Known regions are looked up, and London and Zurich are not in the Union; what is unknown is not guessed."""
    assert lies_in(region, place) is said
