"""What is recorded, what is replayed from it, and what a recording says when it does not fit."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anthropic
import httpx2
import pytest
import vcr  # type: ignore[import-untyped]
from provider_wiring import KEY, ORIGIN, SCHEMA, Handler, ask

from dbprompt.calls.line import Aim, Line
from dbprompt.errors import NoRecordingError, ProviderError, RecordingError, ServerError
from dbprompt.messages import OutputSchema, Reply, Request
from dbprompt.providers import AsyncProvider, Provider, open_async_provider, open_provider
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.base import AsyncStreamingProvider, StreamingProvider
from dbprompt.providers.base_cassette import key_of, write
from dbprompt.providers.tape import Tape

CLAUDE, GPT, LOCAL = "anthropic:claude-opus-5-5", "openai:gpt-6.2-sol", "openai:qwen"
BASE = "http://127.0.0.1:9/v1"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any socket that is connected fails the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return iter(())


def opened(model: str, tape: Tape) -> Provider:
    """A provider over this tape; a key is at hand only where it could be needed."""
    base = BASE if model == LOCAL else None
    return open_provider(model, tape=tape, base_url=base, api_key=None if tape.mode == "replay" else KEY)


def streaming(provider: Provider) -> StreamingProvider:
    """The provider, which can stream."""
    assert isinstance(provider, StreamingProvider)
    return provider


def opened_async(model: str, tape: Tape) -> AsyncProvider:
    """The same, awaited."""
    base = BASE if model == LOCAL else None
    return open_async_provider(model, tape=tape, base_url=base, api_key=None if tape.mode == "replay" else KEY)


def authored(path: Path, *answers: str, model: str = CLAUDE, asked: list[Request] | None = None) -> Path:
    """A recording of these answers."""
    tape = Tape.open(path, mode="record", provenance="authored", inner=authored_transport(answers))
    provider = opened(model, tape)
    for request in asked or [ask()] * len(answers):
        provider.send(request)
    provider.close()
    return path


@pytest.mark.parametrize("model", [CLAUDE, GPT, LOCAL])
@pytest.mark.parametrize("tokens", [16_000, 64_000])
def test_record_then_replay(tmp_path: Path, no_network: None, model: str, tokens: int) -> None:
    """What was recorded is replayed alike, from plain and from async code, with no network and no key."""
    request = ask("Entwurf für Möbel", tokens=tokens)
    tape = Tape.open(tmp_path / "t.json", mode="record", provenance="authored", inner=authored_transport(['{"ä": 1}']))
    first = opened(model, tape).send(request)
    replay = Tape.open(tmp_path / "t.json")
    assert opened(model, replay).send(request) == first
    assert asyncio.run(opened_async(model, replay).send(request)) == first
    assert first.text == '{"ä": 1}' and first.usage.output_tokens == 3


@pytest.mark.parametrize("model", [CLAUDE, GPT, LOCAL])
@pytest.mark.parametrize("recorded", ["whole", "streamed"])
def test_what_was_recorded_answers_whole_and_streamed(
    tmp_path: Path, no_network: None, model: str, recorded: str
) -> None:
    """One recording serves both ways of asking; where neither is in it, the error is about what was asked for."""
    text = json.dumps({"said": "Möbel, " * 20})
    tape = Tape.open(tmp_path / "t.json", mode="record", provenance="authored", inner=authored_transport([text]))
    asked = streaming(opened(model, tape))
    first = asked.send(ask()) if recorded == "whole" else list(asked.stream(ask()))[-1]
    replay = streaming(opened(model, Tape.open(tmp_path / "t.json")))
    *pieces, last = replay.stream(ask())
    assert replay.send(ask()) == last == first
    assert len(pieces) > 5 and "".join(map(str, pieces)) == text

    async def awaited() -> list[str | Reply]:
        provider = opened_async(model, Tape.open(tmp_path / "t.json"))
        assert isinstance(provider, AsyncStreamingProvider)
        return [*[piece async for piece in provider.stream(ask())], await provider.send(ask())]

    assert asyncio.run(awaited()) == [*pieces, last, last]
    with pytest.raises(NoRecordingError) as whole:
        replay.send(ask("Other."))
    with pytest.raises(NoRecordingError) as streamed:
        list(replay.stream(ask("Other.")))
    assert "the conversation changed (first at" in str(whole.value) and str(whole.value) == str(streamed.value)


def test_async_recording_is_the_same_file(tmp_path: Path) -> None:
    """Recorded from async code, the file holds the same request and answer."""
    authored(tmp_path / "plain.json", '{"a": 1}')
    tape = Tape.open(tmp_path / "async.json", mode="record", inner=authored_transport(['{"a": 1}']))
    asyncio.run(opened_async(CLAUDE, tape).send(ask()))
    plain, awaited = (Tape.open(tmp_path / f"{name}.json").interactions[0] for name in ("plain", "async"))
    assert (plain.key, plain.answer) == (awaited.key, awaited.answer)


def test_the_file_is_a_cassette_with_a_source(tmp_path: Path) -> None:
    """The file is vcrpy's format 1 in UTF-8; each interaction says where it is from."""
    data = json.loads(authored(tmp_path / "a" / "t.json", "{}").read_bytes().decode("utf-8"))
    source = data["interactions"][0].pop("dbprompt")
    assert set(data) == {"version", "interactions"} and data["version"] == 1
    assert source.pop("recorded_at")[:2] == "20" and source.pop("sdk").startswith("Anthropic/Python ")
    assert source == {
        "prompt": "database_architect",
        "version": "1.3.0",
        "prompt_hash": ORIGIN.prompt_hash,
        "schema_hash": SCHEMA.hash,
        "section": "schema",
        "provider": "anthropic",
        "model": "claude-opus-5-5",
        "provenance": "authored",
        "usage": "estimated as characters / 3.8",
    }
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["t.json"]


