"""Every finding that a rule can make: what it means, why, who says so, how to fix it, a poor and a better case.

The TOML files beside this one are the only place for it, one family a file; `docs/rules.md` and `dbprompt rules` are
written from them. A test holds them complete against the code in both directions, and runs every case on PostgreSQL,
after the tables of `setup.sql`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, TypeAdapter

from dbprompt.evidence import Severity

__all__ = [
    "NOT_RULES",
    "Claim",
    "Mistake",
    "Rule",
    "catalogue",
    "example_setup",
    "false_claims",
    "families",
    "family_of",
    "mistakes",
    "settable",
]

NOT_RULES = {
    "engine": "what an engine refused",
    "shape": "an item of the wrong shape",
    "answer": "an answer that could not be read",
}
"""Families of findings that are no rule's: their codes end in the engine's or pydantic's own word."""

_STRICT = ConfigDict(extra="forbid")  # a misspelt key in a page is an error
Reads: TypeAlias = Literal["design", "sql", "migration", "plan"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One finding that can be made.

    Args:
        id: `family.rule`, the code of its findings.
        severity: how bad it is by itself, at worst.
        reads: where it is looked for: in a typed design, in SQL text, in a migration, in a query plan.
        why: what goes wrong.
        source: who says so: a page of the manual, a standard, or what was measured here.
        fix: what to do.
        poor: a case that has it. SQL that runs after `setup.sql` and `setup`, unless `prose`.
        better: the same without it.
        also: how bad it is where less is known.
        setup: SQL that the two cases need besides.
        refused: the engine's word for refusing the poor case; empty if it accepts it.
        dialect: of the cases.
        prose: whether the cases are described, for what no SQL shows.
        fixed: why it cannot be ignored; empty if it can.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    id: str
    severity: Severity
    reads: tuple[Reads, ...]
    why: str
    source: str
    fix: str
    poor: str
    better: str
    also: tuple[Severity, ...] = ()
    setup: str = ""
    refused: str = ""
    dialect: str = "postgres"
    prose: bool = False
    fixed: str = ""

    @property
    def family(self) -> str:
        """The part of the id before the dot."""
        return family_of(self.id)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake that models make often, and what finds it.

    Args:
        title: the mistake.
        rules: ids of the rules that find it; `engine.*` is the engine's own refusal.
        check: what looks, in a few words.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    title: str
    rules: tuple[str, ...]
    check: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that is often said of PostgreSQL and is not so.

    Args:
        claim: what is said.
        truth: what the engine does.
        sql: statements that show it.
        shows: a query whose one value is true afterwards.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    claim: str
    truth: str
    sql: str
    shows: str


def family_of(code: str) -> str:
    """The part of a code before the dot.

    >>> family_of("types.float_money")
    'types'
    """
    return code.partition(".")[0]


@cache
def catalogue() -> dict[str, Rule]:
    """Every rule by its id, family by family."""
    read = TypeAdapter(Rule)
    rules = (
        read.validate_python({"id": f"{family}.{name}", **entry})
        for family in families()
        for name, entry in _page(family).items()
    )
    return {rule.id: rule for rule in rules}


@cache
def families() -> dict[str, str]:
    """Every family with what it is about."""
    return {name: str(about["about"]) for name, about in _page("families").items()}


def mistakes() -> tuple[Mistake, ...]:
    """The twenty-five mistakes that models make most, most repeated first."""
    read = TypeAdapter(Mistake)
    return tuple(read.validate_python({"title": title, **entry}) for title, entry in _page("mistakes").items())


def false_claims() -> tuple[Claim, ...]:
    """What no rule here says, because the engine says otherwise."""
    read = TypeAdapter(Claim)
    return tuple(read.validate_python({"claim": claim, **entry}) for claim, entry in _page("claims").items())


@cache
def example_setup() -> str:
    """The tables that the cases are about."""
    return (files(__name__) / "setup.sql").read_text(encoding="utf-8")


@cache
def settable(*, fixed: bool = False) -> frozenset[str]:
    """Ids of the rules that can be ignored or graded otherwise; with `fixed`, of those that cannot."""
    return frozenset(code for code, rule in catalogue().items() if bool(rule.fixed) is fixed)


def _page(name: str) -> dict[str, dict[str, object]]:
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
