"""Each check kind has a design that passes it, designs that fail it, and a damage that turns nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scorer_cases import AS_OF, BRIEFS, Damage, brief, damages, design, expectations, names, scores, table

from dbprompt.brief import Brief
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.errors import BriefError, EngineUnavailableError, TargetError
from dbprompt.evals.cases import load_case
from dbprompt.evals.expectations import SHAPES
from dbprompt.evals.scorers import NOT_YET, SCORED, migration, score, score_all, sections_of
from dbprompt.evals.scorers.base_conditions import kinds_of
from dbprompt.evals.scorers.migration import Reading
from dbprompt.evidence import Evidence, Status, Tier, Verdict
from dbprompt.prompts.from_brief import brief_variables
from dbprompt.render.migrations.steps import Step
from dbprompt.sections import DatabaseDesign

ALL_BRIEFS = sorted((Path(__file__).parents[1] / "briefs").glob("*.yaml"))


def _all_damages() -> list[Any]:
    return [pytest.param(one, id=f"{one.base}: {one.name}") for name in names() for one in damages(name)]


@pytest.mark.parametrize("name", names())
def test_a_sound_design_meets_every_expectation_of_its_brief(name: str) -> None:
    """No scorer has a word against a design that does what its brief expects."""
    failed = [str(one) for one in scores(name, {}, {}) if not one.passed]
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("damage", _all_damages())
def test_a_damage_turns_what_it_is_about_and_nothing_else(damage: Damage) -> None:
    """Damaged in one way, a design fails the expectations about that way, and no others."""
    found = damage.scores()
    assert {one.id for one in found if not one.passed} == set(damage.turns), "\n".join(map(str, found))
    assert all(one.reason for one in found)


def test_every_kind_can_pass_and_fail_and_is_told_from_the_others() -> None:
    """A kind that passes everything, or only fails together with another, cannot be added."""
    poor = [row for row in table() if row.passes < 1 or row.fails < 2 or row.alone < 1]
    assert not poor, poor


@pytest.mark.parametrize("name", names())
def test_nothing_to_look_at_never_passes(name: str) -> None:
    """A design without any section meets no expectation."""
    found = score_all(expectations(name), DatabaseDesign(), brief(name, {}), as_of=AS_OF)
    assert not [str(one) for one in found if one.passed]


@pytest.mark.parametrize("name", names())
def test_a_section_that_is_not_there_is_no_verdict(name: str) -> None:
    """Without a section, an expectation is met all the same or says that it lacks it; what it may lack it declares."""
    whole = design(name, {})
    for one in expectations(name):
        if one.check in {"planner_uses_index", "dialect_valid"}:  # they need an engine
            continue
        needed = sections_of(one)
        assert score(one, whole.only(needed), brief(name, {}), as_of=AS_OF).passed
        for section in needed:
            found = score(one, whole.without(section), brief(name, {}), as_of=AS_OF)
            assert found.passed or found.lacks in needed, str(found)


@pytest.mark.parametrize(
    ("name", "lacked"),
    [
        ("marketplace", {"few_indexes", "status_index", "every_fk_indexed"}),
        ("crm", {"tenant_first"}),
    ],
)
def test_without_its_indexes_a_design_is_not_judged_by_them(name: str, lacked: set[str]) -> None:
    """What keys alone do not serve is neither met nor missed while nobody asked for indexes."""
    bare = design(name, {}).without("indexes")
    kinds = [one for one in expectations(name) if one.check not in {"planner_uses_index", "dialect_valid"}]
    assert lacked <= {one.id for one in score_all(kinds, bare, brief(name, {}), as_of=AS_OF) if one.lacks == "indexes"}


@pytest.mark.parametrize("name", names())
def test_a_place_that_a_score_names_is_there(name: str) -> None:
    """Whoever follows a score's pointers finds what it looked at."""
    made = design(name, {}).model_dump(mode="json")
    for one in scores(name, {}, {}):
        assert one.where
        for pointer in one.where:
            here: Any = made
            for part in pointer.split("/")[1:]:
                here = here[int(part)] if isinstance(here, list) else here[part]


@pytest.mark.parametrize("path", ALL_BRIEFS, ids=lambda path: path.stem)
def test_a_kind_of_another_engine_is_an_error_that_names_it(path: Path) -> None:
    """Every expectation of every brief is read; what cannot be scored yet is never a pass."""
    case = load_case(path)
    for one in case.expectations:
        if one.check in NOT_YET:
            with pytest.raises(TargetError, match=one.check):
                score(one, DatabaseDesign(), case.brief)
        else:
            assert one.check in SCORED


