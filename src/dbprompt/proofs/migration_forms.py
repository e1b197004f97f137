"""The files of each migration tool hold the steps that ran: Alembic itself says so, the others are read back.

Alembic runs Python, so it runs in a process of its own, without a database, on files that we wrote into an empty
directory; it prints the SQL that it would run, up and down.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dbprompt.checks.base_design import rules
from dbprompt.checks.engine import target_engine, target_major
from dbprompt.checks.migration_files import alembic_problems, flyway_problems, liquibase_problems, plain_problems
from dbprompt.checks.sql.grammar import GrammarRung
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Report, Status, Tier, Verdict
from dbprompt.render.migrations.alembic import alembic_files
from dbprompt.render.migrations.flyway import flyway_files
from dbprompt.render.migrations.liquibase import liquibase_changelog
from dbprompt.render.migrations.plain_sql import plain_files
from dbprompt.render.migrations.plan import versioned_steps
from dbprompt.render.postgres import UnsafeSqlError

__all__ = ["Alembic", "alembic_says", "migration_forms"]

_FAMILY = {"postgresql", "timescaledb"}
_WHERE = "/tool"
_SECONDS = 60.0
_VERSION = "import alembic; print(alembic.__version__)"
_HOW_TO_GET = "Alembic is not installed: pip install 'dbprompt[alembic]'"
_READ_BACK = "the tool itself did not run; its statements are those that ran on the engine"


@dataclass(frozen=True, slots=True)
class Alembic:
    """What Alembic printed.

    Args:
        version: its own; empty if it is not installed.
        upgrade: the SQL from nothing to the last revision.
        downgrade: the SQL back.
        failed: its words if it stopped.
    """

    version: str = ""
    upgrade: str = ""
    downgrade: str = ""
    failed: str = ""


def migration_forms(subject: Subject, as_of: date) -> Report:
    """A verdict for each form of the migrations."""
    if subject.design.migrations is None or target_engine(subject) not in _FAMILY:
        return Report()
    if not GrammarRung().available:
        why = "PostgreSQL's grammar is not installed: pip install 'dbprompt[postgres]'"
        return Report(verdicts=(Verdict("migration files", _WHERE, Status.NOT_CHECKED, Tier.NOTHING, "none", why),))
    try:
        steps = versioned_steps(subject.design, as_of=as_of, version=target_major(subject.brief))
    except UnsafeSqlError as error:
        why = f"an SQL text could leave its place: {error.reason}"
        return Report(verdicts=(Verdict("migration files", _WHERE, Status.NOT_CHECKED, Tier.NOTHING, "none", why),))
    read_back = {
        "plain SQL": tuple(plain_problems(plain_files(steps), steps)),
        "Flyway": tuple(flyway_problems(flyway_files(steps), steps)),
        "Liquibase": tuple(liquibase_problems(liquibase_changelog(steps), steps)),
    }
    verdicts = [_read_back(tool, problems) for tool, problems in read_back.items()]
    said = alembic_says(alembic_files(steps))
    problems = tuple(alembic_problems(said.upgrade, said.downgrade, steps)) if said.upgrade else ()
    return Report(verdicts=(*verdicts, _of_alembic(said, problems)))


def _read_back(tool: str, problems: tuple[str, ...]) -> Verdict:
    status = Status.FAILED if problems else Status.PASSED
    uncovered = "; ".join(problems) or _READ_BACK
    return Verdict(f"migration files for {tool}", _WHERE, status, Tier.RULE, rules("migration files"), uncovered)


def _of_alembic(said: Alembic, problems: tuple[str, ...]) -> Verdict:
    name = "migration files for Alembic"
    if not said.version:
        return Verdict(name, _WHERE, Status.NOT_CHECKED, Tier.NOTHING, "alembic", said.failed or _HOW_TO_GET)
    wrong = "; ".join(filter(None, (said.failed, *problems)))
    status = Status.FAILED if wrong else Status.PASSED
    uncovered = wrong or "printed and compared, not run: its statements are those that ran on the engine"
    return Verdict(name, _WHERE, status, Tier.ENGINE, f"alembic {said.version}", uncovered)


def alembic_says(files: Mapping[str, str], *, python: str = sys.executable) -> Alembic:
    """Has Alembic print the upgrade and the downgrade.

    Args:
        files: its folder, by path.
        python: the interpreter that it is installed for.
    """
    version = _known_versions.get(python) or _version(python)
    if not version:
        return Alembic()
    _known_versions[python] = version
    with tempfile.TemporaryDirectory(prefix="dbprompt-alembic-") as name:
        folder = Path(name)
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        ways = [_run(python, ("-m", "alembic", *way, "--sql"), folder) for way in (_UP, _DOWN)]
    failed = next((way.stderr.strip().splitlines()[-1:] or ["it stopped"] for way in ways if way.returncode), [""])
    return Alembic(version, ways[0].stdout, ways[1].stdout, failed[0])


_known_versions: dict[str, str] = {}
"""By interpreter; one without Alembic is asked again."""


def _version(python: str) -> str:
    found = _run(python, ("-c", _VERSION), Path.cwd())
    return "" if found.returncode else found.stdout.strip()


_UP = ("upgrade", "head")
_DOWN = ("downgrade", "head:base")


def _run(python: str, arguments: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """A Python process that sees nothing of ours: no environment, no directory of the caller."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    environment = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", **kept}
    try:
        return subprocess.run(
            (python, "-P", *arguments),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, 1, "", f"it did not end within {_SECONDS:g} s")
