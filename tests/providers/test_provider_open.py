"""How a model string becomes a provider."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from importlib.util import find_spec

import httpx2
import pytest
from provider_wiring import ORIGIN, Wire, ask
from pydantic import BaseModel

from dbprompt import AsyncClient, Client, Message, Role
from dbprompt.errors import AuthenticationError, MissingExtraError, RequestError, UnknownModelError
from dbprompt.messages import Reply, StopReason, Usage
from dbprompt.providers import (
    AsyncScriptedProvider,
    ScriptedProvider,
    open_async_provider,
    open_batch_api,
    open_provider,
)


class Empty(BaseModel):
    """What is asked for where nobody answers."""


def test_importing_loads_no_sdk() -> None:
    """`import dbprompt.providers` loads neither an SDK nor its HTTP client nor tenacity."""
    heavy = "{'anthropic', 'openai', 'httpx2', 'tenacity', 'pydantic'}"
    code = f"import sys, dbprompt.providers; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("model", ["mistral:large", "claude-opus-5-5", "openai:", ""])
def test_unknown_models(model: str) -> None:
    """A model string of no known provider is refused with the known ones."""
    with pytest.raises(UnknownModelError, match="write anthropic:MODEL, openai:MODEL"):
        open_provider(model)


@pytest.mark.parametrize("model", ["anthropic:claude-opus-5-5", "openai:gpt-6.2-sol"])
def test_missing_keys(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """Without a key nothing is opened, and the error says which variable to set."""
    name = f"{model.partition(':')[0].upper()}_API_KEY"
    monkeypatch.setenv(name, "  ")
    for opening in (open_provider, open_async_provider):
        with pytest.raises(AuthenticationError, match=f"set {name}"):
            opening(model)


def test_a_mangled_key_is_not_sent() -> None:
    """A key with letters that no header can carry is refused without being shown."""
    with pytest.raises(AuthenticationError, match="The key in api_key holds letters") as caught:
        open_provider("openai:gpt-6.2-sol", api_key="sk-“secret”")
    assert "secret" not in str(caught.value)


def test_a_key_from_the_environment_goes_only_home(monkeypatch: pytest.MonkeyPatch, wire: Wire) -> None:
    """A key that was set for the provider is not sent to another server."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(400, json={})

    for base_url in (None, "http://127.0.0.1:9/v1"):
        with pytest.raises(RequestError):
            wire.sync("openai:x", wire.tape(handler), ask(), base_url=base_url, api_key=None)
    assert seen == ["Bearer sk-from-the-environment", "Bearer not-needed"]


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("", "base_url is empty"),
        (" ", "base_url is empty"),
        ("http://me:secret@h/v1?api-version=secret", r"base_url \(http://h/v1\) has a query"),
        ("http://me:secret@h:port/v1", r"base_url \(http://h:port/v1\) is no address"),
    ],
)
@pytest.mark.parametrize("model", ["openai:x", "anthropic:x"])
def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch, model: str, base_url: str, said: str) -> None:
    """An empty one does not mean the API itself, and a query would end up in the middle of a path."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-from-the-environment")
    for opening in (open_provider, open_async_provider, open_batch_api):
        with pytest.raises(RequestError, match=said) as caught:
            opening(model, base_url=base_url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "garbage://me:secret@x"),
        ("all_proxy", "http://h:port"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_FILE", __file__),
        ("OPENAI_BASE_URL", "http://h:port/v1"),
    ],
)
def test_a_bad_environment_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """What the HTTP client cannot use of it is an error of ours that says where to look, without a password."""
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv(name, value)
    for opening in (open_provider, open_batch_api):
        with pytest.raises(RequestError, match=f"environment is {name} ") as caught:
            opening("openai:x", api_key="sk-test")
        assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.skipif(find_spec("socksio") is not None, reason="socksio is installed")
def test_a_proxy_that_speaks_socks_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which, and not the name of an HTTP client that is not in use."""
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(MissingExtraError, match="pip install socksio"):
        open_provider("openai:x", api_key="sk-test")


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an SDK is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "anthropic", None)
    monkeypatch.delitem(sys.modules, "dbprompt.providers.anthropic", raising=False)
    with pytest.raises(MissingExtraError, match="pip install anthropic"):
        open_provider("anthropic:claude-opus-5-5", api_key="k")


def test_a_closed_client_says_so_at_once() -> None:
    """Nothing is sent and nothing waited for: its connections do not come back."""
    told = {"model": "openai:m", "base_url": "http://127.0.0.1:9/v1", "on_wait": lambda _: pytest.fail("it waits")}
    asked = [Message(Role.USER, "x")]
    client = Client(**told)  # type: ignore[arg-type]
    client.close()
    with pytest.raises(RequestError, match="openai-compatible:m was closed with its client"):
        client.run(asked, output=Empty)
    with client.stream(asked, output=Empty) as stream, pytest.raises(RequestError, match="was closed"):
        stream.result()

    async def awaited() -> None:
        other = AsyncClient(**told)  # type: ignore[arg-type]
        await other.aclose()
        with pytest.raises(RequestError, match="was closed"):
            await other.run(asked, output=Empty)

    asyncio.run(awaited())


def test_scripted_lines() -> None:
    """A script holds texts, objects, replies, errors and functions; it remembers what it was asked."""
    reply = Reply("cut", StopReason.TRUNCATED, Usage(1))
    lines = ["text", {"é": [1]}, reply, lambda request: request.messages[-1].text, RequestError("no")]
    plain, awaited = ScriptedProvider(lines), AsyncScriptedProvider(lines)
    replies = [plain.send(ask("hi")) for _ in range(4)]
    assert [each.text for each in replies] == ["text", '{"é": [1]}', "cut", "hi"] and replies[2] is reply
    assert [asyncio.run(awaited.send(ask("hi"))) for _ in range(4)] == replies
    with pytest.raises(RequestError, match=r"^no$"):
        plain.send(ask())
    assert len(plain.requests) == 5 and replies[0].usage == Usage(1, 9, 2)
    with pytest.raises(RequestError, match=r"script has run out: request 6 \(database_architect@1.3.0"):
        plain.send(ask())


def test_scripted_sections() -> None:
    """A script by section answers each section in its own order."""
    provider = ScriptedProvider({"schema": ["s1", "s2"], "indexes": ["i1"]})
    asked = [ask(origin=ORIGIN), ask(origin=ORIGIN.__class__(section="indexes")), ask(origin=ORIGIN)]
    assert [provider.send(each).text for each in asked] == ["s1", "i1", "s2"]
    with pytest.raises(RequestError, match="run out for section 'schema'"):
        provider.send(ask())
