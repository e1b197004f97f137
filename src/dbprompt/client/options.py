"""What a client is told, and what it makes of it: who is asked, how far, and what is seen of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar, get_args

from pydantic import BaseModel

from dbprompt.brief import Brief
from dbprompt.calls.base_numbers import check_number, check_whole
from dbprompt.calls.bounds import Bounds
from dbprompt.calls.line import DEFAULT_BOUNDS, Aim
from dbprompt.calls.pace import pace_of
from dbprompt.calls.prices import Price, price_of
from dbprompt.calls.retry import RetryPolicy, Wait
from dbprompt.calls.seeing import Seeing
from dbprompt.calls.telemetry import open_spans
from dbprompt.calls.trace import Trace
from dbprompt.drivers import Watch
from dbprompt.jobs.ask import AnswerCheck, AskJob
from dbprompt.jobs.base import JobSettings
from dbprompt.library import load_prompt
from dbprompt.messages import Message, RateLimits
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import (
    AsyncProvider,
    Options,
    Provider,
    ResponseFormat,
    Settings,
    open_batch_api,
    open_provider,
    settings_of,
)
from dbprompt.providers.base import Effort, keys_of
from dbprompt.sections import DatabaseDesign, SectionName

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import TracerProvider

    from dbprompt.batch import BatchOptions, BatchPolicy, OnWait
    from dbprompt.jobs.design import DesignJob
    from dbprompt.providers.tape import Tape

__all__ = ["Asked", "Model"]

T = TypeVar("T", bound=BaseModel)
P = TypeVar("P", Provider, AsyncProvider)

Asked: TypeAlias = "str | Prompt | Sequence[Message]"


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a list, with what holds for it alone: `model=["anthropic:...", Model("openai:...", base_url=...)]`.

    Args:
        name: `anthropic:MODEL` or `openai:MODEL`.
        base_url: another server.
        api_key: by default taken from ANTHROPIC_API_KEY or OPENAI_API_KEY.
        temperature: as the client says if not given.
        response_format: as the client says if not given.
        effort: as the client says if not given.
        sdk: a client of the API's SDK that you made.
    """

    name: str
    _: KW_ONLY
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    temperature: float | None = None
    response_format: ResponseFormat | None = None
    effort: Effort | None = None
    sdk: object | None = field(default=None, repr=False)


