"""Extensions in a sandbox.

The role of a sandbox may create the trusted ones itself. The others only a superuser may create, and only before any
statement of the sandbox has run: objects planted in a schema can hijack an extension's script. So those that the
script asks for are laid ready in a closed schema first, and moved out when their CREATE EXTENSION comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.stand_ins import stand_in
from dbprompt.engines.postgres.wire import Wire, condition_name

__all__ = ["Extensions"]

_STORE = "dbprompt_extensions"
# Not trusted by PostgreSQL, yet unable to reach beyond the database. Absent on purpose: dblink, postgres_fdw and
# file_fdw (network, files), adminpack, untrusted languages, and whatever this list does not know.
_HARMLESS = frozenset(
    {
        "amcheck", "autoinc", "bloom", "dict_xsyn", "earthdistance", "hll", "hypopg", "insert_username", "intagg",
        "moddatetime", "pg_buffercache", "pg_freespacemap", "pg_partman", "pg_prewarm", "pg_stat_statements",
        "pg_uuidv7", "pg_visibility", "pgrowlocks", "pgstattuple", "plpgsql_check", "postgis", "postgis_raster",
        "postgis_topology", "refint", "rum", "vector",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Available:
    trusted: bool
    relocatable: bool
    requires: tuple[str, ...]


class Extensions:
    """What one sandbox may create.

    Args:
        connect: gives the superuser's connection to the sandbox's database.
        owner: the sandbox's role.
        wanted: names that the script will create.
        borrowed: whether the server is in use by others, so that nothing is done as its superuser.
    """

    def __init__(self, connect: Callable[[], Wire], owner: str, wanted: frozenset[str], *, borrowed: bool) -> None:
        self._connect = connect
        self._owner = owner
        self._borrowed = borrowed
        self._laid: set[str] = set()
        self._active: set[str] = set()
        self.available = self._installed() if wanted else {}
        for name in sorted(wanted):
            one = self.available.get(name)
            if one is not None and not one.trusted and name in _HARMLESS and not borrowed:
                self._lay_ready(name, one)

    def missing(self, names: frozenset[str]) -> frozenset[str]:
        """Of the wanted names, those that this server does not have, or that are not for a sandbox."""
        return frozenset(
            name
            for name in names
            if (one := self.available.get(name)) is None or not (one.trusted or name in self._laid)
        )

    def activate(self, name: str, *, schema: str | None, cascade: bool) -> Outcome | None:
        """What CREATE EXTENSION comes to; None if the sandbox's role should just run it."""
        one = self.available.get(name)
        if one is None:
            message = f'extension "{name}" is not installed on this server, so nothing that needs it could be checked'
            instead = self._replaced(name)
            return Outcome(Answer.UNDECIDED, "0A000", "feature_not_supported", instead or message, note=instead)
        if name not in self._laid:
            if one.trusted:
                return None
            message = f'extension "{name}" is not let into the sandbox'
            instead = self._replaced(name)
            return Outcome(Answer.UNDECIDED, message=instead or message, note=instead)
        if name in self._active:
            return None
        for needed in one.requires:
            if needed in self._laid and needed not in self._active:
                if not cascade:
                    message = f'required extension "{needed}" is not installed'
                    hint = "Use CREATE EXTENSION ... CASCADE to install required extensions too."
                    return Outcome(Answer.REFUSED, "42704", "undefined_object", message, hint=hint)
                self.activate(needed, schema=schema, cascade=True)
        return self._move_out(name, one, schema or "public")

    def _replaced(self, name: str) -> str:
        """What stands in for an extension, as a sentence; empty if nothing does."""
        if self._borrowed or name in self._active or not re.fullmatch(r"[a-z_0-9]+", name):
            return ""
        what = stand_in(name, self._connect(), self._owner)
        if what:
            self._active.add(name)
        return f'extension "{name}" is not in the sandbox: {what}' if what else ""

    def _installed(self) -> dict[str, _Available]:
        rows = self._connect().ask(
            "SELECT e.name, v.trusted OR NOT v.superuser, v.relocatable, array_to_string(v.requires, ' ') "
            "FROM pg_available_extensions e JOIN pg_available_extension_versions v "
            "ON v.name = e.name AND v.version = e.default_version"
        )
        return {
            str(name): _Available(trusted == "t", relocatable == "t", tuple((requires or "").split()))
            for name, trusted, relocatable, requires in rows
        }

    def _lay_ready(self, name: str, one: _Available) -> None:
        admin = self._connect()
        if not self._laid:
            admin.ask(f"CREATE SCHEMA {_STORE}")
        for needed in (*one.requires, name):
            known = self.available.get(needed)
            if known is None or needed in self._laid:
                continue
            schema = _STORE if known.relocatable else "public"
            admin.ask(f'CREATE EXTENSION IF NOT EXISTS "{needed}" SCHEMA {schema} CASCADE')
            self._laid.add(needed)

    def _move_out(self, name: str, one: _Available, schema: str) -> Outcome:
        if not one.relocatable:
            self._active.add(name)
            return Outcome(Answer.ACCEPTED, note="created by the superuser before the script")
        target = '"' + schema.replace('"', '""') + '"'
        reply = self._connect().query(f'ALTER EXTENSION "{name}" SET SCHEMA {target}')
        if not reply.ok:
            return Outcome(Answer.REFUSED, reply.code, condition_name(reply.code), reply.message)
        self._active.add(name)
        return Outcome(Answer.ACCEPTED, note="created by the superuser")
