"""Migrations on a real PostgreSQL: what is proven of the answer, and that each proof can fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from answers import ANSWERS, answer

from dbprompt import Brief, DatabaseDesign
from dbprompt.capacity import capacity_of
from dbprompt.checks.migration_files import alembic_problems, flyway_problems, liquibase_problems, plain_problems
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.evidence import Report, Severity, Status, Tier
from dbprompt.proofs import migrations as proof
from dbprompt.proofs.backfills import backfills_resume
from dbprompt.proofs.migration_forms import alembic_says, migration_forms
from dbprompt.proofs.migrations import initial_migration, planned_changes_run
from dbprompt.render.migrations.alembic import alembic_files
from dbprompt.render.migrations.flyway import flyway_files
from dbprompt.render.migrations.initial import reverse
from dbprompt.render.migrations.liquibase import liquibase_changelog
from dbprompt.render.migrations.plain_sql import plain_files
from dbprompt.render.migrations.plan import planned_changes, versioned_steps
from dbprompt.render.migrations.portable import portable
from dbprompt.render.migrations.steps import Step, Versioned
from dbprompt.render.postgres import ddl_statements, literal

DAY = date(2026, 3, 1)
BRIEFS = Path(__file__).parents[1] / "briefs"
# Alembic is an extra; another interpreter that has it can be named.
PYTHON = os.environ.get("DBPROMPT_TEST_ALEMBIC", sys.executable)


def column(name: str, kind: str, **parts: object) -> Mapping[str, object]:
    """A column as plain data."""
    return {"name": name, "type": kind, **parts}


def subject(*changes: Mapping[str, object], case: str = "marketplace", brief: str = "pg_marketplace_orders") -> Subject:
    """The reference answer; with changes, those instead of its own."""
    parts: dict[str, Any] = {name: answer(case, name) for name in ("selection", "schema", "indexes", "migrations")}
    if changes:
        parts["migrations"] |= {"changes": changes}
    of = Brief.load(BRIEFS / f"{brief}.yaml")
    return Subject(DatabaseDesign.model_validate(parts), "migrations", of, capacity_of(of))


def steps_of(of: Subject) -> tuple[Versioned, ...]:
    """All steps of a subject."""
    return versioned_steps(of.design, as_of=DAY, version=15)


def statuses(report: Report) -> dict[str, Status]:
    """Each verdict by its artefact."""
    return {one.artefact: one.status for one in report.verdicts}


HOSTILE = "It's :a ${x} 100%\n--changeset q:1\n--rollback DROP TABLE orders\\:b\t;"
EVERY_KIND = (
    {
        "name": "orders_note",
        "kind": "add_column",
        "table": "orders",
        "new_column": column("note", "text", nullable=True, comment=HOSTILE),
    },
    {
        "name": "orders_token",
        "kind": "add_column",
        "table": "orders",
        "new_column": column("token", "uuid", nullable=True, default={"kind": "random_uuid"}),
    },
    {
        "name": "lines_gift",
        "kind": "add_required_column",
        "table": "order_lines",
        "new_column": column("gift", "boolean", default={"kind": "literal", "value": "false"}),
        "backfill": {"expression": "quantity > 1000"},
    },
    {
        "name": "lines_title",
        "kind": "change_type",
        "table": "order_lines",
        "column": "title_at_sale",
        "new_column": column("title_then", "varchar", length=500),
        "backfill": {"expression": "left(title_at_sale, 500)"},
    },
    {
        "name": "buyers_name",
        "kind": "rename_column",
        "table": "buyers",
        "column": "full_name",
        "new_name": "display_name",
    },
    {"name": "sellers_shop", "kind": "drop_column", "table": "sellers", "column": "shop_name"},
    {
        "name": "orders_note_given",
        "kind": "set_not_null",
        "table": "orders",
        "column": "note",
        "backfill": {"expression": "''"},
    },
    {
        "name": "orders_cap",
        "kind": "add_check",
        "table": "orders",
        "check": {"name": "orders_total_cap", "expression": "total < 1000000000"},
    },
    {
        "name": "orders_seller",
        "kind": "add_column",
        "table": "orders",
        "new_column": column("seller_id", "bigint", nullable=True),
    },
    {
        "name": "orders_seller_key",
        "kind": "add_foreign_key",
        "table": "orders",
        "foreign_key": {
            "columns": ["seller_id"],
            "references": "sellers",
            "referenced_columns": ["id"],
            "on_delete": "restrict",
        },
    },
    {
        "name": "orders_seller_index",
        "kind": "add_index",
        "table": "orders",
        "index": {
            "name": "orders_seller_idx",
            "table": "orders",
            "keys": [{"column": "seller_id"}],
            "purpose": HOSTILE,
        },
    },
    {"name": "orders_seller_no", "kind": "drop_index", "table": "orders", "index_name": "orders_seller_idx"},
    {"name": "status_held", "kind": "add_enum_value", "enum": "order_status", "value": "held; :x"},
)


def test_the_first_migration_goes_up_and_leaves_nothing_when_it_goes_down() -> None:
    """Up makes the whole design on an empty database, and down restores the empty catalogue."""
    report = initial_migration(subject(), DAY)
    assert not report.findings
    assert statuses(report) == {"initial migration": Status.PASSED, "way back of initial migration": Status.PASSED}
    assert {one.tier for one in report.verdicts} == {Tier.ENGINE}


def test_a_forgotten_line_of_the_way_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that down leaves behind fails the verdict on the way back."""
    real = proof.initial_step

    def forgetful(*given: Any, **named: Any) -> Step:
        step = real(*given, **named)
        return replace(step, down=tuple(sql for sql in step.down if sql != "DROP TABLE payments"))

    monkeypatch.setattr(proof, "initial_step", forgetful)
    report = initial_migration(subject(), DAY)
    assert statuses(report)["way back of initial migration"] is Status.FAILED
    assert {one.where for one in report.findings} == {"/tool"} and Severity.ERROR not in {
        one.severity for one in report.findings
    }


