"""All sixteen sections: with nothing but the variables of the source pages, and under attack in every SQL field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from answers import answer, design

from dbprompt import Brief, Client, ScriptedProvider, UnprovenError
from dbprompt.sections import SECTIONS, all_needs

ROOT = Path(__file__).parents[1]
BRIEF = Brief.load(ROOT / "examples/marketplace.yaml")
PAGES = {
    "database_architect": {"DESCRIBE_APPLICATION": "A marketplace.", "LIST_MAIN_ENTITIES": "buyers, sellers, orders"},
    "design_framework": {
        "APPLICATION_NAME": "Stallhouse",
        "DATA_VOLUME": "55 GB",
        "DATA_TYPE": "orders and products",
        "QUERY_PATTERN": "read-heavy",
        "USER_COUNT": "26,000",
        "LATENCY_REQUIREMENT": "40 ms",
    },
}


@pytest.mark.parametrize("family", PAGES)
def test_the_pages_own_variables_give_the_whole_architecture(family: str) -> None:
    """No brief and none of our own variables: every section is asked for, checked on the engine and written."""
    provider = ScriptedProvider({section: [answer("marketplace", section)] for section in SECTIONS})
    result = Client(provider, attempts=0).design(prompt=family, variables=PAGES[family])
    assert {request.origin.section for request in provider.requests} == set(SECTIONS)
    assert result.evidence.ok
    assert {"README.md", "report.html", "schema/security.sql", "ops/backup.sh", "ops/alerts.yaml"} <= set(
        result.files()
    )


def _policy(attack: str) -> dict[str, Any]:
    policy = {"name": "own", "table": "orders", "roles": ["app_rw"], "command": "all", "using": attack, "check": None}
    return answer("marketplace", "security") | {"policies": [policy]}


def _view(attack: str) -> dict[str, Any]:
    views = answer("marketplace", "views")
    views["views"][0]["sql"] = attack
    return views


def _job(attack: str) -> dict[str, Any]:
    job = {"name": "evil", "kind": "sql", "target": None, "schedule": "0 3 * * *", "sql": attack, "reason": ""}
    return answer("marketplace", "upkeep") | {"jobs": [job]}


def _trigger(attack: str) -> dict[str, Any]:
    trigger = {
        "name": "evil",
        "table": "order_lines",
        "events": ["insert"],
        "copy_table": "orders",
        "copy_column": "total",
        "sql": attack,
    }
    return answer("marketplace", "upkeep") | {"sync_triggers": [trigger]}


def _backfill(attack: str) -> dict[str, Any]:
    migrations = answer("marketplace", "migrations")
    migrations["changes"][0]["backfill"]["expression"] = attack
    return migrations


def _step(attack: str) -> dict[str, Any]:
    runbooks = answer("marketplace", "runbooks")
    runbooks["runbooks"][0]["steps"][0]["sql"] = attack
    return runbooks


FIELDS = {
    "policy": ("security", _policy),
    "view": ("views", _view),
    "job": ("upkeep", _job),
    "trigger": ("upkeep", _trigger),
    "backfill": ("migrations", _backfill),
    "runbook": ("runbooks", _step),
}
ATTACKS = (
    "SELECT lo_export(lo_from_bytea(0, 'x'), '{mark}')",
    "COPY (SELECT 1) TO PROGRAM 'touch {mark}'",
)


@pytest.mark.parametrize("field", FIELDS)
def test_hostile_sql_in_the_operations_has_no_effect(field: str, tmp_path: Path) -> None:
    """An attack in a policy, view, job, trigger, backfill or runbook is refused, and nothing of it happens."""
    section, damage = FIELDS[field]
    mark = tmp_path / "mark"
    start = design("marketplace", *all_needs(section))
    for attack in ATTACKS:
        sql = attack.format(mark=mark)
        wrong = damage(f"({sql})::boolean" if field in {"policy", "backfill"} else sql)
        provider = ScriptedProvider({section: [wrong]})
        with pytest.raises(UnprovenError):
            Client(provider, attempts=0).design(BRIEF, sections=[section], start=start)
        assert not mark.exists()