def test_the_suite_has_no_kind_that_cannot_be_scored() -> None:
    """The briefs of the suite can be scored from end to end."""
    assert {one.check for path in BRIEFS.glob("*.yaml") for one in load_case(path).expectations} <= SCORED
    assert len(SHAPES) == len(SCORED) + len(NOT_YET)


@pytest.mark.parametrize("path", ALL_BRIEFS, ids=lambda path: path.stem)
def test_expectations_reach_no_brief_and_no_prompt(path: Path) -> None:
    """What an answer is scored by is in no brief, and a prompt is filled from nothing else."""
    case = load_case(path)
    customer = path.read_text(encoding="utf-8").partition("\nexpectations:")[0]
    secrets = [one for one in (*(e.why for e in case.expectations), *case.weak_design) if one not in customer]
    shown = case.brief.model_dump_json() + repr(brief_variables(case.brief))
    assert case.brief == Brief.load(path) and case.brief.app_name in shown
    assert len(secrets) > 8 and not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("{id: a, check: moneyexact, level: must, why: x}", "did you mean 'money_exact'"),
        ("{id: a, check: unique, entity: order, level: must, why: x}", "attributes_all is missing: add it"),
        ("{id: a, check: fk_indexed, entity: order, level: must, why: x}", "(id a).entity: no such key"),
        ("{id: a, check: denormal_sync, entity: oder, attribute: total, level: must, why: x}", "'oder': names no ent"),
        ("{id: a, check: denormal_sync, entity: order, attribute: totl, level: must, why: x}", "'totl': is no attr"),
        ("{id: a, check: bounded, queries_all: [nothing], level: must, why: x}", "'nothing': names no query"),
        ("{id: a, check: money_exact, level: could, why: x}", "write 'must' or 'should'"),
        ("{id: a, check: column_absent, patterns_all: ['('], level: must, why: x}", "no regular expression"),
        ("{id: a, check: retention, entity: order, by_any: [ttl], level: must, why: x}", "max_days, min_days or both"),
        ("{id: money, check: money_exact, level: must, why: x}", "this id is given twice"),
    ],
)  # fmt: skip
def test_a_wrong_expectation_is_told_with_file_id_and_fix(tmp_path: Path, wrong: str, says: str) -> None:
    """A wrong check, argument or name is one error that names the file, the expectation and what to write."""
    text = (BRIEFS / "pg_marketplace_orders.yaml").read_text(encoding="utf-8")
    file = tmp_path / "case.yaml"
    file.write_text(text.replace("weak_design:", f"  - {wrong}\nweak_design:"), encoding="utf-8")
    with pytest.raises(BriefError) as told:
        load_case(file)
    assert str(file) in str(told.value) and "(id " in str(told.value) and says in str(told.value), told.value


@pytest.mark.parametrize(
    ("check", "kinds"),
    [
        ("stock >= 0", "non_negative"),
        ("0 <= stock", "non_negative"),
        ("stock > -1", "non_negative"),
        ("stock > -2", ""),
        ("stock IS NULL OR stock > 0", "non_negative positive"),
        ("stock > 0 OR reserved", ""),
        ("stock >= 0::numeric AND stock < 100", "non_negative range"),
        ("stock BETWEEN -5 AND 5", "range"),
        ("stock IN (1, 2)", "enum"),
        ("stock = 1 OR stock = 2", "enum non_negative positive range"),
        ("reserved + 1 < stock", "cross_column"),
        ("NOT stock < 0", ""),
        ("reserved >= 0", ""),
        ("stock >= 0); DROP TABLE x; --", ""),
    ],
)
def test_a_check_says_what_it_says_and_no_more(check: str, kinds: str) -> None:
    """A CHECK counts for what holds in every row, however it is written."""
    assert kinds_of(check, "stock", whole=True) == set(kinds.split())