@dataclass(repr=False)
class _Client(Generic[P]):
    """What both clients are told.

    Args:
        model: `anthropic:MODEL`, `openai:MODEL`, a `Model`, or a provider of your own. Of a list, the next one is asked
            where one is overloaded, out of credit, too dear, or declines to answer; never for a mistake of yours.
        base_url: an OpenAI-compatible server for `openai:MODEL`; in a list, give it to the `Model` that it is for.
        api_key: by default taken from ANTHROPIC_API_KEY or OPENAI_API_KEY; in a list as `base_url`.
        sdk: a client of the API's SDK that you made (Bedrock, Vertex, Azure, a proxy); in a list as `base_url`.
        timeout_s: seconds that a server may be silent within one request.
        temperature: the API's own default if not given.
        response_format: what a compatible server takes; found out by asking if not given. "text", for any model: the
            schema is said in words, behind everything that requests have in common, which a provider's cache serves.
        effort: how much a model that reasons shall think, in its API's own words.
        attempts: repair rounds a section.
        side_by_side: sections that do not need each other and are asked for at the same time.
        max_output_tokens: where an answer is cut off; a cut-off answer is an error, never half an object.
        retry: how often a failing provider is asked again.
        per_call: how far one request may go, with all its retries and waits; ten minutes by default.
        per_job: how far one design or run may go, with all its requests, checks and repairs.
        prices: what models cost, by `provider:model`, before the table that ships with dbprompt.
        limits: a provider's rate limits, where you know them; else they are learned from its answers.
        recording: a file of recorded exchanges; with it nothing reaches the network unless `mode` says so.
        mode: what is done with a recording that is given as a path.
        trace: whether results keep every request and answer.
        telemetry: whether spans are made, and by which tracer provider if not by the process's own.
        watch: is told the section and each step, for progress.
        on_wait: is told of each wait before it begins.
    """

    model: str | Model | P | Sequence[str | Model | P]
    _: KW_ONLY
    base_url: str | None = None
    api_key: str | None = None
    sdk: object | None = None
    timeout_s: float = 600.0
    temperature: float | None = None
    response_format: ResponseFormat | None = None
    effort: Effort | None = None
    attempts: int = 3
    side_by_side: int = 4
    max_output_tokens: int = 16_000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    per_call: Bounds = DEFAULT_BOUNDS
    per_job: Bounds = field(default_factory=Bounds)
    prices: Mapping[str, Price] = field(default_factory=dict)
    limits: RateLimits | None = None
    recording: str | Path | Tape | None = None
    mode: Literal["replay", "record", "live"] = "replay"
    trace: bool = True
    telemetry: bool | TracerProvider = False
    watch: Watch | None = None
    on_wait: Callable[[Wait], None] | None = None

    def __post_init__(self) -> None:
        self._models: tuple[Model | P, ...] = self._listed()
        self._check_numbers()
        self._tape = self._opened_tape()
        told = [settings_of(one.name, **self._told(one)) if isinstance(one, Model) else None for one in self._models]
        held = [by.keys if by else keys_of(one) for one, by in zip(self._models, told, strict=True)]
        self._keys = tuple(dict.fromkeys(key for keys in held for key in keys))
        self._spans = open_spans(self.telemetry, self._keys)
        accounts = [_account(one, by) for one, by in zip(self._models, told, strict=True)]
        self._aims: list[Aim[P]] = [self._aim(one, by) for one, by in zip(self._models, accounts, strict=True)]

    def _check_numbers(self) -> None:
        for name, least in (("attempts", 0), ("side_by_side", 1), ("max_output_tokens", 1)):
            check_whole(name, getattr(self, name), f"give a whole number of {least} at least", least=least)
        wanted = "give seconds, more than 0: per_call and per_job bound the time of a whole call"
        check_number("timeout_s", self.timeout_s, wanted, above=0, most=TIMEOUT_MAX)
        for told in (self.temperature, *(one.temperature for one in self._models if isinstance(one, Model))):
            if told is not None:
                check_number("temperature", told, "give a number, or None for the API's own default")
        for model, price in self.prices.items():
            if not isinstance(price, Price):
                raise TypeError(f"prices[{model!r}] is {price!r}: give a Price(input=..., output=...)")

    def _listed(self) -> tuple[Model | P, ...]:
        """The models, each with what holds for it."""
        told = self.model
        if isinstance(told, str | Model) or not isinstance(told, Sequence):
            told = (told,)
        if not told:
            raise ValueError("model is an empty list: name one at least")
        if len(told) > 1 and not (self.base_url is None and self.api_key is None and self.sdk is None):
            raise ValueError(
                "base_url, api_key and sdk are for one model, and there is a list: write Model(NAME, base_url=...)"
                " in the list for the one that they are for"
            )
        how = partial(Model, base_url=self.base_url, api_key=self.api_key, sdk=self.sdk)
        return tuple(how(one) if isinstance(one, str) else one for one in told)

    def _aim(self, model: Model | P, account: str) -> Aim[P]:
        text = self._format(model) == "text"
        if not isinstance(model, Model):
            price = self.prices.get(f"{model.name}:{model.model}")
            pace = None if model.offline else pace_of(model, limits=self.limits)
            return Aim(model, price, pace, in_words=text)
        provider = self._opened(model)
        shipped = model.base_url is None and model.sdk is None and not _address(model)
        price = price_of(model.name, self.prices, shipped=shipped)
        price = price or price_of(f"{provider.name}:{provider.model}", self.prices, shipped=False)
        pace = None if provider.offline else pace_of(provider, account=account, limits=self.limits)
        return Aim(provider, price, pace, in_words=text)

    def _opened(self, model: Model) -> P:
        raise NotImplementedError

    def _told(self, model: Model) -> Options:
        """What a provider is opened with."""
        temperature = self.temperature if model.temperature is None else model.temperature
        form = self._format(model)
        return Options(
            base_url=model.base_url,
            api_key=model.api_key,
            timeout_s=self.timeout_s,
            temperature=temperature,
            response_format=None if form == "text" else form,
            effort=model.effort or self.effort,
            sdk=model.sdk,
            tape=self._tape,
        )

    def _format(self, model: Model | P) -> ResponseFormat | None:
        told = (isinstance(model, Model) and model.response_format) or self.response_format
        if told is not None and told not in (known := get_args(ResponseFormat)):
            raise ValueError(f"response_format is {told!r}: say one of {', '.join(map(repr, known))}, or leave it out")
        return told

    def _opened_tape(self) -> Tape | None:
        if self.recording is None:
            return None
        from dbprompt.providers.tape import Tape

        return self.recording if isinstance(self.recording, Tape) else Tape.open(self.recording, mode=self.mode)

    def __repr__(self) -> str:
        """The models, never the key."""
        return f"{type(self).__name__}({', '.join(aim.name for aim in self._aims)})"

    @property
    def provenance(self) -> str:
        """Where answers come from: a live model, or a recording and who wrote it."""
        if self._tape is None or self._tape.mode == "live":
            return f"live, {' or '.join(aim.name for aim in self._aims)}"
        verb = "replayed from" if self._tape.mode == "replay" else "recorded to"
        return f"{verb} {self._tape.provenance_summary()}"

    def _settings(self) -> JobSettings:
        return JobSettings(attempts=self.attempts, max_output_tokens=self.max_output_tokens)

    def _seeing(self) -> Seeing:
        return Seeing(Trace() if self.trace else None, self._spans, self._keys)

    def _design_job(
        self,
        brief: Brief | None,
        prompt: str | Prompt,
        variables: Mapping[str, object] | None,
        sections: Iterable[SectionName] | None,
        start: DatabaseDesign | None,
        as_of: date | None,
        ignore: Iterable[str],
        severity: Mapping[str, str] | None,
    ) -> DesignJob:
        from dbprompt.jobs.design import DesignJob

        return DesignJob.of(
            load_prompt(prompt) if isinstance(prompt, str) else prompt,
            brief,
            variables=variables,
            sections=sections,
            start=start,
            settings=self._settings(),
            provenance=self.provenance,
            as_of=as_of,
            ignore=ignore,
            severity=severity,
        )

    def _ask_job(
        self,
        asked: Asked,
        variables: Mapping[str, object] | None,
        output: type[T],
        checks: Iterable[AnswerCheck[T]],
    ) -> AskJob[T]:
        known = load_prompt(asked) if isinstance(asked, str) else asked
        return AskJob.of(known, variables, output=output, checks=checks, settings=self._settings())

    def _batch_options(self, folder: str | Path, policy: BatchPolicy | None, on_wait: OnWait | None) -> BatchOptions:
        from dbprompt.batch import BatchOptions, BatchPolicy

        first = self._models[0]
        if len(self._models) > 1 or not isinstance(first, Model):
            raise TypeError(f"a batch asks one anthropic:MODEL or openai:MODEL, not a provider of your own ({self!r})")
        if self.per_job != Bounds() or self.per_call.of_spending:
            raise ValueError("bounds hold calls that are asked at once, not batches: say BatchPolicy(deadline_s=...)")
        price, replays = self._aims[0].price, self._tape is not None and self._tape.mode == "replay"
        return BatchOptions(
            open_api=partial(open_batch_api, first.name, **self._told(first)),
            replay=partial(open_provider, first.name, **self._told(first)) if replays else None,
            folder=Path(folder),
            settings=self._settings(),
            provenance=self.provenance,
            policy=policy or BatchPolicy(),
            workers=self.side_by_side,
            watch=self.watch,
            on_wait=on_wait,
            tape=self._tape,
            seeing=self._seeing,
            in_words=self._aims[0].in_words,
            price=price.in_a_batch() if price else None,
        )


def _address(model: Model) -> str:
    """The server that the environment sends the SDK to, if it names one: what that one takes, nobody knows."""
    return os.environ.get(f"{model.name.partition(':')[0].upper()}_BASE_URL", "").strip()


def _account(model: Model | P, told: Settings | None) -> str:
    """Whose rate limits hold, by address and key; empty if nobody can tell."""
    if told is None or not isinstance(model, Model) or model.sdk is not None:
        return ""
    return f"{told.base_url or _address(model)}\n{told.key}".strip()
