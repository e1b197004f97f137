"""Providers that other packages add."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from provider_wiring import KEY, Wire, ask
from pydantic import BaseModel
from test_provider_wire import completion

from dbprompt import Client
from dbprompt.errors import MissingExtraError, NoRecordingError, RequestError, UnknownModelError
from dbprompt.messages import Message, Role, StopReason, Usage
from dbprompt.providers import Api, open_async_provider, open_batch_api, open_provider
from dbprompt.providers.tape import Tape

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
ANSWER = {"message": {"content": "{}"}, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 2, "model": "q"}


class Title(BaseModel):
    title: str


def block(kind: str) -> str:
    """The block of the page that is written in this language."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages can be installed into, which is on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("dbprompt_"):
            del sys.modules[name]


def install(folder: Path, project: str, module: str = "") -> None:
    """What an installer leaves of a package: its module, and the record of its entry points."""
    told = tomllib.loads(project)["project"]
    points = told["entry-points"]["dbprompt.providers"]
    info = folder / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[dbprompt.providers]\n{lines}\n")
    if module:
        (folder / f"{told['name'].replace('-', '_')}.py").write_text(module, encoding="utf-8")


def broken(name: str, entry: str) -> str:
    """A project that adds one provider."""
    return f'[project]\nname = "{name}"\nversion = "1"\n[project.entry-points."dbprompt.providers"]\n{entry}\n'


def test_the_provider_of_the_page(installed: Path, wire: Wire) -> None:
    """The package that the docs show is found by its prefix, asks, records, replays, and fails with our errors."""
    install(installed, block("toml"), block("python"))
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=ANSWER)

    reply = wire.both("ollama:qwen", handler, ask(), api_key=None)
    assert (reply.text, reply.stop, reply.usage) == ("{}", StopReason.COMPLETE, Usage(1, 9, 2))
    assert str(seen[0].url) == "http://127.0.0.1:11434/api/chat"
    assert json.loads(seen[0].content)["format"]["properties"].keys() == {"tables", "note"}
    path = installed / "t.json"
    tape = Tape.open(path, mode="record", inner=httpx2.MockTransport(handler))
    assert open_provider("ollama:qwen", tape=tape).send(ask()) == reply
    assert asyncio.run(open_async_provider("ollama:qwen", tape=Tape.open(path)).send(ask())) == reply
    with pytest.raises(NoRecordingError):
        open_provider("ollama:qwen", tape=Tape.open(path)).send(ask("Something else."))
    gone = wire.tape(lambda _: httpx2.Response(404, json={"error": "model 'qwen' not found"}))
    with pytest.raises(UnknownModelError):
        open_provider("ollama:qwen", tape=gone).send(ask())
    with pytest.raises(RequestError, match="no batch API"):
        open_batch_api("ollama:qwen")


@pytest.mark.parametrize(("model", "variable"), [("mine:m", "MINE_API_KEY"), ("openai-compatible:m", "OPENAI_API_KEY")])
def test_the_key_that_is_sent_is_the_one_that_is_blotted_out(
    installed: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch, model: str, variable: str
) -> None:
    """Whatever the prefix: a client keeps it out of its traces, and shares its pace with who has the same key."""
    module = (
        "from dbprompt.providers import Api\n"
        "from dbprompt.providers.compatible import AsyncCompatibleProvider, CompatibleProvider\n"
        'API = Api(CompatibleProvider, AsyncCompatibleProvider, key_name="MINE_API_KEY", base_url="http://mine/v1")\n'
    )
    install(installed, broken("dbprompt-mine", 'mine = "dbprompt_mine:API"'), module)
    monkeypatch.setenv(variable, KEY)
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(200, json=completion(content=f'{{"title": "{KEY}"}}'))

    with Client(model, recording=wire.tape(handler)) as client:
        trace = client.run([Message(Role.USER, f"Why is {KEY} refused?")], output=Title).trace
    assert trace is not None and KEY not in trace.to_json() and "Why is [key] refused?" in trace.to_json()
    assert set(seen) == {f"Bearer {KEY}"}
    with Client(model) as one, Client(model) as other:
        assert one._aims[0].pace is other._aims[0].pace
    monkeypatch.setenv(variable, f"{KEY}-of-another-account")
    with Client(model) as other:
        assert one._aims[0].pace is not other._aims[0].pace


def test_an_unknown_prefix_names_what_is_there(installed: Path) -> None:
    """What is built in and what is installed are named, and how to add one."""
    install(installed, block("toml"), block("python"))
    with pytest.raises(UnknownModelError, match=r"openai-compatible:MODEL, ollama:MODEL, or add a package with"):
        open_provider("mistral:large")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("", r"the provider 'x' of the package dbprompt-x cannot be loaded \(ModuleNotFoundError"),
        ("raise RuntimeError('broken')", r"cannot be loaded \(RuntimeError: broken\)"),
        ("other = 1", r"cannot be loaded \(AttributeError"),
        ("API = 7", r"is int and no dbprompt\.providers\.Api"),
    ],
)
def test_a_broken_package_is_one_error(installed: Path, wire: Wire, module: str, said: str) -> None:
    """A package whose provider cannot be loaded is named, and the others still work."""
    install(installed, broken("dbprompt-x", 'x = "dbprompt_x:API"'), module)
    install(installed, block("toml"), block("python"))
    with pytest.raises(UnknownModelError, match=said):
        open_provider("x:large")
    assert wire.sync("ollama:q", wire.tape(lambda _: httpx2.Response(200, json=ANSWER)), ask()).text == "{}"


def test_what_a_package_lacks_is_named(installed: Path) -> None:
    """A module that is missing when a provider is opened is the one to install."""
    module = "from dbprompt.providers import Api\ndef made(*_): import no_such_sdk\nAPI = Api(made, made)\n"
    install(installed, broken("dbprompt-y", 'y = "dbprompt_y:API"'), module)
    with pytest.raises(MissingExtraError, match="no_such_sdk"):
        open_provider("y:large")


def test_nobody_takes_a_built_in_prefix(installed: Path, wire: Wire) -> None:
    """A package cannot put itself between a user and a provider that is built in: the key would be its own."""
    module = "raise SystemExit('taken')"
    install(installed, broken("dbprompt-z", 'anthropic = "dbprompt_z:API"'), module)
    with pytest.raises(RequestError):
        wire.sync("anthropic:claude", wire.tape(lambda _: httpx2.Response(400, json={})), ask())
    assert "dbprompt_z" not in sys.modules


def test_an_api_needs_no_batches() -> None:
    """Two functions make an API; everything else has a value."""
    api = Api(lambda *_: None, lambda *_: None)  # type: ignore[arg-type, return-value]
    assert (api.open_batch, api.key_name, api.base_url) == (None, "", None)
