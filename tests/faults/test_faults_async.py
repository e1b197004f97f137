"""Every fault of the table, met by async code."""

from __future__ import annotations

import asyncio

import pytest
from fault_cases import APIS, Met, Tables, checks, judge, meeting, messages
from stub import Stub
from table import ROWS, Api, Row

from dbprompt import AsyncClient


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_run(row: Row, api: Api, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends as the table says."""
    with meeting(row, api, stub, monkeypatch) as met:
        asyncio.run(_run(row, met))
    judge(row, api, "whole", met, stub)


async def _run(row: Row, met: Met) -> None:
    async with AsyncClient(**met.options) as client:
        met.begin()
        met.end = (await client.run(messages(row), output=Tables, checks=checks(row))).value
