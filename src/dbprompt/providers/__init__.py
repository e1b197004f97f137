"""Models behind their APIs: `open_provider("anthropic:MODEL")`. An SDK is loaded when its provider is opened.

Other packages add APIs by an entry point of the group `dbprompt.providers`: its name is the prefix of the model string,
its object an `Api`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from dbprompt.errors import AuthenticationError, DbpromptError, MissingExtraError, RequestError, UnknownModelError
from dbprompt.providers.base import AsyncProvider, Effort, Provider, ResponseFormat, SchemaForm, Settings
from dbprompt.providers.base_address import blame_environment, check_base_url, secrets_in
from dbprompt.providers.base_api import Api
from dbprompt.providers.scripted import AsyncScriptedProvider, ScriptedProvider

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from dbprompt.providers.base_batch import BatchApi
    from dbprompt.providers.tape import Tape

__all__ = [
    "Api",
    "AsyncProvider",
    "AsyncScriptedProvider",
    "Effort",
    "Options",
    "Provider",
    "ResponseFormat",
    "SchemaForm",
    "ScriptedProvider",
    "Settings",
    "open_async_provider",
    "open_batch_api",
    "open_provider",
    "settings_of",
]

T = TypeVar("T")

GROUP = "dbprompt.providers"

BUILT_IN: Mapping[str, str] = {
    "anthropic": "dbprompt.providers.anthropic",
    "openai": "dbprompt.providers.openai",
    "openai-compatible": "dbprompt.providers.compatible",
}
"""Each prefix and the module whose `API` it is. With a `base_url`, `openai:` means any compatible server."""

BATCHES: Mapping[str, tuple[str, str]] = {
    "anthropic": ("dbprompt.providers.anthropic_batch", "AnthropicBatches"),
    "openai": ("dbprompt.providers.openai_batch", "open_response_batches"),
    "openai-compatible": ("dbprompt.providers.openai_batch", "open_chat_batches"),
}
"""What opens the batch API of each, which stands in a module of its own."""

KEY_NAMES: Mapping[str, str] = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
"""Which environment variable holds the key of which company."""


class Options(TypedDict, total=False):
    """How a model is opened.

    Args:
        base_url: another server; with `openai:` any one that speaks chat completions. No key is needed for it. It has
            no query; a password in it is left out of errors, traces and recordings.
        api_key: instead of the one in the environment (ANTHROPIC_API_KEY, OPENAI_API_KEY).
        timeout_s: how long the server may be silent within one call.
        tape: records the answers, or gives recorded ones.
        temperature: the API's own default if not given (0 on a compatible server).
        response_format: what a compatible server takes; found out by asking if not given.
        effort: how much a model that reasons shall think, in the API's own words.
        sdk: a client of the API's SDK that was made elsewhere (Bedrock, Vertex, Azure, a proxy). It is asked with its
            own key, address and HTTP client, never retries by itself and is not closed here.
    """

    base_url: str | None
    api_key: str | None
    timeout_s: float
    tape: Tape | None
    temperature: float | None
    response_format: SchemaForm | None
    effort: Effort | None
    sdk: object | None


def open_provider(model: str, **options: Unpack[Options]) -> Provider:
    """Open a model, `PREFIX:NAME`; the client behind it is made once, so keep the provider."""
    aim, tape = _aim(model, options), options.get("tape")
    return aim.opened(lambda api: api.open(aim.settings, None if tape is None else tape.transport()))


def open_async_provider(model: str, **options: Unpack[Options]) -> AsyncProvider:
    """The same, awaited."""
    aim, tape = _aim(model, options), options.get("tape")
    return aim.opened(lambda api: api.open_async(aim.settings, None if tape is None else tape.async_transport()))


def open_batch_api(model: str, **options: Unpack[Options]) -> BatchApi:
    """The batch API of a model; a tape cannot be under it."""
    aim = _aim(model, options)
    return aim.opened(lambda api: _batches(aim, model)(aim.settings))


def settings_of(model: str, **options: Unpack[Options]) -> Settings:
    """What a model would be opened with: who has which key, and is asked where, is decided here alone."""
    return _aim(model, options).settings


@dataclass(frozen=True, slots=True)
class _Aim:
    prefix: str
    api: Api
    settings: Settings

    def opened(self, how: Callable[[Api], T]) -> T:
        """What is opened, or which package it lacks, or what in the environment stands in the way."""
        try:
            return how(self.api)
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or self.settings.model) from error
        except (DbpromptError, TypeError):
            raise
        except Exception as error:  # the HTTP client reads proxies and certificates from the environment
            lacking = error.__context__ if isinstance(error, ImportError) else None
            if isinstance(lacking, ModuleNotFoundError):  # a proxy that speaks SOCKS
                raise MissingExtraError(lacking.name or "a package") from error
            ours = blame_environment(error) if self.prefix in BUILT_IN else None
            if ours is None:
                raise
            raise ours from None  # which could show a proxy's password


def _aim(model: str, options: Options) -> _Aim:
    """Which API is meant, with its key checked before an SDK is loaded."""
    prefix, _, name = model.partition(":")
    base_url = options.get("base_url")
    check_base_url(base_url)
    added = None if prefix in BUILT_IN else _added_api(prefix, model)
    if not name.strip() or (added is None and prefix not in BUILT_IN):
        raise UnknownModelError(f"{model!r} names no model that dbprompt can ask: write {_known()}.")
    key_name = added.key_name if added else KEY_NAMES.get(prefix, KEY_NAMES["openai"])
    key = _key(model, key_name, options)
    if prefix == "openai" and base_url is not None:
        prefix = "openai-compatible"
    api = added or _loaded(prefix)
    return _Aim(
        prefix,
        api,
        Settings(
            model=name.strip(),
            key=key,
            key_name=("api_key" if options.get("api_key") is not None else key_name) if key else "",
            base_url=base_url or api.base_url,
            timeout_s=options.get("timeout_s", 600.0),
            temperature=options.get("temperature"),
            response_format=options.get("response_format"),
            effort=options.get("effort"),
            sdk=options.get("sdk"),
            offline=_is_offline(options),
            secrets=()
            if options.get("sdk") is not None
            else (_known_key(key_name, options), *secrets_in(base_url or "")),
        ),
    )


def _is_offline(options: Options) -> bool:
    tape = options.get("tape")
    return tape is not None and tape.mode == "replay"


def _key(model: str, key_name: str, options: Options) -> str:
    """The key that is sent."""
    base_url, told = options.get("base_url"), options.get("api_key")
    if options.get("sdk") is not None:
        if told is not None or base_url is not None:
            raise TypeError("sdk= brings its own key and address: give api_key and base_url to the SDK's client.")
        return ""
    if _is_offline(options):
        return ""
    key = _known_key(key_name, options)
    if not key and base_url is None and key_name:
        raise AuthenticationError(f"{model} needs a key: set {key_name}, or pass api_key=.")
    if any(not 32 < ord(letter) < 127 for letter in key):
        where = "api_key" if told is not None else key_name
        raise AuthenticationError(f"The key in {where} holds letters that no key has: copy it again.")
    return key


def _known_key(key_name: str, options: Options) -> str:
    """The key that is told, or in the environment: that one goes to the provider only, never to another server."""
    told = options.get("api_key")
    return (told if told is not None else "" if options.get("base_url") else os.environ.get(key_name, "")).strip()


def _added_api(prefix: str, model: str) -> Api | None:
    """The API that another package adds under a prefix."""
    found = next((each for each in _added() if each.name == prefix), None)
    if found is None:
        return None
    whose = f"the provider {prefix!r} of the package {found.dist.name if found.dist else 'of unknown name'}"
    try:
        api = found.load()
    except Exception as error:  # whatever another package raises while it is imported
        raise UnknownModelError(f"{model!r}: {whose} cannot be loaded ({type(error).__name__}: {error}).") from error
    if not isinstance(api, Api):
        raise UnknownModelError(f"{model!r}: {whose} is {type(api).__name__} and no dbprompt.providers.Api.")
    return api


def _loaded(prefix: str) -> Api:
    try:
        api: Api = import_module(BUILT_IN[prefix]).API
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or prefix) from error
    return api


def _batches(aim: _Aim, model: str) -> Callable[[Settings], BatchApi]:
    if aim.prefix in BATCHES:
        module, name = BATCHES[aim.prefix]
        make: Callable[[Settings], BatchApi] = getattr(import_module(module), name)
        return make
    if aim.api.open_batch is None:
        raise RequestError(f"{model} has no batch API that dbprompt knows: ask it with design() or run().")
    return aim.api.open_batch


def _added() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _known() -> str:
    names = [*BUILT_IN, *(name for name in sorted(_added().names) if name not in BUILT_IN)]
    return f"{', '.join(f'{each}:MODEL' for each in names)}, or add a package with an entry point {GROUP!r}"
