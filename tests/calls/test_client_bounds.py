"""What a client's user sees of bounds, prices and several models: results, partial results, reports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from answers import answer, design
from calls_wiring import AsyncOnline, Online
from pydantic import BaseModel

from dbprompt import (
    AsyncClient,
    AsyncScriptedProvider,
    AuthenticationError,
    Bounds,
    Brief,
    BudgetError,
    Client,
    DeadlineError,
    Message,
    Model,
    Price,
    QuotaError,
    Reply,
    Result,
    Role,
    ScriptedProvider,
    Usage,
    load_prompt,
)
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report, Severity
from dbprompt.jobs.ask import Answer
from dbprompt.messages import StopReason
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.tape import Tape

BRIEF = Brief.load(Path(__file__).parents[2] / "examples/marketplace.yaml")
PROMPT = load_prompt("database_architect")
KEY = "sk-test-3f9a1c77d2e84b60"
ASK = [Message(Role.USER, "How many?")]


class Count(BaseModel):
    """An answer."""

    number: int


class Counts(BaseModel):
    """An answer in a list."""

    numbers: list[int]


def even(answer: Count) -> list[Finding]:
    """A check of one's own."""
    return [Finding("odd", Severity.ERROR, "/number", "an odd number")] if answer.number % 2 else []


def run(lines: list[Any], how: str, **options: Any) -> Any:
    """Asks, from plain or from async code."""
    bounds = options.pop("bounds", None)
    if how == "sync":
        with Client(ScriptedProvider(lines), **options) as client:
            return client.run(ASK, output=Count, checks=[even], bounds=bounds)

    async def asked() -> Any:
        async with AsyncClient(AsyncScriptedProvider(lines), **options) as client:
            return await client.run(ASK, output=Count, checks=[even], bounds=bounds)

    return asyncio.run(asked())


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_run_that_meets_a_bound_keeps_its_last_answer(how: str) -> None:
    """The second of two requests is the last; what it gave is in the error, with what is wrong with it and its cost."""
    with pytest.raises(BudgetError, match="this run has spent 2 of its bound requests=2") as caught:
        run([{"number": 1}, {"number": 3}, {"number": 4}], how, per_job=Bounds(requests=2))
    partial: Any = caught.value.partial
    assert isinstance(partial, Answer) and partial.value == Count(number=3)
    assert [finding.code for finding in partial.evidence.findings] == ["odd"]
    assert partial.usage.requests == 2 and len(partial.trace) == 2
    assert (
        run([{"number": 1}, {"number": 4}], how, per_job=Bounds(requests=1), bounds=Bounds(requests=2)).value.number
        == 4
    )


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_bound_of_one_call_holds_for_each(how: str) -> None:
    """`per_call` bounds one request with its retries, and begins anew with the next one."""
    assert run([{"number": 1}, {"number": 3}, {"number": 4}], how, per_call=Bounds(requests=1)).usage.requests == 3


def test_a_check_does_not_begin_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a job includes its checks: looked at between steps, with the unchecked answer in the error."""
    now = [0.0]

    def line(_: object) -> dict[str, Any]:
        now[0] += 20
        return {"number": 2}

    client = Client(ScriptedProvider([line]), per_job=Bounds(deadline_s=10))
    client._line.clock = lambda: now[0]
    with pytest.raises(DeadlineError, match=r"the deadline of this run \(10 s\) has passed") as caught:
        client.run(ASK, output=Count, checks=[lambda _: pytest.fail("it began")])
    partial: Any = caught.value.partial
    assert partial.value == Count(number=2) and not partial.evidence.verdicts


def test_no_single_check_begins_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run, of the items of a stream, of a design: the one that runs ends, and the next one does not begin."""
    now, began = [0.0], list[object]()

    def slow(checked: object) -> Any:
        began.append(checked)
        now[0] += 20
        return Report() if isinstance(checked, Subject) else []

    def client(*lines: object) -> Client:
        began.clear()
        made = Client(ScriptedProvider(list(lines)), per_job=Bounds(deadline_s=10))
        made._line.clock = lambda: now[0]
        return made

    with pytest.raises(DeadlineError):
        client({"number": 2}).run(ASK, output=Count, checks=[slow, slow])
    assert len(began) == 1
    with pytest.raises(DeadlineError):
        client({"numbers": [1, 2, 3]}).stream(ASK, output=Counts, item_checks={"/numbers": slow}).result()
    assert 1 <= len(began) <= 2  # beside the stream and at its end they run in two threads
    monkeypatch.setattr("dbprompt.jobs.design.design_checks", lambda *_, **__: (slow, slow))
    with pytest.raises(DeadlineError) as caught:
        client(answer("marketplace", "selection")).design(BRIEF, prompt=PROMPT, sections=["selection"])
    assert len(began) == 1 and isinstance(caught.value.partial, Result)


