"""Which rules count, and how much: the user's word over a report, and never without a trace.

Poor: a finding that nobody wants is deleted where it is made, and the evidence looks as if it had never been.
Better: `ignore=["types.varchar_255"]`: the rule still reads, the verdict no longer fails for it, and the finding stands
in `evidence.ignored`. What an engine refused, or what has no shape, cannot be ignored: that is no opinion.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from dbprompt.checks.catalogue import NOT_RULES, family_of, settable
from dbprompt.errors import Problem, RuleError
from dbprompt.evidence import Evidence, Finding, Report, Severity, Status, Tier, Verdict

__all__ = ["RuleSettings"]

E = TypeVar("E", bound=Evidence)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What the user wants of the rules; by default everything as the catalogue has it.

    Args:
        ignored: ids of rules whose findings do not count.
        severity: ids of rules whose findings weigh something else than usual.
    """

    ignored: frozenset[str] = frozenset()
    severity: Mapping[str, Severity] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
        *,
        base: RuleSettings | None = None,
        where: str = "",
    ) -> RuleSettings:
        """Settings by id (`types.char`) or family (`types.*`); an id goes before a family, and both before `base`.

        >>> RuleSettings.of(["types.chars"])
        Traceback (most recent call last):
        dbprompt.errors.RuleError: rules: 1 problem
          - ignore[0] is 'types.chars': names no rule; did you mean 'types.char'? `dbprompt rules` lists them all

        Args:
            where: what stands before the place in a problem, `rules.` for a brief.

        Raises:
            RuleError: with every problem at once.
        """
        ignore, severity = tuple(ignore), dict(severity or {})
        problems = [*_problems(ignore, severity, where)]
        if problems:
            raise RuleError("rules", problems)
        ignored = set(base.ignored if base else ())
        graded = dict(base.severity if base else {})
        for exact in (False, True):
            for name in ignore:
                if exact is not name.endswith(".*"):
                    ignored.update(_meant(name))
            for name, level in severity.items():
                if exact is not name.endswith(".*"):
                    graded.update(dict.fromkeys(_meant(name), Severity(level)))
                    ignored.difference_update(_meant(name))
        return cls(frozenset(ignored), graded)

    def apply(self, report: Report) -> Report:
        """The same report with the settings in it. A rule's verdict follows what is left of its findings."""
        if not self.ignored and not self.severity:
            return report
        ignored = tuple(finding for finding in report.findings if finding.code in self.ignored)
        kept = tuple(self._graded(finding) for finding in report.findings if finding.code not in self.ignored)
        touched = tuple(finding for finding in report.findings if self._touches(finding))
        verdicts = tuple(_following(verdict, touched, kept, ignored) for verdict in report.verdicts)
        return replace(report, findings=kept, verdicts=verdicts, ignored=report.ignored + ignored)

    def over(self, evidence: E) -> E:
        """The same for evidence that is whole already."""
        report = self.apply(Report(evidence.findings, evidence.verdicts, evidence.exhibits, evidence.ignored))
        return replace(evidence, findings=report.findings, verdicts=report.verdicts, ignored=report.ignored)

    def _touches(self, finding: Finding) -> bool:
        return finding.code in self.ignored or finding.code in self.severity

    def _graded(self, finding: Finding) -> Finding:
        return replace(finding, severity=self.severity.get(finding.code, finding.severity))


def _following(
    verdict: Verdict, touched: tuple[Finding, ...], kept: tuple[Finding, ...], ignored: tuple[Finding, ...]
) -> Verdict:
    """A rule's verdict where a finding of its artefact was set otherwise; every other verdict as it is."""
    decided = verdict.tier is Tier.RULE and verdict.status in {Status.PASSED, Status.FAILED}
    if not decided or not verdict.where or not any(_lies_in(finding, verdict) for finding in touched):
        return verdict
    errors = [
        finding
        for finding in kept
        if finding.severity is Severity.ERROR
        and family_of(finding.code) not in NOT_RULES
        and _lies_in(finding, verdict)
    ]
    unheard = dict.fromkeys(finding.code for finding in ignored if _lies_in(finding, verdict))
    note = f"ignored by the settings: {', '.join(unheard)}" if unheard else ""
    uncovered = "; ".join(filter(None, (verdict.uncovered, note)))
    return replace(verdict, status=Status.FAILED if errors else Status.PASSED, uncovered=uncovered)


def _lies_in(finding: Finding, verdict: Verdict) -> bool:
    return f"{finding.where}/".startswith(f"{verdict.where}/")


def _meant(name: str) -> tuple[str, ...]:
    """The ids that an id or `family.*` stands for."""
    if not name.endswith(".*"):
        return (name,)
    return tuple(code for code in settable() if family_of(code) == family_of(name))


def _problems(ignore: tuple[str, ...], severity: Mapping[str, str], where: str) -> Iterator[Problem]:
    named = [(f"{where}ignore[{at}]", name) for at, name in enumerate(ignore)]
    named += [(f"{where}severity.{name}", name) for name in severity]
    for place, name in named:
        if reason := _unfit(name):
            yield Problem(place, repr(name), reason)
    for name, level in severity.items():
        if level not in set(Severity):
            yield Problem(f"{where}severity.{name}", repr(level), f"write one of {', '.join(Severity)}")


def _unfit(name: str) -> str:
    """Why a name cannot be set; empty if it can."""
    known = settable()
    if name in known or (name.endswith(".*") and _meant(name)):
        return ""
    if what := NOT_RULES.get(family_of(name)):
        return f"is no rule but {what}, which cannot be ignored or graded"
    if name in settable(fixed=True):
        return "keeps a text from leaving its place, so it cannot be ignored or graded"
    names = [*known, *dict.fromkeys(f"{family_of(code)}.*" for code in known)]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    meant = f"; did you mean {close[0]!r}?" if close else ";"
    return f"names no rule{meant} `dbprompt rules` lists them all"
