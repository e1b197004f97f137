"""What a statement does to a database while it runs: its locks, its rewrites, its scans, seen on the engine itself.

Each statement runs in a transaction that is held open until a second, superuser connection has read `pg_locks`. What
the transaction did to relations is asked in its own session, because nobody else sees it before the commit. Every name
in that question is qualified: nothing that was planted in the sandbox answers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.onlooker import Onlooker
from dbprompt.engines.postgres.sandbox import PostgresSandbox

__all__ = ["UNSET_LOCK_TIMEOUT", "LockMode", "Observation", "Observer", "Relation", "Relations", "Setting"]

# How a session's own lock_timeout is told from the sandbox's: nobody writes this one.
UNSET_LOCK_TIMEOUT = "1999ms"
_OUTSIDE_ONLY = {"25001", "2D000"}  # cannot run inside a transaction block; ends a transaction of its own
_LOCK_TIMED_OUT = "55P03"
_STEP = "dbprompt_step"
_FLUSH = "SELECT pg_catalog.pg_stat_force_next_flush()"
_FIRST_WITH_FLUSH = 15
_LOOK = """
SELECT c.oid, n.nspname, c.relname, c.relkind, pg_catalog.pg_relation_filenode(c.oid), i.indrelid,
       pg_catalog.pg_stat_get_numscans(c.oid), pg_catalog.pg_stat_get_xact_numscans(c.oid),
       pg_catalog.pg_stat_get_tuples_updated(c.oid), pg_catalog.pg_stat_get_xact_tuples_updated(c.oid),
       pg_catalog.pg_stat_get_tuples_deleted(c.oid), pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid
WHERE c.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
"""
_LOCKS = """
SELECT relation, mode FROM pg_locks WHERE locktype = 'relation' AND granted AND pid = $1::int AND relation >= 16384
"""


class LockMode(IntEnum):
    """PostgreSQL's table locks, weakest first."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    @classmethod
    def of(cls, name: str) -> LockMode:
        """`AccessExclusiveLock` as `pg_locks` writes it."""
        return _MODES[name]

    @property
    def words(self) -> str:
        """As the PostgreSQL documentation writes it: `ACCESS EXCLUSIVE`."""
        return self.name.replace("_", " ")

    @property
    def blocks_reads(self) -> bool:
        """Whether a plain SELECT waits for it."""
        return self is LockMode.ACCESS_EXCLUSIVE

    @property
    def blocks_writes(self) -> bool:
        """Whether INSERT, UPDATE and DELETE wait for it."""
        return self >= LockMode.SHARE


_MODES = {"".join(mode.name.title().split("_")) + "Lock": mode for mode in LockMode}


@dataclass(frozen=True, slots=True)
class Relation:
    """One table, index, view or sequence at one moment.

    Args:
        name: without its schema if that is `public`.
        kind: PostgreSQL's letter: r table, p partitioned table, i or I index, m materialised view, v view, S sequence.
        file: number of the file that holds it; a rewrite gives it another one.
        table: the table that an index is on.
        scans: how often it was read from end to end.
        changed: rows updated or deleted.
    """

    name: str
    kind: str
    file: str | None
    table: int | None
    scans: int
    changed: int


