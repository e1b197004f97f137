"""What a result cost and how much of it was proven, beside what it scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dbprompt.calls.prices import Price
from dbprompt.evidence import Severity, Status, Tier
from dbprompt.messages import Usage
from dbprompt.result import Result

__all__ = ["Measures", "measures"]


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures of one result.

    Args:
        artefacts: how many things of the design have a verdict.
        proven: by the tier that decided, the artefacts that passed.
        failed: artefacts that failed.
        open: artefacts that nobody decided.
        findings: by severity.
        repair_rounds: requests for repair.
        usage: everything that was spent.
        seconds: how long it took; None if nobody measured it.
        cost: in US dollars; None where nobody told the price of the model, or how many tokens there were.
    """

    artefacts: int
    proven: Mapping[Tier, int]
    failed: int
    open: int
    findings: Mapping[Severity, int]
    repair_rounds: int
    usage: Usage
    seconds: float | None = None
    cost: float | None = None

    def proven_share(self, *tiers: Tier) -> float | None:
        """The share of artefacts that passed, by these tiers or by any; None if there are no artefacts."""
        wanted = tiers or tuple(Tier)
        return sum(self.proven.get(tier, 0) for tier in wanted) / self.artefacts if self.artefacts else None


def measures(
    result: Result,
    *,
    model: str = "",
    prices: Mapping[str, Price] | None = None,
    seconds: float | None = None,
) -> Measures:
    """The figures of a result.

    Args:
        result: complete or partial.
        model: that answered, as `prices` names it.
        prices: for a result that does not tell its cost.
        seconds: as the caller measured them.
    """
    best = [verdict for where in _artefacts(result) if (verdict := result.evidence.best(where))]
    price = (prices or {}).get(model)
    return Measures(
        artefacts=len(best),
        proven=dict(Counter(one.tier for one in best if one.status is Status.PASSED)),
        failed=sum(one.status is Status.FAILED for one in best),
        open=sum(one.status in {Status.INCONCLUSIVE, Status.NOT_CHECKED} for one in best),
        findings=dict(Counter(finding.severity for finding in result.evidence.findings)),
        repair_rounds=sum(turn.usage.requests for turn in result.usage_by_turn if turn.kind == "repair"),
        usage=result.usage,
        seconds=seconds,
        cost=price.of(result.usage) if price and _told(result) else result.usage.cost_usd,
    )


def _told(result: Result) -> bool:
    """Whether the provider told the tokens of every turn, and nobody what they cost."""
    turns = (turn.usage for turn in result.usage_by_turn if turn.usage.requests)
    return result.usage.cost_usd is None and all(one.input_tokens and one.output_tokens for one in turns)


def _artefacts(result: Result) -> tuple[str, ...]:
    return tuple(dict.fromkeys(verdict.where for verdict in result.evidence.verdicts))
