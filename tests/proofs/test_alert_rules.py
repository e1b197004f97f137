"""Alert rules and the health view: read by real tools where they are, and never claimed where they are not."""

from __future__ import annotations

import shutil
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from answers import answer, design

import dbprompt.proofs.alerts as proof
from dbprompt import Brief
from dbprompt.capacity import capacity_of
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres import PostgresEngine, installations
from dbprompt.evidence import Status, Tier
from dbprompt.render.alerts import alert_rules, alert_tests
from dbprompt.render.metrics import METRICS
from dbprompt.render.postgres.health import HEALTH_VIEW, health_metrics, health_statements
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.monitoring import Alert, Metric, Monitoring, Threshold

DAY = date(2026, 3, 1)
BRIEF = Brief.load(Path(__file__).parents[1] / "briefs/pg_marketplace_orders.yaml")
MONITORING = Monitoring.model_validate(answer("marketplace", "monitoring"))
has_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
has_parser = pytest.mark.skipif(find_spec("promql_parser") is None, reason="promql-parser is not installed")


def subject(monitoring: Monitoring = MONITORING) -> Subject:
    """The reference design with this section."""
    made = design("marketplace", "selection", "schema", "indexes").with_section("monitoring", monitoring)
    return Subject(made, "monitoring", BRIEF, capacity_of(BRIEF))


def with_alert(promql: str) -> Monitoring:
    """The sound section with one more alert of its own expression."""
    own = Alert(name="Own", promql=promql, severity="warning", for_minutes=1, summary="x")
    return MONITORING.model_copy(update={"alerts": (*MONITORING.alerts, own)})


def everything() -> Monitoring:
    """Every metric of the library with its two alerts."""
    thresholds, alerts = [], []
    for metric, facts in METRICS.items():
        higher = (70.0, 90.0) if facts.unit == "percent" else (4.0, 8.0)
        warning, critical = higher if facts.worse == "higher" else (higher[1], higher[0])
        thresholds.append(Threshold(metric=metric, warning=warning, critical=critical, action="Look at {{ $value }}"))
        for severity in ("warning", "critical"):
            name = f"{metric.title().replace('_', '')}{severity.title()}"
            said = 'It\'s "bad": {{ query `up` }}'
            alerts.append(Alert(name=name, metric=metric, severity=severity, for_minutes=2, summary=said))
    return Monitoring(thresholds=tuple(thresholds), alerts=tuple(alerts))


def test_every_metric_is_in_the_library() -> None:
    """A metric that a model may name has a unit, a direction and an expression."""
    assert set(METRICS) == set(Metric)
    for metric, facts in METRICS.items():
        assert metric.endswith("_percent") == (facts.unit == "percent"), metric
        assert "SLOW" not in facts.expression(100)


def test_every_alert_of_ours_has_a_test_that_fires_and_one_that_does_not() -> None:
    """The generated file names each alert twice: with a firing one expected, and with none."""
    tests = yaml.safe_load(alert_tests(MONITORING))["tests"]
    expected = {(one["alertname"], bool(one["exp_alerts"])) for test in tests for one in test["alert_rule_test"]}
    ours = {alert.name for alert in MONITORING.alerts if alert.metric is not None}
    assert expected == {(name, fires) for name in ours for fires in (True, False)}


def test_text_is_no_template() -> None:
    """Braces in a summary reach Prometheus as a text that prints braces."""
    rules = yaml.safe_load(alert_rules(everything(), 40.0))["groups"][0]["rules"]
    assert rules[0]["annotations"]["summary"] == 'It\'s "bad": {{ "{{" }} query `up` }}'


@has_promtool
def test_every_metric_of_the_library_fires_in_promtool() -> None:
    """Whatever is named, its alert comes when it should and not before."""
    report = proof.alerts_fire(subject(everything()), DAY)
    assert report.findings == ()
    assert {(verdict.status, verdict.tier) for verdict in report.verdicts} == {(Status.PASSED, Tier.ENGINE)}


