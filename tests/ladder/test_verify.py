"""`dbprompt.verify`: what it promises beyond single verdicts."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.sql.dump import without_data
from dbprompt.checks.sql.sqlglot_parser import Said, opine
from dbprompt.engines.postgres import binaries, installations
from dbprompt.errors import SetupError, TargetError
from dbprompt.evidence import Evidence, Severity, Status, Tier
from dbprompt.ladder import climb, verify

HAS_15 = any(one.major == 15 for one in installations())


def codes(evidence: Evidence) -> list[tuple[str, str]]:
    """Place and code of every error."""
    return [(finding.where, finding.code) for finding in evidence.findings if finding.severity is Severity.ERROR]


def engine_status(evidence: Evidence, number: int) -> list[Status]:
    """What the engine said to one statement."""
    return [v.status for v in evidence.of_artefact(f"/statements/{number}") if v.tier is Tier.ENGINE]


@pytest.mark.parametrize("sql", ["", "  ;; ", "-- SELECT 1", "/* nothing */"])
@pytest.mark.parametrize("dialect", ["postgres", "mysql"])
def test_an_empty_script_fails(sql: str, dialect: str) -> None:
    """Nothing to check is a failure, never a pass."""
    evidence = verify(sql, dialect=dialect)

    assert not evidence.ok
    assert codes(evidence) == [("", "sql.empty")]


def test_every_statement_has_its_own_verdict_and_place() -> None:
    """A broken statement hides neither its neighbours nor where it stands."""
    evidence = verify("CREATE TABLE t (id int);\n  SELEC 1;\nSELECT 'ü', nope\nFROM t;\nSELECT id FROM t")

    assert codes(evidence) == [("/statements/1", "sql.syntax"), ("/statements/2", "engine.undefined_column")]
    assert [finding.message for finding in evidence.findings if "line 2, column 3" in finding.message]
    assert [finding.message for finding in evidence.findings if "line 3, column 13" in finding.message]
    assert engine_status(evidence, 0) == engine_status(evidence, 3) == [Status.PASSED]


def test_one_cause_is_one_finding() -> None:
    """What only lacks an object that failed before is inconclusive, and says which."""
    evidence = verify(
        "CREATE TABLE a (id FOO); CREATE INDEX i ON a (id); SELECT * FROM a; CREATE TABLE b (id int REFERENCES a)"
    )

    assert codes(evidence) == [("/statements/0", "engine.undefined_object")]
    assert [engine_status(evidence, n) for n in (1, 2, 3)] == [[Status.INCONCLUSIVE]] * 3
    assert all("needs a" in v.uncovered for v in evidence.verdicts if v.status is Status.INCONCLUSIVE)


def test_a_missing_extension_is_inconclusive() -> None:
    """An extension that this machine lacks is named and open; the rest is still checked."""
    evidence = verify("CREATE EXTENSION postgis; CREATE TABLE p (at geometry); CREATE TABLE q (id int); SELECT nope")

    assert codes(evidence) == [("/statements/3", "engine.undefined_column")]
    assert engine_status(evidence, 0) == engine_status(evidence, 1) == [Status.INCONCLUSIVE]
    assert engine_status(evidence, 2) == [Status.PASSED]
    assert all("postgis" in v.uncovered for v in evidence.verdicts if v.status is Status.INCONCLUSIVE)


def test_extensions_that_only_a_superuser_may_create() -> None:
    """An untrusted but harmless extension works, in the schema that was asked for, and not before it was created."""
    evidence = verify(
        "CREATE TABLE early (v vector(3)); CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext;"
        "CREATE TABLE late (v ext.vector(3)); CREATE INDEX ON late USING hnsw (v ext.vector_l2_ops)"
    )

    assert codes(evidence) == [("/statements/0", "engine.undefined_object")]
    assert [engine_status(evidence, n) for n in (2, 3, 4)] == [[Status.PASSED]] * 3


def test_roles_live_and_die_with_the_check() -> None:
    """A role made by one script works in it and is unknown to the next."""
    script = (
        "CREATE ROLE app_owner LOGIN PASSWORD 'x' CREATEDB; CREATE TABLE t (id int); ALTER TABLE t OWNER TO app_owner;"
        "ALTER TABLE t ADD COLUMN note text; GRANT SELECT ON t TO app_owner; ALTER ROLE app_owner SET work_mem = '8MB';"
        "CREATE SCHEMA s AUTHORIZATION app_owner; CREATE TABLE s.t (id int)"
    )

    first, second, other = verify(script), verify(script), verify("GRANT app_owner TO app_owner")

    assert first.ok
    assert second.ok
    assert codes(other) == [("/statements/0", "engine.undefined_object")]


def test_a_query_with_parameters_is_prepared() -> None:
    """Parameters are resolved against the tables, and the verdict says that nothing ran."""
    good = verify("CREATE TABLE t (id uuid); SELECT id FROM t WHERE id = $1")
    bad = verify("CREATE TABLE t (id uuid); SELECT id FROM t WHERE nope = $1")

    assert good.ok
    assert "prepared, not run" in good.verdicts[-1].uncovered
    assert codes(bad) == [("/statements/1", "engine.undefined_column")]
    assert "columns of t are id" in bad.findings[0].message


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("(GENERIC_PLAN, COSTS off)", []),
        ("(BUFFFERS)", [("/statements/1", "engine.syntax_error")]),
        ("(ANALYZE, GENERIC_PLAN)", [("/statements/1", "engine.invalid_parameter_value")]),
    ],
)
def test_the_options_of_explain_are_looked_at_under_parameters(options: str, found: list[tuple[str, str]]) -> None:
    """A parse does not look at them, so they are tried over a query without parameters."""
    setup = "CREATE TABLE t (id uuid PRIMARY KEY)"

    assert codes(verify(f"{setup}; EXPLAIN {options} SELECT id FROM t WHERE id = $1")) == found


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("CREATE TABLE t (id DATETIME)", "use timestamptz"),
        ("SELECT ifnull(1, 2)", "use coalesce()"),
        ("CREATE TABLE customers (id int); SELECT * FROM custommers", "did you mean customers"),
        ("CREATE TABLE t (id int AUTO_INCREMENT)", "GENERATED ALWAYS AS IDENTITY"),
        ("CREATE TABLE t (name text); CREATE INDEX ON t USING gin (name)", "gin_trgm_ops"),
        ("CREATE TABLE t (id int); SELECT t.id FROM t AS a", "\"a\". The alias a hides the name t here: write a"),
        ("CREATE TABLE t (id int); SELECT 1 FROM t a, (SELECT a.id) b", "write LATERAL before the subquery"),
        ("SELECT LEN('a')", "use length()"),
        ("CREATE TABLE t (id int, n text); ALTER TABLE t ADD INDEX i (n)", "CREATE INDEX i ON t (...)"),
        ("ALTER SYSTEM SET shared_bufers = '1GB'", "did you mean shared_buffers"),
    ],
)  # fmt: skip
def test_findings_say_what_to_do(sql: str, words: str) -> None:
    """A finding names the right name, type or clause where it is known."""
    message = next(f.message for f in verify(sql).findings if f.severity is Severity.ERROR)

    assert words.lower() in message.lower()


def test_a_setup_is_not_judged_and_has_to_run() -> None:
    """A setup that fails is the caller's error, with the place in the setup."""
    assert {v.where for v in verify("SELECT id FROM t", setup="CREATE TABLE t (id int)").verdicts} == {"/statements/0"}
    for setup in ("CREATE TABLE t (id int); SELECT nope", "CREATE TABLE t (", "COPY t FROM PROGRAM 'x'"):
        with pytest.raises(SetupError, match="/setup/"):
            verify("SELECT 1", setup=setup)