@pytest.mark.parametrize(
    ("script", "does"),
    [
        (["CREATE INDEX i ON orders (a)"], "blocking_index"),
        (["CREATE INDEX CONCURRENTLY i ON orders (a)"], "concurrent_index"),
        (["CREATE TABLE t (a int)", "CREATE INDEX i ON t (a)"], ""),
        (["ALTER TABLE orders ADD CONSTRAINT u UNIQUE (a)"], "blocking_index"),
        (["ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX i"], ""),
        (["ALTER TABLE orders ALTER COLUMN a SET NOT NULL"], "set_not_null_full_scan"),
        (
            [
                "SET LOCAL lock_timeout = '2s'",
                "ALTER TABLE orders ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID",
                "ALTER TABLE orders VALIDATE CONSTRAINT c",
                "ALTER TABLE orders ALTER COLUMN a SET NOT NULL",
            ],
            "lock_timeout not_valid_then_validate",
        ),
        (
            [
                "ALTER TABLE orders ADD CONSTRAINT c CHECK (b IS NOT NULL) NOT VALID",
                "ALTER TABLE orders VALIDATE CONSTRAINT c",
                "ALTER TABLE orders ALTER COLUMN a SET NOT NULL",
            ],
            "not_valid_then_validate set_not_null_full_scan",
        ),
        (["ALTER TABLE orders ALTER COLUMN a TYPE bigint"], "table_rewrite"),
        (["ALTER TABLE orders ADD COLUMN a uuid DEFAULT gen_random_uuid()"], "table_rewrite"),
        (["ALTER TABLE orders ADD COLUMN a bigint GENERATED ALWAYS AS IDENTITY"], "table_rewrite"),
        (["ALTER TABLE orders ADD COLUMN a bigserial"], "table_rewrite"),
        (["ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT now()"], ""),
        (["ALTER TABLE orders DROP COLUMN a"], "drop_without_deprecation"),
        (["DROP TABLE orders"], "drop_without_deprecation"),
        (["ALTER TABLE orders RENAME COLUMN a TO b"], "drop_without_deprecation"),
        (["VACUUM FULL orders"], "table_rewrite"),
        (["REINDEX TABLE orders"], "blocking_index"),
        (["REINDEX TABLE CONCURRENTLY orders"], ""),
    ],
)
def test_a_migration_does_what_its_statements_do(script: list[str], does: str) -> None:
    """What is safe and what is not is read out of the statements and their order."""
    reading = Reading()
    for sql in script:
        reading.read(sql)
    assert reading.does == set(does.split())


def test_an_index_of_a_partitioned_table_alone_holds_nobody_up() -> None:
    """ON ONLY a partitioned table builds nothing; without ONLY, or ON ONLY a table with rows, writers wait."""
    found = Reading(frozenset({"events"}))
    found.read("CREATE INDEX i ON ONLY events (at)")
    assert found.does == set()
    for blocking in ("CREATE INDEX i ON events (at)", "CREATE INDEX i ON ONLY orders (at)"):
        found = Reading(frozenset({"events"}))
        found.read(blocking)
        assert found.does == {"blocking_index"}


def test_a_script_that_cannot_be_read_is_not_called_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement of which nobody knows what it does fails the expectation, and is shown."""
    broken = Step("broken", "expand", ("CREATE INDEX i ON t (a) garbage",), (), True, "It is broken.")
    whole = migration.planned_changes
    monkeypatch.setattr(
        migration,
        "planned_changes",
        lambda *args, **options: [replace(one, steps=(*one.steps, broken)) for one in whole(*args, **options)],
    )
    [safe] = [one for one in expectations("marketplace") if one.check == "migration_safe"]
    found = score(safe, design("marketplace", {}), brief("marketplace", {}), as_of=AS_OF)
    assert not found.passed and "cannot be read: 'CREATE INDEX i ON t (a) garbage'" in found.reason


def _evidence(name: str, *, leave_out: str = "", fail: str = "") -> Evidence:
    """An engine's verdict of each table, enum and index of a design."""
    made = design(name, {})
    assert made.schema is not None and made.indexes is not None
    places = [f"/schema/tables/{at}" for at in range(len(made.schema.tables))]
    places += [f"/schema/enums/{at}" for at in range(len(made.schema.enums))]
    places += [f"/indexes/indexes/{at}" for at in range(len(made.indexes.indexes))]
    return Evidence(
        verdicts=tuple(
            Verdict("it", where, Status.FAILED if where == fail else Status.PASSED, Tier.ENGINE, "postgresql 18")
            for where in places
            if where != leave_out
        )
    )


@pytest.mark.parametrize(
    ("evidence", "passed"),
    [
        (_evidence("wallet"), True),
        (_evidence("wallet", fail="/schema/tables/1"), False),
        (_evidence("wallet", leave_out="/indexes/indexes/0"), False),
        (Evidence(), False),
    ],
)
def test_evidence_is_read_before_the_ddl_is_run_again(evidence: Evidence, passed: bool) -> None:
    """What an engine said of every artefact decides; an artefact that nobody ran is not valid by silence."""
    [dialect] = [one for one in expectations("wallet") if one.check == "dialect_valid"]
    found = score(dialect, design("wallet", {}), brief("wallet", {}), evidence, as_of=AS_OF)
    assert found.passed is passed


def test_no_engine_is_an_error_and_not_a_failed_expectation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that could not be asked for says nothing of the design."""

    def nothing_here(version: int | None) -> None:
        raise EngineUnavailableError("There is no PostgreSQL here.")

    monkeypatch.setattr(PostgresEngine, "of", nothing_here)
    [plan] = [one for one in expectations("marketplace") if one.check == "planner_uses_index"]
    with pytest.raises(EngineUnavailableError):
        score(plan, design("marketplace", {}), brief("marketplace", {}), as_of=AS_OF)
