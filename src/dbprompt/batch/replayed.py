"""A recording in the place of a batch API: what a batch asks is answered at once, and nothing is handed in."""

from __future__ import annotations

from collections.abc import Sequence

from dbprompt.batch.base import Ended, Pending
from dbprompt.calls.line import Aim, Line
from dbprompt.calls.prices import Price
from dbprompt.errors import NoRecordingError, ProviderError
from dbprompt.messages import Request
from dbprompt.providers import Provider

__all__ = ["ReplayedLine"]


class ReplayedLine:
    """One model, whose answers are in a recording.

    Args:
        provider: answers from it.
        price: what the model costs in a batch; None if nobody told.
    """

    def __init__(self, provider: Provider, price: Price | None) -> None:
        self._calls = Line(aims=[Aim(provider, price)]).job()

    def ask(self, pending: Sequence[Pending]) -> list[Ended]:
        """How each request ended, in order: the same question twice is answered by the next recorded answer."""
        return [self._end_of(one.request) for one in pending]

    def _end_of(self, request: Request) -> Ended:
        try:
            return self._calls.send(request)
        except (ProviderError, NoRecordingError) as error:
            return error
