"""The stub says what the APIs say: the SDKs' own types hold its answers to that."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest
from pydantic import BaseModel
from stub import KEY, Stub, stub_server

SCHEMA = {
    "type": "object",
    "properties": {"tables": {"type": "array", "items": {"$ref": "#/$defs/Table"}}},
    "required": ["tables"],
    "additionalProperties": False,
    "$defs": {
        "Table": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "rows": {"type": "integer", "minimum": 3}},
            "required": ["name", "rows"],
            "additionalProperties": False,
        }
    },
}


class Table(BaseModel, extra="forbid"):
    name: str
    rows: int


class Answer(BaseModel, extra="forbid"):
    tables: list[Table]


@pytest.fixture(scope="module")
def server() -> Iterator[Stub]:
    """One for this file."""
    with stub_server() as running:
        yield running


def asked(server: Stub, api: str, model: str, *, stream: bool = False) -> object:
    """What an SDK makes of the answer."""
    if api == "messages":
        with anthropic.Anthropic(api_key=KEY, base_url=server.url, max_retries=0) as client:
            form = {"format": {"type": "json_schema", "schema": SCHEMA}}
            turns = [{"role": "user", "content": "x"}]
            said = client.messages.create(
                model=model,
                max_tokens=9,
                messages=turns,
                output_config=form,
                stream=stream,  # type: ignore[call-overload]
            )
            return list(said) if stream else said
    with openai.OpenAI(api_key=KEY, base_url=server.v1, max_retries=0) as other:
        named = {"name": "a", "schema": SCHEMA}
        if api == "responses":
            text = {"format": {"type": "json_schema", **named}}
            said = other.responses.create(model=model, input="x", text=text, stream=stream)  # type: ignore[call-overload]
        else:
            said = other.chat.completions.create(  # type: ignore[call-overload]
                model=model,
                messages=[{"role": "user", "content": "x"}],
                response_format={"type": "json_schema", "json_schema": named},
                stream=stream,
            )
        return list(said) if stream else said


def text_of(api: str, said: object) -> str:
    """The text of a whole answer or of a stream's pieces."""
    if isinstance(said, list):
        match api:
            case "messages":
                return "".join(one.delta.text for one in said if one.type == "content_block_delta")
            case "responses":
                return "".join(one.delta for one in said if one.type == "response.output_text.delta")
            case _:
                return "".join(one.choices[0].delta.content or "" for one in said if one.choices)
    if api == "messages":
        return said.content[0].text  # type: ignore[attr-defined, no-any-return]
    return said.output_text if api == "responses" else said.choices[0].message.content  # type: ignore[attr-defined, no-any-return]


def strictly(said: object) -> None:
    """Nothing in it is of another type than the SDK says (it builds its objects without a check)."""
    for one in said if isinstance(said, list) else [said]:
        type(one).model_validate(one.model_dump(mode="json", warnings="none"))


@pytest.mark.parametrize("api", ["messages", "responses", "chat"])
def test_good_answers_fit_the_sdks_types_and_the_schema(server: Stub, api: str) -> None:
    """Whole, streamed and cut off: each field and each event has the SDK's type, and the text fits the schema."""
    texts = []
    for stream in (False, True):
        for model in ("stub-2kb", "stub-2kb+truncated", "stub+refusal", "stub-2kb+gzip"):
            said = asked(server, api, model, stream=stream)
            strictly(said)
            if model in ("stub-2kb", "stub-2kb+gzip"):
                texts.append(text_of(api, said))
    assert len(set(texts)) == 1
    assert 1_800 < len(texts[0]) < 2_200
    assert len({table.name for table in Answer.model_validate_json(texts[0]).tables}) > 10


def test_faults_come_in_their_order_and_are_counted(server: Stub) -> None:
    """`+503*1+reset-body*1`: an error, a broken answer, and from then on good ones; a misspelt fault is told."""
    model = "stub+503*1+reset-body*1~order"
    with pytest.raises(openai.InternalServerError):
        asked(server, "responses", model)
    with pytest.raises(openai.APIConnectionError):
        asked(server, "responses", model)
    Answer.model_validate_json(text_of("responses", asked(server, "responses", model)))
    assert server.count(model) == 3
    assert server.bodies(model)[2]["text"]["format"]["schema"] == SCHEMA
    with pytest.raises(openai.APIStatusError, match="no fault of the stub"):
        asked(server, "responses", "stub+no-such-thing")
