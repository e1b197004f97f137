"""Everything that a role tries on a table with row policies, and what of it the policies let through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dbprompt.checks.base_design import error, listing
from dbprompt.checks.base_policies import Key
from dbprompt.engines.base import Answer, Outcome
from dbprompt.evidence import Finding
from dbprompt.proofs.base_acting import NO_RIGHT, Acting, Rows
from dbprompt.render.postgres import identifier, literal
from dbprompt.render.postgres.security import OWNER, granted_tables
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Table
from dbprompt.sections.security import Grant, Role, RowPolicy, Security

# ruff: noqa: S608  (names and texts are quoted)

__all__ = ["Protected", "Trial", "Tries"]

_PARTITIONS = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = to_regclass('public.' || quote_ident($1)) ORDER BY 1
"""
_UNCOVERED = "tried as two of the rows' tenants; what the application sets is its own"
_CONSTRAINT = "23"
"""The class of what a constraint says. It is asked after the policies, so they had let the row through."""
_REFERRED_TO = {"23001", "23503"}
_UNTRIED = "no role of this policy could be tried"


@dataclass(frozen=True, slots=True)
class Protected:
    """A table with policies, and what is known of its rows before the policies are switched on.

    Args:
        table: of the design.
        at: places of its policies in the section.
        keys: what its policies compare with which setting.
        rows: each row as the values of the keys' columns, and as a list of SQL literals.
    """

    table: Table
    at: tuple[int, ...]
    keys: tuple[Key, ...]
    rows: tuple[tuple[tuple[str, ...], str], ...]

    @property
    def sql(self) -> str:
        """The table's name, quoted."""
        return identifier(self.table.name)

    @property
    def key_sql(self) -> str:
        """The keys as text, for a SELECT."""
        return ", ".join(f"{identifier(key.column)}::text" for key in self.keys)

    @property
    def written(self) -> str:
        """The columns that a row is written with."""
        return ", ".join(identifier(c.name) for c in self.table.columns if c.generated is None)

    def two(self) -> tuple[tuple[tuple[str, ...], str], tuple[tuple[str, ...], str]] | None:
        """Two rows that differ in every key."""
        first = self.rows[0] if self.rows else None
        for other in self.rows[1:]:
            if first and all(one != two for one, two in zip(first[0], other[0], strict=True)):
                return first, other
        return None

    def settings(self, values: tuple[str, ...]) -> dict[str, str]:
        """What a request for these rows sets."""
        return {key.setting: value for key, value in zip(self.keys, values, strict=True)}


@dataclass(slots=True)
class Trial:
    """How far one policy was tried.

    Args:
        roles: those that it was seen at work on.
        why: why nothing, or not all, can be said of it.
        left: further roles with rights that it is for, and what of them could not be tried.
    """

    roles: set[str] = field(default_factory=set)
    why: str = ""
    left: list[str] = field(default_factory=list)

    @property
    def open_because(self) -> str:
        """Why nothing is decided; empty if it is."""
        return self.why or ("" if self.roles else _UNTRIED)

    @property
    def uncovered(self) -> str:
        """What a pass does not say."""
        return "; ".join([_UNCOVERED, *([f"not tried as {listing(self.left)}"] if self.left else [])])


