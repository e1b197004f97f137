"""Every error that dbprompt raises.

```
DbpromptError
├── BriefError                 a brief is wrong; `.problems` lists every place at once
├── RuleError                  a setting names no rule, or one that cannot be set; `.problems` likewise
├── PromptError                a prompt file is wrong
│   ├── PromptNotFoundError    no such name or version; `.known` lists what there is
│   ├── PromptLockError        a published version was changed
│   ├── VariableError          a variable is missing, unknown or of the wrong type; `.problems`
│   └── RenderError            a template failed, or its text outgrew the cap
├── AskError                   no proven answer was had; `.partial` holds what was finished before
│   ├── ProviderError          the provider failed; `.retryable`, `.status`
│   │   ├── AuthenticationError, QuotaError, RateLimitError, RequestError, ServerError
│   │   ├── ConnectionFailedError, DeadlineError
│   │   └── UnknownModelError
│   ├── AnswerError            the provider answered, but not with what was asked
│   │   ├── RefusedError, TruncatedError
│   │   └── UnprovenError      still wrong after the last repair; `.findings`
│   ├── BudgetError            tokens, money or requests are used up; `.bound`, `.limit`, `.spent`
│   └── RecordingError         a recording file is wrong
│       └── NoRecordingError   nothing recorded fits this request; `.wanted`, `.nearest`
├── EngineError                an engine failed by itself (never: the engine refused some SQL)
│   └── EngineUnavailableError no such engine here; the message says how to get it
├── TargetError                a dialect or version that dbprompt does not know; `.known`
├── SetupError                 the setup of a check failed, so nothing was checked; `.findings`
├── MissingExtraError          a package is not installed; the message names the extra
└── OutputError                a result could not be written; nothing was left half written
```
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "AnswerError",
    "AskError",
    "AuthenticationError",
    "BriefError",
    "BudgetError",
    "ConnectionFailedError",
    "DbpromptError",
    "DeadlineError",
    "EngineError",
    "EngineUnavailableError",
    "MissingExtraError",
    "NoRecordingError",
    "OutputError",
    "Partial",
    "Problem",
    "PromptError",
    "PromptLockError",
    "PromptNotFoundError",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "RecordingError",
    "RefusedError",
    "RenderError",
    "RequestError",
    "RuleError",
    "ServerError",
    "SetupError",
    "TargetError",
    "TruncatedError",
    "UnknownModelError",
    "UnprovenError",
    "VariableError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: where it stands, what was found there, and what to write instead."""

    where: str
    value: str
    fix: str

    def __str__(self) -> str:
        """The problem as one line."""
        found = f" is {self.value}" if self.value else ""
        return f"{self.where}{found}: {self.fix}"


class Partial(Protocol):
    """What was finished before an error: a `dbprompt.Result` that may lack sections, or an unproven `Answer`."""

    @property
    def evidence(self) -> object:
        """What was proven about them."""

    @property
    def usage(self) -> object:
        """What was spent."""


class DbpromptError(Exception):
    """The root of the tree: `except dbprompt.DbpromptError` catches everything that the library raises on purpose.

    Every error goes from one process to another, and is copied, with all of its attributes.
    """

    def __str__(self) -> str:
        """What it says, so that any terminal, log and file takes it: half of a letter is written as `\\ud800`."""
        return super().__str__().encode("utf-8", "backslashreplace").decode()

    def __reduce__(self) -> tuple[object, ...]:
        """Not by calling the class, as Python does by itself: what an `__init__` takes is not in `args`."""
        return _revived, (type(self), self.args), dict(self.__dict__)


def _revived(kind: type[DbpromptError], args: tuple[object, ...]) -> DbpromptError:
    """An error as it was before its attributes are set."""
    return kind.__new__(kind, *args)


