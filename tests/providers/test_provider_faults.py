"""What is made of every way in which an API, a connection or a key can fail."""

from __future__ import annotations

import json
import logging
import pkgutil
import re
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import anthropic
import httpx2
import openai
import pytest
from provider_wiring import KEY, FaultServer, Wire, ask
from pydantic import BaseModel

from dbprompt import Client, Trace
from dbprompt.calls.line import Aim, Line
from dbprompt.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
    UnknownModelError,
)
from dbprompt.messages import Message, Role
from dbprompt.providers import Provider, open_provider
from dbprompt.providers.anthropic import ERRORS as ANTHROPIC_ERRORS
from dbprompt.providers.base_errors import ErrorTable
from dbprompt.providers.base_openai import ERRORS as OPENAI_ERRORS

CLAUDE, GPT, LOCAL = "anthropic:claude-opus-5-5", "openai:gpt-6.2-sol", "openai:qwen"
MODELS = (CLAUDE, LOCAL)

Opened: TypeAlias = dict[str, Provider]


class Short(BaseModel):
    """What is asked for here."""

    name: str


def body(message: str, kind: str = "some_error", code: str | None = None) -> str:
    """An error body, shaped for all three APIs at once."""
    return json.dumps({"type": "error", "error": {"type": kind, "code": code, "message": message}})


def address(server: FaultServer, model: str) -> str:
    """The server's address as each SDK takes it."""
    return server.url if model == CLAUDE else f"{server.url}/v1"


@pytest.fixture(scope="module")
def opened(faults: FaultServer) -> Iterator[Opened]:
    """One provider a model, as a program keeps it."""
    known = {each: open_provider(each, api_key=KEY, base_url=address(faults, each), timeout_s=5) for each in MODELS}
    yield known
    for provider in known.values():
        provider.close()


def failing(provider: Provider) -> ProviderError:
    """The error of one request."""
    with pytest.raises(ProviderError) as caught:
        provider.send(ask())
    return caught.value


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        ("401 Unauthorized", body("invalid key"), AuthenticationError),
        ("403 Forbidden", body("not yours"), AuthenticationError),
        ("404 Not Found", body("model: claude-x", "not_found_error"), UnknownModelError),
        ("404 Not Found", '{"detail": "Not Found"}', RequestError),
        ("400 Bad Request", body("max_tokens: too large"), RequestError),
        ("400 Bad Request", body("`m` does not exist", "invalid_request_error", "model_not_found"), UnknownModelError),
        ("400 Bad Request", body("Your credit balance is too low"), QuotaError),
        ("402 Payment Required", body("Insufficient Balance", "unknown_error"), QuotaError),
        ("402 Payment Required", body("This request requires more credits, or fewer max_tokens."), QuotaError),
        ("429 Too Many", body("You exceeded your current quota", "insufficient_quota"), QuotaError),
        ("429 Too Many", body("slow down", "rate_limit_error"), RateLimitError),
        ("413 Too Large", body("too large"), RequestError),
        ("500 Oops", body("oops"), ServerError),
        ("502 Bad Gateway", "<html>nginx</html>", ServerError),
        ("529 Overloaded", body("overloaded"), ServerError),
    ],
)
def test_statuses(faults: FaultServer, opened: Opened, status: str, answer: str, kind: type[ProviderError]) -> None:
    """Each status, with the words that came with it, is one of our errors and says whether to ask again."""
    faults.says(status, answer)
    for provider in opened.values():
        error = failing(provider)
        assert type(error) is kind and error.status == int(status[:3])
        assert error.retryable is (kind in (RateLimitError, ServerError))
        assert str(error).startswith(f"{provider.name}:{provider.model} ")


@pytest.mark.parametrize("model", MODELS)
def test_async_code_gets_the_same_errors(faults: FaultServer, wire: Wire, opened: Opened, model: str) -> None:
    """The same error, to the letter, where it is awaited."""
    faults.says("429 Slow", body("slow down"), "retry-after: 7")
    with pytest.raises(RateLimitError) as caught:
        wire.awaited(model, None, ask(), base_url=address(faults, model))
    assert str(caught.value) == str(failing(opened[model])) and caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("retry-after: 30", 30), ("retry-after-ms: 1500", 1.5), ("retry-after: soon", None), ("x: y", None)],
)
def test_retry_after(faults: FaultServer, opened: Opened, header: str, seconds: float | None) -> None:
    """The wait that a provider asks for is read in each of its forms, and nonsense is no wait."""
    faults.says("429 Too Many", body("slow down"), header)
    assert failing(opened[CLAUDE]).retry_after == seconds


