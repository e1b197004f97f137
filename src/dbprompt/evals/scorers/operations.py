"""Scorers of what runs beside the tables: stores, caches, servers, backups, alerts ("Operations")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.capacity import capacity_of
from dbprompt.evals.expectations import (
    Alerts,
    BackupPlan,
    CachePolicy,
    CapacityFigure,
    EngineForRole,
    Flagged,
    NotUsed,
    Replicas,
    WholeDesign,
)
from dbprompt.evals.scorers.base import Look, Scene, Scorer, Sections, bad, good, scorer
from dbprompt.machines.recovery import recovery
from dbprompt.sections.caching import CachedThing
from dbprompt.sections.monitoring import Alert, Metric
from dbprompt.sections.names import normal

__all__ = ["SCORERS"]

_ALSO_PRIMARY = {"system_of_record", "time_series", "graph"}


def _engine_for_role(expectation: EngineForRole, scene: Scene) -> Iterator[Look]:
    selection = scene.need(scene.design.selection, "selection")
    stores = [
        (f"/selection/supporting/{at}", store.engine.value)
        for at, store in enumerate(selection.supporting)
        if store.role == expectation.role
    ]
    if expectation.role in _ALSO_PRIMARY:
        stores.append(("/selection/decision", selection.decision.engine.value))
    fits = [one for one in stores if one[1] in expectation.any_of]
    said = ", ".join(engine for _, engine in fits or stores) or "no engine"
    where = (fits or stores or [("/selection/supporting", "")])[0][0]
    yield Look(where, bool(fits), f"{said} is the {expectation.role}")


_DATABASES = {
    "postgresql", "mysql", "mariadb", "sqlserver", "oracle", "sqlite", "duckdb", "mongodb", "cassandra", "dynamodb",
    "influxdb", "timescaledb", "neo4j", "neptune", "elasticsearch", "opensearch", "solr", "clickhouse", "bigquery",
    "snowflake", "redshift",
}  # fmt: skip
_NOT = re.compile(r"\b(no|not|never|without|avoid\w*|instead of|rather than|against)\b[^.;]*$", re.IGNORECASE)
_PER_TABLE = re.compile(r"(micro)?service[s]?\s+(per|for each|for every)\s+(table|entity)", re.IGNORECASE)


_STANDS_IN: dict[str, Sections] = {
    "sharding": ("scaling",),
    "read_replica": ("infrastructure",),
    "microservice_per_table": ("selection", "scaling"),
}


def _decided_in(expectation: NotUsed) -> Sections:
    """The sections in which the features would stand."""
    found = (name for feature in expectation.features_all for name in _STANDS_IN.get(feature, ("selection",)))
    return tuple(dict.fromkeys(found))


def _not_used(expectation: NotUsed, scene: Scene) -> Iterator[Look]:
    for feature in expectation.features_all:
        places = list(_uses(feature, scene))
        for where, is_used in places:
            yield Look(where, not is_used, f"{feature} is {'part' if is_used else 'no part'} of the design")


def _uses(feature: str, scene: Scene) -> Iterator[tuple[str, bool]]:
    """The places where a feature would stand, and whether it does."""
    if feature == "sharding":
        yield "/scaling/sharding", scene.need(scene.design.scaling, "scaling").sharding.approach != "none"
        return
    if feature == "read_replica":
        nodes = scene.need(scene.design.infrastructure, "infrastructure").nodes
        yield from ((f"/infrastructure/nodes/{at}", node.role == "read_replica") for at, node in enumerate(nodes))
        return
    selection = scene.need(scene.design.selection, "selection")
    if feature == "microservice_per_table":  # it has no place of its own, and can only be said
        scaling = scene.need(scene.design.scaling, "scaling")
        texts = [("/selection/decision", selection.decision.rationale)]
        texts += [(f"/selection/supporting/{at}", one.purpose) for at, one in enumerate(selection.supporting)]
        texts += [(f"/scaling/phases/{at}", " . ".join(one.changes)) for at, one in enumerate(scaling.phases)]
        yield from ((where, _is_meant(text)) for where, text in texts)
        return
    stores = [("/selection/decision", selection.decision.engine.value)]
    stores += [(f"/selection/supporting/{at}", one.engine.value) for at, one in enumerate(selection.supporting)]
    for where, engine in stores:
        if feature == "second_database":
            yield where, where != "/selection/decision" and engine in _DATABASES
        else:
            named = {"elasticsearch": {"elasticsearch", "opensearch"}, "kafka": {"kafka"}}[feature]
            yield where, engine in named


def _is_meant(text: str) -> bool:
    found = _PER_TABLE.search(text)
    return found is not None and not _NOT.search(text[: found.start()])


def _cache_policy(expectation: CachePolicy, scene: Scene) -> Iterator[Look]:
    entries = scene.need(scene.design.caching, "caching").entries
    found = [
        (at, one) for at, one in enumerate(entries) if any(_is_about(one, what, scene) for what in expectation.what_any)
    ]
    if not found:
        yield bad("/caching/entries", f"nothing caches {' or '.join(expectation.what_any)}")
    for at, one in found:
        right = one.ttl_s <= expectation.ttl_max_s and one.invalidated_by != "expiry"
        said = f"{one.name} lives {one.ttl_s} s and is invalidated by {one.invalidated_by}"
        yield Look(f"/caching/entries/{at}", right, said)


def _is_about(entry: CachedThing, what: str, scene: Scene) -> bool:
    """Whether a cached thing is an entity, a query or something else of this name."""
    entity = scene.brief.entity(what)
    names = {normal(name) for name in (entry.name, entry.query or "", entry.table or "") if name}
    wanted = {normal(what), *({normal(name) for name in (entity.name, *entity.aliases)} if entity else set())}
    return bool(names & wanted)


def _capacity(expectation: CapacityFigure, scene: Scene) -> Iterator[Look]:
    """dbprompt computes the figure for the design from the brief; no design without its tables has one."""
    capacity = capacity_of(scene.brief)
    names = [expectation.entity] if expectation.entity else [entity.name for entity in scene.brief.entities]
    total = 0.0
    for name in names:
        scene.places(name)
        figures = capacity.of(scene.entity(name).name)
        if figures is not None:
            total += figures.bytes_3y / 1e9 if expectation.metric == "gb_3y" else figures.rows_3y
    off = abs(total - expectation.expected) / expectation.expected * 100 if expectation.expected else 100.0
    said = f"{expectation.metric} is computed as {total:,.4g}; {expectation.expected:,g} was expected"
    yield Look("/schema/tables", off <= expectation.tolerance_pct, said)


def _replicas(expectation: Replicas, scene: Scene) -> Iterator[Look]:
    infrastructure = scene.need(scene.design.infrastructure, "infrastructure")
    copies = infrastructure.having("sync_standby", "async_standby", "read_replica")
    synchronous = infrastructure.having("sync_standby")
    data = infrastructure.having("primary", "sync_standby", "async_standby", "read_replica")
    zones = {(node.region, node.zone) for node in data}
    where = "/infrastructure/nodes"
    for count, least, what in (
        (len(copies), expectation.min, "copies"),
        (len(synchronous), expectation.synchronous_min, "synchronous copies"),
        (len(zones), expectation.zones_min, "zones"),
    ):
        yield Look(where, count >= least, f"there are {count} {what}; at least {least}")


def _backup(expectation: BackupPlan, scene: Scene) -> Iterator[Look]:
    """RPO is what the archive does not have yet, since a standby repeats mistakes; RTO is detection and copying."""
    backup = scene.need(scene.design.backup, "backup")
    figures = recovery(scene.design, backup, capacity_of(scene.brief))
    if expectation.pitr:
        said = f"there is {'' if figures.point_in_time else 'no '}point-in-time recovery"
        yield Look("/backup/plans", figures.point_in_time, said)
    for name, where, seconds, most in (
        ("RPO", "/backup/plans", figures.archive_loss_s, expectation.rpo_max_s),
        ("RTO", "/backup/restore_mb_per_s", figures.restore_s, expectation.rto_max_s),
    ):
        if seconds is None:
            yield bad(where, f"no {name} follows from the backups")
        else:
            yield Look(where, seconds <= most, f"{name} is {seconds:,.0f} s; at most {most:,g}")
    tested = backup.restore_test is not None
    yield Look("/backup/restore_test", tested, f"a restore test is {'' if tested else 'not '}scheduled")


_BYTES_PER_CONNECTION = 9_531_392
_MOST_CONNECTIONS = 5_000
"""The default of a managed PostgreSQL: LEAST(memory / 9531392, 5000) connections (docs.aws.amazon.com/AmazonRDS,
"Quotas and constraints")."""


def _pooling(expectation: WholeDesign, scene: Scene) -> Iterator[Look]:
    infrastructure = scene.need(scene.design.infrastructure, "infrastructure")
    pool, primary = infrastructure.pool, infrastructure.primary
    tier = infrastructure.tier(primary.tier) if primary else None
    if pool is None or tier is None:
        yield bad("/infrastructure/pool", "there is no pool" if pool is None else "the primary has no known tier")
        return
    limit = min(int(tier.memory_gb * 2**30 / _BYTES_PER_CONNECTION), _MOST_CONNECTIONS)
    said = f"{pool.server_connections} connections; {limit} is the limit of {tier.memory_gb} GB"
    yield Look("/infrastructure/pool", pool.server_connections < limit, said)
    security = scene.design.security
    for at, role in enumerate(security.roles if security else ()):
        if role.purpose == "application" and role.connection_limit is not None:
            said = f"{pool.server_connections} connections; {role.name} may open {role.connection_limit}"
            yield Look(f"/security/roles/{at}", pool.server_connections <= role.connection_limit, said)


_ABOUT: dict[str, set[Metric]] = {
    "replication_lag": {Metric.REPLICATION_LAG_S},
    "disk": {Metric.DISK_PERCENT},
    "connections": {Metric.CONNECTIONS_PERCENT},
    "slow_queries": {Metric.SLOW_QUERIES_PER_MINUTE, Metric.MEAN_QUERY_MS, Metric.P95_QUERY_MS},
    "partition_missing": {Metric.PARTITIONS_AHEAD},
    "cache_hit_rate": {Metric.CACHE_HIT_PERCENT},
    "lock_waits": {Metric.LOCK_WAITS},
    "backup_age": {Metric.BACKUP_AGE_H},
}


def _alerts(expectation: Alerts, scene: Scene) -> Iterator[Look]:
    monitoring = scene.need(scene.design.monitoring, "monitoring")
    measured = {threshold.metric for threshold in monitoring.thresholds}
    for about in expectation.about_all:
        found = [at for at, one in enumerate(monitoring.alerts) if _watches(one, about, measured)]
        where = f"/monitoring/alerts/{found[0]}" if found else "/monitoring/alerts"
        yield Look(where, bool(found), f"{'an' if found else 'no'} alert is about {about}")


def _watches(alert: Alert, about: str, measured: set[Metric]) -> bool:
    """By its metric, if that has a threshold; else by the words of its own expression."""
    if alert.metric is not None:
        return alert.metric in _ABOUT.get(about, set()) & measured
    said = set(re.findall(r"[a-z]+", (alert.promql or "").lower()))
    return set(about.split("_")) <= said


_ENDINGS = re.compile(r"(?<=\w{3})(ies|es|s|ed|ing|ly|ness)$")


def _flagged(expectation: Flagged, scene: Scene) -> Iterator[Look]:
    rationale = scene.need(scene.design.rationale, "rationale")
    texts = [(f"assumptions/{at}", f"{one.assumption} {one.if_wrong}") for at, one in enumerate(rationale.assumptions)]
    texts += [(f"risks/{at}", f"{one.risk} {one.mitigation}") for at, one in enumerate(rationale.risks)]
    texts += [
        (f"open_questions/{at}", f"{one.question} {one.affects}") for at, one in enumerate(rationale.open_questions)
    ]
    for where, text in texts:
        for phrase in expectation.about_any:
            if _mentions(text, phrase):
                yield good(f"/rationale/{where}", f"mentions {phrase!r}")
                return
    yield bad("/rationale", f"no assumption, risk or question mentions {' or '.join(expectation.about_any)}")


def _mentions(text: str, phrase: str) -> bool:
    """Whether the stems of a phrase follow each other in a text."""
    said, wanted = _stems(text), _stems(phrase)
    return any(said[at : at + len(wanted)] == wanted for at in range(len(said) - len(wanted) + 1))


def _stems(text: str) -> list[str]:
    return [_ENDINGS.sub("", word).rstrip("e") for word in re.findall(r"[a-z0-9]+", text.lower())]


SCORERS: dict[str, Scorer] = {
    "engine_for_role": scorer(EngineForRole, _engine_for_role, ("selection",)),
    "not_used": scorer(NotUsed, _not_used, _decided_in),
    "cache_policy": scorer(CachePolicy, _cache_policy, ("caching",)),
    "capacity": scorer(CapacityFigure, _capacity, ("schema",)),
    "replicas": scorer(Replicas, _replicas, ("infrastructure",)),
    "backup": scorer(BackupPlan, _backup, ("backup",)),
    "pooling": scorer(WholeDesign, _pooling, ("infrastructure",)),
    "alerts": scorer(Alerts, _alerts, ("monitoring",)),
    "flagged": scorer(Flagged, _flagged, ("rationale",)),
}
