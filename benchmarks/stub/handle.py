"""The server as the process that asks it holds it: started, told what to do, asked what came, and stopped."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

__all__ = ["Stub"]

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]


class Stub:
    """A stub server in a process of its own, for as long as the `with` lasts.

    `url` is Anthropic's base address, `v1` that of OpenAI's SDK.
    """

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stub"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.pid = self._process.pid
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the process: its standard input ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(5)
        self._process.stdout.close()

    @property
    def v1(self) -> str:
        """The base address for OpenAI's SDK."""
        return f"{self.url}/v1"

    def script(
        self,
        model: str,
        *,
        answers: Iterable[str] = (),
        faults: Iterable[str] = (),
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        """Says what a model answers, instead of by its name.

        Args:
            model: whose; its counters go on.
            answers: texts, one a request; the last one stays.
            faults: as in a name, one a request and "" for none; after them the name holds again.
            requests_per_minute: beyond that it answers 429 and says when to come back.
            tokens_per_minute: likewise, of prompts and answers.
        """
        limits = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
        self._told(ask="script", model=model, answers=list(answers), faults=list(faults), **limits)

    def count(self, model: str) -> int:
        """Requests so far."""
        return self._of(model, "count")

    def peak(self, model: str) -> int:
        """The most that it was answering at one time."""
        return self._of(model, "peak")

    def now(self, model: str) -> int:
        """How many it is answering now."""
        return self._of(model, "now")

    def dropped(self, model: str) -> int:
        """Requests whose connection ended before their answer did."""
        return self._of(model, "dropped")

    def bodies(self, model: str) -> list[Json]:
        """What was asked, the last 500."""
        found: list[Json] = self._told(ask="bodies", model=model)["bodies"]
        return found

    def counts(self) -> dict[str, int]:
        """Requests so far, model by model."""
        return {name: each["count"] for name, each in self._told(ask="state")["models"].items()}

    def open_sockets(self) -> int:
        """Connections that are open now."""
        return int(self._told(ask="state")["open"])

    def accepted(self) -> int:
        """Connections that were ever opened."""
        return int(self._told(ask="state")["accepted"])

    def forget(self) -> None:
        """Begins anew: counters, scripts and what was asked."""
        self._told(ask="forget")

    def _of(self, model: str, what: str) -> int:
        return int(self._told(ask="state")["models"].get(model, {}).get(what, 0))

    def _told(self, **question: object) -> Json:
        line = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        try:
            line.request("POST", "/stub", json.dumps(question))
            answer: Json = json.loads(line.getresponse().read())
            return answer
        finally:
            line.close()
