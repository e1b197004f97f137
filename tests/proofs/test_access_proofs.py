"""Access, seen at work: the roles of a design act on rows, and each way in which it can be wrong is found."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from answers import answer

from dbprompt.brief import Brief
from dbprompt.checks.engine import on_engine
from dbprompt.checks.expressions import expressions
from dbprompt.checks.policies import policies
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres import installations, template
from dbprompt.engines.postgres.server import Server
from dbprompt.evidence import Report, Status, Tier
from dbprompt.ladder import climb
from dbprompt.proofs import audit as audit_proof
from dbprompt.proofs import base_acting
from dbprompt.proofs.access_settings import access_settings_hold
from dbprompt.proofs.audit import audit_holds
from dbprompt.proofs.base import NoStageError, stage
from dbprompt.proofs.base_acting import admit
from dbprompt.proofs.roles import roles_hold
from dbprompt.proofs.row_policies import row_policies_hold
from dbprompt.render.postgres import Statement, UnsafeSqlError, schema_sql
from dbprompt.render.postgres.access_sql import audit_sql, security_sql
from dbprompt.render.postgres.views import refresh_sql
from dbprompt.sections import DatabaseDesign

DAY = date(2026, 1, 15)
BRIEFS = Path(__file__).parents[1] / "briefs"
FILES = {"marketplace": "pg_marketplace_orders", "crm": "pg_crm_multitenant"}
Change = Callable[[dict[str, Any]], None]


def case(name: str, change: Change | None = None, **others: dict[str, Any]) -> Subject:
    """A reference answer, changed."""
    parts = {section: answer(name, section) for section in ("schema", "indexes", "security")}
    if change is not None:
        change(parts["security"])
    design = DatabaseDesign.model_validate({**parts, **others})
    return Subject(design, "security", Brief.load(BRIEFS / f"{FILES[name]}.yaml"))


def codes(report: Report) -> set[str]:
    """What was found."""
    return {finding.code for finding in report.findings}


def told(report: Report) -> str:
    """All that a report says, for a failing test."""
    return "\n".join(map(str, (*report.findings, *report.verdicts)))


@pytest.mark.parametrize("name", FILES)
def test_the_reference_answers_hold(name: str) -> None:
    """Every role, policy and record of both answers is passed by the engine, and what cannot be tried here says so."""
    subject = case(name)
    loaded = on_engine(subject, run=climb, as_of=DAY)
    assert not loaded.errors, told(loaded)
    reports = [proof(subject, DAY) for proof in (roles_hold, row_policies_hold, audit_holds, access_settings_hold)]
    assert not sum(reports, Report()).findings
    security = subject.design.security
    assert security is not None
    for at, report in enumerate(reports):
        assert all(verdict.tier is Tier.ENGINE for verdict in report.verdicts), told(report)
        open_ones = {one.where for one in report.verdicts if one.status is not Status.PASSED}
        unseen = {f"/audit/{n}" for n, event in enumerate(security.audit) if event.means == "pgaudit"}
        assert open_ones == (unseen if at == 3 else set()), told(report)
    assert {one.where for one in reports[0].verdicts} == {f"/roles/{at}" for at in range(len(security.roles))}
    assert {one.where for one in reports[1].verdicts} == {f"/policies/{at}" for at in range(len(security.policies))}


def spoiled(monkeypatch: pytest.MonkeyPatch, what: str, change: Callable[[Statement], Iterator[str]]) -> None:
    """Has the proofs load other statements than those of the design."""
    written = getattr(base_acting, what)

    def other(*args: Any, **kwargs: Any) -> tuple[Statement, ...]:
        return tuple(replace(one, sql=sql) for one in written(*args, **kwargs) for sql in change(one))

    monkeypatch.setattr(base_acting, what, other)


def test_a_right_that_nobody_granted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """PUBLIC may read a table, and every role that was not granted it is told at its own place."""

    def change(one: Statement) -> Iterator[str]:
        yield one.sql
        if one.sql.startswith("GRANT USAGE ON SCHEMA public TO app_ro"):
            yield "GRANT SELECT ON sellers TO PUBLIC"

    spoiled(monkeypatch, "security_statements", change)
    report = roles_hold(case("marketplace"), DAY)
    assert codes(report) == {"access.more_than_granted"}
    assert {finding.where for finding in report.findings} == {"/roles/1", "/roles/2", "/roles/4"}, told(report)
    assert "can select sellers.payout_account" in told(report)


def test_a_right_that_does_not_reach_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role without the schema has nothing of what it was granted; a later table is not covered without defaults."""

    def change(one: Statement) -> Iterator[str]:
        if one.sql != "GRANT USAGE ON SCHEMA public TO support" and "DEFAULT PRIVILEGES" not in one.sql:
            yield one.sql

    spoiled(monkeypatch, "security_statements", change)
    report = roles_hold(case("marketplace"), DAY)
    assert codes(report) == {"access.less_than_granted"}
    assert {finding.where for finding in report.findings} == {"/roles/0", "/roles/2"}, told(report)
    assert "a table that is made later" in told(report)


