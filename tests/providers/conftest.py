"""Fixtures of the provider tests; what they are made of stands in `provider_wiring.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from provider_wiring import FaultServer, Wire


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    """A fake or loopback wire, asked from plain and async code."""
    return Wire(tmp_path)


@pytest.fixture(scope="session")
def faults() -> Iterator[FaultServer]:
    """A loopback server that fails as told."""
    server = FaultServer()
    yield server
    server.close()