Relations = Mapping[int, Relation]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a statement stands when its turn comes.

    Args:
        in_block: inside a transaction block that the script opened.
        lock_timeout: whether the script has set one.
    """

    in_block: bool
    lock_timeout: bool


@dataclass(frozen=True, slots=True)
class Observation:
    """What one statement did.

    Args:
        outcome: the engine's answer.
        setting: where it stood.
        locks: the strongest lock that its transaction held on each relation after it.
        before: all relations before it, and `after`.
        in_transaction: whether it may run inside a transaction block; None if it failed before that was seen.
        waits_for_writers: it was seen to wait for a transaction that held nothing but a writer's lock.
    """

    outcome: Outcome
    setting: Setting
    locks: Mapping[int, LockMode]
    before: Relations
    after: Relations
    in_transaction: bool | None = True
    waits_for_writers: bool = False


class Observer:
    """Runs statements in a sandbox, and sees what they do. A failed one leaves its transaction block usable.

    Args:
        sandbox: where they run.
        watching: whether locks and files are looked at; without it only the engine's answers are had.
    """

    def __init__(self, sandbox: PostgresSandbox, *, watching: bool = True) -> None:
        self._sandbox = sandbox
        self._watching = watching
        sandbox.run(f"SET lock_timeout = '{UNSET_LOCK_TIMEOUT}'")
        if watching and sandbox.server.installation.major >= _FIRST_WITH_FLUSH:
            sandbox.rows(_FLUSH)  # whoever read the rows before: counts that come later would be the next statement's
        self._before = self.relations() if watching else {}

    def relations(self) -> Relations:
        """All relations as the sandbox's own session sees them now."""
        self._flush()
        return {int(row[0] or 0): _relation(row) for row in self._sandbox.look(_LOOK)}

    def run(self, sql: str, *, bare: bool = False) -> Observation:
        """Runs one statement. `bare`: as it is, for statements that control transactions or belong into a block."""
        sandbox = self._sandbox
        setting = self._setting()
        if bare:
            outcome = sandbox.run(sql)
            if setting.in_block and not outcome.ok and sandbox.in_transaction:  # aborted: nothing more could be asked
                sandbox.run("ROLLBACK")
                sandbox.run("BEGIN")
            return self._seen(outcome, setting, {})
        if setting.in_block:
            return self._in_block(sql, setting)
        return self._alone(sql, setting)

    def _in_block(self, sql: str, setting: Setting) -> Observation:
        sandbox = self._sandbox
        sandbox.run(f"SAVEPOINT {_STEP}")
        outcome = sandbox.run(sql)
        if not outcome.ok:
            sandbox.run(f"ROLLBACK TO {_STEP}")
        sandbox.run(f"RELEASE {_STEP}")
        may = None if not outcome.ok else True
        return self._seen(outcome, setting, self._locks(), may=False if outcome.code in _OUTSIDE_ONLY else may)

    def _alone(self, sql: str, setting: Setting) -> Observation:
        sandbox = self._sandbox
        sandbox.run("BEGIN")
        outcome = sandbox.run(sql)
        if not outcome.ok:
            sandbox.run("ROLLBACK")
            if outcome.code in _OUTSIDE_ONLY:
                return self._outside(sql, setting)
            return self._seen(outcome, setting, {}, may=None)
        seen = self._seen(outcome, setting, self._locks())
        committed = sandbox.run("COMMIT")
        self._flush()
        return seen if committed.ok else self._seen(committed, setting, seen.locks)

    def _outside(self, sql: str, setting: Setting) -> Observation:
        """A statement that wants no transaction around it is watched while it waits for locks that we hold."""
        sandbox = self._sandbox
        if not self._watching:
            return self._seen(sandbox.run(sql), setting, {}, may=False)
        tables = [oid for oid, relation in self._before.items() if relation.kind in "rp"]
        with Onlooker(sandbox, tables) as onlooker:
            outcome = onlooker.watch(lambda: sandbox.run(sql))
        if outcome.code == _LOCK_TIMED_OUT:  # the script's own lock_timeout was shorter than our patience
            outcome = sandbox.run(sql)
        locks = {oid: max(map(LockMode.of, modes)) for oid, modes in onlooker.modes.items()}
        return self._seen(outcome, setting, locks, may=False, waits=onlooker.waited_for_writer)

    def _flush(self) -> None:
        """Has the session hand in its counts; by itself it does so once a second, in the middle of something else."""
        sandbox = self._sandbox
        can = sandbox.server.installation.major >= _FIRST_WITH_FLUSH
        if self._watching and can and not sandbox.in_transaction:
            sandbox.look(_FLUSH)

    def _setting(self) -> Setting:
        if not self._watching:
            return Setting(self._sandbox.in_transaction, lock_timeout=False)
        try:
            found = self._sandbox.look("SELECT pg_catalog.current_setting('lock_timeout')")[0][0]
        except IndexError:
            found = None
        return Setting(self._sandbox.in_transaction, found not in {None, "0", UNSET_LOCK_TIMEOUT})

    def _locks(self) -> dict[int, LockMode]:
        strongest: dict[int, LockMode] = {}
        if not self._watching:
            return strongest
        for relation, name in self._sandbox.rows(_LOCKS, str(self._sandbox.backend)):
            oid, mode = int(relation or 0), LockMode.of(str(name))
            strongest[oid] = max(mode, strongest.get(oid, mode))
        return strongest

    def _seen(
        self,
        outcome: Outcome,
        setting: Setting,
        locks: Mapping[int, LockMode],
        *,
        may: bool | None = True,
        waits: bool = False,
    ) -> Observation:
        before = self._before
        if self._watching and outcome.answer is not Answer.UNDECIDED:
            self._before = self.relations()
        return Observation(outcome, setting, locks, before, self._before, may, waits)


def _relation(row: tuple[str | None, ...]) -> Relation:
    _, schema, name, kind, file, table, *counts = row
    figures = [int(count or 0) for count in counts]
    return Relation(
        name=str(name) if schema == "public" else f"{schema}.{name}",
        kind=str(kind),
        file=file,
        table=int(table) if table else None,
        scans=figures[0] + figures[1],
        changed=sum(figures[2:]),
    )