OWN = "tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::bigint)"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"using": f"{OWN} OR kind = 'text'"}, "rls.sees_others"),
        ({"using": f"{OWN} OR current_setting('app.tenant_id', true) IS NULL"}, "rls.open_without_setting"),
        ({"using": f"{OWN} OR current_setting('app.tenant_id', true) = ''"}, "rls.open_without_setting"),
        ({"using": OWN, "check": "slot > 0"}, "rls.writes_others"),
        ({"using": f"{OWN} AND slot < 0"}, "rls.hides_too_much"),
        ({"using": OWN, "check": f"{OWN} AND slot < 0"}, "rls.hides_too_much"),
        ({"roles": ["app_ro"]}, ""),
    ],
)
def test_a_policy_that_leaks_is_found(change: dict[str, Any], code: str) -> None:
    """What a policy lets through is seen on rows, whatever its text looks like."""

    def spoil(security: dict[str, Any]) -> None:
        security["policies"][2] |= change

    report = row_policies_hold(case("crm", spoil), DAY)
    assert code in codes(report) if code else not report.findings, told(report)
    assert {finding.where for finding in report.findings} <= {"/policies/2"}
    failed = {verdict.where for verdict in report.verdicts if verdict.status is Status.FAILED}
    assert failed == ({"/policies/2"} if code else set())


def test_a_second_policy_that_undoes_the_first_is_found() -> None:
    """Policies add up, so the leak is told at the table's policies."""

    def spoil(security: dict[str, Any]) -> None:
        security["policies"].append(
            {"name": "deals_in_progress", "table": "deal", "roles": [], "command": "select", "using": "title <> ''"}
        )

    report = row_policies_hold(case("crm", spoil), DAY)
    assert codes(report) == {"rls.sees_others", "rls.open_without_setting"}, told(report)
    failed = {verdict.where for verdict in report.verdicts if verdict.status is Status.FAILED}
    assert failed == {"/policies/5", "/policies/7"}


def test_an_owner_that_is_exempt_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row security that is switched on and not forced does not hold for the owner."""

    def change(one: Statement) -> Iterator[str]:
        if "FORCE ROW LEVEL SECURITY" not in one.sql:
            yield one.sql

    spoiled(monkeypatch, "security_statements", change)
    report = row_policies_hold(case("crm"), DAY)
    assert codes(report) == {"rls.owner_exempt"}, told(report)


def test_a_partition_that_can_be_read_by_its_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights on a partition lead past the policies of its table."""

    def change(one: Statement) -> Iterator[str]:
        yield one.sql
        if one.sql == "ALTER TABLE activity_2026_01 OWNER TO schema_owner":
            yield "GRANT SELECT ON activity_2026_01 TO app_ro"

    spoiled(monkeypatch, "security_statements", change)
    report = row_policies_hold(case("crm"), DAY)
    assert [(finding.code, finding.where) for finding in report.findings] == [("rls.partition_open", "/policies/6")]
    assert "activity_2026_01" in told(report)


