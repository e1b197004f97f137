"""What is watched can be watched, warns before it is too late, and calls somebody who knows what to do.

Poor: a warning at 95 % and a critical alert at 90 %; `cache_hit_percent` critical above 99; a threshold that no alert
reads; `partitions_ahead < 6` where the design only ever makes 3; an alert that pages at night and names no runbook.
Better: two thresholds and two alerts a metric, in the order in which it gets worse; the metrics that the design itself
makes necessary (a standby: its lag; partitions: those ahead; backups: their age); a runbook for whatever is critical.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.base_matching import is_misshapen
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.render.metrics import METRICS
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.monitoring import Metric, Monitoring, Threshold

__all__ = ["monitoring"]

_SLOW = (Metric.SLOW_QUERIES_PER_MINUTE, Metric.P95_QUERY_MS, Metric.MEAN_QUERY_MS)
_PARTS = ("metrics", "query_analysis", "logs", "paging")


def monitoring(subject: Subject) -> Report:
    """The section `monitoring`."""
    section = subject.design.monitoring
    if subject.section != "monitoring" or section is None:
        return Report()
    findings = [*_thresholds(section), *_alerts(section), *_pairs(section, subject), *_tools(section)]
    findings += [*_demanded(section, subject), *_against_design(section, subject.design)]
    if subject.brief is not None:
        findings += [*_against_brief(section, subject.brief)]
    uncovered = "whether exporters expose the series, and whether the figures fit this machine"
    return judged(subject, findings, checker=rules("monitoring"), uncovered=uncovered)


def _thresholds(section: Monitoring) -> Iterator[Finding]:
    metrics = [one.metric for one in section.thresholds]
    for at, one in enumerate(section.thresholds):
        where, facts = f"/thresholds/{at}", METRICS[one.metric]
        if one.metric in metrics[:at]:
            message = f"{one.metric} has two thresholds; keep one"
            yield error("monitoring.duplicate_threshold", where, message)
        lower = facts.worse == "lower"
        if one.warning == one.critical or (one.warning < one.critical) == lower:
            side = "above" if lower else "below"
            message = (
                f"{one.metric} gets worse as it gets {facts.worse}, and its warning ({one.warning:g}) is not {side} "
                f"critical ({one.critical:g}): nobody is warned in time; write warning {side} critical"
            )
            yield error("monitoring.threshold_order", where, message)
        if (lower and one.critical <= 0) or (facts.unit == "percent" and max(one.warning, one.critical) >= 100):
            never = "below 0" if lower and one.critical <= 0 else "beyond 100 percent"
            message = f"{one.metric} is never {never}, so this never fires; choose a value that it can reach"
            yield error("monitoring.never_fires", where, message)


def _alerts(section: Monitoring) -> Iterator[Finding]:
    names = [one.name for one in section.alerts]
    pairs = [(one.metric, one.severity) for one in section.alerts]
    for at, one in enumerate(section.alerts):
        where = f"/alerts/{at}"
        if one.name in names[:at]:
            yield error("monitoring.duplicate_alert", where, f"two alerts are named {one.name}; give each its own name")
        elif one.metric is not None and (one.metric, one.severity) in pairs[:at]:
            message = f"{one.metric} has two alerts of severity {one.severity}; keep one"
            yield error("monitoring.duplicate_alert", where, message)
        if one.severity == "critical" and one.runbook is None:
            message = f"{one.name} calls a person and names no runbook; write the name of the one to open"
            yield error("monitoring.no_runbook", where, message)


def _pairs(section: Monitoring, subject: Subject) -> Iterator[Finding]:
    """Each threshold is read by a warning and a critical alert, and the critical one is not the slower."""
    known = {one.metric for one in section.thresholds}
    for at, alert in enumerate(section.alerts):
        if alert.metric is not None and alert.metric not in known and not is_misshapen(subject, alert.metric):
            message = f"{alert.name} is about {alert.metric}, which has no threshold; add it to thresholds, or another"
            yield error("monitoring.no_threshold", f"/alerts/{at}", message)
    for one in section.thresholds:
        found = {alert.severity: (at, alert) for at, alert in enumerate(section.alerts) if alert.metric is one.metric}
        missing = [severity for severity in ("warning", "critical") if severity not in found]
        if missing and not subject.misshapen:
            message = f"{one.metric} has a threshold and no alert of severity {' and '.join(missing)}; add it to alerts"
            yield error("monitoring.no_alert", "/alerts", message)
        if not missing and found["critical"][1].for_minutes > found["warning"][1].for_minutes:
            at, critical = found["critical"]
            message = (
                f"{critical.name} waits {critical.for_minutes} minutes, longer than the warning of the same metric "
                f"({found['warning'][1].for_minutes}); what is worse should be told sooner"
            )
            yield warning("monitoring.late_critical", f"/alerts/{at}", message)


def _tools(section: Monitoring) -> Iterator[Finding]:
    parts = [tool.part for tool in section.tools]
    missing = [part for part in _PARTS if part not in parts]
    if missing:
        message = f"no tool for {listing(part.replace('_', ' ') for part in missing)}; name one each in tools"
        yield warning("monitoring.no_tool", "/tools", message)


def _demanded(section: Monitoring, subject: Subject) -> Iterator[Finding]:
    watched = {one.metric for one in section.thresholds}
    for metrics, why in _needs(subject.design):
        if not watched & set(metrics) and not any(is_misshapen(subject, metric) for metric in metrics):
            message = f"nothing watches {' or '.join(metrics)}, and {why}; add a threshold and its alerts"
            yield error("monitoring.not_watched", "/thresholds", message)


def _needs(design: DatabaseDesign) -> Iterator[tuple[tuple[Metric, ...], str]]:
    """What has to be watched, and for what reason: always, or for something in the design."""
    yield (Metric.DISK_PERCENT,), "a full disk stops the database"
    yield (Metric.CONNECTIONS_PERCENT,), "a server without free connections turns everybody away"
    yield (Metric.BACKUP_AGE_H,), "backups that stopped are found out on the day that one is needed"
    yield _SLOW, "the brief has targets for its queries"
    followers = [
        f"/infrastructure/nodes/{at}"
        for at, node in enumerate(design.infrastructure.nodes if design.infrastructure else ())
        if node.role in {"sync_standby", "async_standby", "read_replica"}
    ]
    if followers:
        yield (Metric.REPLICATION_LAG_S,), f"{listing(followers)} follow the primary"
    if split := _by_time(design):
        yield (Metric.PARTITIONS_AHEAD,), f"inserts into {listing(split)} fail without a future partition"


def _by_time(design: DatabaseDesign) -> tuple[str, ...]:
    tables = design.schema.tables if design.schema else ()
    return tuple(table.name for table in tables if table.partitioning and table.partitioning.granularity)


def _against_design(section: Monitoring, design: DatabaseDesign) -> Iterator[Finding]:
    found = _of(section, Metric.PARTITIONS_AHEAD)
    ahead = [
        (one.partitions_ahead, f"/lifecycle/tables/{at}")
        for at, one in enumerate(design.lifecycle.tables if design.lifecycle else ())
        if one.partitions_ahead
    ]
    if found is not None and ahead:
        at, one = found
        fewest, place = min(ahead)
        if one.warning > fewest:
            message = (
                f"it warns below {one.warning:g} partitions ahead, and {place} makes {fewest}: it would always fire; "
                f"warn at {fewest} at most"
            )
            yield error("monitoring.always_fires", f"/thresholds/{at}", message)
    if found is not None and not _by_time(design) and design.schema is not None:
        message = "no table is partitioned by time, so there is nothing to count; drop this threshold and its alerts"
        yield error("monitoring.nothing_to_watch", f"/thresholds/{found[0]}", message, may_drop=True)


def _against_brief(section: Monitoring, brief: Brief) -> Iterator[Finding]:
    targets = [query.p95_ms for query in brief.queries if query.p95_ms]
    loosest = max([brief.workload.p95_read_ms, brief.workload.p95_write_ms, *targets])
    for metric in (Metric.P95_QUERY_MS, Metric.MEAN_QUERY_MS):
        if (found := _of(section, metric)) is not None and found[1].warning > loosest:
            message = (
                f"{metric} warns above {found[1].warning:g} ms, and the brief's loosest target is {loosest:g} ms: every"
                " target is missed before anybody is warned; warn earlier"
            )
            yield error("monitoring.beyond_target", f"/thresholds/{found[0]}", message)


def _of(section: Monitoring, metric: Metric) -> tuple[int, Threshold] | None:
    return next(((at, one) for at, one in enumerate(section.thresholds) if one.metric is metric), None)
