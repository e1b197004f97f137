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
    from dbprompt.capacity import Capacity, capacity_of
    from dbprompt.client import AsyncClient, Client
    from dbprompt.errors import (
        AnswerError,
        AskError,
        AuthenticationError,
        BriefError,
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
    from dbprompt.messages import Message, Reply, Request, Role, Usage
    from dbprompt.migration import MigrationEvidence, verify_migration
    from dbprompt.plans import explain
    from dbprompt.prompts.prompt import Prompt
    from dbprompt.providers import AsyncScriptedProvider, RetryPolicy, ScriptedProvider
    from dbprompt.result import Result, load_design
    from dbprompt.sections import DatabaseDesign

_HOMES = {
    "api": ("adesign", "arun", "design", "run"),
    "batch": ("BatchPolicy",),
    "brief": ("Brief",),
    "capacity": ("Capacity", "capacity_of"),
    "client": ("AsyncClient", "Client"),
    "sections": ("DatabaseDesign",),
    "evidence": ("Evidence", "Exhibit", "Finding", "Report", "Severity", "Status", "Tier", "Verdict"),
    "jobs.ask": ("Answer",),
    "ladder": ("verify",),
    "library": ("list_prompts", "load_prompt"),
    "messages": ("Message", "Reply", "Request", "Role", "Usage"),
    "migration": ("MigrationEvidence", "verify_migration"),
    "plans": ("explain",),
    "prompts.prompt": ("Prompt",),
    "providers": ("AsyncScriptedProvider", "RetryPolicy", "ScriptedProvider"),
    "result": ("Result", "load_design"),
}
_HOME = {name: f"dbprompt.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "Answer",
    "AnswerError",
    "AskError",
    "AsyncClient",
    "AsyncScriptedProvider",
    "AuthenticationError",
    "BatchPolicy",
    "Brief",
    "BriefError",
    "Capacity",
    "Client",
    "ConnectionFailedError",
    "DatabaseDesign",
    "DbpromptError",
    "DeadlineError",
    "EngineError",
    "EngineUnavailableError",
    "Evidence",
    "Exhibit",
    "Finding",
    "Message",
    "MigrationEvidence",
    "MissingExtraError",
    "NoRecordingError",
    "OutputError",
    "Prompt",
    "PromptError",
    "PromptLockError",
    "PromptNotFoundError",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "RecordingError",
    "RefusedError",
    "RenderError",
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
    "TargetError",
    "Tier",
    "TruncatedError",
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