def test_a_policy_without_a_setting_is_not_called_passed() -> None:
    """Nobody can be acted as where a policy asks for no setting, and the verdict says so."""

    def spoil(security: dict[str, Any]) -> None:
        security["policies"][5]["using"] = "stage <> 'lost'"

    verdicts = {one.where: one for one in row_policies_hold(case("crm", spoil), DAY).verdicts}
    assert verdicts["/policies/5"].status is Status.INCONCLUSIVE
    assert "no column of its table with a setting" in verdicts["/policies/5"].uncovered


def alone(rights: dict[str, Any], **policy: Any) -> Change:
    """The application's role with these rights on contact alone, where this is the only policy."""

    def change(security: dict[str, Any]) -> None:
        (role,) = (one for one in security["roles"] if one["name"] == "app_rw")
        security["roles"] = [role | {"grants": [{"tables": ["contact"], **rights}]}]
        security["policies"] = [{"name": "own", "table": "contact", "roles": ["app_rw"], "using": OWN, **policy}]
        security["audit"] = security["fields"] = []

    return change


def test_a_role_that_reads_some_columns_is_tried_too() -> None:
    """The columns that tell whose a row is are enough to see that a policy leaks."""
    some = {"privileges": ["select"], "columns": ["id", "tenant_id"]}
    leaks = f"{OWN} OR nullif(current_setting('app.tenant_id', true), '') IS NULL"
    assert codes(row_policies_hold(case("crm", alone(some, using=leaks)), DAY)) == {"rls.open_without_setting"}
    (verdict,) = row_policies_hold(case("crm", alone(some)), DAY).verdicts
    assert verdict.status is Status.PASSED, str(verdict)


@pytest.mark.parametrize("policy", [{}, {"roles": []}, {"command": "delete"}])
def test_a_policy_that_no_role_could_try_is_not_called_passed(policy: dict[str, Any]) -> None:
    """A role that may not read whose a row is says nothing of the policy, and the verdict says so."""
    rights = {"privileges": ["select"], "columns": ["id"]}
    (verdict,) = row_policies_hold(case("crm", alone(rights, **policy)), DAY).verdicts
    assert verdict.status is Status.INCONCLUSIVE
    assert "no role of this policy could be tried" in verdict.uncovered


def test_a_change_that_reaches_no_row_gives_none_away() -> None:
    """Without a policy for updates an update succeeds on no row, and nothing is found."""
    report = row_policies_hold(case("crm", alone({"privileges": ["select", "update"]}, command="select")), DAY)
    assert not report.findings, told(report)
    assert report.verdicts[0].status is Status.PASSED


@pytest.mark.parametrize(
    ("right", "policy"),
    [("update", {"command": "update", "check": "true"}), ("delete", {"table": "activity", "command": "delete"})],
)
def test_a_policy_for_changes_alone_that_leaks_is_found(right: str, policy: dict[str, Any]) -> None:
    """What one may read is right, and what one may change is not: rows of others, or to others."""

    def change(security: dict[str, Any]) -> None:
        alone({"privileges": ["select", right], "tables": [policy.get("table", "contact")]}, **policy)(security)
        security["policies"][0]["using"] = "true" if right == "delete" else OWN
        security["policies"].append(security["policies"][0] | {"name": "see", "command": "select", "using": OWN})
        security["policies"][1].pop("check", None)

    report = row_policies_hold(case("crm", change), DAY)
    assert [(one.code, one.where) for one in report.findings] == [("rls.writes_others", "/policies/0")], told(report)


