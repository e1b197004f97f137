"""Migration files have the names and headers that their tools read, and hold the statements of the steps, no other.

Poor: `V2_orders.sql` (one underscore), which Flyway passes over without a word; an index built CONCURRENTLY in a
changeset without `runInTransaction:false`; a comment of the design whose second line is `--changeset`, which Liquibase
obeys.
Better: `V0002__orders.sql` with `executeInTransaction=false` beside it; the comment as one line with escapes.

The files are read back as the tools read them, as far as their manuals say how: documentation.red-gate.com/fd (naming,
script configuration) and docs.liquibase.com (formatted SQL).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbprompt.checks.sql.grammar import GrammarRung
from dbprompt.render.migrations.steps import Step, Versioned

__all__ = ["Read", "alembic_problems", "flyway_problems", "liquibase_problems", "plain_problems", "statements"]

_FLYWAY = re.compile(r"(?P<kind>[VU])(?P<version>\d+(?:[._]\d+)*)__(?P<name>\w+)\.sql")
_CHANGESET = re.compile(r"\s*--\s*changeset\s+(?P<author>[^:\s]+):(?P<id>\S+)\s*(?P<attributes>.*)", re.IGNORECASE)
_ROLLBACK = re.compile(r"\s*--\s*rollback\s(?P<sql>.*)", re.IGNORECASE)
_HEADER = "--liquibase formatted sql"
_NEEDS_NONE = re.compile(r"\bCONCURRENTLY\b|\AALTER TYPE .* ADD VALUE\b|\ACALL\b", re.IGNORECASE | re.DOTALL)
_BRACKETS = {"BEGIN", "COMMIT"}


@dataclass(frozen=True, slots=True)
class Read:
    """A step as a tool would read it from its files."""

    up: tuple[str, ...]
    down: tuple[str, ...]
    transactional: bool


def statements(sql: str) -> tuple[str, ...]:
    """The statements of a script, without comments in front, in one line each."""
    found = (_plain(one.sql) for one in GrammarRung().split(sql))
    return tuple(text for text in found if text)


def _plain(sql: str) -> str:
    kept = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    return " ".join(" ".join(kept).split()).removesuffix(";").strip()


def plain_problems(files: Mapping[str, str], steps: Sequence[Versioned]) -> Iterator[str]:
    """What is wrong with the plain files, by name without folder."""
    for one in steps:
        read = {way: statements(files.get(f"{one.stem}.{way}.sql", "")) for way in ("up", "down")}
        brackets = [sql for sql in (*read["up"], *read["down"]) if sql in _BRACKETS]
        bare = {way: tuple(sql for sql in found if sql not in _BRACKETS) for way, found in read.items()}
        yield from _compared(one, Read(bare["up"], bare["down"], transactional=bool(brackets)))


def flyway_problems(files: Mapping[str, str], steps: Sequence[Versioned]) -> Iterator[str]:
    """What is wrong with the files for Flyway, by name without folder."""
    scripts = {name: text for name, text in files.items() if name.endswith(".sql")}
    for name in scripts:
        if not _FLYWAY.fullmatch(name):
            yield f"{name}: Flyway reads V or U, a version, two underscores, a name, .sql"
    for one in steps:
        up, down = (f"{kind}{one.version}__{one.step.name}.sql" for kind in "VU")
        outside = [_no_transaction(files.get(f"{name}.conf", "")) for name in (up, down)]
        if outside[0] != outside[1]:
            yield f"{up} and {down}: one runs in a transaction and the other does not"
        nothing = ("SELECT 1 AS nothing_to_do",)
        found = [statements(scripts.get(name, "")) for name in (up, down)]
        read = [() if texts == nothing else texts for texts in found]
        yield from _compared(one, Read(read[0], read[1], transactional=not outside[0]))
    if len(scripts) != 2 * len(steps):
        yield f"{len(scripts)} scripts for {len(steps)} steps: one up and one down each"


def _no_transaction(conf: str) -> bool:
    return "executeInTransaction=false" in {line.strip() for line in conf.splitlines()}


def liquibase_problems(changelog: str, steps: Sequence[Versioned]) -> Iterator[str]:
    """What is wrong with the changelog: read line by line, as Liquibase does."""
    lines = changelog.splitlines()
    if not lines or lines[0] != _HEADER:
        yield f"the first line has to be {_HEADER}"
    found: dict[str, tuple[dict[str, str], list[str], list[str]]] = {}
    current: tuple[dict[str, str], list[str], list[str]] | None = None
    for line in lines[1:]:
        if match := _CHANGESET.fullmatch(line):
            attributes = dict(pair.split(":", 1) for pair in match["attributes"].split() if ":" in pair)
            current = (attributes, [], [])
            if match["id"] in found:
                yield f"changeset {match['id']} is there twice"
            found[match["id"]] = current
        elif current is not None and (match := _ROLLBACK.fullmatch(line)):
            current[2].append(match["sql"])
        elif current is not None:
            current[1].append(line)
    if list(found) != [one.stem for one in steps]:
        yield f"the changesets are {', '.join(found)}; the steps {', '.join(one.stem for one in steps)}"
    for one in steps:
        if one.stem in found:
            yield from _changeset(one, *found[one.stem])


def _changeset(one: Versioned, attributes: Mapping[str, str], up: list[str], down: list[str]) -> Iterator[str]:
    rollback = "\n".join(down)
    ways = (statements("\n".join(up)), () if rollback.strip() == "empty" else statements(rollback))
    if not rollback.strip():
        yield f"{one.stem}: no rollback"
    if "changesetid" in rollback.lower():  # Liquibase then takes the whole rollback for the name of another changeset
        yield f"{one.stem}: the word changesetid in a rollback means another changeset; give the thing another name"
    for key, texts in (("splitStatements", ways[0]), ("rollbackSplitStatements", ways[1])):
        if attributes.get(key, "true") != "false" and any(";" in text for text in texts if "$" in text):
            yield f"{one.stem}: a body would be cut at its semicolons; write {key}:false"
    read = Read(ways[0], ways[1], transactional=attributes.get("runInTransaction", "true") != "false")
    yield from _compared(one, read)


def alembic_problems(upgrade: str, downgrade: str, steps: Sequence[Versioned]) -> Iterator[str]:
    """What is wrong with Alembic's own offline output: the steps in order, then back."""
    ups = [sql for one in steps for sql in one.step.up]
    downs = [sql for one in reversed(steps) for sql in one.step.down]
    for way, output, wanted in (("upgrade", upgrade, ups), ("downgrade", downgrade, downs)):
        own = [sql for sql in statements(output) if sql not in _BRACKETS and "alembic_version" not in sql]
        expected = [_plain(sql) for sql in wanted]
        if own != expected:
            yield f"alembic {way} --sql: {_first_difference(own, expected)}"
        for text in _outside_wanted(wanted):
            if _inside_brackets(statements(output), _plain(text)):
                yield f"alembic {way} --sql: {text[:60]} stands in a transaction"