def test_the_answer_stops_nobody_at_58_million_rows() -> None:
    """Every statement of the planned change runs, none blocks for long at today's rows, and the way back is exact."""
    report = planned_changes_run(subject(), DAY)
    assert not report.findings, [str(one) for one in report.findings]
    assert set(statuses(report).values()) == {Status.PASSED}
    (shown,) = report.exhibits
    assert "58,000,000 rows" in shown.title and "SET NOT NULL after a validated check" in shown.text


@pytest.mark.parametrize("at", range(len(EVERY_KIND)), ids=lambda at: str(EVERY_KIND[at]["kind"]) + f"_{at}")
def test_every_kind_of_change_runs_and_stops_nobody(at: int) -> None:
    """The recipe of each kind runs on the engine on top of those before it, without an error at today's rows."""
    of = subject(*EVERY_KIND[: at + 1])
    (*_, last) = planned_changes(of.design, as_of=DAY, version=15)
    assert last.steps and not last.obstacles
    report = proof._change(of, last, as_of=DAY, major=15)
    # Whether old rows keep a new rule is theirs to say: a warning to look at them comes with every check.
    ours = (one for one in report.findings if one.code != "migration.depends_on_data")
    told = [str(one) for one in ours if one.severity is not Severity.ADVICE]
    assert not told, told
    name = f"planned change {last.change.name}"
    assert statuses(report)[name] is Status.PASSED
    exact = {"drop_column", "rename_column", "change_type", "add_enum_value"}.isdisjoint({last.change.kind})
    assert statuses(report)[f"way back of {name}"] is (Status.PASSED if exact else Status.INCONCLUSIVE)
    assert {one.where for one in report.verdicts} == {f"/changes/{at}"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "add_check", "check": {"name": "c", "expression": "total > status"}}, "engine."),
        ({"kind": "add_check", "check": {"name": "c", "expression": "total < 0"}}, "migration.depends_on_data"),
    ],
)
def test_what_the_engine_refuses_is_found_at_the_change(change: Mapping[str, object], code: str) -> None:
    """A wrong expression, and a rule that rows may break, name the change and the step."""
    report = planned_changes_run(subject({"name": "x", "table": "orders", **change}), DAY)
    told = [one for one in report.findings if one.code.startswith(code)]
    assert told and all(one.where == "/changes/0" for one in told), [str(one) for one in report.findings]
    assert "step x_" in told[0].message


