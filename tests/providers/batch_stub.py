"""A loopback server that speaks both batch APIs, with faults by knob; and a run of its own process, to be killed."""

from __future__ import annotations

import email
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dbprompt import BatchPolicy, Client, Finding, Prompt, Severity, load_prompt

__all__ = ["KINDS", "QUICK", "BatchStub", "Word", "client", "little_prompt", "no_shouting"]

KEY = "sk-test-3f9a1c77d2e84b60"
QUICK = BatchPolicy(deadline_s=20, first_poll_s=0.01, longest_poll_s=0.05, settle_s=0.0, tries=3)
KINDS = ("anthropic", "openai", "compatible")

Json = dict[str, Any]


@dataclass
class Made:
    """A batch as the server holds it."""

    id: str
    api: str
    requests: dict[str, Json]
    metadata: Json = field(default_factory=dict)
    looks: int = 0


class BatchStub:
    """The server. `fate` and `answer` are asked for each request of each batch as it is collected."""

    def __init__(self) -> None:
        self.batches: list[Made] = []
        self.files: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.busy = 0
        """How often a batch is still in progress when it is looked at."""
        self.held: Callable[[int], bool] = lambda batch: False
        """Whether it is in progress for as long as one looks."""
        self.refusal = "output_config, text.format"
        """What an error says."""
        self.fate: Callable[[Json, int], str] = lambda body, batch: "succeeded"
        self.answer: Callable[[Json], str] = repeated
        self.spoil: Callable[[str, Json, int], str] = lambda line, body, batch: line
        """What is made of a line of the results before it is written."""
        self.whole: Callable[[int], list[Json] | None] = lambda batch: None
        """The errors with which OpenAI gives a batch up as a whole."""
        self.status = "completed"
        self.swallow = 0
        """How many batches are taken without a word of it: the connection ends."""
        self.hang = False
        """Whether it stays open instead."""
        self.fail: list[int] = []
        """The statuses of the next calls."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stub._called(self, b"")

            def do_POST(self) -> None:
                stub._called(self, self.rfile.read(int(self.headers["content-length"])))

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()

    def sent(self) -> list[list[str]]:
        """The word of each request, batch by batch."""
        return [[word_of(body) for body in batch.requests.values()] for batch in self.batches]

    def _called(self, http: BaseHTTPRequestHandler, data: bytes) -> None:
        path = http.path.partition("?")[0]
        self.calls.append(f"{http.command} {path}")
        if self.fail:
            status = self.fail.pop(0)
            if status:
                body = {"type": "error", "error": {"type": "api_error", "message": f"told to fail for {KEY}"}}
                self._say(http, body, status=status)
                return
        match http.command, path.strip("/").split("/"):
            case "POST", ["v1", "messages", "batches"]:
                asked = {one["custom_id"]: one["params"] for one in json.loads(data)["requests"]}
                self._make(http, Made(f"msgbatch_{len(self.batches)}", "anthropic", asked))
            case "POST", ["v1", "files"]:
                head = f"Content-Type: {http.headers['content-type']}\r\n\r\n".encode()
                parts = email.message_from_bytes(head + data).get_payload()
                name = f"file-{len(self.files)}"
                self.files[name] = next(p.get_payload(decode=True) for p in parts if p.get_filename())
                self._say(http, {"id": name, "object": "file", "bytes": 1, "created_at": 1, "purpose": "batch"})
            case "POST", ["v1", "batches"]:
                told = json.loads(data)
                lines = [json.loads(line) for line in self.files[told["input_file_id"]].splitlines()]
                assert {line["url"] for line in lines} == {told["endpoint"]}
                asked = {line["custom_id"]: line["body"] for line in lines}
                self._make(http, Made(f"batch_{len(self.batches)}", told["endpoint"], asked, told["metadata"]))
            case "GET", ["v1", "messages", "batches"] | ["v1", "batches"] as where:
                mine = [one for one in self.batches if (one.api == "anthropic") == ("messages" in where)]
                self._say(http, {"data": [self._shown(one) for one in reversed(mine)], "has_more": False})
            case "GET", ["v1", "messages", "batches", name] | ["v1", "batches", name]:
                batch = next((one for one in self.batches if one.id == name), None)
                if batch is None:
                    error = {"type": "not_found_error", "message": f"no batch {name}"}
                    self._say(http, {"type": "error", "error": error}, status=404)
                    return
                batch.looks += 1
                self._say(http, self._shown(batch))
            case "GET", ["v1", "messages", "batches", name, "results"]:
                self._say_lines(http, name, self._anthropic)
            case "GET", ["v1", "files", name, "content"]:
                kind, _, batch = name.partition("-")
                self._say_lines(http, batch, self._output if kind == "out" else self._errors)
            case _:
                self._say(http, {"error": {"message": "no such place"}}, status=404)

    def _make(self, http: BaseHTTPRequestHandler, batch: Made) -> None:
        self.batches.append(batch)
        if self.swallow:
            self.swallow -= 1
            if self.hang:
                time.sleep(30)
            http.close_connection = True
            return
        self._say(http, self._shown(batch))

    def _shown(self, batch: Made) -> Json:
        done = batch.looks > self.busy and not self.held(self.batches.index(batch))
        if batch.api == "anthropic":
            names = ("processing", "succeeded", "errored", "canceled", "expired")
            counts = dict.fromkeys(names, 0) | {"succeeded" if done else "processing": len(batch.requests)}
            return {
                "id": batch.id,
                "type": "message_batch",
                "created_at": "2026-11-01T00:00:00Z",
                "expires_at": "2026-11-02T00:00:00Z",
                "processing_status": "ended" if done else "in_progress",
                "request_counts": counts,
                "results_url": f"{self.url}/v1/messages/batches/{batch.id}/results" if done else None,
            }
        faults = self.whole(self.batches.index(batch))
        return {
            "id": batch.id,
            "object": "batch",
            "status": "in_progress" if not done else "failed" if faults else self.status,
            "created_at": 1,
            "completion_window": "24h",
            "endpoint": batch.api,
            "input_file_id": "file-0",
            "metadata": batch.metadata,
            "errors": {"object": "list", "data": faults} if faults else None,
            "output_file_id": f"out-{batch.id}" if done and not faults else None,
            "error_file_id": f"err-{batch.id}" if done and not faults and self.status == "completed" else "",
        }

    def _say_lines(
        self, http: BaseHTTPRequestHandler, name: str, line: Callable[[str, Json, str], Json | None]
    ) -> None:
        at, batch = next((at, one) for at, one in enumerate(self.batches) if one.id == name)
        fates = [(custom_id, body, self.fate(body, at)) for custom_id, body in batch.requests.items()]
        told = [(one[1], said) for one in reversed(fates) if (said := line(*one)) is not None]
        lines = [self.spoil(json.dumps(said), body, at) for body, said in told]
        self._say(http, "".join(f"{line}\n" for line in lines))

    def _anthropic(self, custom_id: str, body: Json, fate: str) -> Json | None:
        if fate == "missing":
            return None
        if fate in {"expired", "canceled"}:
            return {"custom_id": custom_id, "result": {"type": fate}}
        if fate != "succeeded":
            error = {"type": "error", "error": {"type": fate, "message": f"{fate}: {self.refusal}, {KEY}"}}
            return {"custom_id": custom_id, "result": {"type": "errored", "error": error}}
        return {"custom_id": custom_id, "result": {"type": "succeeded", "message": self._reply(body, "anthropic")}}

    def _output(self, custom_id: str, body: Json, fate: str) -> Json | None:
        if fate != "succeeded":
            return None
        said = {"status_code": 200, "request_id": "r", "body": self._reply(body, "openai")}
        return {"id": "batch_req_1", "custom_id": custom_id, "response": said, "error": None}

    def _errors(self, custom_id: str, body: Json, fate: str) -> Json | None:
        if fate in {"succeeded", "missing"}:
            return None
        if fate in {"expired", "canceled"}:
            code = "batch_expired" if fate == "expired" else "batch_cancelled"
            return {"custom_id": custom_id, "response": None, "error": {"code": code, "message": "not done"}}
        status = {"invalid_request_error": 400, "overloaded_error": 503, "authentication_error": 401}[fate]
        error = {"message": f"{fate}: {self.refusal}, {KEY}", "type": fate, "param": None, "code": None}
        said = {"status_code": status, "request_id": "r", "body": {"error": error}}
        return {"custom_id": custom_id, "response": said, "error": None}

    def _reply(self, body: Json, api: str) -> Json:
        text = self.answer(body)
        if api == "anthropic":
            return {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 10, "output_tokens": 5},
            }
        if "input" in body:
            part = {"type": "output_text", "text": text, "annotations": []}
            item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
            usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
            return {
                "id": "r",
                "object": "response",
                "status": "completed",
                "model": body["model"],
                "output": [item],
            } | {"usage": usage}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]} | {
            "usage": usage
        }

    def _say(self, http: BaseHTTPRequestHandler, body: Json | str, *, status: int = 200) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        http.send_response(status)
        http.send_header("content-type", "application/json")
        http.send_header("content-length", str(len(data)))
        http.end_headers()
        http.wfile.write(data)


def word_of(body: Json) -> str:
    """The word that a request is about."""
    found = re.search(r"The word is (\w+)", json.dumps(body))
    assert found is not None
    return found[1]


def asks_for(body: Json) -> list[str]:
    """The properties that an answer has to have."""
    form = body.get("output_config") or body.get("text") or body.get("response_format")
    if form is None:
        return ["word"]  # said in words
    form = form.get("format", form)
    return list((form.get("schema") or form["json_schema"]["schema"])["properties"])


def is_repair(body: Json) -> bool:
    """Whether it asks for something once more."""
    return "write it small" in json.dumps(body)


def repeated(body: Json) -> str:
    """The word, as it was said; small if that was asked for."""
    word = word_of(body)
    return json.dumps(dict.fromkeys(asks_for(body), word.lower() if is_repair(body) else word))


class Word(BaseModel):
    """What the little prompt asks for."""

    word: str


def no_shouting(answer: Word) -> list[Finding]:
    """A check that a repair can satisfy."""
    return [Finding("shout", Severity.ERROR, "/word", "write it small")] if answer.word.isupper() else []


PROMPT_TOML = """\
name = "little"
version = "1.0.0"
title = "Little"
description = "Asks for a word."
sections = []