@pytest.mark.parametrize("verb", ["INSERT", "WITH hit AS (UPDATE", "SELECT"])
def test_what_was_not_decided_is_neither_a_leak_nor_passed(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """A statement that ran out of time leaves its policy open, with the reason."""
    attempt, rights = base_acting.Acting.attempt, ["select", "insert", "update"]

    def slow(
        self: base_acting.Acting, role: str, sql: str, *rest: Any, **named: Any
    ) -> tuple[Outcome, base_acting.Rows]:
        late = Outcome(Answer.UNDECIDED, code="57014", message="it did not end")
        return (late, []) if sql.startswith(verb) else attempt(self, role, sql, *rest, **named)

    monkeypatch.setattr(base_acting.Acting, "attempt", slow)
    report = row_policies_hold(case("crm", alone({"privileges": rights})), DAY)
    assert not report.findings, told(report)
    assert report.verdicts[0].status is Status.INCONCLUSIVE
    assert "as app_rw was not decided: it did not end" in report.verdicts[0].uncovered


@pytest.mark.parametrize(
    ("find", "put", "code"),
    [
        ("AFTER INSERT OR UPDATE OR DELETE ON payments", "AFTER INSERT ON payments", "obligations.not_recorded"),
        ("AFTER INSERT OR UPDATE OR DELETE ON sellers", "AFTER UPDATE ON sellers", "obligations.not_recorded"),
        ("AFTER TRUNCATE ON payments", "BEFORE TRUNCATE ON buyers", "obligations.not_recorded"),
        ("ELSE current_setting('role') END", "ELSE current_user END", "obligations.not_recorded"),
        ("'id', 'payout_account')", "'id', '')", "obligations.record_shows"),
        ("('payments', 2557)", "('payments', 2555)", "obligations.record_not_kept"),
        ("EXIT WHEN audit.purge(most) = 0;", "EXIT WHEN audit.purge(most) > 0;", "obligations.record_not_kept"),
        ("REVOKE audit_owner FROM CURRENT_USER", "GRANT DELETE ON audit.change_log TO app_rw", ""),
        ("ALTER SCHEMA audit OWNER TO audit_owner", "GRANT USAGE ON SCHEMA audit TO app_rw", ""),
    ],
)  # fmt: skip
def test_a_record_with_a_hole_is_found(monkeypatch: pytest.MonkeyPatch, find: str, put: str, code: str) -> None:
    """Each spoiled statement of the record is found by what is then missing, shown or gone."""
    hit: list[str] = []

    def change(one: Statement) -> Iterator[str]:
        hit.extend([one.sql] if find in one.sql else [])
        yield one.sql.replace(find, put)

    spoiled(monkeypatch, "audit_statements", change)
    report = audit_holds(case("marketplace"), DAY)
    assert hit
    assert codes(report) == ({code} if code else set()), told(report)
    assert {finding.where for finding in report.findings} <= {"/audit/0"}


def test_a_record_that_a_role_can_wipe_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights on the schema and on the record together are what it takes, and they are tried as every role."""

    def change(one: Statement) -> Iterator[str]:
        if one.sql.startswith("ALTER SCHEMA audit"):
            yield "GRANT USAGE ON SCHEMA audit TO app_rw"
            yield "GRANT DELETE ON audit.change_log TO app_rw"
        yield one.sql

    spoiled(monkeypatch, "audit_statements", change)
    report = audit_holds(case("marketplace"), DAY)
    assert codes(report) == {"obligations.record_open"}, told(report)
    assert "app_rw can delete from the record" in told(report)


def test_without_an_engine_nothing_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each proof names the reason at its own artefacts, and no other's."""

    def none(*_: Any, **__: Any) -> None:
        raise NoStageError("no engine here")

    for module in (audit_proof,):
        monkeypatch.setattr(module, "stage", none)
    report = audit_holds(case("marketplace"), DAY)
    assert [(one.where, one.status) for one in report.verdicts] == [("/audit/0", Status.NOT_CHECKED)]
    assert report.verdicts[0].uncovered == "no engine here"


def test_a_policy_cannot_leave_its_parentheses() -> None:
    """A hostile expression is a finding, is never run, and is never written into a file."""

    def spoil(security: dict[str, Any]) -> None:
        security["policies"][2]["using"] = "true); DROP TABLE contact; --"

    subject = case("crm", spoil)
    assert codes(expressions(subject)) == {"expressions.not_one"}
    assert {one.status for one in on_engine(subject, run=climb, as_of=DAY).verdicts} == {Status.NOT_CHECKED}
    with pytest.raises(UnsafeSqlError) as caught:
        security_sql(subject.design, as_of=DAY, version=16, title="x")
    assert (caught.value.section, caught.value.where) == ("security", "/policies/2/using")


def test_a_policy_cannot_reach_the_server() -> None:
    """Functions that read files are refused by the allow-list before anything runs."""

    def spoil(security: dict[str, Any]) -> None:
        security["policies"][2]["using"] = f"{OWN} AND pg_read_file('/etc/passwd') <> ''"

    report = on_engine(case("crm", spoil), run=climb, as_of=DAY)
    assert {(finding.code, finding.where) for finding in report.errors} == {("sql.forbidden", "/policies/2")}


@pytest.mark.parametrize(
    ("mode", "settings", "found"),
    [
        ("transaction", "per_session", 1),
        ("transaction", "none", 1),
        ("transaction", "per_transaction", 0),
        ("session", "per_session", 0),
    ],
)
def test_a_pool_that_hands_settings_on_is_found(mode: str, settings: str, found: int) -> None:
    """Policies that read a setting and the pool's way of setting it are held against each other."""
    pool = {
        "tool": "pgbouncer", "mode": mode, "application_servers": 4, "pool_size": 20, "instances": 1,
        "max_client_connections": 500, "session_settings": settings,
    }  # fmt: skip
    subject = case("crm")
    tier = {"name": "small", "cpus": 4, "memory_gb": 16, "storage_gb": 200, "iops": 3000, "usd_month": 340}
    node = {"name": "db", "role": "primary", "region": "eu", "zone": "a", "tier": "small"}
    machines = {
        "deployment": "managed_cloud", "storage": "network_ssd", "tiers": [tier], "nodes": [node], "failover": None,
        "pool": pool, "other_costs": [],
    }  # fmt: skip
    design = DatabaseDesign.model_validate({**subject.design.model_dump(exclude_none=True), "infrastructure": machines})
    report = policies(replace(subject, design=design))
    assert [finding.code for finding in report.findings] == ["rls.setting_leaks"] * found


def psql() -> tuple[str, Any]:
    """A psql and the installation that it comes from."""
    for one in installations():
        if (one.bindir / "psql").exists():
            return str(one.bindir / "psql"), one
    pytest.skip("no psql here")


@pytest.mark.parametrize("name", FILES)
def test_the_scripts_load_one_after_the_other(name: str, tmp_path: Path) -> None:
    """On a server of its own, psql -1 takes schema.sql, security.sql and audit.sql, and a change leaves its row."""
    program, installation = psql()
    subject = case(name)
    major = installation.major
    texts = {
        "schema": schema_sql(subject.design, as_of=DAY, version=major),
        "security": security_sql(subject.design, as_of=DAY, version=major, title="It's\nhostile; \\! true"),
        "audit": audit_sql(subject.design, version=major, title="x"),
    }
    table = next(iter(subject.design.security.recorded)) if subject.design.security else ""
    server = Server(installation)
    try:
        server.administer("CREATE DATABASE target")
        base = [program, "-X", "-q", "-h", str(server.directory), "-U", template.ADMIN, "-d", "target"]
        for part, text in texts.items():
            file = tmp_path / f"{part}.sql"
            file.write_text(text)
            done = subprocess.run(
                [*base, "-1", "-v", "ON_ERROR_STOP=1", "-f", str(file)], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{part}: {done.stderr}"
        asked = f"SELECT count(*) FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND tgname LIKE '%record%'"
        owned = (
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND relowner <> 'schema_owner'::regrole"
        )
        counts = subprocess.run([*base, "-At", "-c", asked, "-c", owned], capture_output=True, text=True, check=True)
        assert counts.stdout.split() == ["2", "0"]
    finally:
        server.stop()


def test_a_view_over_policies_is_filled_and_shown_to_those_who_see_all_rows(tmp_path: Path) -> None:
    """After a refresh it holds the rows of both tenants; a role that policies hold for may not read it."""
    program, installation = psql()
    view = {
        "name": "contacts_by_tenant", "sql": "SELECT tenant_id, count(*) AS contacts FROM contact GROUP BY tenant_id",
        "unique_key": ["tenant_id"], "refresh": "20 1 * * *",
    }  # fmt: skip
    above = {
        "name": "most_contacts",
        "sql": "SELECT max(contacts) AS most FROM contacts_by_tenant",
        "concurrently": False,
    }
    plain = {"name": "tenants", "sql": "SELECT count(*) AS tenants FROM tenant", "concurrently": False}
    views = [view, *({**one, "refresh": "20 2 * * *"} for one in (above, plain))]

    def change(security: dict[str, Any]) -> None:
        reports = {"name": "reports", "purpose": "analytics", "grants": [{"privileges": ["select"]}]}
        security["roles"].append(reports | {"sees_all_rows": True})
        security["policies"] = [one for one in security["policies"] if one["table"] == "contact"]

    design = case("crm", change, views={"views": views}).design
    major = installation.major
    people = "INSERT INTO contact (tenant_id, full_name) VALUES (1, 'a'), (2, 'b')"
    server = Server(installation)
    try:
        server.administer("CREATE DATABASE target")
        base = [program, "-X", "-q", "-At", "-h", str(server.directory), "-U", template.ADMIN, "-d", "target"]

        def ask(*arguments: str, ok: bool = True) -> str:
            done = subprocess.run(
                [*base, "-v", "ON_ERROR_STOP=1", *arguments], capture_output=True, text=True, check=False
            )
            assert (done.returncode == 0) is ok, done.stderr
            return done.stdout.strip() if ok else done.stderr

        for part, text in (
            ("schema", schema_sql(design, as_of=DAY, version=major)),
            ("security", security_sql(design, as_of=DAY, version=major, title="x")),
        ):
            (tmp_path / part).write_text(text)
            ask("-1", "-f", str(tmp_path / part))
        ask("-c", f"SET session_replication_role = replica; {people}")
        for one in design.views.views if design.views else ():
            ask("-c", f"SET ROLE migrator; {refresh_sql(one)}")
        assert (
            ask("-c", "SET ROLE reports; SELECT tenant_id, contacts FROM contacts_by_tenant ORDER BY 1") == "1|1\n2|1"
        )
        assert ask("-c", "SET ROLE reports; SELECT most FROM most_contacts") == "1"
        assert "permission denied" in ask("-c", "SET ROLE app_ro; SELECT 1 FROM contacts_by_tenant", ok=False)
        assert "permission denied" in ask("-c", "SET ROLE app_ro; SELECT 1 FROM most_contacts", ok=False)
        assert ask("-c", "SET ROLE app_ro; SELECT tenants FROM tenants") == "0"
    finally:
        server.stop()


def test_a_new_partition_belongs_to_the_owner_of_its_table() -> None:
    """Whoever runs the job that makes it: a migration then alters the table with all its partitions."""
    subject = case("crm", lifecycle=answer("crm", "lifecycle"))
    security = subject.design.security
    assert security is not None
    with stage(subject, as_of=DAY, sections=("schema", "lifecycle"), roles=True) as ready:
        acting = admit(ready, subject, security, DAY)
        made, rows = ready.sandbox.fetch("SELECT activity_make_partitions(12)")
        assert made.ok and rows[0][0] not in {None, "0"}
        _, owners = ready.sandbox.fetch(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid "
            "WHERE inhparent = 'activity'::regclass"
        )
        assert owners == [("schema_owner",)]
        altered, _ = acting.attempt("migrator", "ALTER TABLE activity ADD COLUMN noted integer")
        assert altered.ok, altered.message


def test_what_no_setting_asks_for_is_owned_up_to() -> None:
    """The log's limit for slow statements meets the engine; what has no setting is not checked, with the reason."""

    def change(security: dict[str, Any]) -> None:
        slow = {"event": "slow_queries", "means": "server_log", "level": "slow", "keep_days": 30}
        security["audit"] = [slow]
        security["in_transit"] = {"minimum_tls": "none"}

    verdicts = {one.where: one for one in access_settings_hold(case("marketplace", change), DAY).verdicts}
    assert verdicts["/audit/0"].status is Status.PASSED
    assert verdicts["/in_transit"].status is Status.NOT_CHECKED
    assert "no setting" in verdicts["/in_transit"].uncovered
