"""The chapter about watching: targets of the queries, thresholds, alerts, tools."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, count, table
from dbprompt.render.metrics import METRICS
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.monitoring import Monitoring

__all__ = ["monitoring_chapter"]

_UNITS = {"percent": "%", "count": "", "seconds": "s", "milliseconds": "ms", "hours": "h"}


def monitoring_chapter(design: DatabaseDesign, background: Background) -> Iterator[str]:
    """Targets, thresholds, alerts, tools."""
    if design.monitoring is None:
        return
    yield "## Monitoring"
    if background.brief is not None and background.brief.queries:
        yield "### Targets of the queries"
        yield _targets(background.brief)
        yield "From the brief: 95 of 100 calls answer within the target."
    yield "### Thresholds"
    yield _thresholds(design.monitoring)
    yield "### Alerts"
    yield _alerts(design.monitoring)
    yield (
        f"{count(len(design.monitoring.alerts), 'rule')} in `ops/alerts.yaml`, each with a unit test in "
        "`ops/alerts_test.yaml` if its expression is ours. The expressions use the names of postgres_exporter and "
        "node_exporter, and those of `ops/health.sql` through `ops/exporter_queries.yaml`; whether the exporters in "
        "use expose them is not verified."
    )
    if design.monitoring.tools:
        yield "### Tools"
        rows = [(cell(one.part.replace("_", " ")), cell(one.tool), cell(one.reason)) for one in design.monitoring.tools]
        yield table(("For", "Tool", "Why"), rows)


def _targets(brief: Brief) -> str:
    rows = []
    for query in brief.queries:
        rate = f"{query.per_s:,g} a second" if query.per_s else f"{query.per_day:,g} a day" if query.per_day else ""
        target = f"{query.p95_ms:,g} ms" if query.p95_ms else f"{_target(brief, query.kind):,g} ms (workload)"
        fresh = f"{query.freshness_s:,g} s" if query.freshness_s else "always"
        rows.append((code(query.id), cell(query.text), rate, target, fresh))
    return table(("Query", "What", "How often", "Within", "At most this old"), rows, align="llrrr")


def _target(brief: Brief, kind: str) -> float:
    writes = kind in {"insert", "update", "delete"}
    return brief.workload.p95_write_ms if writes else brief.workload.p95_read_ms


def _thresholds(monitoring: Monitoring) -> str:
    rows = []
    for one in monitoring.thresholds:
        facts = METRICS[one.metric]
        sign, unit = ("<" if facts.worse == "lower" else ">"), _UNITS[facts.unit]
        rows.append(
            (
                code(one.metric),
                f"{sign} {one.warning:g} {unit}".strip(),
                f"{sign} {one.critical:g} {unit}".strip(),
                cell(one.action),
                cell(f"{facts.meaning} ({facts.source})"),
            )
        )
    return table(("Metric", "Warning", "Critical", "What to do", "What it says, and where it comes from"), rows)


def _alerts(monitoring: Monitoring) -> str:
    rows = []
    for one in monitoring.alerts:
        about = code(one.metric) if one.metric is not None else code(one.promql or "")
        runbook = code(f"ops/runbooks/{one.runbook}.md") if one.runbook else ""
        rows.append((code(one.name), one.severity, f"{one.for_minutes} min", about, cell(one.summary), runbook))
    return table(("Alert", "Severity", "After", "About", "Says", "Runbook"), rows, align="llr")
