"""Every fault of the table, met by async code that reads a stream."""

from __future__ import annotations

import asyncio

import pytest
from fault_cases import APIS, Met, Tables, checks, judge, meeting, messages
from stub import Stub
from table import ROWS, Api, Row

from dbprompt import AsyncClient


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_stream(row: Row, api: Api, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A streamed call ends as the table says."""
    with meeting(row, api, stub, monkeypatch) as met:
        asyncio.run(_stream(row, met))
    judge(row, api, "streamed", met, stub)


async def _stream(row: Row, met: Met) -> None:
    async with AsyncClient(**met.options) as client:
        met.begin()
        async with client.stream(messages(row), output=Tables, checks=checks(row)) as stream:
            async for event in stream:
                met.events.append(event)
            met.end = (await stream.result()).value
