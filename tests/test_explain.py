"""`dbprompt.explain`: the example of the docs in numbers, and what it says to input that makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

import dbprompt

SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, s text)"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rows": {"nope": 5}}, "'nope'.*there are t"),
        ({"rows": {"t": -5}}, "-5"),
        ({"rows": {"t": "1M"}}, "'1M'"),
        ({"rows": {"t": 5}, "frequencies": {"nope.s": {"a": 0.5}}}, "'nope'"),
        ({"rows": {"t": 5}, "frequencies": {"t.s": {"a": 2.5}}}, "2.5"),
        ({"rows": {"t": 5}, "queries": ["SELECT 1"]}, "mapping"),
    ],
)
def test_figures_that_make_no_sense_are_refused(given: dict[str, Any], says: str) -> None:
    """A typing error in a table's name would prove the wrong volume: it is an error that names what there is."""
    with pytest.raises(dbprompt.TargetError, match=says):
        dbprompt.explain(SCHEMA, **{"queries": {"a": "SELECT s FROM t WHERE id = $1"}, **given})


def test_a_query_that_does_not_prepare_is_an_error() -> None:
    """Beside a query that is planned, one that PostgreSQL refuses is not passed over."""
    evidence = dbprompt.explain(SCHEMA, {"good": "SELECT s FROM t", "bad": "SELECT nope FROM t"}, rows={"t": 5})
    assert not evidence.ok
    assert [(f.code, f.where) for f in evidence.errors] == [("engine.not_planned", "/queries/1")]