@pytest.mark.parametrize("dialect", ["postgres", "sqlite", "duckdb", "mysql"])
def test_a_byte_order_mark_is_no_part_of_the_text(dialect: str) -> None:
    """An editor's mark at the start of a script or a setup is passed over, and no column is counted for it."""
    evidence = verify("\ufeffSELECT id FROM t", dialect=dialect, setup="\ufeffCREATE TABLE t (id int PRIMARY KEY)")

    assert not [finding for finding in evidence.findings if finding.code.startswith("sql.")]
    assert evidence.ok


@pytest.mark.parametrize("sql", [None, b"SELECT 1"])
def test_what_is_no_text_is_named(sql: object) -> None:
    """The argument and what it should be are in the error."""
    with pytest.raises(TypeError, match="sql has to be a str, not"):
        verify(sql)  # type: ignore[arg-type]


def test_unknown_targets_are_errors() -> None:
    """A dialect or version that means nothing is said so at once."""
    with pytest.raises(TargetError, match="postgres"):
        verify("SELECT 1", dialect="postgress")
    with pytest.raises(TargetError, match="15"):
        verify("SELECT 1", version="latest")


def test_another_major_version_is_owned_up_to() -> None:
    """A pass on another major version than the target's says so."""
    evidence = verify("SELECT 1", version="13.4")

    assert evidence.ok
    assert "instead of 13" in evidence.verdicts[-1].uncovered