class Tries:
    """Everything that is tried on one table.

    `seen` says in words what every role saw, `trials` how far each of its policies was tried.
    """

    def __init__(
        self,
        acting: Acting,
        design: DatabaseDesign,
        security: Security,
        one: Protected,
        two: tuple[tuple[tuple[str, ...], str], tuple[tuple[str, ...], str]],
    ) -> None:
        self._acting, self._design, self._security, self._one = acting, design, security, one
        (self._mine, self._my_row), (self._theirs, self._their_row) = two
        self._settings = one.settings(self._mine)
        self._name = one.table.name
        self.seen: list[str] = []
        self.trials = {at: Trial() for at in one.at}

    def all(self) -> Iterator[Finding]:
        """Every role, then the owner."""
        for role in self._security.roles:
            if self._may(role, "select"):
                yield from self._reads(role)
            if self._may(role, "insert") and not role.sees_all_rows:
                yield from self._inserts(role)
            if self._may(role, "select") and not role.sees_all_rows:
                yield from self._changes(role)
            if not role.sees_all_rows:
                yield from self._partitions(role)
        yield from self._unset(OWNER)
        for at, trial in self.trials.items():
            named = [role.name for role in self._security.roles if self._is_for(self._security.policies[at], role)]
            trial.left += [name for name in named if name not in trial.roles]

    def _may(self, role: Role, right: str) -> bool:
        """Whether a role has a right on the whole table; to read, the columns that tell whose a row is are enough."""
        if role.purpose == "migration" or (role.purpose == "backup" and right == "select"):
            return True
        grants = [one for one in role.grants if right in one.privileges and self._covers(one)]
        if right == "select" and {key.column for key in self._one.keys} <= {
            name for one in grants for name in one.columns
        }:
            return True
        return any(not grant.columns for grant in grants)

    def _covers(self, grant: Grant) -> bool:
        return self._name in granted_tables(grant, self._design)

    def _is_for(self, policy: RowPolicy, role: Role) -> bool:
        """Whether a policy is for something that a role was granted, and does not pass by."""
        rights = {right for grant in role.grants if self._covers(grant) for right in grant.privileges}
        return not role.sees_all_rows and any(_applies(policy, role, right) for right in rights)

    def _note(self, role: Role | None, command: str, outcome: Outcome, *, settled: bool) -> None:
        """Keeps for each policy that decides what a role (None: the owner) does here whether it was seen at work."""
        for at, trial in self.trials.items():
            if role is not None and not _applies(self._security.policies[at], role, command):
                continue
            name = role.name if role else OWNER
            if not settled:
                trial.why = trial.why or f"{command} as {name} was not decided: {outcome.message}"
            elif role and not role.sees_all_rows:
                trial.roles.add(name)

    def _where(self, role: Role | None, command: str) -> tuple[str, bool]:
        """The policy that lets a role do something, and whether there is one."""
        for at in self._one.at:
            policy = self._security.policies[at]
            if _applies(policy, role, command):
                return f"/policies/{at}", True
        return f"/policies/{self._one.at[0]}", False

    def _read(self, role: str, settings: Mapping[str, str]) -> tuple[Outcome, Rows]:
        return self._acting.attempt(role, f"SELECT {self._one.key_sql} FROM {self._one.sql}", settings)

    def _reads(self, role: Role) -> Iterator[Finding]:
        where, let = self._where(role, "select")
        outcome, rows = self._read(role.name, self._settings)
        total = len(self._one.rows)
        self.seen.append(f"{role.name} as {', '.join(self._mine)}: {len(rows) if outcome.ok else outcome.message}")
        if _stopped(outcome):
            self._note(role, "select", outcome, settled=False)
            return
        if role.sees_all_rows:
            if len(rows) != total:
                message = f"role {role.name} shall see all rows and sees {len(rows)} of {total} of {self._name}"
                yield error("rls.hides_too_much", where, f"{message}: {outcome.message or 'no error'}")
            return
        self._note(role, "select", outcome, settled=outcome.ok)
        strangers = [row for row in rows if tuple(map(str, row)) != self._mine]
        if strangers:
            message = (
                f"role {role.name} with {self._told()} sees {len(strangers)} rows of others in {self._name}, such as "
                f"{self._called(strangers[0])}"
            )
            yield error("rls.sees_others", where, message)
        elif let and not rows:
            message = f"role {role.name} with {self._told()} sees none of its own rows in {self._name}"
            yield error("rls.hides_too_much", where, f"{message}: {outcome.message or 'no error'}")
        yield from self._unset(role.name, role)

    def _unset(self, name: str, role: Role | None = None) -> Iterator[Finding]:
        """Nothing set: in a session where nothing ever was, and where an earlier transaction left it empty."""
        where, let = self._where(role, "select")
        self._acting.forget()
        never = self._read(name, {})
        left_empty = self._read(name, dict.fromkeys(self._settings, ""))
        for (outcome, rows), when in ((never, "no setting"), (left_empty, "the setting left empty")):
            said = str(len(rows)) if outcome.ok else f"refused ({outcome.message})"
            self.seen.append(f"{name} with {when}: {said}")
            if _stopped(outcome):
                self._note(role, "select", outcome, settled=False)
            if rows and role is None and not let:
                message = f"{name}, who owns {self._name}, sees {len(rows)} rows with {when}; force row security"
                yield error("rls.owner_exempt", where, message)
            elif rows:
                message = (
                    f"role {name} sees {len(rows)} rows of {self._name} with {when}: a forgotten SET LOCAL shows them "
                    "all. Compare with nullif(current_setting('...', true), '') and nothing else"
                )
                yield error("rls.open_without_setting", where, message)

    def _inserts(self, role: Role) -> Iterator[Finding]:
        where, let = self._where(role, "insert")
        for row, whose in ((self._their_row, "others"), (self._my_row, "its own")):
            sql = f"INSERT INTO {self._one.sql} ({self._one.written}) OVERRIDING SYSTEM VALUE VALUES ({row})"
            outcome, _ = self._acting.attempt(role.name, sql, self._settings)
            refused, written = _by_policy(outcome), outcome.ok or outcome.code[:2] == _CONSTRAINT
            self._note(role, "insert", outcome, settled=refused or written)
            if whose == "others" and written:
                message = f"role {role.name} with {self._told()} may write a row of {self._called(self._theirs)}"
                yield error("rls.writes_others", where, f"{message} into {self._name}; add check")
            elif whose == "its own" and refused and let:
                message = f"role {role.name} with {self._told()} may not write its own row into {self._name}"
                yield error("rls.hides_too_much", where, f"{message}: {outcome.message}")

    def _changes(self, role: Role) -> Iterator[Finding]:
        """Updates and deletes that name no tenant reach nobody else's rows, and no row is given away."""
        table, mine = self._one.sql, set(self._mine)
        for column in self._updatable(role):
            keyed = column in {key.column for key in self._one.keys}
            if keyed:
                value = self._theirs[[key.column for key in self._one.keys].index(column)]
                hit = f"UPDATE {table} SET {identifier(column)} = {literal(value)} RETURNING 1"
                sql = f"WITH hit AS ({hit}) SELECT count(*) FROM hit"
                outcome, rows = self._acting.attempt(role.name, sql, self._settings)
                gives = outcome.code[:2] == _CONSTRAINT or (outcome.ok and rows[0][0] != "0")
                self._note(role, "update", outcome, settled=gives or outcome.ok or _by_policy(outcome))
                if gives:
                    where, _ = self._where(role, "update")
                    message = f"role {role.name} with {self._told()} may give a row of {self._name} to others"
                    yield error("rls.writes_others", where, f"{message} by setting {column}")
                continue
            name = identifier(column)
            outcome, rows = self._hit(role, f"UPDATE {table} SET {name} = {name}")
            self._note(role, "update", outcome, settled=outcome.ok or _by_policy(outcome))
            yield from self._reached(role, "update", outcome, rows, mine)
            break
        if self._may(role, "delete"):
            yield from self._deletes(role)

    def _deletes(self, role: Role) -> Iterator[Finding]:
        """A DELETE that reads no column, so that only the policies for it hold, against the number of its own rows."""
        sql = f"WITH hit AS (DELETE FROM {self._one.sql} RETURNING 1) SELECT count(*) FROM hit"
        outcome, rows = self._acting.attempt(role.name, sql, self._settings)
        if outcome.code in _REFERRED_TO:
            for at, trial in self.trials.items():
                if _applies(self._security.policies[at], role, "delete"):
                    trial.left.append(f"{role.name} for deletes, as other tables refer to its rows")
            return
        self._note(role, "delete", outcome, settled=outcome.ok or _by_policy(outcome))
        own = sum(values == self._mine for values, _ in self._one.rows)
        if outcome.ok and (strangers := int(rows[0][0] or 0) - own) > 0:
            where, _ = self._where(role, "delete")
            message = f"role {role.name} with {self._told()} can delete {strangers} rows of others in {self._name}"
            yield error("rls.writes_others", where, message)

    def _hit(self, role: Role, sql: str) -> tuple[Outcome, Rows]:
        """The keys of the rows that a change reached."""
        keys = ", ".join(identifier(key.column) for key in self._one.keys)
        sql = f"WITH hit AS ({sql} RETURNING {keys}) SELECT {self._one.key_sql} FROM hit"
        return self._acting.attempt(role.name, sql, self._settings)

    def _partitions(self, role: Role) -> Iterator[Finding]:
        """A partition that can be read by its own name is past the policies of its table."""
        found = self._acting.stage.sandbox.rows(_PARTITIONS, self._name) if self._one.table.partitioning else []
        for (partition,) in found:
            outcome, _ = self._acting.attempt(role.name, f"SELECT 1 FROM {partition} LIMIT 0", self._settings)
            if outcome.ok and role.purpose != "migration":
                where, _ = self._where(role, "select")
                message = f"role {role.name} can read partition {partition} by its own name, past the policies of"
                yield error("rls.partition_open", where, f"{message} {self._name}; grant rights on {self._name} alone")

    def _reached(self, role: Role, command: str, outcome: Outcome, rows: Rows, mine: set[str]) -> Iterator[Finding]:
        strangers = [row for row in rows if not set(map(str, row)) <= mine]
        if outcome.ok and strangers:
            where, _ = self._where(role, command)
            message = f"role {role.name} with {self._told()} can {command} {len(strangers)} rows of others"
            yield error("rls.writes_others", where, f"{message} in {self._name}")

    def _updatable(self, role: Role) -> tuple[str, ...]:
        """The columns that a role may update: the keys first, then one other that no other side computes."""
        granted: set[str] = set()
        for grant in role.grants:
            if "update" in grant.privileges and self._name in granted_tables(grant, self._design):
                granted |= set(grant.columns) or {column.name for column in self._one.table.columns}
        keys = [key.column for key in self._one.keys if key.column in granted]
        plain = [c.name for c in self._one.table.columns if c.generated is None and not c.identity]
        return (*keys, *[name for name in plain if name in granted and name not in keys][:1])

    def _told(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self._settings.items())

    def _called(self, values: tuple[str | None, ...]) -> str:
        return ", ".join(f"{key.column} {value}" for key, value in zip(self._one.keys, values, strict=True))


def _applies(policy: RowPolicy, role: Role | None, command: str) -> bool:
    for_role = not policy.roles or (role is not None and role.name in policy.roles)
    return for_role and policy.command in {"all", command}


def _by_policy(outcome: Outcome) -> bool:
    return outcome.code == NO_RIGHT and "row-level security" in outcome.message


def _stopped(outcome: Outcome) -> bool:
    """Whether nothing is known of a statement; a right that is lacking is known."""
    return outcome.answer is Answer.UNDECIDED and outcome.code != NO_RIGHT
