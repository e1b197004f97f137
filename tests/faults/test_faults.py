"""Every fault of the table, met by plain code. The same by async code is in `test_faults_async.py`."""

from __future__ import annotations

import pytest
from fault_cases import APIS, Tables, checks, judge, meeting, messages
from stub import Stub
from table import ROWS, Api, Row

from dbprompt import Client


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_run(row: Row, api: Api, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends as the table says."""
    with meeting(row, api, stub, monkeypatch) as met, Client(**met.options) as client:
        met.begin()
        met.end = client.run(messages(row), output=Tables, checks=checks(row)).value
    judge(row, api, "whole", met, stub)
