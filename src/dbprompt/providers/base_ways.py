"""What a server or a model does not take, learned from one refusal each and remembered for the provider."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from dbprompt.errors import NoRecordingError, ProviderError
from dbprompt.messages import Reply, Usage
from dbprompt.providers.base import SchemaForm

__all__ = ["Attempt", "Learned", "Refusal", "Setting", "Ways"]

Refusal: TypeAlias = ProviderError | NoRecordingError
Setting: TypeAlias = Literal["form", "temperature", "thinking", "new_limit", "stream_usage"]

log = logging.getLogger(__name__)

_REFUSING = re.compile(
    r"unsupported|not support|deprecated|only the default|may only be set|not (allowed|permitted|accepted|available)"
    r"|cannot be (used|set|given|specified)|incompatible|extra (inputs|fields)|unrecognized|unknown",
    re.IGNORECASE,
)
"""A setting that is refused altogether, and not for its value: that would be the user's mistake."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a request is put, as far as servers and models differ.

    Args:
        form: how the answer's schema is sent to a compatible server.
        temperature: whether a temperature is sent; models that reason mostly refuse it.
        thinking: whether Anthropic is asked to think as much as it finds right; older models do not know that.
        new_limit: whether the limit is called `max_completion_tokens`, as OpenAI's own models that reason want it.
        stream_usage: whether a stream is asked to tell its usage.
    """

    form: SchemaForm = "json_schema"
    temperature: bool = True
    thinking: bool = True
    new_limit: bool = False
    stream_usage: bool = True


class Learned:
    """The ways of one provider.

    Args:
        now: what to begin with.
        sends: which settings its requests have at all.
        form_is_told: whether the user named the response format: then it is never changed.
    """

    def __init__(self, now: Ways, *, sends: Collection[Setting], form_is_told: bool = False) -> None:
        self.now, self._sends = now, sends
        self._form_is_known = form_is_told or "form" not in sends

    def attempt(self, *, streamed: bool = False, native: bool = True) -> Attempt:
        """One request's way to an answer; `native` says that its schema is sent as one, in some form."""
        return Attempt(self, streamed=streamed, native=native)

    def leave_out(self, other: Ways) -> None:
        """What a refusal has named is not sent any more, whatever becomes of the answer: one refusal a setting."""
        left = replace(
            self.now,
            temperature=self.now.temperature and other.temperature,
            thinking=self.now.thinking and other.thinking,
            new_limit=self.now.new_limit or other.new_limit,
            stream_usage=self.now.stream_usage and other.stream_usage,
        )
        if left != self.now:
            log.info("From now on this model is asked in other ways, as it refused the first: %s", left)
            self.now = left

    def fit(self, used: Ways, *, found_out: bool) -> None:
        """These were taken: a later error that names the format has another cause."""
        self._form_is_known = True
        if found_out:
            self.leave_out(used)
            if used.form == "json_object":
                self.now = replace(self.now, form=used.form)

    def after(self, used: Ways, refusal: ProviderError, *, native: bool = True) -> Ways | None:
        """What to try after a refusal; None if nothing else would help."""
        said, status = str(refusal), refusal.status
        if status in (400, 422) and _REFUSING.search(said):
            if "new_limit" in self._sends and "max_completion_tokens" in said and not used.new_limit:
                return replace(used, new_limit=True)
            if "temperature" in self._sends and "temperature" in said and used.temperature:
                return replace(used, temperature=False)
            if "stream_usage" in self._sends and "stream_options" in said and used.stream_usage:
                return replace(used, stream_usage=False)
            if "thinking" in self._sends and "thinking" in said and used.thinking:
                return replace(used, thinking=False)
        # llama-cpp-python reports an unknown format as 500
        blamed = "response_format" in said or "json_schema" in said
        if native and blamed and status in (400, 422, 500) and used.form == "json_schema":
            if not self._form_is_known:
                return replace(used, form="json_object")
            return self.now if self.now.form != used.form else None  # another request has found it out meanwhile
        return None

    def recorded(self, *, streamed: bool) -> Iterator[Ways]:
        """What a recording may hold instead: it has no refusals, only what was found out by them."""
        now, silent = self.now, replace(self.now, temperature=False)
        if not self._form_is_known:
            yield replace(now, form="json_object")
        if "temperature" in self._sends:
            yield silent
        if "thinking" in self._sends:
            yield replace(now, thinking=False)
        if "new_limit" in self._sends and not now.new_limit:
            yield replace(silent, new_limit=True)
        if "stream_usage" in self._sends and streamed:
            yield replace(now, stream_usage=False)


class Attempt:
    """One request's way through the refusals to an answer: the same for plain and async code."""

    def __init__(self, learned: Learned, *, streamed: bool, native: bool) -> None:
        self._learned, self._streamed, self._native = learned, streamed, native
        self._first: Refusal | None = None
        self._recorded: Iterator[Ways] | None = None
        self._refused = 0
        self.ways = learned.now

    def refused(self, refusal: Refusal) -> None:
        """Goes on to the next way, or raises what was refused first."""
        self._first = self._first or refusal
        other = self._next(refusal)
        if other is None:
            raise self._first if isinstance(refusal, NoRecordingError) else refusal
        if isinstance(refusal, ProviderError):
            self._learned.leave_out(other)
        self.ways = other

    @contextmanager
    def counting(self) -> Iterator[None]:
        """An error inside knows how many requests were refused before it."""
        try:
            yield
        except ProviderError as error:
            error.refused = self._refused
            raise

    def _next(self, refusal: Refusal) -> Ways | None:
        if isinstance(refusal, NoRecordingError):
            self._recorded = self._recorded or self._learned.recorded(streamed=self._streamed)
            return next(self._recorded, None)
        refusal.refused = self._refused
        self._refused += 1
        return self._learned.after(self.ways, refusal, native=self._native) if self._refused <= 4 else None

    def taken(self, reply: Reply) -> Reply:
        """The reply, with the refused requests in its usage."""
        self._learned.fit(self.ways, found_out=self._first is not None)
        if not self._refused:
            return reply
        return replace(reply, usage=reply.usage + Usage(requests=self._refused))
