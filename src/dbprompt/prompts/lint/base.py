"""What lint says: rules in rows, each passed, failed or not checked, with the places and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dbprompt.evidence import Status
from dbprompt.prompts.tokens import Tokens

__all__ = ["Fault", "Health", "Row", "Rule", "RuleResult", "fault_of", "judged", "line_of", "not_checked"]

_PLACE = re.compile(r"(?:\S+@\S+: )?(?P<path>[\w./-]+\.(?:j2|toml|lock))(?:, line (?P<line>\d+))?: (?P<told>.*)", re.S)


class Row(StrEnum):
    """A line of the health panel."""

    LENGTH = "Length"
    STRUCTURE = "Structure"
    VARIABLES = "Variables"
    SAFETY = "Safety"
    LOCK = "Lock"


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that holds of a healthy prompt: what passes, and what to do if it does not."""

    id: str
    row: Row
    says: str
    fix: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where a rule fails. Line 0: the whole file."""

    path: str
    line: int
    message: str

    @property
    def where(self) -> str:
        """`file:line`, as editors open it."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def __str__(self) -> str:
        """One line."""
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule says of a prompt; `reason` tells why it could not run."""

    rule: Rule
    status: Status
    faults: tuple[Fault, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The result of lint. It says how a prompt is made, not how well it works: evals measure that.

    Args:
        prompt: `name@version`, or the end of the folder's path if it is not called so.
        results: every rule that applies, in the order of the rows.
        lengths: the tokens of each turn, filled with the examples of the variables.
    """

    prompt: str
    results: tuple[RuleResult, ...]
    lengths: tuple[tuple[str, Tokens], ...] = ()

    @property
    def passed(self) -> int:
        """Rules that passed."""
        return sum(result.status is Status.PASSED for result in self.results)

    @property
    def score(self) -> float:
        """Passed / applicable. A rule that could not run counts as not passed."""
        return self.passed / len(self.results) if self.results else 0.0

    @property
    def ok(self) -> bool:
        """Whether every rule that applies passed."""
        return self.passed == len(self.results) > 0

    def row(self, row: Row) -> tuple[RuleResult, ...]:
        """The results of one row."""
        return tuple(result for result in self.results if result.rule.row is row)

    def of(self, rule: str) -> RuleResult | None:
        """The result of one rule by its id; None if it does not apply."""
        return next((result for result in self.results if result.rule.id == rule), None)


def judged(rule: Rule, faults: Iterable[Fault]) -> RuleResult:
    """Failed if there is a fault, else passed: only for a rule that really ran."""
    found = tuple(dict.fromkeys(faults))
    return RuleResult(rule, Status.FAILED if found else Status.PASSED, found)


def not_checked(rule: Rule, reason: str) -> RuleResult:
    """The rule could not run."""
    return RuleResult(rule, Status.NOT_CHECKED, (), reason)


def fault_of(told: str, path: str) -> Fault:
    """A fault from an error's text that begins with its place, as the readers of prompts write them."""
    found = _PLACE.match(told)
    if not found:
        return Fault(path, 0, told)
    return Fault(found["path"], int(found["line"] or 0), found["told"])


def line_of(text: str, pattern: str) -> int:
    """The first line that a pattern is found in; 0 if it is in none."""
    return next((at for at, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)), 0)