def test_retry_after_as_a_date(faults: FaultServer, opened: Opened) -> None:
    """A date that is past means no wait at all."""
    faults.says("503 Busy", body("busy"), "retry-after: Wed, 21 Oct 2015 07:28:00 GMT")
    assert failing(opened[LOCAL]).retry_after == 0


@pytest.mark.parametrize("wait", ["99999999999", "1e308", "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy"])
def test_a_wait_that_nobody_lives_to_see(faults: FaultServer, opened: Opened, status: str, wait: str) -> None:
    """A Retry-After beyond a day ends the call at once, with the provider's own error, which says what was asked."""
    faults.says(status, body("busy"), f"retry-after: {wait}")
    error = failing(opened[LOCAL])
    assert error.status == int(status[:3]) and not error.retryable and error.retry_after is None
    assert re.search(r"busy .*It asks to wait [\d.,e+]+ days", str(error))
    line = Line(aims=[Aim(opened[CLAUDE])], sleep=lambda _: pytest.fail("it was waited for"))
    with pytest.raises(type(error), match="days, which is not waited for"):
        line.job().send(ask())


@pytest.mark.parametrize("model", MODELS)
def test_connections_that_break(faults: FaultServer, opened: Opened, model: str) -> None:
    """A reset before, or in the middle of, a body is a failed connection and never an answer."""
    faults.raw = b""
    assert type(failing(opened[model])) is ConnectionFailedError
    faults.says("200 OK", '{"id": "x", "content": [', length=5_000)
    assert type(failing(opened[model])) is ConnectionFailedError


def test_stream_that_breaks(faults: FaultServer, wire: Wire) -> None:
    """The HTTP client's bare error inside a stream is mapped too."""
    faults.says("200 OK", "event: ping\ndata: {}\n\n", "content-type: text/event-stream", length=5_000)
    for world in (wire.sync, wire.awaited):
        with pytest.raises(ConnectionFailedError):
            world(CLAUDE, None, ask(tokens=64_000), base_url=faults.url)


@pytest.mark.parametrize(
    ("status", "location", "told"),
    [
        *[(status, "https://me:pw@other.example/v1/x?k=v", "https://other.example/v1/x") for status in (301, 303, 307)],
        (308, "/v2/elsewhere", "/v2/elsewhere"),
        (307, f"https://other.example/{KEY}", r"https://other.example/\[key\]"),
        (304, None, "no address that can be read"),
        (307, "https://a:b/", "no address that can be read"),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, GPT, LOCAL])
def test_a_prompt_does_not_follow_a_redirect(
    wire: Wire, model: str, status: int, location: str | None, told: str
) -> None:
    """No other host reads it, one request is one, and the error says where it was led to, without what is secret."""
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(status, headers={} if location is None else {"location": location})

    base = None if model != LOCAL else "http://127.0.0.1:9/v1"
    for world in (wire.sync, wire.awaited):
        says = rf"leads elsewhere \({status}\): to [^@?]*{told}\. .*base_url"
        with pytest.raises(RequestError, match=says) as caught:
            world(model, wire.tape(handler), ask(), base_url=base)
        assert caught.value.status == status and not caught.value.retryable and not caught.value.in_doubt
    assert len(seen) == 2


def test_nobody_listens(wire: Wire) -> None:
    """A refused connection and an address that is none are told apart: only one is worth another try."""
    with pytest.raises(ConnectionFailedError, match="openai-compatible:qwen could not be reached"):
        wire.sync(LOCAL, None, ask(), base_url="http://127.0.0.1:9/v1")
    with pytest.raises(RequestError):
        wire.sync(LOCAL, None, ask(), base_url="127.0.0.1:9/v1")


@pytest.mark.parametrize("fault", [httpx2.ReadTimeout("slow"), httpx2.WriteTimeout("slow")])
@pytest.mark.parametrize("model", [CLAUDE, GPT, LOCAL])
def test_time_outs(wire: Wire, model: str, fault: Exception) -> None:
    """A server that says nothing within timeout_s is a DeadlineError that names the time."""

    def handler(_: httpx2.Request) -> httpx2.Response:
        raise fault

    base = None if model != LOCAL else "http://127.0.0.1:9/v1"
    with pytest.raises(DeadlineError, match="One call may take 7 s"):
        wire.sync(model, wire.tape(handler), ask(), timeout_s=7, base_url=base)


