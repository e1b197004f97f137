"""The stage of a proof: a sandbox with the design in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from dbprompt.checks.engine import target_engine, target_major
from dbprompt.checks.sql import tree
from dbprompt.checks.sql.allow import Route, rule
from dbprompt.checks.sql.setup import needs
from dbprompt.checks.sql.tree import Broken, Parsed
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Limits, Needs, Outcome
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.errors import EngineUnavailableError, MissingExtraError
from dbprompt.render.postgres import UnsafeSqlError, ddl_statements
from dbprompt.sections import SectionName

__all__ = ["NoStageError", "Stage", "stage"]


_FAMILY = {"postgresql", "timescaledb"}


class NoStageError(Exception):
    """The design could not be loaded, so there is nothing to try; the message says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A sandbox that holds the design's tables.

    Args:
        sandbox: where things are tried, as the role that owns the tables.
        uncovered: what every verdict has to own up to, `on 18 instead of 15`.
    """

    sandbox: PostgresSandbox
    uncovered: str

    @property
    def label(self) -> str:
        """The engine and its version, for verdicts."""
        return self.sandbox.label

    def run(self, sql: str) -> Outcome:
        """Runs one statement, if the allow-list lets it through."""
        for parsed in _parsed(sql):
            if rule(parsed).route in {Route.FORBIDDEN, Route.OUTSIDE}:
                raise NoStageError(f"{rule(parsed).reason}: {' '.join(sql.split())[:80]}")
        return self.sandbox.run(sql)

    def fetch(self, sql: str) -> tuple[Outcome, list[tuple[str | None, ...]]]:
        """The same, with the rows, which have to be few."""
        for parsed in _parsed(sql):
            if rule(parsed).route in {Route.FORBIDDEN, Route.OUTSIDE}:
                raise NoStageError(f"{rule(parsed).reason}: {' '.join(sql.split())[:80]}")
        return self.sandbox.fetch(sql)


@contextmanager
def stage(
    subject: Subject,
    *,
    as_of: date,
    sections: Sequence[SectionName] = ("schema", "indexes"),
    roles: bool = False,
    extensions: Sequence[str] = (),
) -> Iterator[Stage]:
    """Lends out a sandbox into which the DDL of these sections was loaded.

    Args:
        subject: the design.
        as_of: the day that partitions are counted from.
        sections: whose DDL is loaded.
        roles: whether roles will be made: they belong to the whole server, so it gets one to itself.
        extensions: what operations need beyond the DDL; one that is not here is left out.

    Raises:
        NoStageError: no engine is here, or a statement of the DDL did not run (its own section says why).
    """
    if (target := target_engine(subject)) not in _FAMILY:
        raise NoStageError(f"the design is for {target}, and the engine that is built in is PostgreSQL")
    major = target_major(subject.brief)
    try:
        engine = PostgresEngine.of(major)
        statements = ddl_statements(subject.design.only(sections), as_of=as_of, version=major)
    except (EngineUnavailableError, MissingExtraError) as error:
        raise NoStageError(str(error)) from error
    except UnsafeSqlError as error:
        raise NoStageError(f"an SQL text could leave its place: {error.reason}") from error
    parsed = [one for statement in statements for one in _parsed(statement.sql)]
    wanted = needs(parsed)
    here = engine.installation.major
    extensions = (*extensions, *(("timescaledb",) if target == "timescaledb" else ()))
    everything = wanted.extensions | frozenset(extensions)
    with engine.sandbox(Needs(everything, roles=roles or wanted.roles), Limits()) as sandbox:
        ready = Stage(sandbox, "" if major == here else f"on {here} instead of {major}")
        for statement, one in zip(statements, parsed, strict=True):
            outcome = _load(sandbox, one)
            if not outcome.ok:
                raise NoStageError(f"{statement.artefact} did not load: {outcome.message}")
        for name in extensions:
            _load(sandbox, _parsed(f"CREATE EXTENSION IF NOT EXISTS {name}")[0])
        yield ready


def _parsed(sql: str) -> tuple[Parsed, ...]:
    found = tree.parse(sql)
    if isinstance(found, Broken):
        raise NoStageError(f"does not parse: {found.message}")
    return found


def _load(sandbox: PostgresSandbox, parsed: Parsed) -> Outcome:
    ruling = rule(parsed)
    if ruling.route in {Route.FORBIDDEN, Route.OUTSIDE}:
        raise NoStageError(ruling.reason)
    if ruling.route is Route.EXTENSION and parsed.kind == "CreateExtensionStmt":
        return sandbox.create_extension(ruling.name, parsed.sql, schema=None, cascade=False)
    return sandbox.run(parsed.sql)
