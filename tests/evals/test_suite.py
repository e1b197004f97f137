"""Suites: what a file may say, what is told of one that is wrong, and that pydantic-evals can run it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from eval_cases import BRIEF, GOOD, answering, small_suite

from dbprompt import Client, load_prompt
from dbprompt.evals import SuiteError, load_suite, pydantic_dataset
from dbprompt.evals.suite import suite_schema

ROOT = Path(__file__).parents[2]
SUITES = sorted((ROOT / "evals/suites").glob("*.yaml"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_shipped_suites_load(path: Path) -> None:
    """Every brief of every shipped suite is there, and each of its expectations can be scored."""
    suite = load_suite(path)
    assert suite.name == path.stem
    assert all(case.case.expectations for case in suite.cases)


def test_the_schema_on_disk_is_the_schema_of_the_code() -> None:
    """Editors check suites against evals/suites/suite.schema.json, which is what the code reads."""
    assert (ROOT / "evals/suites/suite.schema.json").read_text() == suite_schema()


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """A name given twice, a brief that is not there and an unknown section are one error."""
    suite = small_suite(tmp_path, "a", "a", "b")
    data = yaml.safe_load(suite.read_text())
    data["cases"][2] = {"name": "b", "inputs": {"brief": "gone.yaml"}, "metadata": {"sections": ["tables"]}}
    suite.write_text(yaml.safe_dump(data))
    with pytest.raises(SuiteError) as caught:
        load_suite(suite)
    told = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "given twice" in told and "gone.yaml" in told and "'tables'" in told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\ncases: []\n", "cases"),
        ("name: ../x\ncases: [{name: a, inputs: {brief: tea.yaml}}]\n", "name"),
        ("name: x\ncases: [{name: a, inputs: {brief: tea.yaml}}]\nevaluators: [IsInstance]\n", "evaluators"),
        ("name: x\ncases: [{name: a, inputs: {breif: tea.yaml}}]\n", "breif"),
        ("[", "no YAML"),
    ],
)
def test_a_file_that_is_no_suite_says_where(tmp_path: Path, text: str, says: str) -> None:
    """What is wrong is named, and an evaluator that would be left out is refused."""
    small_suite(tmp_path)
    (tmp_path / "suite.yaml").write_text(text)
    with pytest.raises(SuiteError, match=says):
        load_suite(tmp_path / "suite.yaml")


def test_a_changed_expectation_makes_another_case(tmp_path: Path) -> None:
    """Results of a case do not outlive its expectations."""
    before = load_suite(small_suite(tmp_path, "a")).cases[0].hash
    after = load_suite(small_suite(tmp_path, "a", brief=BRIEF.replace("level: should", "level: must"))).cases[0].hash
    assert before != after


def test_expectations_reach_no_model(tmp_path: Path) -> None:
    """Nothing of what a case is scored by stands in a request."""
    suite = load_suite(small_suite(tmp_path, "a"))
    model = answering(GOOD)
    with Client(model) as client:
        client.design(suite.cases[0].case.brief, prompt=load_prompt(tmp_path / "tiny/1.0.0"))
    sent = "".join(message.text for request in model.requests for message in request.messages)
    assert "Sells tea" in sent
    assert not any(word in sent for word in ("expectations", "one_store", "Nobody searches", "must"))


def test_pydantic_evals_runs_a_suite(tmp_path: Path) -> None:
    """The same cases are a dataset of pydantic-evals, expectations as assertions; it reads the file too."""
    theirs = pytest.importorskip("pydantic_evals")
    path = small_suite(tmp_path, "a", "b")
    assert [case.name for case in theirs.Dataset[Any, Any, Any].from_file(path).cases] == ["a", "b"]
    prompt = load_prompt(tmp_path / "tiny/1.0.0")
    dataset = pydantic_dataset(load_suite(path))
    with Client(answering(GOOD)) as client:
        task = lambda brief: client.design(brief, prompt=prompt)  # noqa: E731
        report = asyncio.run(dataset.evaluate(task, progress=False))
    assert [case.assertions["one_store"].value for case in report.cases] == [True, True]
    assert json.loads(suite_schema())["required"] == ["name", "cases"]
