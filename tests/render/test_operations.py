"""The files of operations: what stands in them is data, whatever a model or a user wrote."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
import yaml
from answers import answer, design

from dbprompt import Brief
from dbprompt.capacity import capacity_of
from dbprompt.checks.backup import backup
from dbprompt.checks.monitoring import monitoring
from dbprompt.checks.runbooks import runbooks
from dbprompt.checks.subject import DesignCheck, Subject
from dbprompt.machines.recovery import recovery
from dbprompt.render.alerts import alert_files, alert_rules
from dbprompt.render.background import Background
from dbprompt.render.backup import backup_files, backup_script
from dbprompt.render.monitoring import monitoring_chapter
from dbprompt.render.recovery_plan import backup_chapter, backup_page
from dbprompt.render.runbooks import runbook_files
from dbprompt.sections import DatabaseDesign, all_needs
from dbprompt.sections.backup import Backup
from dbprompt.sections.monitoring import Monitoring
from dbprompt.sections.runbooks import Runbook, Step

BRIEFS = {"marketplace": "pg_marketplace_orders", "crm": "pg_crm_multitenant"}
HOSTILE = "<script>alert(1)</script> | ' \" $(rm -rf /) `id`\n# heading {{ $value }}"


def background(case: str) -> Background:
    """What is known beside a reference design."""
    brief = Brief.load(Path(__file__).parents[1] / f"briefs/{BRIEFS[case]}.yaml")
    return Background(brief, capacity_of(brief), "authored", "none", (), date(2026, 3, 1), 15)


@pytest.mark.parametrize("case", BRIEFS)
@pytest.mark.parametrize(("section", "check"), [("backup", backup), ("monitoring", monitoring), ("runbooks", runbooks)])
def test_the_reference_answers_are_sound(case: str, section: str, check: DesignCheck) -> None:
    """No rule has a word against the authored answers, seen with everything that they build on."""
    about = background(case)
    made = design(case, *all_needs(section), section)
    report = check(Subject(made, section, about.brief, about.capacity))
    assert [str(finding) for finding in report.findings] == []


def test_the_figures_of_a_recovery() -> None:
    """Restore: 30 s detection + twice the raw bytes in three years / speed; loss: what is not in the archive yet."""
    about = background("marketplace")
    made = design("marketplace", "infrastructure", "backup")
    assert made.backup is not None and about.capacity is not None
    figures = recovery(made, made.backup, about.capacity)
    assert (figures.archive_loss_s, figures.loss_s, figures.point_in_time, figures.takes_over) == (60, 0, True, True)
    expected = 30 + 2 * about.capacity.projected_3y_gb * 1000 / made.backup.restore_mb_per_s
    assert figures.restore_s == pytest.approx(expected)
    nightly = made.backup.model_copy(update={"plans": made.backup.plans[1:]})
    assert recovery(made, nightly, about.capacity).archive_loss_s == 86_400


def test_scripts_hold_typed_values_and_no_secret() -> None:
    """Every value of a plan is quoted; where the database is, and who asks, comes from outside."""
    plans = answer("marketplace", "backup")
    script = backup_script(Backup.model_validate(plans))
    assert "weekly_dump) kind=dump; keep_days=90; region=eu-west-1; ships=yes; encrypted=yes ;;" in script
    assert "daily_snapshot" not in script
    assert not re.search(r"PGPASSWORD|--password|://", script)
    services = {**plans, "plans": [plan for plan in plans["plans"] if plan["tool"] == "managed_service"]}
    made = DatabaseDesign.model_validate({"backup": services})
    assert backup_files(made, background("marketplace")) == {}


def test_hostile_text_stays_text() -> None:
    """In rules it is a string, on pages it is escaped; no heading, no markup, no template."""
    about = background("marketplace")
    section = Monitoring.model_validate(answer("marketplace", "monitoring"))
    alert = section.alerts[0].model_copy(update={"summary": HOSTILE})
    section = section.model_copy(update={"alerts": (alert, *section.alerts[1:])})
    plans = Backup.model_validate(answer("marketplace", "backup")).model_copy(update={"reason": HOSTILE})
    page = Runbook(name="r", kind="incident", when=HOSTILE, steps=(Step(action=HOSTILE), Step(action="b")))
    made = design("marketplace", "schema", "runbooks")
    assert made.runbooks is not None
    made = made.with_section("monitoring", section).with_section("backup", plans)
    made = made.with_section("runbooks", made.runbooks.model_copy(update={"runbooks": (page,)}))
    rules = yaml.safe_load(alert_rules(section, 40.0))["groups"][0]["rules"]
    assert rules[0]["annotations"]["summary"] == HOSTILE.replace("{{", '{{ "{{" }}')
    pages = [*runbook_files(made, about).values(), *backup_page(made, about).values()]
    pages += ["\n\n".join(monitoring_chapter(made, about)), "\n\n".join(backup_chapter(made, about))]
    for text in pages:
        assert "<script>" not in text and "\n# heading" not in text


def test_the_exporter_asks_for_the_names_that_rules_use() -> None:
    """The query's name and column make the metric's name."""
    made = DatabaseDesign.model_validate({"monitoring": answer("crm", "monitoring")})
    files = alert_files(made, background("crm"))
    ((name, query),) = yaml.safe_load(files["ops/exporter_queries.yaml"]).items()
    column = next(key for one in query["metrics"] for key, how in one.items() if how["usage"] == "GAUGE")
    assert f"{name}_{column}" in files["ops/alerts.yaml"]
