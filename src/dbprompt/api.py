"""The module-level functions: one call, one client. Keep a `Client` to ask more than once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict, TypeVar, Unpack

from pydantic import BaseModel

from dbprompt.brief import Brief
from dbprompt.calls.bounds import Bounds
from dbprompt.calls.prices import Price
from dbprompt.calls.retry import RetryPolicy
from dbprompt.client import DEFAULT_PROMPT, AsyncClient, Client, Model
from dbprompt.jobs.ask import Answer, AnswerCheck
from dbprompt.messages import Message
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import AsyncProvider, Provider, ResponseFormat
from dbprompt.providers.base import Effort
from dbprompt.result import Result
from dbprompt.sections import SectionName

__all__ = ["adesign", "arun", "design", "run"]

T = TypeVar("T", bound=BaseModel)


class ClientOptions(TypedDict, total=False):
    """What is handed on to the client; see `Client`."""

    base_url: str | None
    api_key: str | None
    timeout_s: float
    temperature: float | None
    response_format: ResponseFormat | None
    effort: Effort | None
    sdk: object | None
    attempts: int
    side_by_side: int
    max_output_tokens: int
    retry: RetryPolicy
    per_call: Bounds
    per_job: Bounds
    prices: Mapping[str, Price]
    recording: str | None


def design(
    brief: Brief | None = None,
    *,
    model: str | Model | Provider | Sequence[str | Model | Provider],
    prompt: str | Prompt = DEFAULT_PROMPT,
    variables: Mapping[str, object] | None = None,
    sections: Iterable[SectionName] | None = None,
    ignore: Iterable[str] = (),
    severity: Mapping[str, str] | None = None,
    **options: Unpack[ClientOptions],
) -> Result:
    """Asks `model` for a database design and hands back what was proven. See `Client.design`."""
    with Client(model, **options) as client:
        return client.design(
            brief, prompt=prompt, variables=variables, sections=sections, ignore=ignore, severity=severity
        )


async def adesign(
    brief: Brief | None = None,
    *,
    model: str | Model | AsyncProvider | Sequence[str | Model | AsyncProvider],
    prompt: str | Prompt = DEFAULT_PROMPT,
    variables: Mapping[str, object] | None = None,
    sections: Iterable[SectionName] | None = None,
    ignore: Iterable[str] = (),
    severity: Mapping[str, str] | None = None,
    **options: Unpack[ClientOptions],
) -> Result:
    """The same, awaited."""
    async with AsyncClient(model, **options) as client:
        return await client.design(
            brief, prompt=prompt, variables=variables, sections=sections, ignore=ignore, severity=severity
        )


def run(
    prompt: str | Prompt | Sequence[Message],
    variables: Mapping[str, object] | None = None,
    *,
    model: str | Model | Provider | Sequence[str | Model | Provider],
    output: type[T],
    checks: Iterable[AnswerCheck[T]] = (),
    **options: Unpack[ClientOptions],
) -> Answer[T]:
    """Asks `model` your own question and repairs the answer until your checks pass. See `Client.run`."""
    with Client(model, **options) as client:
        return client.run(prompt, variables, output=output, checks=checks)


async def arun(
    prompt: str | Prompt | Sequence[Message],
    variables: Mapping[str, object] | None = None,
    *,
    model: str | Model | AsyncProvider | Sequence[str | Model | AsyncProvider],
    output: type[T],
    checks: Iterable[AnswerCheck[T]] = (),
    **options: Unpack[ClientOptions],
) -> Answer[T]:
    """The same, awaited."""
    async with AsyncClient(model, **options) as client:
        return await client.run(prompt, variables, output=output, checks=checks)
