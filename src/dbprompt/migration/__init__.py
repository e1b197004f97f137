"""The proof of a migration: what each statement locks, rewrites and reads, what becomes of the rows, and the way back.

>>> evidence = verify_migration(
...     "CREATE TABLE orders (id bigint PRIMARY KEY, status text)",
...     "CREATE INDEX orders_status ON orders (status)",
...     rows={"orders": 58_000_000},
... )
>>> evidence.steps[0].strongest.mode.words, evidence.steps[0].blocks
('SHARE', 'writes')
>>> evidence.errors[0].code
'migration.blocking_index'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dbprompt.checks.settings import RuleSettings
from dbprompt.checks.sql.grammar import GrammarRung
from dbprompt.checks.sql.grammar import Step as Climbed
from dbprompt.checks.sql.setup import parse_setup
from dbprompt.engines.base import Limits
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.errors import MissingExtraError, SetupError, TargetError
from dbprompt.evidence import Finding, Severity, Status, Tier, Verdict
from dbprompt.migration.evidence import RULES, MigrationEvidence
from dbprompt.migration.trial import Trial

__all__ = ["MigrationEvidence", "verify_migration"]


def verify_migration(
    before: str,
    up: str,
    down: str | None = None,
    *,
    rows: Mapping[str, int] | None = None,
    version: int | str | None = None,
    losing: Iterable[str] = (),
    limits: Limits | None = None,
    ignore: Iterable[str] = (),
    severity: Mapping[str, str] | None = None,
) -> MigrationEvidence:
    """Runs a migration on a real PostgreSQL, watches every statement, and judges what it would do to a live database.

    Args:
        before: SQL of the schema as it stands. It is not judged.
        up: the migration, as a script.
        down: the script that undoes it.
        rows: how many rows the tables really have, `{"orders": 58_000_000}`. Without it no time can be reckoned.
        version: major version of the server that it is for.
        losing: tables and columns whose data is meant to go, `["orders.legacy_status"]`.
        limits: what the sandbox may use.
        ignore: rules that do not count, by id (`migration.no_down`) or family; `dbprompt rules migration` lists them.
        severity: rules that weigh something else than usual.

    Raises:
        RuleError: `ignore` or `severity` name a rule that there is not.
        SetupError: `before` does not run, or `rows` or `losing` do not fit it.
        TargetError: no such version.
        EngineError: there is no PostgreSQL here, or it failed by itself.
        MissingExtraError: a package is not installed.
    """
    settings = RuleSettings.of(ignore, severity)
    rung = GrammarRung()
    if not rung.available:
        raise MissingExtraError("postgast", "postgres")
    for name, count in (rows or {}).items():
        if count < 0:
            raise SetupError(f"`rows` gives {name} {count} rows: give how many it really has, 0 or more.")
    trial = Trial(
        setup=parse_setup(rung, before, root="/before"),
        up=_climb(rung, up, "/up"),
        down=None if down is None else _climb(rung, down, "/down"),
        rows=dict(rows or {}),
        losing=frozenset(name.removeprefix("public.") for name in losing),
        engine=PostgresEngine.of(_major(version)),
        target=_major(version),
        limits=limits or Limits(),
    )
    if not trial.up:
        finding = Finding("sql.empty", Severity.ERROR, "/up", "There is no statement in it: nothing to migrate.")
        return MigrationEvidence((finding,), (Verdict("up", "/up", Status.FAILED, Tier.RULE, RULES),))
    return settings.over(trial.run())


def _climb(rung: GrammarRung, sql: str, root: str) -> tuple[Climbed, ...]:
    statements = rung.split(sql)
    return tuple(rung.climb(replace(one, where=f"{root}/{number}")) for number, one in enumerate(statements))


def _major(version: int | str | None) -> int | None:
    if version is None:
        return None
    text = str(version).partition(".")[0]
    if not text.isdecimal():
        raise TargetError(f"There is no version {version!r}; give a major version such as 15.")
    return int(text)