@pytest.mark.skipif(not HAS_15, reason="no PostgreSQL 15 on this machine")
def test_the_target_major_decides() -> None:
    """What only a newer major accepts fails on the older one, on an engine of that major."""
    evidence = verify("CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2))", version=15)

    assert evidence.verdicts[-1].checker.startswith("postgresql 15")
    assert evidence.verdicts[-1].status is Status.FAILED


@pytest.mark.parametrize("sql", ["SELECT 1\x00; COPY t TO PROGRAM 'x'", "SELECT '\ud800'", "\\copy t from x"])
def test_text_that_is_no_sql_is_a_finding(sql: str) -> None:
    """NUL characters, broken Unicode and psql commands are findings, not crashes."""
    assert codes(verify(sql)) == [("/statements/0", "sql.syntax")]


@pytest.mark.parametrize("depth", [60, 200, 3_000, 100_000])
def test_deep_nesting_is_never_a_crash(depth: int) -> None:
    """A long chain is checked as deep as it can be read; beyond that it meets no engine and does not pass."""
    evidence = verify("SELECT " + " || ".join(["'a'"] * depth))
    deep = [("/statements/0", "sql.too_deep")]

    assert (
        codes(evidence) in {60: ([],), 200: ([],), 3_000: ([], deep), 100_000: (deep,)}[depth]
    )  # Python 3.13 reads 3,000
    assert evidence.ok is (not codes(evidence))


def test_what_reaches_beyond_the_database_is_not_run_and_not_failed() -> None:
    """A tablespace or a database is parsed, not run, and the evidence says why."""
    evidence = verify("CREATE TABLESPACE fast LOCATION '/mnt/fast'; CREATE DATABASE shop")

    assert {finding.code for finding in evidence.findings} == {"sql.not_run"}
    assert len(evidence.not_proven) >= 2


def test_a_plpgsql_body_is_looked_into() -> None:
    """A table that only a trigger body names, and that never comes, is warned of."""
    body = "BEGIN INSERT INTO {} VALUES (1); RETURN NEW; END"
    function = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ {} $$;"
    function += "CREATE TABLE later (id bigint PRIMARY KEY)"

    wrong, right = (verify(function.format(body.format(name))) for name in ("audit_lgo", "later"))

    assert [finding.code for finding in wrong.findings] == ["plpgsql.undefined_table"]
    assert not right.findings


def test_design_statements_share_a_sandbox_and_queries_are_prepared() -> None:
    """`climb` reports each item at its own place, and holds a slot to the kinds that may stand in it."""
    tables = [
        Statement("/tables/0", "table a", "CREATE TABLE a (id bigint PRIMARY KEY)"),
        Statement("/tables/1", "table b", "CREATE TABLE b (id bigint, at DATETIME)"),
    ]
    queries = [
        Statement("/queries/0", "query q0", "SELECT id FROM a WHERE id = $1", ("bigint",), QUERY_KINDS),
        Statement("/queries/1", "query q1", "SELECT id FROM b WHERE id = $1", ("bigint",), QUERY_KINDS),
        Statement("/queries/2", "query q2", "SELECT id FROM a WHERE id = $1", ("uuid",), QUERY_KINDS),
        Statement("/queries/3", "query q3", "DROP TABLE a", (), QUERY_KINDS),
        Statement("/queries/4", "query q4", "SELECT 1; SELECT 2", (), QUERY_KINDS),
    ]

    report = climb(tables, queries)

    found = {finding.where: finding.code for finding in report.findings}
    assert found == {
        "/tables/1": "engine.undefined_object",
        "/queries/2": "engine.undefined_function",
        "/queries/3": "sql.kind",
        "/queries/4": "sql.many_statements",
    }
    engine = {v.where: v.status for v in report.verdicts if v.tier is Tier.ENGINE}
    assert engine["/queries/0"] is Status.PASSED
    assert engine["/queries/1"] is Status.INCONCLUSIVE


