"""Clients of the SDKs that the user made: for clouds, proxies and gateways."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest
from provider_wiring import KEY, Handler, ask
from test_provider_stream import BASE, SSE, end, events, start
from test_provider_wire import answering, completion, message, output_text, response

from dbprompt.errors import AuthenticationError, MissingExtraError, RequestError, ServerError
from dbprompt.messages import Reply
from dbprompt.providers import open_async_provider, open_batch_api, open_provider
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.base import Settings, StreamingProvider
from dbprompt.providers.base_errors import mapped
from dbprompt.providers.tape import Tape

AZURE = "https://us.openai.azure.com"


def http(handler: Handler) -> httpx2.Client:
    """The user's own HTTP client, over a fake wire."""
    return httpx2.Client(transport=httpx2.MockTransport(handler))


def bedrock(handler: Handler) -> anthropic.AnthropicBedrock:
    """Claude at Amazon, with a key of Bedrock's (nothing to sign, so no boto3)."""
    return anthropic.AnthropicBedrock(aws_region="us-east-1", api_key=KEY, http_client=http(handler))


def vertex(handler: Handler) -> anthropic.AnthropicVertex:
    """Claude at Google, with a token (nothing to fetch, so no google-auth)."""
    client = http(handler)
    return anthropic.AnthropicVertex(region="us-east5", project_id="p", access_token=KEY, http_client=client)


def foundry(handler: Handler) -> anthropic.AnthropicFoundry:
    """Claude at Microsoft."""
    return anthropic.AnthropicFoundry(resource="r", api_key=KEY, http_client=http(handler))


def azure(handler: Handler) -> openai.AzureOpenAI:
    """OpenAI's models at Microsoft."""
    return openai.AzureOpenAI(
        azure_endpoint=AZURE, api_version="2026-01-01", api_key=KEY, http_client=http(handler), max_retries=5
    )


CLOUDS = [
    (bedrock, "anthropic:us.claude-v1:0", message, "/model/us.claude-v1:0/invoke"),
    (vertex, "anthropic:claude-opus-5-5", message, "/publishers/anthropic/models/claude-opus-5-5:rawPredict"),
    (foundry, "anthropic:claude-opus-5-5", message, "/anthropic/v1/messages"),
    (azure, "openai:gpt", lambda: response(output_text()), "/openai/responses"),
    (azure, "openai-compatible:gpt", completion, "/openai/deployments/gpt/chat/completions"),
]


@pytest.mark.parametrize(("made", "model", "good", "path"), CLOUDS)
def test_clouds(made, model, good, path) -> None:  # type: ignore[no-untyped-def]
    """A cloud's client is asked at its own address with its own key; its HTTP client stays open."""
    seen: list[httpx2.Request] = []
    sdk = made(answering(good(), seen))
    provider = open_provider(model, sdk=sdk)
    reply = provider.send(ask())
    provider.close()
    assert reply.text in ('{"tables": []}', "{}")
    assert seen[0].url.raw_path.decode().split("?")[0].endswith(path)
    assert KEY in str(seen[0].headers.raw) and not sdk.is_closed()
    sdk.close()


def bearer(handler: Handler) -> anthropic.Anthropic:
    """A gateway in front of Anthropic, with a token."""
    return anthropic.Anthropic(auth_token=KEY, base_url="http://gateway", http_client=http(handler))


@pytest.mark.parametrize(
    ("made", "model"), [*((made, model) for made, model, *_ in CLOUDS), (bearer, "anthropic:claude")]
)
def test_their_keys_stay_secret(made, model) -> None:  # type: ignore[no-untyped-def]
    """A gateway that says the key back in its refusal does not bring it into our error, nor into its traceback."""
    sdk = made(answering({"error": {"message": f"Received API Key = {KEY}"}}, [], 401))
    with pytest.raises(AuthenticationError, match=r"Received API Key = \[key\]") as caught:
        open_provider(model, sdk=sdk).send(ask())
    assert KEY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_what_amazons_client_signs_with_stays_secret() -> None:
    """Without a key of Bedrock's, it is the account's own secret."""
    secret, token = "wJalrXUtnFEMI/K7MDENG", "FwoGZXIvYXdzEBYaDExample"
    sdk = anthropic.AnthropicBedrock(
        aws_region="us-east-1", aws_access_key="AKIAEXAMPLE", aws_secret_key=secret, aws_session_token=token
    )
    settings = Settings("claude", sdk=sdk)
    with pytest.raises(ServerError) as caught, mapped("anthropic", settings, ()):
        raise ValueError(f"cannot sign with {secret} and {token}")
    assert not [one for one in (secret, token) if one in "".join(traceback.format_exception(caught.value))]
    assert secret not in repr(settings)


def test_their_own_retries_are_off() -> None:
    """What fails comes back at once: retries are counted and bounded in one place only."""
    seen: list[httpx2.Request] = []
    made = {"openai:gpt": azure(answering({}, seen, 500)), "anthropic:claude": bedrock(answering({}, seen, 500))}
    for model, sdk in made.items():
        with pytest.raises(ServerError):
            open_provider(model, sdk=sdk).send(ask())
        assert len(seen) == 1 and sdk.max_retries > 0
        seen.clear()


