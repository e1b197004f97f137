"""Every fault of the table, met by plain code that reads a stream."""

from __future__ import annotations

import pytest
from fault_cases import APIS, Tables, checks, judge, meeting, messages
from stub import Stub
from table import ROWS, Api, Row

from dbprompt import Client


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_stream(row: Row, api: Api, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A streamed call ends as the table says."""
    with meeting(row, api, stub, monkeypatch) as met, Client(**met.options) as client:
        met.begin()
        with client.stream(messages(row), output=Tables, checks=checks(row)) as stream:
            for event in stream:
                met.events.append(event)
            met.end = stream.result().value
    judge(row, api, "streamed", met, stub)