def every_error(package: ModuleType, root: type[Exception]) -> Iterator[type[Exception]]:
    """Each class under the SDK's root, also those in modules that are loaded late."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if "exception" in module.name or "error" in module.name:
            import_module(module.name)
    todo = [root]
    while todo:
        kind = todo.pop()
        yield kind
        todo += kind.__subclasses__()


@pytest.mark.parametrize(
    ("package", "root", "table", "foreign"),
    [
        (
            anthropic,
            anthropic.AnthropicError,
            ANTHROPIC_ERRORS,
            {"APIError", "StreamAlreadyConsumed", "WorkloadIdentityError", "ToolsetUsageError", "ToolsetConfigError"}
            | {"ToolsetContractError", "ToolsetsFixedError", "ToolsetClosedError", "MissingDependencyError"}
            | {"MutuallyExclusiveAuthError"},
        ),
        (
            openai,
            openai.OpenAIError,
            OPENAI_ERRORS,
            {"SubjectTokenProviderError", "LengthFinishReasonError", "ContentFilterFinishReasonError"}
            | {"WebSocketConnectionClosedError", "WebSocketQueueFullError", "StreamAlreadyConsumed"}
            | {"MutuallyExclusiveAuthError", "APIRemovedInV1", "_AmbiguousModuleClientUsageError"},
        ),
    ],
)
def test_error_tables_are_complete(
    package: ModuleType, root: type[Exception], table: ErrorTable, foreign: set[str]
) -> None:
    """Every error class of an SDK has a row; only those named here, which our calls cannot raise, meet the last one."""
    rows = [theirs for theirs, _ in table]
    for number, theirs in enumerate(rows):
        assert not any(issubclass(theirs, earlier) for earlier in rows[:number]), f"{theirs} is never reached"
    kinds = set(every_error(package, root)) - {root}
    assert len(kinds) > 20
    missed = {kind.__name__ for kind in kinds if next(row for row in rows if issubclass(kind, row)) is root}
    assert missed <= foreign, f"new in the SDK, needs a row: {missed - foreign}"


@pytest.mark.parametrize("model", MODELS)
def test_keys_stay_secret(faults: FaultServer, caplog: pytest.LogCaptureFixture, model: str) -> None:
    """A key is in no message, traceback, log or repr, even where a server quotes it in its answer."""
    caplog.set_level(logging.DEBUG)
    provider = open_provider(model, base_url=address(faults, model), api_key=f" {KEY}\n")
    for status in ("200 OK", "400 Bad", "401 Unauthorized", "403 No", "404 No", "429 Slow", "500 Oops"):
        faults.says(status, body(f"Incorrect API key provided: {KEY}."))
        error = failing(provider)
        assert KEY not in "".join(traceback.format_exception(error)) + repr(error)
        assert status == "200 OK" or "[key]" in str(error)
    settings = provider._settings  # type: ignore[attr-defined]
    provider.close()
    assert KEY not in caplog.text + repr(provider) + repr(settings)


def test_keys_stay_secret_when_the_connection_fails(wire: Wire) -> None:
    """The same where no answer came."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.LocalProtocolError(f"Illegal header value {request.headers['authorization']!r}")

    for model in (CLAUDE, GPT):
        with pytest.raises(ConnectionFailedError) as caught:
            wire.sync(model, wire.tape(handler), ask())
        assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_password_in_the_address_stays_secret(faults: FaultServer, tmp_path: Path) -> None:
    """Not even the hint to check the address shows it, nor a server that says it back, nor the trace."""
    secret = "pass-%77ord-99xyz"
    host = faults.url.partition("//")[2]
    faults.says("404 Not Found", body(f"no route for pass-word-99xyz or {secret}"))
    with Client(LOCAL, base_url=f"http://me:{secret}@{host}/v1") as client, pytest.raises(RequestError) as caught:
        client.run([Message(Role.USER, "?")], output=Short)
    error = caught.value
    assert f"Check base_url (http://{host}/v1)" in str(error) and isinstance(error.trace, Trace)
    shown = "".join(traceback.format_exception(error)) + error.trace.save(tmp_path / "t.json").read_text()
    assert "99xyz" not in shown and "[key]" in shown
