"""Runbooks: a page each, and the chapter with the slow-query playbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, fenced, table, text
from dbprompt.render.postgres.analysis import INVESTIGATION
from dbprompt.render.recovery_plan import recovery_lines
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.runbooks import Runbook, Runbooks, SlowQueryCase

__all__ = ["runbook_files", "runbooks_chapter"]


def runbook_files(design: DatabaseDesign, background: Background) -> Mapping[str, str]:
    """`ops/runbooks/<name>.md`, and `ops/runbooks/README.md` that lists them."""
    if design.runbooks is None:
        return {}
    pages = {
        f"ops/runbooks/{runbook.name}.md": "\n\n".join(_page(runbook, design, background)) + "\n"
        for runbook in design.runbooks.runbooks
    }
    index = ("# Runbooks", _index(design.runbooks, design), "# Slow queries", *_playbook(design.runbooks, "##"))
    return {**pages, "ops/runbooks/README.md": "\n\n".join(index) + "\n"}


def runbooks_chapter(design: DatabaseDesign, background: Background) -> Iterator[str]:
    """The list of runbooks, and the playbook."""
    if design.runbooks is None:
        return
    yield "## Runbooks"
    yield _index(design.runbooks, design)
    yield "Each is a page in `ops/runbooks/`."
    yield "## Slow queries"
    yield from _playbook(design.runbooks, "###")


def _index(section: Runbooks, design: DatabaseDesign) -> str:
    rows = []
    for runbook in section.runbooks:
        alerts = ", ".join(code(name) for name in _alerts(runbook, design)) or "an event"
        rows.append((code(f"{runbook.name}.md"), runbook.kind, cell(runbook.when), alerts, str(len(runbook.steps))))
    return table(("Runbook", "Kind", "When", "Opened by", "Steps"), rows, align="llllr")


def _alerts(runbook: Runbook, design: DatabaseDesign) -> tuple[str, ...]:
    alerts = design.monitoring.alerts if design.monitoring else ()
    return tuple(alert.name for alert in alerts if alert.runbook == runbook.name)


def _playbook(section: Runbooks, level: str) -> Iterator[str]:
    yield (
        "Ask the server first, in this order; `queries/analysis.sql` holds the statements, and EXPLAIN (ANALYZE, "
        "BUFFERS, FORMAT JSON) of every query with its target."
    )
    yield "\n".join(f"{at}. {text(one.title)} {text(one.reading)}." for at, one in enumerate(INVESTIGATION, start=1))
    if section.slow_queries:
        rows = [(cell(one.problem), cell(one.cause), cell(one.fix)) for one in section.slow_queries]
        yield table(("What is seen", "Why", "What helps"), rows)
        shown = [one for one in section.slow_queries if one.diagnosis]
        if shown:
            yield f"{level} How to see it"
            yield from (block for one in shown for block in _diagnosis(one))


def _diagnosis(case: SlowQueryCase) -> tuple[str, str]:
    return f"{text(case.problem)}:", fenced(f"{(case.diagnosis or '').rstrip(' ;')};", "sql")


def _page(runbook: Runbook, design: DatabaseDesign, background: Background) -> Iterator[str]:
    yield f"# {text(runbook.name.replace('_', ' ').capitalize())}"
    opened = ", ".join(code(name) for name in _alerts(runbook, design))
    yield f"{runbook.kind.capitalize()}. {text(runbook.when)}" + (f" Opened by {opened}." if opened else "")
    yield from _facts(runbook, design, background)
    yield "## Steps"
    for at, step in enumerate(runbook.steps, start=1):
        yield f"{at}. {text(step.action)}"
        if step.sql is not None:
            yield fenced(f"{step.sql.rstrip(' ;')};", "sql")
        if step.expect:
            yield f"**Then:** {text(step.expect)}"
    actions = _actions(runbook, design)
    if actions:
        yield "## What the alerts ask for"
        yield "\n".join(f"- {code(name)}: {text(action)}" for name, action in actions)


def _facts(runbook: Runbook, design: DatabaseDesign, background: Background) -> Iterator[str]:
    """What the design's own data say about it: figures of a restore, nodes of a failover."""
    machines = design.infrastructure
    if runbook.kind == "restore" and design.backup is not None:
        yield "\n".join(f"- {line}" for line in recovery_lines(design, design.backup, background))
        yield "The procedure of each backup: `ops/backup.md`."
    if runbook.kind == "failover" and machines is not None:
        rows = [
            (code(node.name), node.role.replace("_", " "), code(f"{node.region} {node.zone}"))
            for node in machines.nodes
        ]
        yield table(("Node", "Role", "Where"), rows)
        if machines.failover is not None:
            way = machines.failover
            by = "by hand" if way.by == "by_hand" else f"by {way.by.replace('_', ' ')}, not by hand"
            yield f"A standby takes over {by}: {way.detect_s} s until it is known, {way.promote_s} s to promote."
    if runbook.kind == "migration" and design.migrations is not None:
        limit = design.migrations.lock_timeout_ms
        yield f"Every step runs under a `lock_timeout` of {limit:,} ms; one that fails is tried again."


def _actions(runbook: Runbook, design: DatabaseDesign) -> list[tuple[str, str]]:
    section = design.monitoring
    if section is None:
        return []
    by_metric = {threshold.metric: threshold.action for threshold in section.thresholds}
    return [
        (alert.name, by_metric[alert.metric])
        for alert in section.alerts
        if alert.runbook == runbook.name and alert.metric in by_metric
    ]
