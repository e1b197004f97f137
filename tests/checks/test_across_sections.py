"""Contradictions between the pool or growth and sections that stand beside them."""

from __future__ import annotations

import pytest
from answers import answer
from design_cases import BRIEFS, marketplace_brief, subject

from dbprompt.brief import Brief
from dbprompt.capacity import capacity_of
from dbprompt.checks.infrastructure import infrastructure
from dbprompt.checks.pool import pool
from dbprompt.checks.scaling import scaling
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.monitoring import Monitoring
from dbprompt.sections.queries import Queries
from dbprompt.sections.security import Role, Security

POLICY = "buyer_id = current_setting('app.buyer_id')::bigint"


def _beside(section: str, change: dict[str, object], **others: object) -> Subject:
    brief = marketplace_brief({})
    design = subject(section, change).design.model_copy(update=others)
    return Subject(design, section, brief, capacity_of(brief))


def _security() -> Security:
    policy = {"name": "own_orders", "table": "orders", "using": POLICY}
    return Security.model_validate(
        {
            "roles": [{"name": "app_rw", "purpose": "application"}],
            "policies": [policy],
            "at_rest": {"method": "provider_kms"},
            "in_transit": {"minimum_tls": "1.3"},
        }
    )


@pytest.mark.parametrize(
    ("mode", "settings", "leaks"),
    [
        ("transaction", "none", True),
        ("transaction", "per_session", True),
        ("statement", "per_session", True),
        ("transaction", "per_transaction", False),
        ("session", "per_session", False),
    ],
)
def test_a_tenants_setting_behind_the_pool(mode: str, settings: str, leaks: bool) -> None:
    """A policy that reads a setting of the session contradicts a pool that hands sessions on; both are named."""
    change: dict[str, object] = {"pool/mode": mode, "pool/session_settings": settings}
    found = pool(_beside("infrastructure", change, security=_security())).findings
    assert [finding.code for finding in found] == (["pool.setting_leaks"] if leaks else [])
    if leaks:
        assert found[0].where == "/pool/session_settings"
        assert "own_orders (/security/policies/0)" in found[0].message and "app.buyer_id" in found[0].message


def test_a_pool_without_the_grammar_says_what_was_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies and queries cannot be read, and the pool's verdict owns up to it."""
    monkeypatch.setattr("dbprompt.checks.pool.grammar", lambda: None)
    change: dict[str, object] = {"pool/mode": "transaction", "pool/session_settings": "per_session"}
    (verdict,) = pool(_beside("infrastructure", change, security=_security())).verdicts
    assert "whether policies or queries need their session" in verdict.uncovered
    assert "dbprompt[postgres]" in verdict.uncovered


@pytest.mark.parametrize(
    ("sql", "used"),
    [
        ("SELECT pg_advisory_lock(1)", "pg_advisory_lock"),
        ("SELECT set_config('app.number', $1, false)", "set_config for the session"),
        ("SELECT set_config('app.number', $1, true), pg_advisory_xact_lock(1)", ""),
    ],
)
def test_a_statement_that_needs_its_session(sql: str, used: str) -> None:
    """A query whose effect outlives its transaction is found behind a pool in transaction mode only."""
    queries = Queries.model_validate({"queries": [{"id": "order_by_number", "sql": sql}]})
    found = pool(_beside("infrastructure", {}, queries=queries)).findings
    assert [finding.code for finding in found] == (["pool.session_feature"] if used else [])
    assert all("order_by_number" in finding.message and used in finding.message for finding in found)
    assert pool(_beside("infrastructure", {"pool/mode": "session"}, queries=queries)).findings == ()


def test_a_role_that_may_connect_less_often_than_the_pool() -> None:
    """The pool opens more connections than the application's role is allowed: both places are named."""
    role = Role(name="app_rw", purpose="application", connection_limit=50)
    security = _security().model_copy(update={"roles": (role,), "policies": ()})
    (finding,) = pool(_beside("infrastructure", {}, security=security)).findings
    assert (finding.code, finding.where) == ("pool.role_limit", "/pool/pool_size")
    assert "app_rw" in finding.message and "/security/roles/0" in finding.message


def test_growth_that_begins_when_it_is_critical() -> None:
    """A trigger above the critical threshold comes too late."""
    monitoring = Monitoring.model_validate(
        {
            "thresholds": [{"metric": "cpu_percent", "warning": 50, "critical": 60, "action": "Look"}],
            "alerts": [
                {"name": "Cpu", "metric": "cpu_percent", "severity": "critical", "for_minutes": 5, "summary": "x"}
            ],
        }
    )
    (finding,) = scaling(_beside("scaling", {}, monitoring=monitoring)).findings
    assert isinstance(finding, Finding)
    assert (finding.code, finding.where) == ("scaling.later_than_critical", "/triggers/0")
    assert "/monitoring/thresholds" in finding.message


ANSWERS = {"marketplace": "pg_marketplace_orders", "crm": "pg_crm_multitenant"}
BESIDE = ("selection", "schema", "indexes", "views", "queries", "caching", "security", "infrastructure", "scaling")


@pytest.mark.parametrize("case", ANSWERS)
def test_the_reference_answers_contradict_nothing(case: str) -> None:
    """Machines, pool and growth of the reference answers agree with the sections beside them and with the brief."""
    brief = Brief.load(BRIEFS / f"{ANSWERS[case]}.yaml")
    design = DatabaseDesign.model_validate({section: answer(case, section) for section in BESIDE})
    machines = Subject(design, "infrastructure", brief, capacity_of(brief))
    growth = Subject(design, "scaling", brief, capacity_of(brief))
    assert [*infrastructure(machines).findings, *pool(machines).findings, *scaling(growth).findings] == []
    (exhibit,) = scaling(growth).exhibits
    assert "phase " in exhibit.text and "none" not in exhibit.text