@pytest.fixture
def no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked is looked at here; what is checked of it takes an engine, and seconds."""
    monkeypatch.setattr("dbprompt.jobs.design.design_checks", lambda *_, **__: ())


def sections() -> dict[str, list[Any]]:
    """The reference answers of three sections."""
    return {name: [answer("marketplace", name)] for name in ("selection", "schema", "views")}


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_design_that_meets_a_bound_keeps_what_was_finished(how: str, no_checks: None) -> None:
    """Two requests are enough for two sections; the partial design has both, and their cost."""
    names: Any = tuple(sections())
    job: dict[str, Any] = {"prompt": PROMPT, "sections": names, "bounds": Bounds(requests=2)}

    async def asked() -> None:
        async with AsyncClient(AsyncScriptedProvider(sections())) as client:
            await client.design(BRIEF, **job)

    with pytest.raises(BudgetError, match="this design has spent 2") as caught:
        Client(ScriptedProvider(sections())).design(BRIEF, **job) if how == "sync" else asyncio.run(asked())
    partial = caught.value.partial
    assert isinstance(partial, Result) and partial.usage.requests == 2 and partial.trace is caught.value.trace
    assert partial.design.schema is not None and partial.design.views is None


def test_a_section_that_broke_off_keeps_its_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair that a bound forbids loses neither the section nor what is wrong with it."""
    wrong = Report((Finding("selection.why", Severity.ERROR, "", "say why"),))
    monkeypatch.setattr("dbprompt.jobs.design.design_checks", lambda *_, **__: (lambda _: wrong,))
    with pytest.raises(BudgetError) as caught:
        Client(ScriptedProvider(sections())).design(
            BRIEF, prompt=PROMPT, sections=["selection"], bounds=Bounds(requests=1)
        )
    partial: Any = caught.value.partial
    assert partial.design.selection is not None and [one.code for one in partial.evidence.errors] == ["selection.why"]
    assert [(turn.section, turn.kind) for turn in partial.usage_by_turn] == [("selection", "ask")]


def test_threads_side_by_side_keep_to_one_bound(no_checks: None) -> None:
    """Three sections at once share what is left of the output tokens; no more is ever asked for."""
    wave = ("views", "lifecycle", "security")

    def line(name: str) -> Any:
        text = json.dumps(answer("marketplace", name))
        return lambda request: Reply(text, StopReason.COMPLETE, Usage(1, 100, request.max_output_tokens))

    provider = ScriptedProvider({name: [line(name)] for name in wave})
    with pytest.raises(BudgetError) as caught, Client(provider, max_output_tokens=400, attempts=0) as client:
        client.design(
            BRIEF,
            prompt=PROMPT,
            sections=wave,
            start=design("marketplace", "selection", "schema"),
            bounds=Bounds(output_tokens=800),
        )
    partial: Any = caught.value.partial
    assert partial.usage.output_tokens == 800 and len(provider.requests) == 2


def test_results_reports_and_files_tell_the_cost_and_the_model(no_checks: None, tmp_path: Path) -> None:
    """The second model answered: result, report and evidence say who, why, and for how much."""
    models = [Online([QuotaError("no credit", status=402)], model="a"), Online(sections(), model="b")]
    prices = {"scripted:a": Price(1, 1), "scripted:b": Price(1, 5)}
    with Client(models, prices=prices) as client:
        result = client.design(BRIEF, prompt=PROMPT, sections=("selection", "schema"))
    first = result.usage_by_turn[0]
    assert first.model == "scripted:b" and "scripted:a: QuotaError: no credit" in first.instead_of[0]
    assert first.cost == pytest.approx((first.usage.input_tokens + 5 * first.usage.output_tokens) / 1_000_000)
    assert result.usage.cost_usd == pytest.approx(sum(turn.cost or 0 for turn in result.usage_by_turn))
    files = result.files()
    made = json.loads(files["evidence.json"])["made"]
    assert made["usage_by_turn"][0]["model"] == "scripted:b" and made["usage_by_turn"][0]["instead_of"]
    assert made["usage"]["cost_usd"] == pytest.approx(result.usage.cost_usd)
    assert f"${result.usage.cost_usd:,.4f}" in files["README.md"] and "no credit" in files["README.md"]


def test_an_unknown_price_is_unknown_everywhere(no_checks: None) -> None:
    """Nobody told what it costs, so nobody reads $0."""
    result = Client(ScriptedProvider(sections())).design(BRIEF, prompt=PROMPT, sections=("selection",))
    files = result.files()
    assert result.usage.cost_usd is None and json.loads(files["evidence.json"])["made"]["usage"]["cost_usd"] is None
    assert "unknown" in files["README.md"] and "$0" not in files["README.md"].partition("How this was made")[2]


def test_tokens_that_nobody_told_are_unknown_everywhere(no_checks: None) -> None:
    """A provider that tells no usage is read as such in report and summary, and its cost is unknown though priced."""
    (first,) = sections()["selection"]
    untold = Reply(json.dumps(first), StopReason.COMPLETE, Usage(1))
    with Client(ScriptedProvider([untold]), prices={"scripted:script": Price(1, 5)}) as client:
        result = client.design(BRIEF, prompt=PROMPT, sections=("selection",))
    told = result.files()["README.md"].partition("How this was made")[2]
    assert result.usage.cost_usd is None and told.count("unknown |") == 8 and "$" not in told and " 0 |" not in told
    assert "unknown input and unknown output tokens" in result._repr_markdown_()