def test_stock_vcrpy_replays_the_file(tmp_path: Path, no_network: None) -> None:
    """vcrpy itself, with the real SDK and its own matching on the body, is answered from our file."""
    path = authored(tmp_path / "t.json", '{"a": 1}')
    recorded = json.loads(Tape.open(path).interactions[0].body)
    recorder = vcr.VCR(serializer="json", record_mode="none", match_on=["method", "scheme", "host", "path", "body"])
    with recorder.use_cassette(str(path)) as cassette:
        client = anthropic.Anthropic(api_key=KEY, max_retries=0)
        message = client.messages.create(**recorded)
        client.close()
        assert cassette.play_count == 1
    block = message.content[0]
    assert block.type == "text" and block.text == '{"a": 1}'


def test_nothing_secret_is_recorded(tmp_path: Path) -> None:
    """Keys, cookies and account names stay out of the file, even where the server quotes the key."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        headers = {"set-cookie": "session=1", "anthropic-organization-id": "org-7", "request-id": "req_1"}
        answer = authored_transport([f"key {KEY}"]).handle_request(request)
        return httpx2.Response(200, headers={**headers, "content-type": "application/json"}, content=answer.content)

    tape = Tape.open(tmp_path / "t.json", mode="record", inner=httpx2.MockTransport(handler))
    opened(CLAUDE, tape).send(ask())
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    assert "req_1" in text
    assert not [secret for secret in (KEY, "session=1", "org-7", "uthorization") if secret in text]


def test_a_password_in_the_address_is_not_recorded(tmp_path: Path) -> None:
    """Neither as a part of the address, nor where the server quotes it as it was written or sent."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        return authored_transport([f"{KEY} {request.headers['authorization']}"]).handle_request(request)

    tape = Tape.open(tmp_path / "t.json", mode="record", inner=httpx2.MockTransport(handler))
    reply = open_provider(LOCAL, base_url=f"http://me:{KEY}@127.0.0.1:9/v1", tape=tape).send(ask())
    sent = reply.text.rpartition(" ")[2]
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    assert KEY not in text and sent not in text and "me:" not in text


def test_a_placeholder_is_no_secret(tmp_path: Path) -> None:
    """A key that is only a word ("ollama") is not blotted out of texts: the recording would not fit any more."""
    tape = Tape.open(tmp_path / "t.json", mode="record", inner=authored_transport(["an ollama answer"]))
    open_provider(LOCAL, base_url=BASE, api_key="ollama", tape=tape).send(ask("Design for ollama."))
    assert opened(LOCAL, Tape.open(tmp_path / "t.json")).send(ask("Design for ollama.")).text == "an ollama answer"


def test_only_the_final_response_is_recorded(tmp_path: Path) -> None:
    """Failures that were asked again leave no trace: the replay has nothing to wait for."""
    answers = iter([httpx2.Response(529, json={}), httpx2.Response(500, json={})])
    inner = authored_transport(["{}"])
    handler: Handler = lambda request: next(answers, None) or inner.handle_request(request)  # noqa: E731
    tape = Tape.open(tmp_path / "t.json", mode="record", inner=httpx2.MockTransport(handler))
    line = Line(aims=[Aim(opened(CLAUDE, tape))], sleep=lambda _: None)
    assert line.job().send(ask()).usage.requests == 3
    assert [each.status for each in Tape.open(tmp_path / "t.json").interactions] == [200]


