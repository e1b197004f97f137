"""The loopback stub of both APIs, for tests: `from stub import stub` in a conftest gives the fixture."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.stub.handle import Stub

__all__ = ["KEY", "KINDS", "Stub", "asked_of", "stub", "stub_server"]

KEY = "sk-test-3f9a1c77d2e84b60"

KINDS = ("anthropic", "openai", "compatible")


def stub_server() -> AbstractContextManager[Stub]:
    """A server of one's own: `with stub_server() as stub`."""
    return Stub()


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    """One server for all tests of a process. Give each model's name a `~LABEL` of its own: counters go by the name."""
    with stub_server() as running:
        yield running


def asked_of(kind: str, stub: Stub, name: str, patch: pytest.MonkeyPatch) -> dict[str, str]:
    """The options of a `Client` that asks the stub by one of the three APIs; OpenAI's own has its address by name."""
    if kind == "openai":
        patch.setenv("OPENAI_BASE_URL", stub.v1)
        return {"model": f"openai:{name}", "api_key": KEY}
    if kind == "compatible":
        return {"model": f"openai:{name}", "api_key": KEY, "base_url": stub.v1}
    return {"model": f"anthropic:{name}", "api_key": KEY, "base_url": stub.url}