def test_a_step_that_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a recipe set NOT NULL without the check before it, the scan under its lock would be an error at these rows."""
    of = subject()
    (one,) = planned_changes(of.design, as_of=DAY, version=15)
    hasty = tuple(step for step in one.steps if not step.name.endswith(("_check", "_validate")))
    short = [
        replace(step, up=tuple(sql for sql in step.up if "DROP CONSTRAINT" not in sql))
        if "_not_null" in step.name
        else step
        for step in hasty
    ]
    report = proof._change(of, replace(one, steps=tuple(short)), as_of=DAY, major=15)
    assert "migration.set_not_null_scan" in {finding.code for finding in report.errors}
    assert statuses(report)["planned change orders_promised_delivery"] is Status.FAILED


def test_a_backfill_goes_on_where_it_was_killed() -> None:
    """Cancelled in its second batch and called again it fills every row, none twice, and stops no writer."""
    report = backfills_resume(subject(EVERY_KIND[2]), DAY)
    assert not report.findings
    (verdict,) = report.verdicts
    assert (verdict.status, verdict.tier) == (Status.PASSED, Tier.ENGINE), verdict.uncovered
    (shown,) = report.exhibits
    assert "4 rows had a value" in shown.text  # a batch of three, and one that an older release wrote meanwhile
    assert "0 were written twice" in shown.text and "ROW EXCLUSIVE on order_lines: stops nobody" in shown.text


@pytest.mark.parametrize("expression", ["status + 1", "region", "'tomorrow'"])
def test_a_backfill_that_the_engine_refuses_is_found(expression: str) -> None:
    """An operator, a column or a value that is not there is the change's error, in the engine's words."""
    wrong = {
        "name": "x",
        "kind": "add_required_column",
        "table": "orders",
        "new_column": column("due_on", "date" if "'" not in expression else "integer"),
        "backfill": {"expression": expression},
    }
    report = backfills_resume(subject(wrong), DAY)
    assert [(one.code, one.where) for one in report.errors] == [("changes.backfill_refused", "/changes/0/backfill")]
    assert Status.FAILED in statuses(report).values()


def test_a_backfill_that_leaves_rows_empty_is_found() -> None:
    """An expression that is null for some rows cannot fill a required column."""
    wrong = {
        "name": "lines_origin",
        "kind": "add_required_column",
        "table": "orders",
        "new_column": column("origin", "text"),
        "backfill": {"expression": "nullif(status::text, 'placed')"},
    }
    report = backfills_resume(subject(wrong), DAY)
    assert [(one.code, one.where) for one in report.errors] == [("changes.backfill_incomplete", "/changes/0/backfill")]
    assert "coalesce" in report.errors[0].message


def test_a_backfill_that_does_all_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that forgets how far it came and does not look whether a row is done writes rows twice: the proof sees it."""
    of = subject(EVERY_KIND[2])
    (one,) = planned_changes(of.design, as_of=DAY, version=15)
    first = one.steps[0]
    asks = "IF NOT EXISTS (SELECT FROM lines_gift_progress) THEN"
    forgets = "DELETE FROM lines_gift_progress;\n    IF true THEN"
    naive = tuple(sql.replace(" AND gift IS NULL", "").replace(asks, forgets) for sql in first.up)
    assert naive != first.up
    broken = replace(one, steps=(replace(first, up=naive), *one.steps[1:]))
    monkeypatch.setattr("dbprompt.proofs.backfills.planned_changes", lambda *_, **__: (broken,))
    (verdict,) = backfills_resume(of, DAY).verdicts
    assert verdict.status is Status.FAILED and "rows were written twice" in verdict.uncovered


def test_old_and_new_releases_see_the_same_value_while_a_column_is_renamed() -> None:
    """What either release writes under its name, the other reads under its own."""
    of = subject(EVERY_KIND[4])
    (one,) = planned_changes(of.design, as_of=DAY, version=15)
    table = "CREATE TABLE buyers (id bigint PRIMARY KEY, email text, full_name text NOT NULL)"
    script = [
        "INSERT INTO buyers VALUES (1, 'a', 'old')",
        "INSERT INTO buyers (id, full_name) VALUES (2, 'from the old release')",
        "INSERT INTO buyers (id, display_name) VALUES (3, 'from the new release')",
        "UPDATE buyers SET full_name = 'changed by the old' WHERE id = 3",
        "UPDATE buyers SET display_name = 'changed by the new' WHERE id = 2",
    ]
    with PostgresEngine.of(15).sandbox() as sandbox:
        assert sandbox.run(table).ok and sandbox.run(script[0]).ok
        for sql in (*one.steps[0].up, *script[1:], *one.steps[1].up):
            if not sql.startswith(("SET LOCAL", "COMMENT")):
                outcome = sandbox.run(sql)
                assert outcome.ok, (sql, outcome.message)
        _, rows = sandbox.fetch("SELECT full_name, display_name FROM buyers ORDER BY id")
    assert rows == [(name, name) for name in ("old", "changed by the new", "changed by the old")]


