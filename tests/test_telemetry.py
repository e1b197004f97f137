"""Spans: a tree of job, sections, requests and checks, by OpenTelemetry's conventions; no call fails for it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import answer, design
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, get_current_span, get_tracer
from spans import Seen, values

from dbprompt import (
    AsyncClient,
    AsyncScriptedProvider,
    Brief,
    Client,
    MissingExtraError,
    QuotaError,
    RateLimitError,
    Reply,
    Request,
    Result,
    RetryPolicy,
    ScriptedProvider,
    UnprovenError,
    Usage,
)
from dbprompt.messages import StopReason

ROOT = Path(__file__).parents[1]
TAPE = ROOT / "evals/recordings/postgres/marketplace.database_architect.json"
SHOP = Brief.load(ROOT / "examples/marketplace.yaml")
WAVE = ("views", "lifecycle", "security")
JOB: dict[str, Any] = {"start": design("marketplace", "selection", "schema"), "sections": WAVE}
NO_CHECKS = "dbprompt.jobs.design.design_checks"


@pytest.fixture
def seen() -> Seen:
    """An exporter in memory."""
    return Seen()


@pytest.fixture
def no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Designs whose sections are not proven: that takes an engine, and seconds."""
    monkeypatch.setattr(NO_CHECKS, lambda *_, **__: ())


def wave_tree() -> dict[str, list[str]]:
    """What three sections side by side have to look like."""
    sections = {f"section {name}": ["chat script", f"check {name}"] for name in WAVE}
    kept = {f"section {name}": [f"check {name}"] for name in ("selection", "schema")}
    job = "invoke_workflow dbprompt.design"
    return {"": [job], job: sorted([*sections, *kept]), **sections, **kept}


def test_a_whole_design_is_one_tree(seen: Seen) -> None:
    """Replayed from the recording, with its repairs: job, sections, requests, checks; what was spent adds up."""
    with Client("anthropic:claude-opus-4-8", recording=TAPE, telemetry=seen.provider) as client:
        result = client.design(SHOP)
    job, *others = seen.named("invoke_workflow")
    assert not others and job.parent is None and job.status.status_code is StatusCode.UNSET
    chats, sections = seen.named("chat"), {span.name: span for span in seen.named("section ")}
    assert {name.removeprefix("section ") for name in sections} == {turn.section for turn in result.usage_by_turn}
    assert len(chats) == result.usage.requests
    for chat in chats:
        section = sections[f"section {values(chat)['dbprompt.section']}"]
        assert chat.parent is not None and section.context and chat.parent.span_id == section.context.span_id
        assert section.start_time <= chat.start_time <= chat.end_time <= section.end_time  # type: ignore[operator]
    assert sum(values(chat)["gen_ai.usage.input_tokens"] for chat in chats) == result.usage.input_tokens
    assert values(job)["dbprompt.usage.output_tokens"] == result.usage.output_tokens
    assert values(job)["dbprompt.usage.requests"] == len(chats)
    checks = seen.named("check ")
    assert len(checks) >= len(sections) and all(values(check)["dbprompt.check.verdicts"] for check in checks)
    if result.repair_usage.requests:
        assert any(values(check)["dbprompt.check.errors"] for check in checks)


def test_no_prompt_and_no_answer_is_in_a_span(seen: Seen) -> None:
    """Not the brief's words, not the model's SQL, and no error's own words either."""
    with Client("anthropic:claude-opus-4-8", recording=TAPE, telemetry=seen.provider) as client:
        client.design(SHOP, sections=["selection", "schema"])
        said = "".join(span.to_json() for span in seen.spans).lower()
    assert "create table" not in said and "seller" not in said and SHOP.app_name.lower() not in said


@pytest.mark.usefixtures("no_checks")
def test_side_by_side_sections_are_below_their_job(seen: Seen) -> None:
    """In the threads of a pool as in tasks, streamed or not: the same tree."""
    lines = {name: [answer("marketplace", name)] for name in WAVE}
    with Client(ScriptedProvider(lines), telemetry=seen.provider) as client:
        client.design(SHOP, **JOB)
        assert seen.tree() == wave_tree()
        seen.exporter.clear()
    with (
        Client(ScriptedProvider(lines), telemetry=seen.provider) as client,
        client.stream_design(SHOP, **JOB) as stream,
    ):
        stream.result()
    assert seen.tree() == wave_tree()
    other = Seen()

    async def awaited() -> None:
        async with AsyncClient(AsyncScriptedProvider(lines), telemetry=other.provider) as client:
            await client.design(SHOP, **JOB)
        assert other.tree() == wave_tree()
        other.exporter.clear()
        async with (
            AsyncClient(AsyncScriptedProvider(lines), telemetry=other.provider) as client,
            client.stream_design(SHOP, **JOB) as stream,
        ):
            await stream.result()

    asyncio.run(awaited())
    assert other.tree() == wave_tree()


