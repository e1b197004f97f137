"""The brief: what loads, what is dropped, what is computed, and how a bad one is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbprompt import Brief, BriefError, capacity_of

BRIEFS = sorted((Path(__file__).parent / "briefs").glob("*.yaml"))
SMALL = {
    "app_name": "Shop",
    "description": "Sells tea.",
    "entities": [{"name": "order", "attributes": [{"name": "id", "role": "id"}]}],
}


@pytest.mark.parametrize("path", BRIEFS, ids=lambda path: path.stem)
def test_every_brief_loads_and_its_volumes_agree(path: Path) -> None:
    """The computed sizes round to the three figures that the file states."""
    brief = Brief.load(path)
    figures = capacity_of(brief)
    assert brief.volume is not None
    for ours in ("size_now_gb", "growth_gb_per_month", "projected_3y_gb"):
        assert float(f"{getattr(figures, ours):.3g}") == pytest.approx(getattr(brief.volume, ours), rel=0.005), ours


def test_there_are_twelve_briefs() -> None:
    """The parametrised test above cannot pass for want of files."""
    assert len(BRIEFS) == 12


@pytest.mark.parametrize("path", BRIEFS, ids=lambda path: path.stem)
def test_scoring_is_dropped_on_load(path: Path) -> None:
    """Neither an expectation nor a weak design is anywhere in a loaded brief."""
    scoring = yaml.safe_load(path.read_text())
    assert scoring["expectations"] and scoring["weak_design"]
    scoring["weak_design"] += ["MARKED"]
    scoring["expectations"] = [{**e, "why": "MARKED"} for e in scoring["expectations"]]
    loaded = Brief(**scoring)
    assert loaded == Brief.load(path)
    assert "MARKED" not in loaded.model_dump_json() and "expectations" not in loaded.model_dump_json()


def test_a_brief_reads_back_equal() -> None:
    """JSON of a brief is a brief."""
    brief = Brief.load(BRIEFS[0])
    assert Brief.parse(brief.model_dump_json(by_alias=True)) == brief


def test_all_problems_come_at_once() -> None:
    """Each problem names its key, the value found and what to write."""
    with pytest.raises(BriefError) as caught:
        Brief(
            app_name="Shop",
            descripton="typo",
            entities=[{"name": "order", "rows_now": -3, "attributes": [{"name": "a", "role": "colour"}]}],
            workload={"read_write_ratio": "lots"},
        )
    found = {problem.where: (problem.value, problem.fix) for problem in caught.value.problems}
    assert found["description"] == ("missing", "add it")
    assert "description" in found["descripton"][1]
    assert found["entities[0].rows_now"][0] == "-3"
    assert "'money'" in found["entities[0].attributes[0].role"][1]
    assert "85:15" in found["workload.read_write_ratio"][1]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("queries", [{"id": "q", "text": "t", "kind": "point", "entity": "order", "eq": ["colour"]}], "queries[0].eq"),
        ("queries", [{"id": "q", "text": "t", "kind": "point", "entity": "basket"}], "queries[0].entity"),
        ("relationships", [{"from": "order", "to": "buyer"}], "relationships[0].to"),
        ("entities", [{"name": "order"}, {"name": "order"}], "entities[1]"),
    ],
)
def test_a_name_that_names_nothing_is_a_problem(key: str, value: object, where: str) -> None:
    """A query or relationship over what the brief does not hold is refused on load."""
    with pytest.raises(BriefError) as caught:
        Brief(**{**SMALL, key: value})
    assert [problem.where for problem in caught.value.problems] == [where]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &x [1]\nb: *x", "aliases"),
        ("app_name: a\napp_name: b", "given twice"),
        ("[1, 2]", "mapping"),
        ("a: [", "YAML"),
        ("!!python/object/apply:os.system ['true']", "YAML"),
        ("- " * 5000, "YAML"),
    ],
)
def test_hostile_or_broken_yaml_is_one_clear_error(text: str, says: str) -> None:
    """Aliases (which grow without bound), duplicate keys, tags and deep nesting are refused."""
    with pytest.raises(BriefError, match=says):
        Brief.parse(text)


def test_a_missing_or_huge_file_is_a_brief_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(BriefError, match=r"nothing\.yaml"):
        Brief.load(tmp_path / "nothing.yaml")
    (tmp_path / "huge.yaml").write_text("x" * 1_000_001)
    with pytest.raises(BriefError, match="1000001 bytes"):
        Brief.load(tmp_path / "huge.yaml")


@given(
    now=st.integers(0, 10**9), per_day=st.integers(0, 10**6), size=st.integers(1, 10**4), days=st.integers(1, 10_000)
)
def test_retention_bounds_growth(now: int, per_day: int, size: int, days: int) -> None:
    """With retention, three years never hold more than the retained rows; without, all of them."""
    entity = {"name": "e", "rows_now": now, "rows_per_day": per_day, "avg_row_bytes": size}
    kept = Brief(**{**SMALL, "entities": [{**entity, "retention_days": days}]})
    for_ever = Brief(**{**SMALL, "entities": [entity]})
    bounded, free = capacity_of(kept).entities[0], capacity_of(for_ever).entities[0]
    assert free.rows_3y == now + 1095 * per_day
    assert bounded.rows_3y == min(free.rows_3y, days * per_day)
    assert bounded.bytes_3y == bounded.rows_3y * size


def test_a_version_without_a_number_is_a_problem_for_postgresql_only() -> None:
    """Its key is named and what to write is said; engines without versions may say n/a."""
    with pytest.raises(BriefError) as caught:
        Brief.parse(json.dumps({**SMALL, "target": {"primary": "timescaledb", "version": "banana"}}))
    assert "target.version" in str(caught.value)
    assert 'such as "18"' in str(caught.value)
    other = Brief.parse(json.dumps({**SMALL, "target": {"primary": "dynamodb", "version": "n/a"}}))
    assert other.target.version == "n/a"