def _outside_wanted(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if _NEEDS_NONE.search(text)]


def _inside_brackets(texts: Sequence[str], wanted: str) -> bool:
    is_open = False
    for text in texts:
        is_open = text == "BEGIN" or (is_open and text != "COMMIT")
        if text == wanted:
            return is_open
    return False


def _compared(one: Versioned, read: Read) -> Iterator[str]:
    """A step against what was read back of it."""
    for way, found, wanted in (("up", read.up, one.step.up), ("down", read.down, one.step.down)):
        expected = [_plain(sql) for sql in wanted]
        if list(found) != expected:
            yield f"{one.stem} {way}: {_first_difference(found, expected)}"
    if read.transactional != one.step.transactional and (one.step.up or one.step.down):
        inside = "in" if read.transactional else "outside"
        yield f"{one.stem}: it would run {inside} a transaction"
    yield from _must_stand_alone(one.stem, one.step)


def _must_stand_alone(stem: str, step: Step) -> Iterator[str]:
    if step.transactional and _outside_wanted((*step.up, *step.down)):
        yield f"{stem}: it holds a statement that cannot run in a transaction"


def _first_difference(found: Sequence[str], wanted: Sequence[str]) -> str:
    for at in range(max(len(found), len(wanted))):
        here = found[at] if at < len(found) else "nothing"
        there = wanted[at] if at < len(wanted) else "nothing"
        if here != there:
            return f"statement {at + 1} reads {here[:80]!r}, the step has {there[:80]!r}"
    return "the same"