def test_a_job_is_below_what_its_caller_does_and_above_what_a_check_does(seen: Seen) -> None:
    """Spans of the caller's own: around the call, and within a check, which an async client runs in a thread."""
    tracer = get_tracer("mine", tracer_provider=seen.provider)

    def check(_: object) -> None:
        with tracer.start_as_current_span("my query"):
            pass

    def asked() -> dict[str, Any]:
        return {"output": _output(), "checks": [check]}

    async def awaited() -> None:
        with tracer.start_as_current_span("mine"):
            async with AsyncClient(AsyncScriptedProvider([{"title": "x"}]), telemetry=seen.provider) as client:
                await client.run(_messages(), **asked())

    script = ScriptedProvider([{"title": "x"}])
    with tracer.start_as_current_span("mine"), Client(script, telemetry=seen.provider) as client:
        client.run(_messages(), **asked())
    job = "invoke_workflow dbprompt.run"
    tree = {"": ["mine"], "mine": [job], job: ["chat script", "check answer"], "check answer": ["my query"]}
    assert seen.tree() == tree
    seen.exporter.clear()
    asyncio.run(awaited())
    assert seen.tree() == tree


@pytest.mark.usefixtures("no_checks")
def test_many_at_once_are_below_their_map(seen: Seen) -> None:
    """Each item is a job of its own, in threads as in tasks, and what it was and said is in its own trace."""
    lines = {"selection": [answer("marketplace", "selection")] * 2}
    with Client(ScriptedProvider(lines), telemetry=seen.provider) as client:
        ends = client.map([SHOP, SHOP], sections=["selection"])
    job, section = "invoke_workflow dbprompt.design", "section selection"
    below = {"invoke_workflow dbprompt.map": [job] * 2, job: [section] * 2}
    tree = {"": ["invoke_workflow dbprompt.map"], **below, section: [*["chat script"] * 2, *["check selection"] * 2]}
    assert seen.tree() == tree
    assert [len(end.trace) for end in ends if isinstance(end, Result) and end.trace is not None] == [1, 1]
    whole = next(span for span in seen.exporter.get_finished_spans() if span.name == "invoke_workflow dbprompt.map")
    assert whole.attributes is not None and whole.attributes["dbprompt.usage.requests"] == 2
    seen.exporter.clear()

    async def awaited() -> None:
        async with AsyncClient(AsyncScriptedProvider(lines), telemetry=seen.provider) as client:
            await client.map([SHOP, SHOP], sections=["selection"])

    asyncio.run(awaited())
    assert seen.tree() == tree


@pytest.mark.parametrize("closed", [False, True], ids=["to its end", "closed in the middle"])
def test_a_stream_is_seen_and_does_not_become_its_readers_parent(seen: Seen, closed: bool) -> None:
    """What the reader does between two pieces is not below the request; closing it ends the spans."""
    tracer = get_tracer("mine", tracer_provider=seen.provider)
    script = ScriptedProvider([{"title": "x"}])
    with Client(script, telemetry=seen.provider) as client:
        with client.stream(_messages(), output=_output()) as stream:
            for _ in stream:
                with tracer.start_as_current_span("reader"):
                    pass
                if closed:
                    break
        assert get_current_span() is INVALID_SPAN
    job = "invoke_workflow dbprompt.run"
    assert seen.named("reader") and all(span.parent is None for span in seen.named("reader"))
    (chat,) = seen.named("chat")
    assert values(chat)["gen_ai.request.stream"] is True
    assert seen.tree()[job] == (["chat script"] if closed else ["chat script", "check answer"])
    assert values(chat).get("error.type") == ("Cancelled" if closed else None)


def test_a_request_says_what_the_conventions_want(seen: Seen) -> None:
    """Names, kind and values of open-telemetry/semantic-conventions-genai."""
    with Client("anthropic:claude-opus-4-8", recording=TAPE, telemetry=seen.provider) as client:
        client.design(SHOP, sections=["selection"])
    chat = seen.named("chat")[0]
    told = values(chat)
    assert chat.name == "chat claude-opus-4-8" and chat.kind is SpanKind.CLIENT
    assert told["gen_ai.operation.name"] == "chat" and told["gen_ai.provider.name"] == "anthropic"
    assert told["gen_ai.request.model"] == "claude-opus-4-8" and told["gen_ai.response.model"]
    assert told["gen_ai.request.max_tokens"] == 16_000 and told["gen_ai.output.type"] == "json"
    assert told["gen_ai.response.finish_reasons"] == ("stop",) and told["gen_ai.prompt.name"] == "database_architect"
    assert "gen_ai.request.stream" not in told and "gen_ai.input.messages" not in told


def test_a_failed_try_is_a_span_of_its_own(seen: Seen) -> None:
    """Named by the error's class, without its words, which may quote the prompt; the next try is another span."""
    lines = [RateLimitError("too much 'my words'", status=429), *({"title": "x"},) * 2]
    with Client(ScriptedProvider(lines), telemetry=seen.provider, retry=RetryPolicy(attempts=2)) as client:
        client.run(_messages(), output=_output())
    failed, good = seen.named("chat")
    assert failed.status.status_code is StatusCode.ERROR and failed.status.description is None and not failed.events
    assert values(failed)["error.type"] == "RateLimitError" and values(failed)["http.response.status_code"] == 429
    assert values(good)["dbprompt.attempt"] == 2 and good.status.status_code is StatusCode.UNSET
    assert "my words" not in "".join(span.to_json() for span in seen.spans)


