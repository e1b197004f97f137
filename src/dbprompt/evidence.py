"""What was proven, by whom, and what nobody checked. Silence is never a pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from dbprompt.messages import Json

__all__ = ["Evidence", "Exhibit", "Finding", "Report", "Severity", "Status", "Tier", "Verdict"]


class Severity(StrEnum):
    """How bad a finding is: an error fails the artefact and is sent back for repair."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


class Status(StrEnum):
    """What a check says of an artefact."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_CHECKED = "not_checked"


class Tier(StrEnum):
    """Who says so: an engine ran it, a vendor's own grammar, another parser, a rule of ours, or nobody."""

    ENGINE = "E"
    VENDOR = "V"
    PARSER = "P"
    RULE = "R"
    NOTHING = "N"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong.

    Args:
        code: stable dotted name, `family.rule`.
        severity: error, warning or advice.
        where: JSON pointer to the item, into the section while it is checked and into the design afterwards;
            for raw SQL `/statements/N`.
        message: what is wrong, and what to do.
        may_drop: whether leaving the item out mends it too. Without it, repair asks for a better item: small models
            would rather have none.
    """

    code: str
    severity: Severity
    where: str
    message: str
    may_drop: bool = False

    def below(self, prefix: str) -> Finding:
        """The same finding seen from one level up."""
        return replace(self, where=_below(prefix, self.where))

    def __str__(self) -> str:
        """One line."""
        return f"{self.severity} {self.code} at {self.where or '/'}: {self.message}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one checker says of one artefact.

    Args:
        artefact: its kind and name as a person would say it, `table orders`.
        where: JSON pointer, as in `Finding`.
        status: passed, failed, inconclusive or not_checked.
        tier: how much that is worth.
        checker: the tool and its version, `postgresql 18.6`.
        uncovered: what this verdict does not say.
    """

    artefact: str
    where: str
    status: Status
    tier: Tier
    checker: str
    uncovered: str = ""

    def below(self, prefix: str) -> Verdict:
        """The same verdict seen from one level up."""
        return replace(self, where=_below(prefix, self.where))


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Something a check saw that a person may want to see too: a query plan, the locks of a statement.

    Args:
        where: JSON pointer, as in `Finding`.
        title: what it is, `plan of latest_orders at 139,030,000 rows`.
        text: how it is shown, a few lines.
        data: the whole of it as the tool gave it.
    """

    where: str
    title: str
    text: str
    data: Json = None

    def below(self, prefix: str) -> Exhibit:
        """The same exhibit seen from one level up."""
        return replace(self, where=_below(prefix, self.where))


@dataclass(frozen=True, slots=True)
class Report:
    """What one check returns. Reports add up. `ignored` are findings that the user does not want to count."""

    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    ignored: tuple[Finding, ...] = ()

    def __add__(self, other: Report) -> Report:
        """Both, in order."""
        return Report(
            self.findings + other.findings,
            self.verdicts + other.verdicts,
            self.exhibits + other.exhibits,
            self.ignored + other.ignored,
        )

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that fail the answer."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    def below(self, prefix: str) -> Report:
        """The same report seen from one level up."""
        return Report(
            tuple(finding.below(prefix) for finding in self.findings),
            tuple(verdict.below(prefix) for verdict in self.verdicts),
            tuple(exhibit.below(prefix) for exhibit in self.exhibits),
            tuple(finding.below(prefix) for finding in self.ignored),
        )


def _below(prefix: str, where: str) -> str:
    """A pointer seen from one level up; one that begins with `/..` leads out of that level, to its neighbours."""
    return prefix.rpartition("/")[0] + where.removeprefix("/..") if where.startswith("/../") else prefix + where


_RANK = {Tier.ENGINE: 4, Tier.VENDOR: 3, Tier.PARSER: 2, Tier.RULE: 1, Tier.NOTHING: 0}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All findings, verdicts and exhibits of a result, and the findings that the user's settings ignore."""

    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    ignored: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, reports: Iterable[Report]) -> Evidence:
        """Collects reports."""
        total = sum(reports, Report())
        return cls(total.findings, total.verdicts, total.exhibits, total.ignored)

    @property
    def ok(self) -> bool:
        """Nothing failed, and at least one parser, vendor grammar or engine passed something."""
        failed = any(verdict.status is Status.FAILED for verdict in self.verdicts)
        passed = any(v.status is Status.PASSED and _RANK[v.tier] >= _RANK[Tier.PARSER] for v in self.verdicts)
        return passed and not failed and not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are mistakes for sure."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def not_proven(self) -> tuple[Verdict, ...]:
        """Everything that was not checked, or that a check could not decide."""
        open_states = (Status.NOT_CHECKED, Status.INCONCLUSIVE)
        return tuple(verdict for verdict in self.verdicts if verdict.status in open_states)

    def of_artefact(self, where: str) -> tuple[Verdict, ...]:
        """The verdicts at one JSON pointer."""
        return tuple(verdict for verdict in self.verdicts if verdict.where == where)

    def best(self, where: str) -> Verdict | None:
        """The verdict that decides: a failure if there is one, else the strongest pass, else what is left."""
        verdicts = self.of_artefact(where)
        for status in (Status.FAILED, Status.PASSED, Status.INCONCLUSIVE, Status.NOT_CHECKED):
            of_status = [verdict for verdict in verdicts if verdict.status is status]
            if of_status:
                return max(of_status, key=lambda verdict: _RANK[verdict.tier])
        return None

    def to_json(self) -> dict[str, Json]:
        """Plain data for `evidence.json`."""
        return {
            "ok": self.ok,
            "findings": [dict(asdict(finding)) for finding in self.findings],
            "verdicts": [dict(asdict(verdict)) for verdict in self.verdicts],
            "exhibits": [dict(asdict(exhibit)) for exhibit in self.exhibits],
            "ignored": [dict(asdict(finding)) for finding in self.ignored],
        }
