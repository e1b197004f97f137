"""Models behind their APIs: `open_provider("anthropic:MODEL")`. An SDK is loaded when its provider is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from dbprompt.errors import AuthenticationError, MissingExtraError, UnknownModelError
from dbprompt.providers.base import AsyncProvider, Provider, ResponseFormat, Settings
from dbprompt.providers.retry import RetryPolicy, Wait, asend, send
from dbprompt.providers.scripted import AsyncScriptedProvider, ScriptedProvider

if TYPE_CHECKING:
    from dbprompt.providers.base_batch import BatchApi
    from dbprompt.providers.tape import Tape

__all__ = [
    "AsyncProvider",
    "AsyncScriptedProvider",
    "Provider",
    "ResponseFormat",
    "RetryPolicy",
    "ScriptedProvider",
    "Wait",
    "asend",
    "open_async_provider",
    "open_batch_api",
    "open_provider",
    "send",
]

Api: TypeAlias = Literal["anthropic", "openai", "compatible"]

KEY_NAMES = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
"""Which environment variable holds the key of which provider; also the list of the providers."""


def open_provider(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout_s: float = 600.0,
    tape: Tape | None = None,
    temperature: float | None = None,
    response_format: ResponseFormat | None = None,
) -> Provider:
    """Open a model; the client behind it is made once, so keep the provider.

    Args:
        model: "anthropic:MODEL" or "openai:MODEL".
        base_url: another server; with "openai:" any one that speaks chat completions. No key is needed for it.
        api_key: instead of ANTHROPIC_API_KEY or OPENAI_API_KEY.
        timeout_s: how long the server may be silent within one call.
        tape: records the answers, or gives recorded ones.
        temperature: the API's own default if not given (0 on a compatible server).
        response_format: what a compatible server takes; found out by asking if not given.
    """
    aim = _aim(
        model,
        base_url=base_url,
        api_key=api_key,
        timeout_s=timeout_s,
        tape=tape,
        temperature=temperature,
        response_format=response_format,
    )
    transport = None if tape is None else tape.transport()
    try:
        match aim.api:
            case "anthropic":
                from dbprompt.providers.anthropic import AnthropicProvider

                return AnthropicProvider(aim.settings, transport)
            case "openai":
                from dbprompt.providers.openai import OpenAIProvider

                return OpenAIProvider(aim.settings, transport)
            case "compatible":
                from dbprompt.providers.compatible import CompatibleProvider

                return CompatibleProvider(aim.settings, transport)
            case other:
                assert_never(other)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or aim.api) from error


def open_async_provider(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout_s: float = 600.0,
    tape: Tape | None = None,
    temperature: float | None = None,
    response_format: ResponseFormat | None = None,
) -> AsyncProvider:
    """The same as `open_provider`, awaited."""
    aim = _aim(
        model,
        base_url=base_url,
        api_key=api_key,
        timeout_s=timeout_s,
        tape=tape,
        temperature=temperature,
        response_format=response_format,
    )
    transport = None if tape is None else tape.async_transport()
    try:
        match aim.api:
            case "anthropic":
                from dbprompt.providers.anthropic import AsyncAnthropicProvider

                return AsyncAnthropicProvider(aim.settings, transport)
            case "openai":
                from dbprompt.providers.openai import AsyncOpenAIProvider

                return AsyncOpenAIProvider(aim.settings, transport)
            case "compatible":
                from dbprompt.providers.compatible import AsyncCompatibleProvider

                return AsyncCompatibleProvider(aim.settings, transport)
            case other:
                assert_never(other)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or aim.api) from error


def open_batch_api(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout_s: float = 600.0,
    temperature: float | None = None,
    response_format: ResponseFormat | None = None,
) -> BatchApi:
    """The batch API of a model; the options are those of `open_provider`."""
    aim = _aim(
        model,
        base_url=base_url,
        api_key=api_key,
        timeout_s=timeout_s,
        tape=None,
        temperature=temperature,
        response_format=response_format,
    )
    try:
        if aim.api == "anthropic":
            from dbprompt.providers.anthropic_batch import AnthropicBatches

            return AnthropicBatches(aim.settings)
        from dbprompt.providers.openai_batch import OpenAIBatches

        return OpenAIBatches(aim.settings, chat=aim.api == "compatible")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or aim.api) from error


@dataclass(frozen=True, slots=True)
class _Aim:
    api: Api
    settings: Settings


def _aim(
    model: str,
    *,
    base_url: str | None,
    api_key: str | None,
    timeout_s: float,
    tape: Tape | None,
    temperature: float | None,
    response_format: ResponseFormat | None,
) -> _Aim:
    """Which API is meant, with its key checked before anything is opened."""
    prefix, _, name = model.partition(":")
    if prefix not in KEY_NAMES or not name.strip():
        known = ", ".join(f"{each}:MODEL" for each in KEY_NAMES)
        raise UnknownModelError(f"{model!r} names no model that dbprompt can ask: write {known}.")
    api: Api = "anthropic" if prefix == "anthropic" else "openai" if base_url is None else "compatible"
    offline = tape is not None and tape.mode == "replay"
    key_name = "api_key" if api_key is not None else KEY_NAMES[prefix]
    key = (api_key if api_key is not None else "" if base_url else os.environ.get(key_name, "")).strip()
    if offline:
        key = ""
    elif not key and base_url is None:
        raise AuthenticationError(f"{model} needs a key: set {KEY_NAMES[prefix]}, or pass api_key=.")
    if any(not 32 < ord(letter) < 127 for letter in key):
        raise AuthenticationError(f"The key in {key_name} holds letters that no key has: copy it again.")
    return _Aim(
        api,
        Settings(
            model=name.strip(),
            key=key,
            key_name=key_name if key else "",
            base_url=base_url,
            timeout_s=timeout_s,
            temperature=temperature,
            response_format=response_format,
            offline=offline,
        ),
    )
