"""One request and what came of it, as a trace keeps it."""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import dataclass, field, replace
from datetime import datetime

from dbprompt.messages import Message, Reply, Request, StopReason, Usage
from dbprompt.providers.base import without_key

__all__ = ["UNCOUNTED", "Exchange", "blotted", "error_type"]

UNCOUNTED = Usage(requests=1)
"""A request of which nobody counted the tokens, nor knows the price."""


def error_type(error: BaseException) -> str:
    """The name of an error's class; a request that nobody waits for any more is `Cancelled`, however that came."""
    return "Cancelled" if isinstance(error, GeneratorExit | CancelledError) else type(error).__name__


def blotted(text: str, keys: tuple[str, ...]) -> str:
    """The text without any key."""
    for key in keys:
        if key in text:  # half the time of a replace that finds nothing
            text = without_key(text, key)
    return text


def _blotted(message: Message, keys: tuple[str, ...]) -> Message:
    text = blotted(message.text, keys)
    return message if text == message.text else replace(message, text=text)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, or the error that came instead.

    Args:
        section: what was asked for; empty for a question of your own.
        messages: the prompt as it was sent.
        schema: the name of the schema that the answer had to fit.
        schema_hash: sha256 of that schema.
        max_output_tokens: where the answer was to be cut off.
        native: whether the schema was sent as a schema, not in words.
        asked: who was asked, as `provider:model`.
        attempt: number of this request within its call, from 1; a call goes on after a failure.
        waited_s: how long was waited right before it.
        started_at: when it was sent, in UTC.
        seconds: from then to the end of the answer; None where nobody measured it, as in a batch.
        answer: the text.
        stop: why the model stopped; None if there is no answer.
        usage: what it cost.
        model: who answered, as the provider names it.
        error_type: the name of the error's class.
        error: what the error said.
    """

    section: str
    messages: tuple[Message, ...]
    schema: str
    schema_hash: str
    max_output_tokens: int
    native: bool
    asked: str
    attempt: int
    waited_s: float
    started_at: datetime
    seconds: float | None
    answer: str = ""
    stop: StopReason | None = None
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    error_type: str = ""
    error: str = ""

    @classmethod
    def of(
        cls,
        request: Request,
        end: Reply | BaseException,
        *,
        asked: str,
        attempt: int,
        waited_s: float,
        started_at: datetime,
        seconds: float | None,
        keys: tuple[str, ...] = (),
        failed: Usage = UNCOUNTED,
    ) -> Exchange:
        """The exchange of a request that ended like this; `keys` are blotted out, `failed` is what a failure cost."""
        output = request.output
        messages = tuple(_blotted(message, keys) for message in request.messages) if keys else request.messages
        about = (messages, output.name, output.hash, request.max_output_tokens, request.native)
        how = (asked, attempt, waited_s, started_at, seconds)
        if isinstance(end, Reply):
            came = (blotted(end.text, keys), end.stop, end.usage, end.model)
            return cls(request.origin.section, *about, *how, *came)
        return cls(
            request.origin.section,
            *about,
            *how,
            usage=failed,
            error_type=error_type(end),
            error=blotted(str(end), keys),
        )

    @property
    def ended(self) -> str:
        """How it ended, in a word: why the model stopped, or the error's class."""
        return str(self.stop) if self.stop is not None else self.error_type or "no answer"

    def __repr__(self) -> str:
        """How it went; nothing that was said."""
        took = "" if self.seconds is None else f", {self.seconds:.2f} s"
        return f"Exchange({self.section or 'answer'}, {self.asked}, request {self.attempt}: {self.ended}{took})"