class _ManyProblems(DbpromptError):
    """An input error that reports every problem at once."""

    def __init__(self, subject: str, problems: Iterable[Problem]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{subject}: {count} problem{'s' if count != 1 else ''}{lines}")


class BriefError(_ManyProblems):
    """A brief is wrong."""


class RuleError(_ManyProblems):
    """A setting of the rules names one that there is not, or one that cannot be ignored."""


class PromptError(DbpromptError):
    """A prompt file is wrong."""


class PromptNotFoundError(PromptError):
    """No prompt has this name or version."""

    def __init__(self, message: str, *, known: Iterable[str] = ()) -> None:
        self.known = tuple(known)
        super().__init__(message)


class PromptLockError(PromptError):
    """A published prompt version differs from its lock entry."""


class VariableError(_ManyProblems, PromptError):
    """Variables of a prompt are missing, unknown or of the wrong type."""


class RenderError(PromptError):
    """A template could not be rendered."""


class AskError(DbpromptError):
    """No proven answer was had.

    Attributes:
        partial: what there is. For a design a `dbprompt.Result` with the sections that were finished before, and the
            last candidate of the one that failed; for `run` an `Answer` with the last candidate, if there was one.
            For a stream that broke off or was cut off a `dbprompt.Unfinished` with what was complete of it.
        trace: every request and answer of the job, if they are kept.
    """

    partial: Partial | None = None
    trace: object | None = None


class ProviderError(AskError):
    """The provider failed.

    Attributes:
        status: the HTTP status, if there was one.
        retryable: whether asking again may help.
        retry_after: seconds that the provider asked us to wait, if it did.
        in_doubt: whether the provider may have worked on it, and may charge it: nobody heard a clear no.
        limits: what the answer's headers say of rate limits (`dbprompt.messages.RateLimits`), if they do.
        refused: requests before this one that were sent again without a setting that the server had refused.
    """

    retryable = False
    refused = 0
    limits: object | None = None

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        self.in_doubt = status is None
        super().__init__(message)


class AuthenticationError(ProviderError):
    """The key is missing, wrong or lacks a permission."""


class QuotaError(ProviderError):
    """The account has no credit left; waiting does not help."""


class RateLimitError(ProviderError):
    """Too many requests for now."""

    retryable = True


class RequestError(ProviderError):
    """The provider refused the request as malformed, too large or unknown."""


class ServerError(ProviderError):
    """The provider failed on its side."""

    retryable = True


class ConnectionFailedError(ProviderError):
    """The connection failed or broke off."""

    retryable = True


class DeadlineError(ProviderError):
    """The time that this call may take is used up."""


class UnknownModelError(ProviderError):
    """The model string names no provider that dbprompt knows, or no model that the provider knows."""


class AnswerError(AskError):
    """The provider answered, but not with what was asked."""


class RefusedError(AnswerError):
    """The model declined to answer."""


class TruncatedError(AnswerError):
    """The answer was cut off at the token limit. It is never parsed in part."""


class UnprovenError(AnswerError):
    """The answer was still wrong after the last repair round.

    Attributes:
        findings: what is still wrong, each with `code`, `severity`, `where`, `message`.
    """

    def __init__(self, message: str, *, findings: Iterable[object] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__(message)


class BudgetError(AskError):
    """What a call or a job may spend is used up, or could be by the next request. (Time is a `DeadlineError`.)

    Attributes:
        bound: the field of `Bounds` that stands in the way.
        limit: its value.
        spent: how much of it was spent by now; None if nobody can tell.
        text: the answer that passed the bound, or as much of one as it had room for.
    """

    def __init__(self, message: str, *, bound: str, limit: float, spent: float | None) -> None:
        self.text = ""
        self.bound = bound
        self.limit = limit
        self.spent = spent
        super().__init__(message)


class RecordingError(AskError):
    """A recording file cannot be read or written."""


class NoRecordingError(RecordingError):
    """Nothing recorded fits this request, and replay never opens the network."""

    def __init__(self, message: str, *, wanted: str = "", nearest: str = "") -> None:
        self.wanted = wanted
        self.nearest = nearest
        super().__init__(message)


class EngineError(DbpromptError):
    """An engine failed by itself. (SQL that an engine refuses is a finding, not an error.)

    In a design, `partial` holds the sections that were finished before, and `trace` what was said.
    """

    partial: Partial | None = None
    trace: object | None = None


class EngineUnavailableError(EngineError):
    """No such engine is usable here."""


class TargetError(DbpromptError):
    """A check was asked for a dialect or version that dbprompt does not know."""

    def __init__(self, message: str, *, known: Iterable[str] = ()) -> None:
        self.known = tuple(known)
        super().__init__(message)


class SetupError(DbpromptError):
    """The setup of a check failed: it is not judged, and has to stand for anything to be checked.

    Attributes:
        findings: what is wrong with it; `where` points at `/setup/N`.
    """

    def __init__(self, message: str, *, findings: Iterable[object] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__(message)


class MissingExtraError(DbpromptError):
    """A package of an optional extra is not installed (without an extra: a part of the core was removed)."""

    def __init__(self, package: str, extra: str = "") -> None:
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed: pip install " + (f"'dbprompt[{extra}]'" if extra else package))


class OutputError(DbpromptError):
    """A result could not be written."""