[[variables]]
name = "SAID"
type = "string"
description = "What is said."
required = true
trusted = true
"""


def little_prompt(folder: Path) -> Prompt:
    """A prompt that says one word."""
    home = folder / "little/1.0.0"
    if not home.exists():
        home.mkdir(parents=True)
        (home / "prompt.toml").write_text(PROMPT_TOML)
        (home / "system.md.j2").write_text("Repeat the word.\n")
        (home / "context.md.j2").write_text("The word is {{ SAID }}\n")
    return load_prompt(home)


def client(kind: str, url: str, **options: Any) -> Client:
    """A client of the stub. (OpenAI's own API has its address from the environment: see the fixture.)"""
    if kind == "anthropic":
        return Client("anthropic:claude-x", base_url=url, api_key=KEY, **options)
    if kind == "openai":
        return Client("openai:gpt-x", api_key=KEY, **options)
    return Client("openai:local", base_url=f"{url}/v1", api_key=KEY, **options)


if __name__ == "__main__":  # a run that a test kills: python batch_stub.py KIND URL FOLDER WORD...
    kind, url, home, *words = sys.argv[1:]
    batch = client(kind, url).batch(Path(home) / "state", policy=QUICK)
    done = batch.run(little_prompt(Path(home)), [{"SAID": word} for word in words], output=Word)
    print(json.dumps([one.value.word if not isinstance(one, Exception) else str(one) for one in done]))