def _replaced(backfill: str, script: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """What fails of a script after the backfill while payments.fee becomes payments.price, and the rows."""
    fee = column("fee", "decimal", precision=12, scale=4, nullable=True)
    changes = (
        {"name": "payments_fee", "kind": "add_column", "table": "payments", "new_column": fee},
        {
            "name": "payments_price",
            "kind": "change_type",
            "table": "payments",
            "column": "fee",
            "new_column": column("price", "decimal", precision=12, scale=2, nullable=True),
            "backfill": {"expression": backfill},
        },
    )
    (_, one) = planned_changes(subject(*changes).design, as_of=DAY, version=15)
    assert not one.obstacles
    refused = []
    with PostgresEngine.of(15).sandbox() as sandbox:
        assert sandbox.run("CREATE TABLE payments (id bigint PRIMARY KEY, fee numeric(12, 4) NOT NULL)").ok
        assert sandbox.run("INSERT INTO payments VALUES (1, 100.1250)").ok
        for sql in (*one.steps[0].up, *one.steps[1].up):
            outcome = sandbox.run(sql)
            assert outcome.ok, (sql, outcome.message)
        for sql in script:
            outcome = sandbox.run(sql)
            if not outcome.ok:
                refused.append(outcome.message)
        _, rows = sandbox.fetch("SELECT id, fee::text, price::text FROM payments ORDER BY id")
    return refused, rows


def test_a_computed_column_follows_and_is_never_guessed_back() -> None:
    """From `fee / 100` nobody can tell the fee: a release that writes the new column alone is refused."""
    refused, rows = _replaced(
        "fee / 100.0",
        [
            "INSERT INTO payments VALUES (2, 250)",
            "INSERT INTO payments VALUES (3, 333, 3.33)",
            "INSERT INTO payments (id, price) VALUES (4, 1.50)",
            "UPDATE payments SET price = 9 WHERE id = 2",
            "UPDATE payments SET fee = 500 WHERE id = 2",
        ],
    )
    assert len(refused) == 2 and all("payments.price follows fee" in told for told in refused)
    assert rows == [("1", "100.1250", "1.00"), ("2", "500.0000", "5.00"), ("3", "333.0000", "3.33")]


def test_a_rounded_copy_does_not_change_the_old_column() -> None:
    """The backfill rounds 100.125 to the new type, and the old column keeps what it had."""
    refused, rows = _replaced("fee", ["INSERT INTO payments (id, price) VALUES (2, 7.25)"])
    assert not refused
    assert rows == [("1", "100.1250", "100.13"), ("2", "7.2500", "7.25")]


def test_a_computed_column_is_released_before_the_old_one_goes() -> None:
    """Between the trigger and the drop stands a step at which releases stop writing the old column."""
    names = [
        [
            step.name.removeprefix(f"{of['name']}_")
            for step in planned_changes(subject(of).design, as_of=DAY, version=15)[0].steps
        ]
        for of in (EVERY_KIND[3], EVERY_KIND[4])
    ]
    assert names[0][-2:] == ["release", "finish"] and "release" not in names[1]


def test_every_form_holds_the_same_statements() -> None:
    """Plain SQL, Flyway and Liquibase, read back as their tools read them, are the steps, whatever a comment says."""
    of = subject(*EVERY_KIND)
    verdicts = {one.artefact.rpartition(" ")[2]: one for one in migration_forms(of, DAY).verdicts}
    for tool in ("SQL", "Flyway", "Liquibase"):
        assert verdicts[tool].status is Status.PASSED, verdicts[tool].uncovered
        assert verdicts[tool].tier is Tier.RULE and "did not run" in verdicts[tool].uncovered


def test_what_is_missing_is_not_checked() -> None:
    """Without Alembic its files get a verdict that says so."""
    said = alembic_says(alembic_files(steps_of(subject())), python="/bin/false")
    assert said.version == ""


def test_alembic_itself_prints_the_same_statements() -> None:
    """Its offline upgrade and downgrade are the steps and nothing else, with what must stand alone outside."""
    steps = steps_of(subject(*EVERY_KIND))
    said = alembic_says(alembic_files(steps), python=PYTHON)
    if not said.version:
        pytest.skip("Alembic is not installed")
    assert not said.failed
    assert not list(alembic_problems(said.upgrade, said.downgrade, steps))
    assert list(alembic_problems(said.upgrade, said.downgrade, steps[:-1]))
    swapped = said.upgrade.replace("COMMIT;\n\nSET lock_timeout", "SET lock_timeout")
    assert swapped != said.upgrade and any(
        "stands in a transaction" in one for one in alembic_problems(swapped, said.downgrade, steps)
    )


def test_wrong_files_are_found() -> None:
    """A name that Flyway passes over, a missing way back, a lost header and a smuggled changeset are problems."""
    steps = steps_of(subject(*EVERY_KIND))
    flyway, log, plain = dict(flyway_files(steps)), liquibase_changelog(steps), dict(plain_files(steps))
    assert not [*flyway_problems(flyway, steps), *liquibase_problems(log, steps), *plain_problems(plain, steps)]
    name = f"V{steps[0].version}__initial.sql"
    one_less = {key: text for key, text in flyway.items() if not key.endswith(".conf")}
    renamed = {key.replace(name, name.replace("__", "_")): text for key, text in flyway.items()}
    assert any("two underscores" in one for one in flyway_problems(renamed, steps))
    assert any("in a transaction" in one for one in flyway_problems(one_less, steps))
    assert any("first line" in one for one in liquibase_problems(log.replace("--liquibase", "-- liquibase", 1), steps))
    smuggled = log.replace("CREATE TABLE buyers", "--changeset evil:1\nDROP TABLE buyers;\nCREATE TABLE buyers", 1)
    assert any("the changesets are" in one for one in liquibase_problems(smuggled, steps))
    split = log.replace("splitStatements:false", "splitStatements:true")
    assert any("cut at its semicolons" in one for one in liquibase_problems(split, steps))
    bracketless = {key: text.replace("BEGIN;", "").replace("COMMIT;", "") for key, text in plain.items()}
    assert any("outside a transaction" in one for one in plain_problems(bracketless, steps))


def test_every_statement_of_the_answers_has_a_way_back() -> None:
    """Whatever the design's own DDL makes, the first migration knows how to take it back."""
    for case in ("marketplace", "crm"):
        parts = {path.stem for path in (ANSWERS / case).glob("*.json") if "." not in path.stem}
        design = DatabaseDesign.model_validate({name: answer(case, name) for name in parts})
        for one in ddl_statements(design, as_of=DAY, version=15):
            assert reverse(one.sql) is not None, one.sql[:80]


def test_a_trigger_goes_before_its_function() -> None:
    """A function that a trigger of the design uses can be dropped on the way back."""
    assert reverse("CREATE TRIGGER a\n    AFTER INSERT OR UPDATE OF b ON c\n    FOR EACH ROW EXECUTE FUNCTION f()") == (
        "DROP TRIGGER a ON c"
    )


def test_an_index_of_a_partitioned_table_is_built_part_by_part() -> None:
    """CONCURRENTLY is refused there; the parts are built and attached one by one, and the whole is valid in the end."""
    change = {
        "name": "activity_kind",
        "kind": "add_index",
        "table": "activity",
        "index": {
            "name": "activity_kind_idx",
            "table": "activity",
            "keys": [{"column": "tenant_id"}, {"column": "kind"}],
        },
    }
    report = planned_changes_run(subject(change, case="crm", brief="pg_crm_multitenant"), DAY)
    assert not [one for one in report.findings if one.severity is not Severity.ADVICE], report.findings
    assert set(statuses(report).values()) == {Status.PASSED}


@pytest.mark.parametrize("text", [HOSTILE, "\\\\:a\\", "a\nb\rc\td", "--x/*y*/", "${a}$b$:c 12:30"])
def test_portable_literals_are_the_same_text_to_postgres(text: str) -> None:
    """What is written with escapes for the tools is, to the engine, what it was."""
    plain = "'" + text.replace("'", "''") + "'"
    with PostgresEngine.of(15).sandbox() as sandbox:
        for sql in (plain, literal(text)):
            outcome, rows = sandbox.fetch(f"SELECT {portable(sql)} = {plain}")
            assert outcome.ok and rows == [("t",)], (sql, portable(sql))