NOT_NUMBERS: list[Any] = [0, -1, float("nan"), "3", True, 10**400]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("timeout_s", value) for value in (*NOT_NUMBERS, float("inf"))],
        *[("max_output_tokens", value) for value in NOT_NUMBERS[:-1]],
        *[("side_by_side", value) for value in NOT_NUMBERS[:-1]],
        *[("attempts", value) for value in NOT_NUMBERS[1:-1]],
        *[("temperature", value) for value in NOT_NUMBERS[2:]],
    ],
)
def test_options_that_nobody_can_count_with_are_refused(name: str, value: Any) -> None:
    """When the client is made, with the option's name and value: no request and no wait goes wrong by it."""
    with pytest.raises(ValueError, match=rf"^{name} is .+: give "):
        Client(ScriptedProvider([]), **{name: value})


def test_a_price_is_a_price() -> None:
    """A bare number says not what it is the price of."""
    with pytest.raises(TypeError, match=r"prices\['scripted:script'\] is 5: give a Price"):
        Client(ScriptedProvider([]), prices={"scripted:script": 5})  # type: ignore[dict-item]


@pytest.mark.parametrize("api", ["OPENAI", "ANTHROPIC"])
def test_another_address_has_limits_of_its_own(monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    """Two servers that the environment names share no limits, as two that are given share none; one server does."""
    paces = []
    for address in ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", "http://127.0.0.1:1/v1"):
        monkeypatch.setenv(f"{api}_BASE_URL", address)
        with Client(f"{api.lower()}:some-model", api_key=KEY) as client:
            paces.append(client._aims[0].pace)
    assert paces[0] is paces[2] and paces[0] is not paces[1]


def test_money_without_a_price_stops_a_client_before_anything_is_sent() -> None:
    """A client whose job is bounded in money asks nobody whose price is unknown."""
    provider = ScriptedProvider([{"number": 2}])
    with pytest.raises(BudgetError, match="nobody told what scripted:script costs"):
        Client(provider, per_job=Bounds(cost_usd=1)).run(ASK, output=Count)
    assert provider.requests == []


def test_keys_of_all_models_are_checked_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is not found to lack a key when the first model is overloaded."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AuthenticationError, match="openai:gpt-6-sol needs a key: set OPENAI_API_KEY"):
        Client(["anthropic:claude-opus-5", "openai:gpt-6-sol"])


def test_an_address_belongs_to_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a list an address or key is given with its model; given to the client, nobody knows whose it is."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with pytest.raises(ValueError, match="are for one model, and there is a list"):
        Client(["anthropic:claude-opus-5", "openai:qwen"], base_url="http://127.0.0.1:1/v1")
    with Client(["anthropic:claude-opus-5", Model("openai:qwen", base_url="http://127.0.0.1:1/v1")]) as client:
        assert repr(client) == "Client(anthropic:claude-opus-5, openai-compatible:qwen)" and KEY not in repr(
            client._models
        )
    with pytest.raises(ValueError, match="empty list"):
        Client([])


def test_a_recording_of_a_list(tmp_path: Path) -> None:
    """Two models record into one file and are replayed from it; the one that answered answers again."""
    path = tmp_path / "t.json"
    names = ["anthropic:claude-opus-5", "openai:gpt-6-sol"]
    inner = authored_transport(['{"number": 2}'])
    tape = Tape.open(path, mode="record", provenance="authored", inner=inner)
    with Client(Model("openai:gpt-6-sol", api_key=KEY), recording=tape) as client:
        assert client.run(ASK, output=Count).value.number == 2
    with Client(names, recording=path) as client:
        answer = client.run(ASK, output=Count)
    assert answer.value.number == 2 and answer.usage_by_turn[0].model == "openai:gpt-6-sol"
    assert "NoRecordingError" in answer.usage_by_turn[0].instead_of[0]


def test_two_models_side_by_side_in_async_code(no_checks: None) -> None:
    """The async client falls over alike."""

    async def asked() -> Result:
        models = [AsyncOnline([QuotaError("no credit", status=402)], model="a"), AsyncOnline(sections(), model="b")]
        async with AsyncClient(models) as client:
            return await client.design(BRIEF, prompt=PROMPT, sections=("selection", "schema"))

    assert {turn.model for turn in asyncio.run(asked()).usage_by_turn} == {"scripted:b"}


def test_a_batch_claims_no_bounds(tmp_path: Path) -> None:
    """What a batch cannot keep to, it does not take silently."""
    client = Client("anthropic:claude-opus-5", api_key=KEY, per_job=Bounds(cost_usd=1))
    with client, pytest.raises(ValueError, match="not batches"):
        client.batch(tmp_path)
