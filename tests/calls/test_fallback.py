"""Several models: who is asked when the first one does not answer, and who is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from calls_wiring import GOOD, REFUSED, AsyncOnline, Online, Watch, aline, ask, astreamed, line, streamed

from dbprompt.calls.bounds import Bounds
from dbprompt.calls.fallback import PASSED_OVER_S, Standing
from dbprompt.calls.prices import Price
from dbprompt.calls.retry import RetryPolicy
from dbprompt.errors import (
    AskError,
    AuthenticationError,
    BudgetError,
    ConnectionFailedError,
    DeadlineError,
    NoRecordingError,
    QuotaError,
    RateLimitError,
    RequestError,
    ServerError,
    UnknownModelError,
)
from dbprompt.messages import Reply, StopReason, Usage
from dbprompt.providers import ScriptedProvider

FAST = RetryPolicy(attempts=2, first_wait_s=0.1)
OTHER = Reply('{"from": "b"}', StopReason.COMPLETE, Usage(1, 10, 5))
BUSY = ServerError("overloaded", status=529)


def asked(first: Sequence[Any], second: Sequence[Any], how: str = "send", **options: Any) -> tuple[Any, list[int]]:
    """What two models come to, by each way to ask, and how many requests each of them had."""
    kind, told = (AsyncOnline, aline) if how.startswith("a") else (Online, line)
    models = [kind(first, model="a"), kind(second, model="b")]
    calls: Any = told(*models, policy=FAST, **options).job()
    end: Any = None
    try:
        match how:
            case "send":
                end = calls.send(ask())
            case "asend":
                end = asyncio.run(calls.send(ask()))
            case "stream":
                end = streamed(calls, ask())[1]
            case "astream":
                end = astreamed(calls, ask())[1]
    except AskError as error:
        end = error
    return end, [len(model.requests) for model in models]


@pytest.mark.parametrize("how", ["send", "asend", "stream", "astream"])
@pytest.mark.parametrize(
    ("failing", "requests"),
    [
        ([BUSY, BUSY], 2),
        ([RateLimitError("slow", status=429, retry_after=0.1)] * 2, 2),
        ([RateLimitError("slow", status=429, retry_after=9_999)], 1),
        ([ConnectionFailedError("reset")] * 2, 2),
        ([DeadlineError("silent")], 1),
        ([QuotaError("broke", status=402)], 1),
        ([Reply("", StopReason.REFUSED, Usage(1, 8, 0))], 1),
    ],
)
def test_the_next_model_is_asked(how: str, failing: Sequence[Any], requests: int) -> None:
    """Overload after its tries, no credit or a refusal: the next model answers, and the reply says why."""
    end, counts = asked(failing, [OTHER], how)
    assert isinstance(end, Reply) and counts == [requests, 1]
    assert (end.text, end.asked) == (OTHER.text, "scripted:b")
    assert len(end.instead_of) == 1 and end.instead_of[0].startswith("scripted:a: ")
    assert end.usage.requests == requests + 1


@pytest.mark.parametrize("how", ["send", "asend"])
@pytest.mark.parametrize(
    "mistake",
    [AuthenticationError("no key", status=401), RequestError("too long", status=400), UnknownModelError("no such")],
)
def test_a_mistake_of_the_user_is_told(how: str, mistake: AskError) -> None:
    """A wrong key, a wrong request and a wrong name are errors at once: another model would only hide them."""
    end, counts = asked([mistake], [OTHER], how)
    assert end is mistake and counts == [1, 0]


def test_a_wrong_answer_is_no_reason() -> None:
    """An answer is an answer, however wrong or cut off it is."""
    cut = Reply('{"a', StopReason.TRUNCATED, Usage(1, 10, 5))
    for reply in (cut, Reply("no JSON", StopReason.COMPLETE, Usage(1, 10, 5))):
        end, counts = asked([reply], [OTHER])
        assert end.text == reply.text and counts == [1, 0]


def test_the_last_error_is_raised_with_those_before() -> None:
    """If nobody answers, the last one's error says so, and notes why the others did not."""
    end, counts = asked([BUSY, BUSY], [QuotaError("broke", status=402)])
    assert isinstance(end, QuotaError) and counts == [2, 1]
    assert any("scripted:a: ServerError: overloaded" in note for note in end.__notes__)


def test_a_refusal_by_all_is_a_refusal() -> None:
    """The last model's refusal is handed on as one."""
    end, counts = asked([REFUSED], [REFUSED])
    assert end.stop is StopReason.REFUSED and counts == [1, 1] and end.usage == Usage(2, 16, 8)


