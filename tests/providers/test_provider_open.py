"""How a model string becomes a provider."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx2
import pytest
from provider_wiring import ORIGIN, Wire, ask

from dbprompt.errors import AuthenticationError, MissingExtraError, RequestError, UnknownModelError
from dbprompt.messages import Reply, StopReason, Usage
from dbprompt.providers import AsyncScriptedProvider, ScriptedProvider, open_async_provider, open_provider


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


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an SDK is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "anthropic", None)
    monkeypatch.delitem(sys.modules, "dbprompt.providers.anthropic", raising=False)
    with pytest.raises(MissingExtraError, match="pip install anthropic"):
        open_provider("anthropic:claude-opus-5-5", api_key="k")


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