def test_a_job_that_fails_says_with_what(seen: Seen) -> None:
    """The provider's failure and a check that never passes; the section says that it was given up."""
    with (
        Client(ScriptedProvider([QuotaError("no credit")]), telemetry=seen.provider) as client,
        pytest.raises(QuotaError),
    ):
        client.run(_messages(), output=_output())
    assert values(seen.named("invoke_workflow dbprompt.run")[0])["error.type"] == "QuotaError"
    seen.exporter.clear()
    script = ScriptedProvider({"selection": ["no JSON"] * 9})
    with Client(script, telemetry=seen.provider, attempts=1) as client, pytest.raises(UnprovenError):
        client.design(SHOP, sections=["selection"])
    (section,) = seen.named("section ")
    assert values(section)["error.type"] == "unproven" and values(section)["dbprompt.usage.requests"] == 2
    assert values(seen.named("invoke_workflow")[0])["error.type"] == "UnprovenError"


def test_content_stands_in_spans_only_if_asked_for(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that OpenTelemetry's own instrumentations read, in the form of the conventions."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with Client(ScriptedProvider([{"title": "Tea"}]), telemetry=seen.provider) as client:
        client.run(_messages(), output=_output())
    told = values(seen.named("chat")[0])
    assert json.loads(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be short."}]
    (asked,) = json.loads(told["gen_ai.input.messages"])
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "A title?"}]}
    (said,) = json.loads(told["gen_ai.output.messages"])
    assert said["finish_reason"] == "stop" and json.loads(said["parts"][0]["content"]) == {"title": "Tea"}


def test_a_cancelled_call_ends_its_spans(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    """A task that is cancelled while its request is under way: nothing stays open, and nothing is out of order."""

    class Slow(AsyncScriptedProvider):
        async def send(self, request: Request) -> Reply:
            """Never."""
            await asyncio.sleep(60)
            raise AssertionError

    async def awaited() -> None:
        async with AsyncClient(Slow([]), telemetry=seen.provider) as client:
            task = asyncio.create_task(client.run(_messages(), output=_output()))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(awaited())
    job = "invoke_workflow dbprompt.run"
    assert seen.tree() == {"": [job], job: ["chat script"]}
    assert {values(span)["error.type"] for span in seen.spans} == {"Cancelled"} and not caplog.records


class _Broken(SpanProcessor):
    """A processor that fails at everything."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Fails."""
        raise RuntimeError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        """Fails."""
        raise RuntimeError("on_end")


def test_a_broken_exporter_fails_no_call(caplog: pytest.LogCaptureFixture) -> None:
    """The answer comes all the same, and the log says that spans are lost."""
    provider = TracerProvider()
    provider.add_span_processor(_Broken())
    with Client(ScriptedProvider([{"title": "Tea"}]), telemetry=provider) as client:
        assert client.run(_messages(), output=_output()).usage.requests == 1
    assert any(record.levelname == "WARNING" and "a span was lost" in record.message for record in caplog.records)


@pytest.mark.parametrize("telemetry", ["yes", 5, None, object()])
def test_what_makes_no_spans_is_refused(telemetry: Any) -> None:
    """When the client is made, and not in the middle of its first call; None is no word for off."""
    with pytest.raises(TypeError, match=r"^telemetry is .+: say True, False, or give a TracerProvider"):
        Client(ScriptedProvider([]), telemetry=telemetry)


def test_tokens_that_nobody_told_are_in_no_span(seen: Seen) -> None:
    """A backend that adds tokens up reads no 0 where the provider was silent."""
    silent = Reply('{"title": "Tea"}', StopReason.COMPLETE, Usage(requests=1))
    with Client(ScriptedProvider([silent]), telemetry=seen.provider) as client:
        client.run(_messages(), output=_output())
    (chat,) = seen.named("chat")
    assert not [name for name in values(chat) if "tokens" in name and "usage" in name]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(MissingExtraError, match=r"dbprompt\[otel\]"):
        Client(ScriptedProvider([]), telemetry=True)


def test_who_wants_no_spans_loads_nothing() -> None:
    """A call without telemetry imports no part of OpenTelemetry."""
    code = (
        "import sys; from pydantic import BaseModel; from dbprompt import Client, ScriptedProvider, Message, Role\n"
        "class Out(BaseModel):\n title: str\n"
        "Client(ScriptedProvider([{'title': 'x'}])).run([Message(Role.USER, '?')], output=Out)\n"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def _messages() -> list[Any]:
    from dbprompt import Message, Role

    return [Message(Role.SYSTEM, "Be short."), Message(Role.USER, "A title?")]


def _output() -> Any:
    from pydantic import BaseModel

    class Title(BaseModel):
        title: str

    return Title


@pytest.fixture(autouse=True)
def _no_content(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", raising=False)
    yield