def test_azure_streams() -> None:
    """A stream through a cloud's client is read as any other."""
    model = "openai-compatible:gpt"
    body = events(*start("openai:qwen"), *end("openai:qwen", "stop"))
    provider = open_provider(model, sdk=azure(lambda _: httpx2.Response(200, headers=SSE, content=body)))
    assert isinstance(provider, StreamingProvider)
    *pieces, reply = provider.stream(ask())
    assert pieces == ['{"a'] and isinstance(reply, Reply) and reply.text == '{"a'


def test_bedrock_streams_need_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amazon's stream is no server-sent events: the SDK decodes it, and what it lacks for that is named."""
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "botocore.eventstream", None)
    kind = {"content-type": "application/vnd.amazon.eventstream"}
    sdk = bedrock(lambda _: httpx2.Response(200, headers=kind, content=b"\0" * 64))
    provider = open_provider("anthropic:claude", sdk=sdk)
    assert isinstance(provider, StreamingProvider)
    with pytest.raises(MissingExtraError, match="botocore"):
        list(provider.stream(ask()))


def test_amazons_events_are_heard_as_the_sdk_decodes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK has a decoder of its own, its events make the same reply."""
    from anthropic._streaming import SSEDecoder

    monkeypatch.setattr(anthropic.AnthropicBedrock, "_make_sse_decoder", lambda _: SSEDecoder())
    kind = {"content-type": "application/vnd.amazon.eventstream"}
    body = events(*start("anthropic:claude-opus-5-5"), *end("anthropic:claude-opus-5-5", "end_turn"))
    provider = open_provider("anthropic:c", sdk=bedrock(lambda _: httpx2.Response(200, headers=kind, content=body)))
    assert isinstance(provider, StreamingProvider)
    *pieces, reply = provider.stream(ask())
    assert pieces == ['{"a'] and isinstance(reply, Reply) and reply.usage.output_tokens == 7


def test_the_wrong_client_is_named() -> None:
    """A client for the other world, or of another SDK, is refused with what would fit."""
    plain = azure(answering({}))
    with pytest.raises(TypeError, match=r"sdk is AzureOpenAI, which is for dbprompt\.Client"):
        open_async_provider("openai:gpt", sdk=plain)
    with pytest.raises(TypeError, match=r"sdk is AsyncOpenAI, which is for dbprompt\.AsyncClient"):
        open_provider("openai:gpt", sdk=openai.AsyncOpenAI(api_key=KEY))
    with pytest.raises(TypeError, match=r"no such `messages` as anthropic\.Anthropic has"):
        open_provider("anthropic:claude", sdk=plain)
    with pytest.raises(TypeError, match="brings its own key"):
        open_provider("openai:gpt", sdk=plain, api_key=KEY)
    plain.close()


def test_awaited_clients() -> None:
    """The async twin of a cloud's client serves async code."""
    seen: list[httpx2.Request] = []

    async def run() -> Reply:
        client = httpx2.AsyncClient(transport=httpx2.MockTransport(answering(message(), seen)))
        sdk = anthropic.AsyncAnthropicBedrock(aws_region="us-east-1", api_key=KEY, http_client=client)
        provider = open_async_provider("anthropic:claude", sdk=sdk)
        try:
            return await provider.send(ask())
        finally:
            await provider.aclose()
            assert not sdk.is_closed()
            await sdk.close()

    assert asyncio.run(run()).text == '{"tables": []}'


def test_recording_with_a_client_of_ones_own(tmp_path: Path) -> None:
    """A tape stands in place of the client's HTTP client: what it records is replayed with the same client, offline."""

    def never(_: httpx2.Request) -> httpx2.Response:
        raise AssertionError("the client's own HTTP client was asked")

    path = tmp_path / "t.json"
    for mode in ("record", "replay"):
        inner = authored_transport(["{}"])
        tape = Tape.open(path, mode="record", inner=inner) if mode == "record" else Tape.open(path)
        provider = open_provider("openai-compatible:gpt", sdk=azure(never), tape=tape)
        assert provider.send(ask()).text == "{}"
        provider.close()
    assert KEY not in path.read_text()
    assert "deployments/gpt" in json.loads(path.read_text())["interactions"][0]["request"]["uri"]


def test_batches_through_ones_own_client() -> None:
    """The batch API is asked through the same client; a wrong address in a proxy's client is its own error."""
    seen: list[httpx2.Request] = []
    proxy = openai.OpenAI(api_key=KEY, base_url=BASE, http_client=http(answering({"error": {}}, seen, 404)))
    api = open_batch_api("openai-compatible:gpt", sdk=proxy)
    with pytest.raises(RequestError):
        api.newest()
    api.close()
    assert seen[0].url.path == "/v1/batches" and not proxy.is_closed()
