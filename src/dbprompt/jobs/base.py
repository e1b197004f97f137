"""What every job shares: settings, the way to a repair, and the error at the end of a session that gave up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, assert_never

from pydantic import BaseModel

from dbprompt.errors import AnswerError, RefusedError, TruncatedError, UnprovenError
from dbprompt.patch import BrokenItem
from dbprompt.prompts.prompt import RepairItem
from dbprompt.session import GaveUp

__all__ = ["DEFAULT_PROMPT", "JobSettings", "failure", "repair_items"]

T = TypeVar("T", bound=BaseModel)

DEFAULT_PROMPT = "database_architect"
"""The family that asks if nobody says which."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Bounds of a job: repair rounds a section, and where a provider cuts an answer off (in tokens)."""

    attempts: int = 3
    max_output_tokens: int = 16_000


def failure(end: GaveUp[T], what: str, settings: JobSettings) -> AnswerError:
    """The error for a session that gave up."""
    first = end.report.findings[0].message if end.report.findings else ""
    match end.reason:
        case "refused":
            return RefusedError(f"{what}: the model declined: {first}")
        case "truncated":
            return TruncatedError(f"{what}: {first}")
        case "unproven":
            errors = end.report.errors
            listed = "".join(f"\n  - {finding}" for finding in errors)
            rounds = f"{settings.attempts} repair round{'s' if settings.attempts != 1 else ''}"
            return UnprovenError(f"{what}: still {len(errors)} wrong after {rounds}{listed}", findings=errors)
        case _:
            assert_never(end.reason)


def repair_items(items: Sequence[BrokenItem]) -> tuple[RepairItem, ...]:
    """Broken items as a prompt writes them down."""
    return tuple(
        RepairItem(item.key, item.text, tuple(finding.message for finding in item.findings), item.name)
        for item in items
    )