def test_money_sends_to_a_cheaper_model() -> None:
    """A bound of money that only the dear model meets is kept by the next one; other bounds hold for all."""
    prices = [Price(1_000, 1_000), Price(0.001, 0.001)]
    end, counts = asked([GOOD], [OTHER], prices=prices, per_call=Bounds(cost_usd=0.01))
    assert end.text == OTHER.text and counts == [0, 1] and "BudgetError" in end.instead_of[0]
    end, counts = asked([GOOD], [OTHER], per_call=Bounds(input_tokens=1))
    assert isinstance(end, BudgetError) and counts == [0, 0]
    assert not hasattr(end, "__notes__"), "the next model was not even tried"


def test_no_other_model_is_asked_when_the_time_is_up() -> None:
    """A deadline that passed is everybody's."""
    watch = Watch()

    def late(_: object) -> Exception:
        watch.now += 100
        return BUSY

    models = [Online([late], model="a"), Online([OTHER], model="b")]
    with pytest.raises(DeadlineError, match="overloaded Gave up") as caught:
        line(*models, per_call=Bounds(deadline_s=50), watch=watch).job().send(ask())
    assert models[1].requests == [] and not hasattr(caught.value, "__notes__")


def test_no_credit_is_remembered_and_overload_for_a_minute() -> None:
    """One that has no credit is never asked again by this client; one that was overloaded after a minute."""
    for error, after_a_minute in ((QuotaError("broke", status=402), 1), (BUSY, 2)):
        watch = Watch()
        models = [Online([error, *([GOOD] * 9)], model="a"), Online([OTHER] * 9, model="b")]
        house = line(*models, policy=RetryPolicy(attempts=1), watch=watch)
        house.job().send(ask())
        second = house.job().send(ask())
        assert second.asked == "scripted:b" and "before" in second.instead_of[0] and len(models[0].requests) == 1
        watch.sleep(PASSED_OVER_S + 1)
        house.job().send(ask())
        assert len(models[0].requests) == after_a_minute


def test_one_that_was_passed_over_is_asked_before_nobody() -> None:
    """If the others fail too, one that was overloaded a moment ago is tried again."""
    models = [Online([BUSY, GOOD], model="a"), Online([OTHER, BUSY], model="b")]
    house = line(*models, policy=RetryPolicy(attempts=1))
    house.job().send(ask())
    assert house.job().send(ask()).asked == "scripted:a"


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_a_stream_that_began_belongs_to_its_model(how: str) -> None:
    """After its first piece a stream is neither asked again nor of another model: the reader would get two halves."""

    class Breaking(Online):
        def stream(self, request: Any) -> Any:
            self.requests.append(request)
            yield '{"a'
            raise ConnectionFailedError("reset")

    class AsyncBreaking(AsyncOnline):
        async def stream(self, request: Any) -> Any:
            self.requests.append(request)
            yield '{"a'
            raise ConnectionFailedError("reset")

    kind, other, told, read = (
        (AsyncBreaking, AsyncOnline, aline, astreamed) if how == "astream" else (Breaking, Online, line, streamed)
    )
    models: list[Any] = [kind([], model="a"), other([OTHER], model="b")]
    calls: Any = told(*models).job()
    with pytest.raises(ConnectionFailedError) as caught:
        read(calls, ask())
    assert not caught.value.retryable and [len(model.requests) for model in models] == [1, 0]


def test_a_refusal_in_a_stream_that_began_stays() -> None:
    """A model that writes a little and then declines has been read: its refusal is the answer."""

    class Declining(Online):
        def stream(self, request: Any) -> Any:
            yield "I would"
            yield REFUSED

    pieces, reply = streamed(line(Declining([], model="a"), Online([OTHER], model="b")).job(), ask())
    assert pieces == ["I would"] and reply.stop is StopReason.REFUSED


def test_a_provider_that_does_not_stream_is_one_piece() -> None:
    """The whole text comes as one piece, then the reply."""
    pieces, reply = streamed(line(ScriptedProvider([GOOD])).job(), ask())
    assert pieces == ["{}"] and reply.text == "{}"


def test_where_nobody_has_credit_all_are_asked() -> None:
    """Two calls at once can leave each model without credit: the next call asks them, and their own error comes out."""
    standing = Standing(["a", "b"])
    for model in (0, 1):
        standing.fell_over(model, QuotaError("no credit"))
    assert list(standing.order()) == [0, 1]
    assert standing.passed_over(standing.order()) == {}


def test_a_recording_of_a_list_is_replayed() -> None:
    """What failed is in no recording: the model that answered then answers now; if none did, the first miss is told."""
    models = [ScriptedProvider([NoRecordingError("a")] * 4, model="a"), ScriptedProvider([OTHER], model="b")]
    assert line(*models).job().send(ask()).asked == "scripted:b"
    models = [ScriptedProvider([NoRecordingError(name)] * 2, model=name) for name in ("a", "b")]
    with pytest.raises(NoRecordingError, match=r"^a$"):
        line(*models).job().send(ask())
