"""Prometheus: alert rules, the unit tests that make each of them fire, and the queries that the exporter runs.

The expressions are ours (`render/metrics.py`) with the design's thresholds; an alert with an expression of its own
stands as it was written. Text of the design is never a template: Prometheus would run what stands in double braces.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from dbprompt.brief import Brief
from dbprompt.render.background import Background
from dbprompt.render.metrics import HEALTH_METRIC, METRICS, Series, bad_value, good_value
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.monitoring import Alert, Metric, Monitoring

__all__ = ["alert_expression", "alert_files", "alert_rules", "alert_tests", "slow_ms"]

_HEAD = "# Written by dbprompt from design.json. Whether the exporters in use expose these series was not checked.\n"
_WARM_UP = 75
"""Minutes before an alert may be judged: the longest range of the expressions is an hour."""


def alert_files(design: DatabaseDesign, background: Background) -> Mapping[str, str]:
    """`ops/alerts.yaml`, `ops/alerts_test.yaml` and `ops/exporter_queries.yaml`."""
    if design.monitoring is None:
        return {}
    slow = slow_ms(background.brief)
    return {
        "ops/alerts.yaml": alert_rules(design.monitoring, slow),
        "ops/alerts_test.yaml": alert_tests(design.monitoring),
        "ops/exporter_queries.yaml": _exporter_queries(),
    }


def slow_ms(brief: Brief | None) -> float:
    """From when a statement counts as slow: the brief's target for reads, else 100 ms."""
    return brief.workload.p95_read_ms if brief else 100.0


def alert_expression(alert: Alert, monitoring: Monitoring, slow: float) -> str | None:
    """The condition of an alert; None if its metric has no threshold."""
    if alert.promql is not None:
        return alert.promql
    threshold = _threshold(alert, monitoring)
    if alert.metric is None or threshold is None:
        return None
    facts = METRICS[alert.metric]
    return f"({facts.expression(slow)}) {'<' if facts.worse == 'lower' else '>'} {threshold:.10g}"


def alert_rules(monitoring: Monitoring, slow: float) -> str:
    """The rules as one file for `rule_files`.

    >>> from dbprompt.sections.monitoring import Alert, Metric, Threshold
    >>> threshold = Threshold(metric=Metric.DISK_PERCENT, warning=75, critical=90, action="Grow the disk")
    >>> alert = Alert(name="DiskFull", metric=Metric.DISK_PERCENT, severity="critical", for_minutes=5, summary="Full")
    >>> print(alert_rules(Monitoring(thresholds=(threshold,), alerts=(alert,)), 100.0).splitlines()[-3].strip())
    annotations:
    """
    rules = []
    for alert in monitoring.alerts:
        expression = alert_expression(alert, monitoring, slow)
        if expression is not None:
            rules.append(
                {
                    "alert": alert.name,
                    "expr": expression,
                    "for": f"{alert.for_minutes}m",
                    "labels": {"severity": alert.severity},
                    "annotations": {key: _inert(text) for key, text in _annotations(alert, monitoring).items()},
                }
            )
    return _HEAD + _yaml({"groups": [{"name": "database", "rules": rules}]})


def alert_tests(monitoring: Monitoring) -> str:
    """Unit tests for promtool: each alert fires beyond its metric's thresholds, and is silent well before them.

    Metrics whose series have different names share a test: promtool evaluates every rule for every minute of each.
    """
    tests = []
    for number, metrics in enumerate(_groups(monitoring), start=1):
        alerts = [alert for alert in monitoring.alerts if alert.metric in metrics]
        at = _WARM_UP + max(alert.for_minutes for alert in alerts)
        for says, fires in (("fire", True), ("are silent", False)):
            inputs = [_input(series, at) for metric in metrics for series in _series(metric, monitoring, fires=fires)]
            expected = [_expected(alert, monitoring, at, fires=fires) for alert in alerts]
            tests.append(
                {
                    "name": f"alerts of group {number} {says}",
                    "interval": "1m",
                    "input_series": inputs,
                    "alert_rule_test": expected,
                }
            )
    head = "# Run it: promtool test rules alerts_test.yaml\n"
    return _HEAD + head + _yaml({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests})


def _groups(monitoring: Monitoring) -> list[list[Metric]]:
    """The metrics with a threshold and an alert, in groups within which no series is there twice."""
    alerted = {alert.metric for alert in monitoring.alerts}
    groups: list[tuple[list[Metric], set[str]]] = []
    for metric in dict.fromkeys(one.metric for one in monitoring.thresholds if one.metric in alerted):
        names = {series.name.partition("{")[0] for series in METRICS[metric].series(1.0)} - {HEALTH_METRIC}
        free = next((group for group in groups if not group[1] & names), None)
        if free is None:
            groups.append(([metric], names))
        else:
            free[0].append(metric)
            free[1].update(names)
    return [metrics for metrics, _ in groups]


def _series(metric: Metric, monitoring: Monitoring, *, fires: bool) -> tuple[Series, ...]:
    """Input beyond the critical threshold of a metric, or well before its warning."""
    found = next(one for one in monitoring.thresholds if one.metric is metric)
    value = bad_value(metric, found.critical) if fires else good_value(metric, found.warning)
    return METRICS[metric].series(value)


def _expected(alert: Alert, monitoring: Monitoring, at: int, *, fires: bool) -> dict[str, object]:
    labels = METRICS[alert.metric].labels if alert.metric is not None else {}
    fired = {
        "exp_labels": {"severity": alert.severity, **labels},
        "exp_annotations": _annotations(alert, monitoring),
    }
    return {"eval_time": f"{at}m", "alertname": alert.name, "exp_alerts": [fired] if fires else []}


def _input(series: Series, minutes: int) -> dict[str, str]:
    step = f"{'-' if series.per_minute < 0 else '+'}{abs(series.per_minute):.10f}"
    return {"series": series.name, "values": f"{series.start:.10f}{step}x{minutes + 5}"}


def _threshold(alert: Alert, monitoring: Monitoring) -> float | None:
    found = next((one for one in monitoring.thresholds if one.metric is alert.metric), None)
    return None if found is None else found.critical if alert.severity == "critical" else found.warning


def _annotations(alert: Alert, monitoring: Monitoring) -> dict[str, str]:
    action = next((one.action for one in monitoring.thresholds if one.metric is alert.metric), "")
    found = {"summary": alert.summary, "action": action}
    if alert.runbook is not None:
        found["runbook"] = f"ops/runbooks/{alert.runbook}.md"
    return {key: text for key, text in found.items() if text}


def _inert(text: str) -> str:
    """Text that Prometheus' templates give out as it is.

    >>> _inert("grow {{ it }}")
    'grow {{ "{{" }} it }}'
    """
    return text.replace("{{", '{{ "{{" }}')


def _exporter_queries() -> str:
    """What postgres_exporter asks beyond its own collectors (`--extend.query-path`): our health view."""
    prefix, _, column = HEALTH_METRIC.rpartition("_")
    query = {
        "query": "SELECT metric, value FROM dbprompt_health WHERE value IS NOT NULL",
        "metrics": [
            {"metric": {"usage": "LABEL", "description": "name of the figure"}},
            {column: {"usage": "GAUGE", "description": "its value"}},
        ],
    }
    head = "# For postgres_exporter --extend.query-path; ops/health.sql makes the view.\n"
    return _HEAD + head + _yaml({prefix: query})


def _yaml(data: object) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
