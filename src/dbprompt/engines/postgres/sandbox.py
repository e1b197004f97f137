"""One throw-away database, and the role that owns it and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from dbprompt.engines.base import Answer, Limits, Outcome
from dbprompt.engines.postgres.borrowed import BorrowedServer
from dbprompt.engines.postgres.deadline import Deadline
from dbprompt.engines.postgres.extensions import Extensions
from dbprompt.engines.postgres.homes import quoted, session_options
from dbprompt.engines.postgres.outcomes import STOPPED, limit_of_this_machine, outcome
from dbprompt.engines.postgres.server import Server
from dbprompt.engines.postgres.wire import Reply, Watch, Wire
from dbprompt.errors import EngineError

__all__ = ["PostgresSandbox"]

_FILE_SETTINGS = {"config_file", "data_directory", "external_pid_file", "hba_file", "ident_file"}


class PostgresSandbox:
    """A database of its own. Create it with `PostgresEngine.sandbox`.

    Attributes:
        name: of the database, and of the role that owns it.
        limits: what its statements may use.
        server: the server that it is on.
        extensions: what `CREATE EXTENSION` may use here.
    """

    def __init__(self, server: Server | BorrowedServer, limits: Limits, extensions: frozenset[str]) -> None:
        self.server = server
        self.limits = limits
        self._began = time.monotonic()
        self._work: Iterator[None] | None = None
        self._roles: set[str] = set()
        self._block_roles: set[str] = set()  # made in the transaction block that is open
        self._type_numbers: dict[str, int] = {}
        home = server.take_home(limits.statement_seconds)
        self.name = home.name
        self._wire, self._admin = home.wire, home.admin
        try:
            self.extensions = Extensions(self.admin, self.name, extensions, borrowed=server.borrowed)
        except BaseException:
            self.close()
            raise

    @property
    def label(self) -> str:
        """The engine and its version, for verdicts."""
        return f"postgresql {self.server.installation.version}"

    @property
    def in_transaction(self) -> bool:
        """Whether the statements so far left a transaction block open."""
        return self._wire is not None and self._wire.alive and self._wire.in_transaction

    @property
    def failed_transaction(self) -> bool:
        """Whether the transaction block that is open can only be rolled back."""
        return self._wire is not None and self._wire.alive and self._wire.failed_transaction

    def run(self, sql: str) -> Outcome:
        """Runs one statement as the role that owns the database."""

        def send(wire: Wire, watch: Watch) -> Reply:
            reply = wire.query(sql, watch=watch)
            if self._block_roles and not wire.in_transaction:
                self._end_block(committed=reply.command == "COMMIT")
            return reply

        return self._attempt(send)

    def prepare(self, sql: str, parameter_types: Sequence[str] = ()) -> Outcome:
        """Has every name and type of one statement resolved, under parameters of the given types (SQL type names)."""
        numbers = []
        for name in parameter_types:
            number = self._type_number(name)
            if not number:
                return Outcome(Answer.REFUSED, "42704", "undefined_object", f'type "{name}" does not exist')
            numbers.append(number)
        return self._attempt(lambda wire, watch: wire.parse(sql, numbers, watch=watch))

    def meanwhile(self, work: Iterator[None]) -> None:
        """Gives us something to do while the engine works: `work` is taken a step further each time we would wait.

        Steps have to be short: no deadline is looked after while one lasts.
        """
        self._work = work
        if self._wire is not None:
            self._wire.meanwhile = work

    def fetch(self, sql: str) -> tuple[Outcome, list[tuple[str | None, ...]]]:
        """Runs one statement as the role that owns the database, and keeps its rows, which have to be few."""
        kept: list[tuple[str | None, ...]] = []

        def send(wire: Wire, watch: Watch) -> Reply:
            reply = wire.query(sql, watch=watch, keep=True)
            kept.extend(reply.rows)
            return reply

        return self._attempt(send), kept

    def reconnect(self) -> None:
        """Gives the statements a new session: an open one does not notice that a file of a relation became shorter."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def prove(self, sql: str) -> Outcome:
        """Runs one statement as superuser and rolls it back: for kinds that only superusers may run.

        The caller answers for it that the statement evaluates no expression and calls no function.
        """
        if self.server.borrowed:
            message = "it needs a superuser, and is not tried on a server that is in use"
            return Outcome(Answer.UNDECIDED, message=message)
        if self.in_transaction:
            return Outcome(Answer.UNDECIDED, message="it needs a superuser, and a transaction block is open")
        return self._prove(sql)

    def _prove(self, sql: str) -> Outcome:
        admin = self.admin()
        admin.query("BEGIN")
        try:
            admin.query("SET LOCAL search_path = '$user', public")
            seconds = self.limits.statement_seconds
            admin.query(f"SET LOCAL statement_timeout = '{seconds}s'")
            admin.query("SET LOCAL lock_timeout = '1s'")
            watch = Deadline(self, admin)
            return outcome(admin.query(sql, watch=watch), seconds, "proven as superuser and rolled back")
        finally:
            admin.query("ROLLBACK")

    def create_role(self, name: str, sql: str) -> Outcome:
        """Proves a CREATE ROLE, then makes a plain role of that name that can do nothing by itself.

        It names nothing of the database, so an open transaction block does not matter; a rollback drops the role.
        """
        in_block = self.in_transaction and not self.server.borrowed
        if self.failed_transaction:
            return Outcome(
                Answer.UNDECIDED, "25P02", "in_failed_sql_transaction", "the transaction block failed before"
            )
        outcome = self._prove(sql) if in_block else self.prove(sql)
        if outcome.ok:
            self.admin().ask(f"CREATE ROLE {quoted(name)} NOLOGIN")
            self._roles.add(name)
            if in_block:
                self._block_roles.add(name)
        return outcome

    def _end_block(self, *, committed: bool) -> None:
        """Drops the roles that a rolled-back block had made."""
        for name in () if committed else self._block_roles & self._roles:
            self.admin().ask(f"DROP ROLE {quoted(name)}")
            self._roles.discard(name)
        self._block_roles.clear()

    def drop_role(self, name: str, sql: str) -> Outcome:
        """Proves a DROP ROLE, then drops that role if this sandbox made it."""
        outcome = self.prove(sql)
        if outcome.ok and name in self._roles:
            self.admin().ask(f"DROP ROLE {quoted(name)}")
            self._roles.discard(name)
        return outcome

    def rename_role(self, name: str, new: str, sql: str) -> Outcome:
        """Proves a change of a role's name, then does it if this sandbox made that role."""
        in_block = name in self._block_roles and not self.failed_transaction
        outcome = self._prove(sql) if in_block else self.prove(sql)
        if outcome.ok and name in self._roles:
            self.admin().ask(f"ALTER ROLE {quoted(name)} RENAME TO {quoted(new)}")
            for roles in (self._roles, self._block_roles) if in_block else (self._roles,):
                roles.discard(name)
                roles.add(new)
        return outcome

    def give(self, role: str, sql: str) -> Outcome:
        """Runs a statement that hands an object of the sandbox to a role which the sandbox made.

        The sandbox keeps the rights of that role, without being able to become it.
        """
        if role not in self._roles:
            return self.prove(sql)
        outcome = self.prove(sql)
        if outcome.ok:
            keeps = "WITH INHERIT TRUE, SET FALSE" if self.server.installation.major >= 16 else ""
            admin = self.admin()
            admin.ask(f"GRANT {quoted(role)} TO {self.name} {keeps}")
            admin.query("SET search_path = '$user', public")
            admin.query(sql)
            admin.query("SET search_path = pg_catalog")
        return outcome

    def check_setting(self, name: str, value: str | None) -> Outcome:
        """Whether a configuration parameter exists and takes a value. Nothing is applied."""
        note = "compared with the server's settings, not applied"
        known = self.rows("SELECT context FROM pg_settings WHERE lower(name) = lower($1)", name)
        if not known:
            if "." in name:
                return Outcome(Answer.UNDECIDED, message=f'parameter "{name}" belongs to a module that is not loaded')
            message = f'unrecognized configuration parameter "{name}"'
            return Outcome(Answer.REFUSED, "42704", "undefined_object", message)
        if known[0][0] == "internal":
            return Outcome(
                Answer.REFUSED, "55P02", "cant_change_runtime_param", f'parameter "{name}" cannot be changed'
            )
        if name.lower() in _FILE_SETTINGS:
            return Outcome(Answer.UNDECIDED, message=f'parameter "{name}" names a place that is not in the sandbox')
        if self.server.borrowed:
            return Outcome(Answer.UNDECIDED, message=f'parameter "{name}" is not tried on a server that is in use')
        complaint = "" if value is None else self.server.check_setting(name, value)
        if reason := limit_of_this_machine(complaint):
            return Outcome(Answer.UNDECIDED, message=f"{complaint}: {reason}")
        if complaint:
            return Outcome(Answer.REFUSED, "22023", "invalid_parameter_value", complaint)
        return Outcome(Answer.ACCEPTED, note=note)

    def create_extension(self, name: str, sql: str, *, schema: str | None, cascade: bool) -> Outcome:
        """CREATE EXTENSION: as the sandbox's role where that is allowed, else what was laid ready is moved in."""
        prepared = self.extensions.activate(name, schema=schema, cascade=cascade)
        if prepared is None:
            return self.run(sql)
        return prepared

    def rows(self, sql: str, *values: str) -> list[tuple[str | None, ...]]:
        """Asks the catalogues, as superuser. `sql` is ours; values from elsewhere go in as parameters."""
        return self.admin().ask(sql, *values)

    @property
    def backend(self) -> int:
        """Process number of the session that statements run in."""
        return self._connected().pid

    def look(self, sql: str) -> list[tuple[str | None, ...]]:
        """Asks the catalogues in the session that statements run in: only there its open transaction can be seen.

        The caller qualifies every name and operator with its schema: the session's search path is the script's own.
        """
        return self._connected().ask(sql)

    def admin(self) -> Wire:
        """The superuser's connection to this database."""
        if self._admin is None or not self._admin.alive:
            self._admin = self.server.connect_admin(self.name)
        return self._admin

    def close(self) -> None:
        """Throws the database, its role and its other roles away."""
        for wire in (self._wire, self._admin):
            if wire is not None:
                if wire.busy:  # left in the middle of a statement: its backend would not see us go
                    self.end(wire)
                wire.close()
        self._wire = self._admin = None
        self.server.discard_home(self.name, self._roles)

    def _attempt(self, send: Callable[[Wire, Watch], Reply]) -> Outcome:
        if time.monotonic() - self._began > self.limits.total_seconds:
            message = f"not tried: the {self.limits.total_seconds:g} s for all statements are used up"
            return Outcome(Answer.UNDECIDED, message=message)
        try:
            wire = self._connected()
        except EngineError as error:
            if self._wire is None:
                raise
            return Outcome(Answer.UNDECIDED, message=f"after a statement that broke the connection: {error}")
        watch = Deadline(self, wire)
        reply = send(wire, watch)
        if watch.ended:
            reply.code = STOPPED
        return outcome(reply, self.limits.statement_seconds)

    def _connected(self) -> Wire:
        if self._wire is None or not self._wire.alive:
            options = session_options(self.limits.statement_seconds)
            self._wire = self.server.connect(user=self.name, database=self.name, options=options)
            self._wire.meanwhile = self._work
        return self._wire

    def end(self, wire: Wire) -> None:
        """Ends whatever a connection is running, by force."""
        self.server.administer(f"SELECT pg_terminate_backend({wire.pid})")

    def give_up(self) -> None:
        """Stops the server: the last resort against a statement that nothing else ends."""
        self.server.stop()

    def disk_bytes(self) -> int:
        """How large the database is by now."""
        return self.server.disk_bytes(self.name)

    def _type_number(self, name: str) -> int:
        if name not in self._type_numbers:
            admin = self.admin()
            admin.query("SET search_path = '$user', public")
            found = admin.ask("SELECT pg_catalog.to_regtype($1)::oid", name)
            admin.query("SET search_path = pg_catalog")
            self._type_numbers[name] = int(found[0][0] or 0)
        return self._type_numbers[name]
