"""The alert rules are rules, each of them fires, and the health view runs.

Poor: `expr: pg_replication_lag_seconds > 30s`, a rule file without `groups:`, `severity` beside `labels:`, an alert
that never comes because its expression divides by a label that is not there.
Better: every expression is parsed by the grammar of Prometheus; promtool, if it is on PATH, loads the files as they are
written and runs a test of each alert of ours: it fires beyond its threshold and is silent before it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from dbprompt.checks.base_design import error, warning
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Exhibit, Finding, Report, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, stage
from dbprompt.render.alerts import alert_expression, alert_rules, alert_tests, slow_ms
from dbprompt.render.postgres.health import HEALTH_VIEW, health_metrics, health_statements
from dbprompt.sections.monitoring import Alert, Monitoring

__all__ = ["alerts_fire", "alerts_parse", "health_view_runs"]

_EXPOSED = "whether the exporters expose its series"
_CONDITIONS = ("==", "!=", ">", "<", ">=", "<=")


def alerts_parse(subject: Subject, as_of: date) -> Report:
    """Each expression by promql-parser."""
    section = subject.design.monitoring
    if section is None:
        return Report()
    if find_spec("promql_parser") is None:
        why = "promql-parser is not installed: pip install 'dbprompt[prometheus]'"
        return _all(section, Status.NOT_CHECKED, Tier.NOTHING, "promql-parser", why)
    checker = f"promql-parser {version('promql-parser')}"
    report = Report()
    for at, alert in enumerate(section.alerts):
        expression = alert_expression(alert, section, slow_ms(subject.brief))
        found = tuple(_parsed(expression or "", f"/alerts/{at}", alert.name))
        failed = any(one.code == "monitoring.promql" for one in found)
        status = Status.FAILED if failed else Status.PASSED
        report += Report(found, (_verdict(at, alert, status, Tier.PARSER, checker, "" if failed else _EXPOSED),))
    return report


def _parsed(expression: str, where: str, name: str) -> Iterator[Finding]:
    parse: Callable[[str], object] = import_module("promql_parser").parse
    try:
        tree = parse(expression)
    except ValueError as refusal:
        yield error("monitoring.promql", where, f"{name}: {expression!r} is no PromQL: {refusal}")
        return
    bare = _outside_braces(expression)
    if not any(sign in bare for sign in _CONDITIONS) and "absent" not in bare:
        message = (
            f"{name} has no condition, so it fires for every series of {type(tree).__name__}; compare with a value"
        )
        yield warning("monitoring.no_condition", where, message)


def _outside_braces(expression: str) -> str:
    """The expression without its label matchers, whose = and != compare nothing."""
    kept, depth = [], 0
    for letter in expression:
        depth += (letter == "{") - (letter == "}")
        kept.append(letter if not depth else " ")
    return "".join(kept)


def alerts_fire(subject: Subject, as_of: date) -> Report:
    """The rule file and its tests by promtool."""
    section = subject.design.monitoring
    if section is None:
        return Report()
    program = shutil.which("promtool")
    if program is None:
        return _all(section, Status.NOT_CHECKED, Tier.NOTHING, "promtool", "promtool is not on PATH: no test was run")
    with tempfile.TemporaryDirectory(prefix="dbprompt-alerts-") as folder:
        for name, content in (
            ("alerts.yaml", alert_rules(section, slow_ms(subject.brief))),
            ("alerts_test.yaml", alert_tests(section)),
        ):
            Path(folder, name).write_text(content, encoding="utf-8")
        loaded = _promtool(program, folder, "check", "rules", "alerts.yaml")
        tested = _promtool(program, folder, "test", "rules", "alerts_test.yaml") if not loaded else ""
    said = loaded or tested
    return Report(tuple(_refused(section, said)), tuple(_fired(section, said, _number(program))))


def _promtool(program: str, folder: str, *arguments: str) -> str:
    """What promtool said against it; empty if nothing."""
    done = subprocess.run(
        [program, *arguments], cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return (f"{done.stdout}\n{done.stderr}".strip() or "it failed") if done.returncode else ""


def _number(program: str) -> str:
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    words = f"{asked.stdout} {asked.stderr}".split()
    return f"promtool {words[words.index('version') + 1]}" if "version" in words else "promtool"


def _refused(section: Monitoring, said: str) -> Iterator[Finding]:
    """A finding at each alert that promtool names; at the list if it names none."""
    if not said:
        return
    named = [at for at, alert in enumerate(section.alerts) if re.search(rf"\b{alert.name}\b", said)]
    short = " ".join(said.split())[-600:]
    for where in [f"/alerts/{at}" for at in named] or ["/alerts"]:
        yield error("monitoring.promtool", where, f"promtool says of ops/alerts.yaml: {short}")


def _fired(section: Monitoring, said: str, checker: str) -> Iterator[Verdict]:
    for at, alert in enumerate(section.alerts):
        if said:
            yield _verdict(at, alert, Status.INCONCLUSIVE, Tier.ENGINE, checker, "the file as a whole did not pass")
        else:
            ran = _EXPOSED if alert.metric is not None else f"loaded, no test of an expression of its own; {_EXPOSED}"
            yield _verdict(at, alert, Status.PASSED, Tier.ENGINE, checker, ran)


def health_view_runs(subject: Subject, as_of: date) -> Report:
    """The health view on the engine, and a row of it for each figure."""
    section = subject.design.monitoring
    if section is None:
        return Report()
    artefact, where = "health view", "/thresholds"
    try:
        with stage(subject, as_of=as_of, sections=("schema", "indexes")) as ready:
            outcomes = [ready.run(statement) for statement in health_statements(subject.design)]
            asked, rows = ready.fetch(f"SELECT metric, round(value::numeric, 3) FROM {HEALTH_VIEW}")  # noqa: S608
            label, uncovered = ready.label, ready.uncovered
    except NoStageError as missing:
        unseen = Verdict(artefact, where, Status.NOT_CHECKED, Tier.NOTHING, "postgresql", str(missing))
        return Report(verdicts=(unseen,))
    wrong = next((one.message for one in (*outcomes, asked) if not one.ok), "")
    if not wrong and [name for name, _ in rows] != list(health_metrics(subject.design)):
        wrong = f"it has the rows {[name for name, _ in rows]}"
    if wrong:
        finding = error("monitoring.health_view", where, f"ops/health.sql does not run: {wrong}")
        return Report((finding,), (Verdict(artefact, where, Status.FAILED, Tier.ENGINE, label, uncovered),))
    shown = "\n".join(f"{name}: {'unknown' if value is None else value}" for name, value in rows)
    return Report(
        verdicts=(Verdict(artefact, where, Status.PASSED, Tier.ENGINE, label, uncovered),),
        exhibits=(Exhibit(where, f"health view on {label}", shown),),
    )


def _all(section: Monitoring, status: Status, tier: Tier, checker: str, uncovered: str) -> Report:
    return Report(
        verdicts=tuple(_verdict(at, one, status, tier, checker, uncovered) for at, one in enumerate(section.alerts))
    )


def _verdict(at: int, alert: Alert, status: Status, tier: Tier, checker: str, uncovered: str) -> Verdict:
    return Verdict(f"alert {alert.name}", f"/alerts/{at}", status, tier, checker, uncovered)
