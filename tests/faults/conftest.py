"""The loopback server of both APIs, and the way to what the tests of this folder share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from fault_cases import warm_up
from stub import Stub, stub

__all__ = ["stub"]


@pytest.fixture(scope="session", autouse=True)
def _warm(stub: Stub) -> None:
    """Both SDKs are loaded before any time is taken."""
    with pytest.MonkeyPatch.context() as patch:
        warm_up(stub, patch)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only the rows that `FAULT_ROWS` names: the way of `mutations.py` to those that it wants to see fail."""
    wanted = json.loads(os.environ.get("FAULT_ROWS", "null"))
    if wanted is not None:
        items[:] = [item for item in items if any(f"[{row}-" in item.name for row in wanted)]
