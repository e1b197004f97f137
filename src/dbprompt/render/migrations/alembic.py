"""Migrations for Alembic: an environment, and a revision a step.

Alembic runs Python, so nothing but `op.execute` of our own statements stands in a revision, each as a literal that
`repr` wrote. What SQLAlchemy would read as a parameter, `:name`, is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dbprompt.render.migrations.steps import Versioned

__all__ = ["alembic_files"]

_BIND = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")

_INI = """\
# Written by dbprompt. The connection is read from DATABASE_URL, such as postgresql+psycopg://user@host/name
[alembic]
script_location = %(here)s
version_locations = %(here)s/versions
path_separator = os
"""

_ENV = '''\
"""Runs the revisions, each in a transaction of its own. Written by dbprompt."""

import os

from alembic import context
from sqlalchemy import create_engine, pool


def run_offline() -> None:
    """Writes SQL instead of running it: alembic upgrade head --sql."""
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Runs against DATABASE_URL."""
    engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
'''

_TEMPLATE = '''\
"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
'''


def alembic_files(steps: Sequence[Versioned]) -> Mapping[str, str]:
    """`alembic.ini`, `env.py`, `script.py.mako` and `versions/0001_initial.py`, ..."""
    files = {"alembic.ini": _INI, "env.py": _ENV, "script.py.mako": _TEMPLATE}
    before: str | None = None
    for one in steps:
        files[f"versions/{one.stem}.py"] = "\n".join(_revision(one, before)) + "\n"
        before = one.version
    return files


def _revision(one: Versioned, before: str | None) -> Iterator[str]:
    notes = f"{one.step.note} Up only when {one.step.after}." if one.step.after else one.step.note
    yield repr(f"{one.step.title}. {' '.join(notes.split())}")
    yield from ("", "from alembic import op", "")
    yield f"revision = {one.version!r}"
    yield f"down_revision = {before!r}"
    yield from ("branch_labels = None", "depends_on = None")
    for name, statements in (("upgrade", one.step.up), ("downgrade", one.step.down)):
        yield from ("", "", f"def {name}() -> None:")
        yield from _body(statements, transactional=one.step.transactional)


def _body(statements: Sequence[str], *, transactional: bool) -> Iterator[str]:
    if not statements:
        yield "    pass"
        return
    indent = "    "
    if not transactional:
        yield "    with op.get_context().autocommit_block():"
        indent *= 2
    for sql in statements:
        yield f"{indent}op.execute("
        lines = _BIND.sub(r"\\:", sql).splitlines(keepends=True)
        yield from (f"{indent}    {line!r}" for line in lines)
        yield f"{indent})"
