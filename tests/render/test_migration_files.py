"""Migration files: deterministic, the same statements in every form, and text that stays text."""

from __future__ import annotations

import ast
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from answers import answer

from dbprompt import Brief, DatabaseDesign
from dbprompt.capacity import capacity_of
from dbprompt.render.background import Background
from dbprompt.render.migrations.chapter import migrations_chapter
from dbprompt.render.migrations.files import migration_files
from dbprompt.render.migrations.plan import planned_changes
from dbprompt.render.migrations.portable import portable

DAY = date(2026, 3, 1)
HOSTILE = (
    '\'; DROP TABLE orders; --\n--changeset evil:1\n--rollback DROP TABLE orders\n"""; import os\n${user} :id | <b>'
)


def background() -> Background:
    """What is known beside the reference design."""
    brief = Brief.load(Path(__file__).parents[1] / "briefs/pg_marketplace_orders.yaml")
    return Background(brief, capacity_of(brief), "authored", "none", (), DAY, 15)


def design(**migrations: Any) -> DatabaseDesign:
    """The reference design with other migrations."""
    parts = {name: answer("marketplace", name) for name in ("schema", "indexes", "migrations")}
    parts["migrations"] |= migrations
    return DatabaseDesign.model_validate(parts)


@pytest.fixture(scope="module")
def hostile() -> DatabaseDesign:
    """Words, comments and literals that try to leave their place in each format."""
    parts = {name: answer("marketplace", name) for name in ("schema", "indexes", "migrations")}
    parts["schema"]["tables"][0]["comment"] = HOSTILE
    change = parts["migrations"]["changes"][0]
    change["new_column"]["comment"] = change["reason"] = parts["migrations"]["testing"] = HOSTILE
    return DatabaseDesign.model_validate(parts)


def test_files_are_the_same_every_time_and_lie_where_they_are_looked_for() -> None:
    """The same design and day give the same files, in four forms and a script for the backfill."""
    files = migration_files(design(), background())
    assert files == migration_files(design(), background())
    assert {name.split("/")[1] for name in files} == {
        "plain",
        "alembic",
        "flyway",
        "liquibase",
        "backfill_orders_promised_delivery_on.sql",
    }
    assert "migrations/flyway/V20260301000100__initial.sql" in files
    counted = migration_files(design(versioning="sequence"), background())
    assert "migrations/plain/0001_initial.up.sql" in counted and "migrations/plain/0001_initial.down.sql" in counted


def test_only_what_stands_alone_is_outside_a_transaction() -> None:
    """CONCURRENTLY has no transaction around it in any form, and the first migration has one."""
    index = {"name": "orders_when_idx", "table": "orders", "keys": [{"column": "created_at"}]}
    files = migration_files(
        design(
            changes=[{"name": "when", "kind": "add_index", "table": "orders", "index": index}], versioning="sequence"
        ),
        background(),
    )
    assert files["migrations/flyway/V0002__when_build.sql.conf"] == "executeInTransaction=false\n"
    assert "migrations/flyway/V0001__initial.sql.conf" not in files
    assert "BEGIN;" not in files["migrations/plain/0002_when_build.up.sql"]
    assert "autocommit_block" in files["migrations/alembic/versions/0002_when_build.py"]
    assert "0002_when_build runInTransaction:false" in files["migrations/liquibase/changelog.sql"]
    assert "DROP INDEX CONCURRENTLY IF EXISTS orders_when_idx" in files["migrations/plain/0002_when_build.up.sql"]


def test_words_stay_words_in_every_form(hostile: DatabaseDesign) -> None:
    """No line of a comment becomes a statement, a header or code."""
    files = migration_files(hostile, background())
    log = files["migrations/liquibase/changelog.sql"]
    assert "\n--changeset evil" not in log and "${user}" not in log
    for name, text in files.items():
        lines = text.splitlines()
        assert not any(line.startswith(("DROP TABLE orders; --", "--changeset evil")) for line in lines), name
        if name.endswith(".py") and "versions" in name:
            made = {type(node) for node in ast.parse(text).body}
            assert made == {ast.Expr, ast.ImportFrom, ast.Assign, ast.FunctionDef}, name
            calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
            assert calls <= {"op.execute", "op.get_context().autocommit_block", "op.get_context"}, name
    assert "<b>" not in "\n".join(migrations_chapter(hostile, background()))


def test_a_body_cannot_be_closed_from_inside() -> None:
    """An expression that holds the quotes of its own body gets a body with others."""
    parts = answer("marketplace", "migrations")
    parts["changes"][0]["backfill"]["expression"] = "'$backfill$; DROP TABLE orders; $fill$'::date"
    (one,) = planned_changes(design(**parts), as_of=DAY, version=15)
    (procedure,) = [sql for sql in one.steps[0].up if sql.startswith("CREATE PROCEDURE")]
    (function,) = [sql for sql in one.steps[0].up if sql.startswith("CREATE FUNCTION")]
    assert procedure.endswith("\n$backfill_$") and function.endswith("\n$fill_$")


@pytest.mark.parametrize(
    ("sql", "same"),
    [
        ("SELECT 'a:b 12:30', '2026-01-01 00:00+00'", "SELECT 'a:b 12:30', '2026-01-01 00:00+00'"),
        ("SELECT ':a', x::text", r"SELECT E'\x3aa', x::text"),
        (r"SELECT '^\d:x'", r"SELECT E'^\x5cd:x'"),
        (r"SELECT E'it\'s \\ :a'", r"SELECT E'it\'s \x5c \x3aa'"),
        ("SELECT 1 -- gone\n, 2 /* and /* this */ too */", "SELECT 1 \n, 2"),
        ('SELECT "a--b"', 'SELECT "a--b"'),
    ],
)
def test_portable_text_is_the_same_text(sql: str, same: str) -> None:
    """Only what a tool would read as its own is written otherwise."""
    assert portable(sql) == same


def test_the_chapter_says_what_stands_against_a_change() -> None:
    """A change that cannot be written is in the document with its reason, and no file of it is made."""
    broken = design(changes=[{"name": "gone", "kind": "drop_column", "table": "orders", "column": "buyer_id"}])
    text = "\n".join(migrations_chapter(broken, background()))
    assert "No step was written" in text and "foreign key to buyers" in text
    assert not any("gone" in name for name in migration_files(broken, background()))


def test_the_chapter_computes_how_long_a_backfill_takes() -> None:
    """58 million rows, 5,000 at a time with 50 ms between: 580 s of changes and 580 s of pauses."""
    text = "\n".join(migrations_chapter(design(), background()))
    assert "about 19 minutes: 58,000,000 rows at 100,000 a second, and 11,600 batches with 50 ms after each" in text
