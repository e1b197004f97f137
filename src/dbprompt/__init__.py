"""Ask a language model for a database architecture and get back only what was proven.

>>> import dbprompt
>>> evidence = dbprompt.verify("CREATE TABLE t (id FOO)")
>>> evidence.ok
False

Everything is loaded at its first use: importing dbprompt loads no SDK and no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbprompt.api import adesign, arun, design, run
    from dbprompt.batch import BatchPolicy
    from dbprompt.brief import Brief
    from dbprompt.calls.bounds import Bounds
    from dbprompt.calls.prices import Price
    from dbprompt.calls.retry import RetryPolicy
    from dbprompt.calls.trace import Exchange, Trace
    from dbprompt.capacity import Capacity, capacity_of
    from dbprompt.client import AsyncClient, Client, Model
    from dbprompt.client.base_stream import ItemDone, Repairing, TextDelta
    from dbprompt.client.streams import AsyncDesignStream, AsyncStream, DesignStream, Stream
    from dbprompt.errors import (
        AnswerError,
        AskError,
        AuthenticationError,
        BriefError,
        BudgetError,
        ConnectionFailedError,
        DbpromptError,
        DeadlineError,
        EngineError,
        EngineUnavailableError,
        MissingExtraError,
        NoRecordingError,
        OutputError,
        PromptError,
        PromptLockError,
        PromptNotFoundError,
        ProviderError,
        QuotaError,
        RateLimitError,
        RecordingError,
        RefusedError,
        RenderError,
        RequestError,
        RuleError,
        ServerError,
        SetupError,
        TargetError,
        TruncatedError,
        UnknownModelError,
        UnprovenError,
        VariableError,
    )
    from dbprompt.evidence import Evidence, Exhibit, Finding, Report, Severity, Status, Tier, Verdict
    from dbprompt.jobs.ask import Answer
    from dbprompt.ladder import verify
    from dbprompt.library import list_prompts, load_prompt
    from dbprompt.messages import Allowance, Message, RateLimits, Reply, Request, Role, Usage
    from dbprompt.migration import MigrationEvidence, verify_migration
    from dbprompt.partial import PartialAnswer, Unfinished
    from dbprompt.plans import explain
    from dbprompt.prompts.prompt import Prompt
    from dbprompt.providers import AsyncScriptedProvider, ScriptedProvider
    from dbprompt.result import Result, load_design
    from dbprompt.sections import DatabaseDesign

_HOMES = {
    "api": ("adesign", "arun", "design", "run"),
    "batch": ("BatchPolicy",),
    "brief": ("Brief",),
    "calls.bounds": ("Bounds",),
    "calls.prices": ("Price",),
    "calls.retry": ("RetryPolicy",),
    "calls.trace": ("Exchange", "Trace"),
    "capacity": ("Capacity", "capacity_of"),
    "client": ("AsyncClient", "Client", "Model"),
    "client.base_stream": ("ItemDone", "Repairing", "TextDelta"),
    "client.streams": ("AsyncDesignStream", "AsyncStream", "DesignStream", "Stream"),
    "sections": ("DatabaseDesign",),
    "evidence": ("Evidence", "Exhibit", "Finding", "Report", "Severity", "Status", "Tier", "Verdict"),
    "jobs.ask": ("Answer",),
    "ladder": ("verify",),
    "library": ("list_prompts", "load_prompt"),
    "messages": ("Allowance", "Message", "RateLimits", "Reply", "Request", "Role", "Usage"),
    "migration": ("MigrationEvidence", "verify_migration"),
    "partial": ("PartialAnswer", "Unfinished"),
    "plans": ("explain",),
    "prompts.prompt": ("Prompt",),
    "providers": ("AsyncScriptedProvider", "ScriptedProvider"),
    "result": ("Result", "load_design"),
}
_HOME = {name: f"dbprompt.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "Allowance",
    "Answer",
    "AnswerError",
    "AskError",
    "AsyncClient",
    "AsyncDesignStream",
    "AsyncScriptedProvider",
    "AsyncStream",
    "AuthenticationError",
    "BatchPolicy",
    "Bounds",
    "Brief",
    "BriefError",
    "BudgetError",
    "Capacity",
    "Client",
    "ConnectionFailedError",
    "DatabaseDesign",
    "DbpromptError",
    "DeadlineError",
    "DesignStream",
    "EngineError",
    "EngineUnavailableError",
    "Evidence",
    "Exchange",
    "Exhibit",
    "Finding",
    "ItemDone",
    "Message",
    "MigrationEvidence",
    "MissingExtraError",
    "Model",
    "NoRecordingError",
    "OutputError",
    "PartialAnswer",
    "Price",
    "Prompt",
    "PromptError",
    "PromptLockError",
    "PromptNotFoundError",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "RateLimits",
    "RecordingError",
    "RefusedError",
    "RenderError",
    "Repairing",
    "Reply",
    "Report",
    "Request",
    "RequestError",
    "Result",
    "RetryPolicy",
    "Role",
    "RuleError",
    "ScriptedProvider",
    "ServerError",
    "SetupError",
    "Severity",
    "Status",
    "Stream",
    "TargetError",
    "TextDelta",
    "Tier",
    "Trace",
    "TruncatedError",
    "Unfinished",
    "UnknownModelError",
    "UnprovenError",
    "Usage",
    "VariableError",
    "Verdict",
    "adesign",
    "arun",
    "capacity_of",
    "design",
    "explain",
    "list_prompts",
    "load_design",
    "load_prompt",
    "run",
    "verify",
    "verify_migration",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'dbprompt' has no attribute {name!r}")
    home = "dbprompt.errors" if name.endswith("Error") else _HOME[name]
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