def test_every_rung_speaks_of_every_statement() -> None:
    """Both parsers and the engine have a verdict on each statement, in that order, however long its text is."""
    long = "SELECT " + ", ".join(f"'{number:050}' AS c{number}" for number in range(200))
    refused = "SELECT 1 FOR NO KEY UPDATE SKIP LOCKED NOWAIT FROM"

    report = climb([Statement(f"/{at}", f"s{at}", sql) for at, sql in enumerate(("SELECT 1", long, refused))])

    said = [(verdict.where, verdict.tier) for verdict in report.verdicts]
    rungs = [Tier.PARSER, Tier.VENDOR, Tier.ENGINE]
    expected = [(where, tier) for where in ("/0", "/1") for tier in rungs]
    assert said == [*expected, ("/2", Tier.PARSER), ("/2", Tier.VENDOR), ("/2", Tier.NOTHING)]


@pytest.mark.parametrize("package", ["postgast", "psycopg"])
def test_a_missing_package_is_said_and_never_a_pass(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the grammar or the driver nothing runs, and the evidence says how to get them."""
    from dbprompt.checks.sql import tree

    real = find_spec
    monkeypatch.setattr("dbprompt.engines.postgres.find_spec", lambda name: None if name == package else real(name))
    monkeypatch.setitem(sys.modules, package, None)
    tree._postgast.cache_clear()
    tree.checker.cache_clear()
    try:
        evidence = verify("CREATE TABLE t (id FOO)")
    finally:
        tree._postgast.cache_clear()
        tree.checker.cache_clear()

    assert Tier.ENGINE not in {verdict.tier for verdict in evidence.verdicts}
    assert any("dbprompt[postgres]" in verdict.uncovered for verdict in evidence.not_proven)


def test_the_server_starts_while_the_rest_is_loaded_and_the_rest_is_no_more_than_it_takes() -> None:
    """What takes longest to load is loaded beside the server's start, and what no PostgreSQL script needs never."""
    code = (
        "import sys, dbprompt\nfrom dbprompt.engines.postgres import PostgresEngine\nstart = PostgresEngine.start\n"
        "def loaded(names): return [name for name in names.split() if name in sys.modules]\n"
        "def first(*given):\n    print(loaded('sqlglot psycopg dbprompt.sections'))\n    start(*given)\n"
        "PostgresEngine.start = first\nassert dbprompt.verify('CREATE TABLE t (id int PRIMARY KEY)').ok\n"
        "print(loaded('google.protobuf yaml duckdb sqlite3 anthropic openai'))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.split("\n") == ["[]", "[]", ""]


def test_what_sqlglot_cannot_read_leaves_no_trace_in_its_next_opinion() -> None:
    """Its parser is kept from text to text; one that broke off in the middle says nothing about those after it."""
    broken = ["SELECT 'open", "SELECT (1", "SELECT " + "(" * 3_000 + "1" + ")" * 3_000]
    assert Said.PARSED not in {opine(sql, "postgres").said for sql in broken}

    assert opine("SELECT 1 -- after what was broken", "postgres").said is Said.PARSED
    assert opine("", "postgres").said is Said.EMPTY


def test_a_dump_is_read_past_its_rows() -> None:
    """pg_dump's rows and its restrict lines are no SQL: what stands between them is judged, at its own line."""
    dump = (
        "\\restrict abc\nCREATE TABLE t (id int, note text);\nCOPY t (id, note) FROM stdin;\n"
        "1\tit's; a trap\n2\t\\N\n\\.\n\nCREATE INDEX ON t (nope);\n\\unrestrict abc\n"
    )
    evidence = verify(dump)
    assert [(f.code, f.where) for f in evidence.errors] == [("engine.undefined_column", "/statements/2")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [("DELIMITER ';'", Status.PASSED), ("HEADER match", Status.INCONCLUSIVE)],
)
def test_rows_are_passed_over_whatever_the_options_of_copy(options: str, expected: Status) -> None:
    """A semicolon in quotes ends no statement, and a header that was passed over with the rows is no error."""
    copy = f"COPY t FROM STDIN WITH (FORMAT csv, {options});\nid\n1\n\\.\n"
    evidence = verify(f"CREATE TABLE t (id int PRIMARY KEY);\n{copy}TABLE t")

    assert codes(evidence) == []
    assert engine_status(evidence, 1) == [expected]
    assert engine_status(evidence, 2) == [Status.PASSED]


def test_a_script_full_of_copy_is_read_once() -> None:
    """Hostile text costs no more than its length."""
    began = time.monotonic()
    without_data("\nCOPY t FROM stdin" * 20_000 + ";\n\\")
    without_data("\nCOPY '" * 20_000 + "\\")

    assert time.monotonic() - began < 2


@pytest.mark.parametrize(("target", "taken"), [(13, 15), (14, 15), (15, 15), (16, 18), (18, 18), (19, 18), (None, 18)])
def test_an_absent_version_is_checked_on_the_next_one_above(
    target: int | None, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the fewest features that the target lacks; without one above, the newest is the nearest."""
    here = tuple(binaries.Installation(Path("/none"), version, "system") for version in ("18.6", "15.18"))
    monkeypatch.setattr(binaries, "installations", lambda bindir=None: here)

    assert binaries.nearest(target).major == taken


@pytest.mark.parametrize(
    ("become", "back"),
    [("SET ROLE x", "SET ROLE NONE"), ("SET SESSION AUTHORIZATION x", "RESET SESSION AUTHORIZATION")],
)
def test_rights_of_another_role_are_never_said_to_be_checked(become: str, back: str) -> None:
    """What runs between SET ROLE and its end says that it ran as the owner; a refusal stays one."""
    evidence = verify(f"CREATE ROLE x; CREATE TABLE t (id int); {become}; TABLE t; TABLE none; {back}; TABLE t")

    told = [v.uncovered for n in (3, 6) for v in evidence.of_artefact(f"/statements/{n}") if v.tier is Tier.ENGINE]
    assert told == ["run as the owner, not as x: its rights were not checked", ""]
    assert codes(evidence) == [("/statements/4", "engine.undefined_table")]


def test_a_role_is_made_inside_a_transaction_block_and_goes_with_it() -> None:
    """A block that makes a role and uses it commits whole; one that is rolled back takes its role with it."""
    block = "BEGIN; CREATE ROLE a; CREATE TABLE t (id bigint PRIMARY KEY); GRANT SELECT ON t TO a;"

    assert codes(verify(f"{block} COMMIT; SELECT id FROM t")) == []
    undone = verify(f"{block} ROLLBACK; CREATE TABLE u (id bigint PRIMARY KEY); GRANT SELECT ON u TO a")
    assert codes(undone) == [("/statements/6", "engine.undefined_object")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'r') THEN CREATE ROLE r; END IF; END $$",
         Status.PASSED),
        ("DO $$ BEGIN EXECUTE 'CREATE ROLE r'; END $$", Status.INCONCLUSIVE),
        ("CREATE ROLE a; ALTER ROLE a RENAME TO r", Status.PASSED),
        ("BEGIN; CREATE ROLE a; ALTER ROLE a RENAME TO r; COMMIT", Status.PASSED),
    ],
)  # fmt: skip
def test_a_role_that_a_block_makes_or_that_is_renamed_can_be_used(script: str, expected: Status) -> None:
    """What needs it is run where the block's tree names it, and open where dynamic SQL hides it; never an error."""
    evidence = verify(f"CREATE TABLE t (id bigint PRIMARY KEY); {script}; GRANT SELECT ON t TO r")

    assert codes(evidence) == []
    assert [v.status for v in evidence.verdicts if v.tier is Tier.ENGINE][-1] is expected


def test_what_a_failed_block_takes_with_it_is_not_a_second_error() -> None:
    """A table of a block that failed is missing for that reason."""
    evidence = verify("BEGIN; CREATE TABLE t (id bigint PRIMARY KEY); SELECT nothing FROM t; COMMIT; SELECT id FROM t")

    assert codes(evidence) == [("/statements/2", "engine.undefined_column")]
    assert engine_status(evidence, 4) == [Status.INCONCLUSIVE]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("CREATE EXTENSION pg_stat_statements; SELECT query FROM pg_stat_statements", "does not preload its library"),
        ("SELECT 'a' COLLATE \"iu_CA\"", "operating system's locale"),
    ],
)
def test_limits_of_this_machine_are_no_errors(sql: str, reason: str) -> None:
    """What only this server lacks is inconclusive, with the reason; a collation of any other name is an error."""
    evidence = verify(sql)

    assert codes(evidence) == []
    assert any(reason in v.uncovered for v in evidence.verdicts if v.status is Status.INCONCLUSIVE)
    assert codes(verify("SELECT 'a' COLLATE \"german\"")) == [("/statements/0", "engine.undefined_object")]


def test_a_database_of_another_name_was_not_looked_for() -> None:
    """ALTER DATABASE ... SET is about its setting only, and says so."""
    (verdict,) = (v for v in verify("ALTER DATABASE nope SET work_mem = '1MB'").verdicts if v.tier is Tier.ENGINE)
    assert "whether there is a database nope was not looked for" in verdict.uncovered