def test_a_redirect_is_not_recorded(tmp_path: Path) -> None:
    """It is nobody's answer, and without its address, which no file keeps, a replay could not follow it."""
    handler: Handler = lambda _: httpx2.Response(307, headers={"location": f"{BASE}/elsewhere"}, json={})  # noqa: E731
    tape = Tape.open(tmp_path / "t.json", mode="record", inner=httpx2.MockTransport(handler))
    with pytest.raises(ProviderError):
        opened(LOCAL, tape).send(ask())
    assert tape.interactions == () and not (tmp_path / "t.json").exists()


def test_a_file_that_cannot_be_written_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    """A folder in its place, a device, a file in the way, a system without files: said at once, and nothing is made."""
    (tmp_path / "in_the_way").write_text("")
    for path in (tmp_path, Path("/dev/full"), tmp_path / "in_the_way/t.json", Path("/proc/t.json")):
        with pytest.raises(RecordingError, match="cannot be written"):
            Tape.open(path, mode="record")
    Tape.open(tmp_path / "not/there/t.json", mode="record")
    assert [each.name for each in tmp_path.iterdir()] == ["in_the_way"]


def test_the_same_request_twice_is_answered_in_order(tmp_path: Path) -> None:
    """Answers to equal requests come in their order; then the last one repeats."""
    provider = opened(CLAUDE, Tape.open(authored(tmp_path / "t.json", "1", "2")))
    assert [provider.send(ask()).text for _ in range(4)] == ["1", "2", "2", "2"]


def test_threads_and_tasks_get_their_own_answers(tmp_path: Path, no_network: None) -> None:
    """Forty different requests through one tape, at once in threads and in tasks, are recorded and replayed right."""
    asked = [ask(f"brief {n}", origin=replace(ORIGIN, section=f"s{n}")) for n in range(40)]
    sections = {f"s{n}": [str(n)] for n in range(40)}
    path = tmp_path / "t.json"
    tape = Tape.open(path, mode="record", provenance="authored", inner=authored_transport(sections))
    provider = opened(CLAUDE, tape)
    with ThreadPoolExecutor(8) as pool:
        assert [reply.text for reply in pool.map(provider.send, asked)] == [str(n) for n in range(40)]
    replay = Tape.open(path)
    assert sorted(each.source.section for each in replay.interactions) == sorted(sections)
    again = opened(CLAUDE, replay)
    with ThreadPoolExecutor(8) as pool:
        assert [reply.text for reply in pool.map(again.send, asked)] == [str(n) for n in range(40)]

    async def gathered(tape: Tape) -> list[str]:
        awaited = opened_async(CLAUDE, tape)
        return [reply.text for reply in await asyncio.gather(*(awaited.send(each) for each in asked))]

    assert asyncio.run(gathered(replay)) == [str(n) for n in range(40)]
    tape = Tape.open(tmp_path / "async.json", mode="record", inner=authored_transport(sections))
    assert asyncio.run(gathered(tape)) == [str(n) for n in range(40)]
    assert all(json.loads(e.answer)["content"][0]["text"] == e.source.section[1:] for e in tape.interactions)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            ask(origin=replace(ORIGIN, version="1.4.0", prompt_hash="ff" * 32)),
            r"No recording for database_architect@1.4.0 \(ffffffff\) schema; .*t.json holds"
            r" database_architect@1.3.0 \(cd12ab34\) schema: the prompt changed\.",
        ),
        (ask("Design them."), r"the variables or the conversation changed \(first at /messages/0/content/1/text is "),
        (replace(ask(), output=OutputSchema("s", {"type": "object", "properties": {}})), "the schema changed"),
        (ask(origin=replace(ORIGIN, section="indexes")), "the section changed"),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, LOCAL])
def test_a_miss_says_what_changed(tmp_path: Path, no_network: None, model: str, request_: Request, said: str) -> None:
    """A request that was not recorded is a NoRecordingError that names both sides and what differs; nothing is sent."""
    if "section" in said:
        request_ = replace(request_, messages=ask("Another text.").messages)
    path = authored(tmp_path / "t.json", "{}", model=model)
    if model == LOCAL:
        said = said.replace("/messages/0/content/1/text", "/messages/2/content")
    with pytest.raises(NoRecordingError, match=said) as caught:
        Line(aims=[Aim(opened(model, Tape.open(path)))]).job().send(request_)
    assert caught.value.wanted and caught.value.nearest
    with pytest.raises(NoRecordingError, match=said):
        asyncio.run(opened_async(model, Tape.open(path)).send(request_))


