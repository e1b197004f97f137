"""One section's conversation: ask, parse, check, repair. Pure: told what happened, it says what happens next.

```
begin() ─► Ask ─► replied(reply) ─► Check ─► checked(report) ─► Done | Ask (repair) | GaveUp
```
A repair asks only for the items that findings point at; the reply replaces just these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeAlias, TypeVar, cast

from pydantic import VERSION, BaseModel

from dbprompt.errors import RenderError
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.messages import Json, Message, Origin, OutputSchema, Reply, Request, StopReason, Usage
from dbprompt.patch import BrokenItem, apply_patch, broken_items, patch_schema
from dbprompt.shape import Candidate, parse_json, shape

__all__ = ["Ask", "Candidate", "Check", "Done", "GaveUp", "Session", "Step", "Turn"]

T = TypeVar("T", bound=BaseModel)

_SHORT = 500
"""Letters of a text that has no room as a whole."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this request. `findings` are the reasons, empty for the first ask."""

    request: Request
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Check(Generic[T]):
    """Check this candidate."""

    candidate: Candidate[T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The answer passed; the report says what was proven."""

    value: T
    report: Report


@dataclass(frozen=True, slots=True)
class GaveUp(Generic[T]):
    """The answer was not had. `value` is the last one that had the right shape."""

    reason: Literal["unproven", "refused", "truncated"]
    report: Report
    value: T | None = None


Step: TypeAlias = "Ask | Check[T] | Done[T] | GaveUp[T]"
RepairMessages: TypeAlias = Callable[[Sequence[BrokenItem]], tuple[Message, ...]]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn cost, who answered it, and why nobody did who was asked before."""

    kind: Literal["ask", "repair"]
    usage: Usage
    model: str = ""
    instead_of: tuple[str, ...] = ()


@dataclass(slots=True)
class Session(Generic[T]):
    """The state of one conversation.

    Args:
        output: the model that the answer has to fit.
        messages: the first ask.
        schema: the JSON Schema of `output`.
        repair: writes the messages that ask for broken items; they should begin as `messages` do, so that a provider
            can reuse its cache. An item with an empty pointer stands for the whole answer.
        attempts: how many repair rounds there may be.
        draft: an answer that is there already; it is checked first and asked for only in part.
    """

    output: type[T]
    messages: tuple[Message, ...]
    schema: OutputSchema
    repair: RepairMessages
    attempts: int = 3
    max_output_tokens: int = 16_000
    origin: Origin = field(default_factory=Origin)
    draft: T | None = None
    turns: list[Turn] = field(default_factory=list)
    _document: Json = None
    _asked: tuple[BrokenItem, ...] | None = None
    _repairs: int = 0
    _candidate: Candidate[T] | None = None
    _checked: Report = field(default_factory=Report)

    def begin(self) -> Ask | Check[T] | GaveUp[T]:
        """The first step."""
        if self.draft is None:
            return Ask(self._request(self.messages, self.schema))
        self._document = cast("Json", self.draft.model_dump(mode="json"))
        return self._shaped()

    def replied(self, reply: Reply) -> Ask | Check[T] | GaveUp[T]:
        """What follows from a reply."""
        kind: Literal["ask", "repair"] = "repair" if self._repairs else "ask"
        self.turns.append(Turn(kind, reply.usage, reply.asked, reply.instead_of))
        if reply.stop is StopReason.REFUSED:
            return self._failed("refused", "answer.refused", reply.text[:500] or "the model declined to answer")
        if reply.stop is StopReason.TRUNCATED:
            cut = f"the answer was cut off at {self.max_output_tokens} tokens; raise max_output_tokens"
            return self._failed("truncated", "answer.truncated", cut)
        answer = parse_json(reply.text)
        if isinstance(answer, Finding):
            return self._ask_again(answer)
        if self._asked is None:
            self._document = answer
        elif isinstance(answer, dict):
            self._document = apply_patch(self._document, self._asked, answer)
        else:
            told = "answer with one JSON object that holds the asked items"
            return self._ask_again(Finding("answer.shape", Severity.ERROR, "", told))
        return self._shaped()

    def checked(self, report: Report) -> Ask | Done[T] | GaveUp[T]:
        """What follows from a report on the candidate."""
        if self._candidate is None:
            raise RuntimeError("checked() came before a candidate")
        report = self._checked = self._candidate.shape_report + self._candidate.relocate(report)
        if not report.errors:
            return Done(self._candidate.value, self._shape_verdict() + report)
        return self._repair_or_give_up(report, self._candidate.value)

    def so_far(self) -> tuple[T, Report] | None:
        """The last candidate and what was found wrong with it, for a session that was broken off."""
        return (self._candidate.value, self._checked) if self._candidate else None

    def _shaped(self) -> Ask | Check[T] | GaveUp[T]:
        shaped = shape(self.output, self._document)
        if isinstance(shaped, Candidate):
            self._candidate, self._checked = shaped, Report()
            return Check(shaped)
        return self._repair_or_give_up(Report(shaped), None)

    def _ask_again(self, wrong: Finding) -> Ask | GaveUp[T]:
        """The reply held nothing usable: the same is asked for once more."""
        value = self._candidate.value if self._candidate else None
        asked = [(item, tuple(one for one in item.findings if one.code != wrong.code)) for item in self._asked or ()]
        items = tuple(replace(item, findings=(wrong, *findings)) for item, findings in asked)
        report = Report((wrong, *(finding for _, findings in asked for finding in findings)))
        return self._next_round(report, value, items or None)

    def _repair_or_give_up(self, report: Report, value: T | None) -> Ask | GaveUp[T]:
        items = broken_items(self.schema, self._document, report.errors)
        return self._next_round(report, value, _said_again(items, self._asked))

    def _next_round(self, report: Report, value: T | None, items: tuple[BrokenItem, ...] | None) -> Ask | GaveUp[T]:
        """Asks for the items, or for the whole answer if nothing of it can be kept (`items` is None)."""
        if self._repairs >= self.attempts:
            return GaveUp("unproven", report, value)
        self._repairs += 1
        if items is None:
            self._asked = None
            messages, whole = _with_room(self.repair, (BrokenItem("", "", report.errors),))
            return Ask(self._request(messages, self.schema), _findings(whole, report))
        messages, self._asked = _with_room(self.repair, items)
        return Ask(self._request(messages, patch_schema(self.schema, self._asked)), _findings(self._asked, report))

    def _failed(self, reason: Literal["refused", "truncated"], code: str, message: str) -> GaveUp[T]:
        report = Report((Finding(code, Severity.ERROR, "", message),))
        return GaveUp(reason, report, self._candidate.value if self._candidate else None)

    def _request(self, messages: tuple[Message, ...], schema: OutputSchema) -> Request:
        return Request(messages, schema, self.max_output_tokens, self.origin)

    def _shape_verdict(self) -> Report:
        checker = f"pydantic {VERSION}"
        verdict = Verdict(
            self.schema.name, "", Status.PASSED, Tier.RULE, checker, "shape and types only, not what the values mean"
        )
        return Report(verdicts=(verdict,))


def _with_room(
    repair: RepairMessages, items: tuple[BrokenItem, ...]
) -> tuple[tuple[Message, ...], tuple[BrokenItem, ...]]:
    """The messages that ask for as many of these items as a message has room for, and which these are.

    Raises:
        RenderError: it is not for what a model wrote.
    """
    asked, count = items, _count(items)
    while True:
        try:
            return repair(_noted(asked, count - _count(asked))), asked
        except RenderError:
            fewer = _fewer(asked)
            if fewer == asked:
                raise
            asked = fewer


def _fewer(items: tuple[BrokenItem, ...]) -> tuple[BrokenItem, ...]:
    """Half of them; of a single one half of what is wrong with it, and at last only where it stands."""
    if len(items) > 1:
        return items[: len(items) // 2]
    (item,) = items
    if len(item.findings) > 1:
        return (replace(item, findings=item.findings[: len(item.findings) // 2]),)
    short = tuple(replace(finding, message=finding.message[:_SHORT]) for finding in item.findings)
    return (replace(item, text="", name=item.name[:_SHORT], findings=short),)


def _noted(items: tuple[BrokenItem, ...], left_out: int) -> tuple[BrokenItem, ...]:
    """The items, the last of which says that more is wrong."""
    if not left_out or not items[-1].findings:
        return items
    *before, last = items[-1].findings
    told = f"{last.message} ({left_out} more that is wrong is not listed here: there is no room for it now.)"
    return (*items[:-1], replace(items[-1], findings=(*before, replace(last, message=told))))


def _count(items: tuple[BrokenItem, ...]) -> int:
    return sum(len(item.findings) for item in items)


def _findings(asked: tuple[BrokenItem, ...], report: Report) -> tuple[Finding, ...]:
    """Why these are asked for: of all that is wrong, what there was room for."""
    if _count(asked) >= len(report.errors):
        return report.errors
    return tuple(finding for item in asked for finding in item.findings)


def _said_again(
    items: tuple[BrokenItem, ...] | None, before: tuple[BrokenItem, ...] | None
) -> tuple[BrokenItem, ...] | None:
    """Items that came back as they were, with that said: the same request would get the same answer once more."""
    seen = {(item.pointer, item.text) for item in before or ()}
    if items is None or not seen:
        return items
    again = "your last answer repeated this item unchanged; it is still wrong: "
    return tuple(
        replace(item, findings=tuple(replace(f, message=again + f.message.removeprefix(again)) for f in item.findings))
        if item.text and (item.pointer, item.text) in seen
        else item
        for item in items
    )