@has_promtool
def test_promtool_finds_an_alert_that_does_not_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule whose condition is never met fails its test, and the finding stands at that alert."""
    real = alert_rules(MONITORING, 40.0)
    monkeypatch.setattr(proof, "alert_rules", lambda *_: real.replace("> 88\n", "> 880\n"))
    report = proof.alerts_fire(subject(), DAY)
    at = next(at for at, alert in enumerate(MONITORING.alerts) if alert.name == "DiskFillingCritical")
    assert [(finding.code, finding.where) for finding in report.findings] == [("monitoring.promtool", f"/alerts/{at}")]


@has_promtool
def test_promtool_refuses_what_is_no_expression() -> None:
    """A file that Prometheus would not load passes for no alert."""
    report = proof.alerts_fire(subject(with_alert("pg_up == 0 for 5m")), DAY)
    assert report.findings and all(verdict.status is Status.INCONCLUSIVE for verdict in report.verdicts)


@has_parser
@pytest.mark.parametrize(
    ("promql", "codes"),
    [
        ("pg_up ==", ["monitoring.promql"]),
        ("rate(pg_up) > 1", ["monitoring.promql"]),
        ('pg_up{instance="a"}', ["monitoring.no_condition"]),
        ("max(pg_up) == 0", []),
        ("absent(pg_up)", []),
    ],
)
def test_an_expression_is_parsed(promql: str, codes: list[str]) -> None:
    """What is no PromQL is found at its place, and so is an alert that compares nothing."""
    section = with_alert(promql)
    report = proof.alerts_parse(subject(section), DAY)
    assert [finding.code for finding in report.findings] == codes
    assert all(finding.where == f"/alerts/{len(section.alerts) - 1}" for finding in report.findings)
    wrong = [verdict.where for verdict in report.verdicts if verdict.status is Status.FAILED]
    assert len(wrong) == codes.count("monitoring.promql")


def test_without_the_tools_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alert is listed as not checked, with the package or program that is missing."""
    monkeypatch.setattr(proof, "find_spec", lambda _: None)
    monkeypatch.setattr(proof.shutil, "which", lambda _: None)
    for check, missing in ((proof.alerts_parse, "dbprompt[prometheus]"), (proof.alerts_fire, "promtool")):
        report = check(subject(), DAY)
        assert len(report.verdicts) == len(MONITORING.alerts)
        assert all(one.status is Status.NOT_CHECKED and missing in one.uncovered for one in report.verdicts)


@pytest.mark.parametrize("major", sorted({one.major for one in installations()}))
def test_the_health_view_runs(major: int) -> None:
    """Every figure has a row on every version here; future partitions are counted by table, the fewest told."""
    document = answer("marketplace", "schema")
    table = next(table for table in document["tables"] if table["name"] == "payments")
    table["partitioning"] = {"strategy": "range", "column": "created_at", "granularity": "month"}
    made = DatabaseDesign.model_validate({"schema": document})
    with PostgresEngine.of(major).sandbox() as sandbox:
        sandbox.run("CREATE TABLE payments (created_at timestamptz) PARTITION BY RANGE (created_at)")
        for year in (2020, 2120, 2121):
            bounds = f"FROM ('{year}-01-01') TO ('{year}-02-01')"
            sandbox.run(f"CREATE TABLE payments_{year} PARTITION OF payments FOR VALUES {bounds}")
        assert all(sandbox.run(statement).ok for statement in health_statements(made))
        asked, rows = sandbox.fetch(f"SELECT metric, value FROM {HEALTH_VIEW}")
    assert asked.ok, asked.message
    assert [name for name, _ in rows] == list(health_metrics(made))
    assert dict(rows)["partitions_ahead"] == "2"
    assert float(dict(rows)["connections"] or 0) >= 1


def test_a_health_view_that_does_not_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The column that is so often called tablename."""
    assert proof.health_view_runs(subject(), DAY).verdicts[0].status is Status.PASSED
    wrong = ("SELECT 1", f"CREATE VIEW {HEALTH_VIEW} AS SELECT tablename FROM pg_stat_user_tables")
    monkeypatch.setattr(proof, "health_statements", lambda _: wrong)
    report = proof.health_view_runs(subject(), DAY)
    assert [finding.code for finding in report.findings] == ["monitoring.health_view"]
    assert report.verdicts[0].status is Status.FAILED