def test_a_miss_for_another_model(tmp_path: Path, no_network: None) -> None:
    """The nearest recording of another model is named as such."""
    tape = Tape.open(authored(tmp_path / "t.json", "{}"))
    with pytest.raises(NoRecordingError, match="the model changed"):
        opened(GPT, tape).send(ask())


def test_the_key_of_a_recording() -> None:
    """Host, query and the order of JSON keys do not matter; method, path and content do."""
    key = key_of("POST", "https://a.example/v1/m?beta=1", '{"a": 1, "b": "ü"}')
    assert key == key_of("post", "http://127.0.0.1:8081/v1/m", '{"b":"\\u00fc","a":1}')
    assert len({key, key_of("GET", "http://x/v1/m", "{}"), key_of("POST", "http://x/v1/m", "{}")}) == 3


def test_record_starts_anew_and_keep_goes_on(tmp_path: Path) -> None:
    """Recording replaces a file; with keep it answers from it and asks only for the rest."""
    path = authored(tmp_path / "t.json", "old")
    tape = Tape.open(path, mode="record", inner=authored_transport(["new"]), keep=True)
    provider = opened(CLAUDE, tape)
    assert [provider.send(ask()).text, provider.send(ask("More.")).text] == ["old", "new"]
    assert len(Tape.open(path).interactions) == 2
    authored(path, "newest")
    assert len(Tape.open(path).interactions) == 1


def test_provenance_summary(tmp_path: Path) -> None:
    """A tape says in one line who answered, when, and as which model."""
    path = authored(tmp_path / "t.json", "{}")
    day = Tape.open(path).interactions[0].source.recorded_at[:10]
    assert Tape.open(path).provenance_summary() == f"{path}: authored, {day}, anthropic:claude-opus-5-5"


WHOLE = json.dumps(
    {
        "version": 1,
        "interactions": [
            {
                "request": {"method": "POST", "uri": "http://h/v1/m", "body": "["},
                "response": {"status": {"code": 200, "message": ""}, "headers": {}, "body": {"string": "{}"}},
            }
        ],
    }
)


def test_strange_bodies(tmp_path: Path) -> None:
    """A recorded body that is too deep to read, or holds half of a letter, is one like another, also written anew."""
    for strange in ("[" * 100_000, r'"\ud800"'):
        text = WHOLE.replace('"body": "["', f'"body": {json.dumps(strange)}').replace('"{}"', r'"\ud800"')
        (tmp_path / "t.json").write_text(text)
        kept = Tape.open(tmp_path / "t.json").interactions
        write(tmp_path / "again.json", (each.to_json() for each in kept))
        assert Tape.open(tmp_path / "again.json").interactions == kept and len(kept) == 1


def test_broken_files(tmp_path: Path) -> None:
    """A recording that is missing, no JSON or no cassette is named with its path; a half write leaves the old one."""
    for text, said in (
        (None, "There is no recording"),
        ("{", "not readable as a recording"),
        ('{"version": 2}', "not a cassette of format 1"),
        ('{"version": 1, "interactions": [{"request": {}}]}', "without 'response'"),
        ("[" * 100_000, "not readable as a recording"),
        (WHOLE.replace("200", '"abc"'), "a status that is no number"),
        (WHOLE.replace('{"code": 200, "message": ""}', "7"), "without status, headers and body as objects"),
    ):
        path = tmp_path / "t.json"
        if text is not None:
            path.write_text(text)
        with pytest.raises(RecordingError, match=said):
            Tape.open(path)


def test_a_script_that_ran_out(tmp_path: Path) -> None:
    """An authored recording with too few answers says so, and is not taken for a lost connection."""
    with pytest.raises(RecordingError, match="Request 2 has no authored answer"):
        authored(tmp_path / "t.json", "1", asked=[ask(), ask("more")])


def test_live_passes_on(tmp_path: Path) -> None:
    """In live mode nothing is read or written, and failures are the provider's."""
    tape = Tape.open(tmp_path / "t.json", mode="live", inner=httpx2.MockTransport(lambda _: httpx2.Response(500)))
    with pytest.raises(ServerError):
        opened(CLAUDE, tape).send(ask())
    assert not list(tmp_path.iterdir())
