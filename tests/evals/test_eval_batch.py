"""A suite asked in batches: scored as if asked one by one; a kill, a deadline or a failed case loses nothing."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_stub import KEY, QUICK, BatchStub
from eval_cases import GOOD, answering, small_suite, suite_run
from rich.console import Console

from dbprompt import Brief, Client, RequestError, Result
from dbprompt.batch import BatchWait
from dbprompt.calls.trace import Trace
from dbprompt.cli.eval_progress import EvalProgress
from dbprompt.errors import AuthenticationError
from dbprompt.evals import Run, RunError, run_suite
from dbprompt.evals.runner import Progress
from dbprompt.providers import ScriptedProvider


@pytest.fixture
def stub() -> Iterator[BatchStub]:
    """A server that chooses engines well."""
    server = BatchStub()
    server.answer = lambda body: json.dumps(GOOD)
    yield server
    server.close()


def batched(stub: BatchStub, folder: Path, *names: str, out: str = "run", **options: Any) -> Run:
    """Runs the small suite in batches; the same folder goes on with the same run."""
    options = {"batch_policy": QUICK} | options
    return run_suite(
        small_suite(folder, *names),
        prompt=str(folder / "tiny/1.0.0"),
        model="anthropic:claude-x",
        base_url=stub.url,
        out=folder / out,
        batch=True,
        **options,
    )


def sizes(stub: BatchStub) -> list[int]:
    """How many requests each batch had."""
    return [len(batch.requests) for batch in stub.batches]


def test_a_batched_run_is_scored_as_a_live_one(stub: BatchStub, tmp_path: Path) -> None:
    """Three cases are one batch, one repair a second; scores, figures and what was said stand as always."""
    said = itertools.chain(["no JSON at all"], itertools.repeat(json.dumps(GOOD)))
    stub.answer = lambda body: next(said)
    run = batched(stub, tmp_path, "a", "b", "c")
    assert sizes(stub) == [3, 1]
    live = suite_run(tmp_path, ScriptedProvider({"selection": ["no JSON at all", *[GOOD] * 3]}), "c", "b", "a", out="l")
    mine, others = ({one.key.case: one for one in each.outcomes} for each in (run, live))
    assert {case: one.scores for case, one in mine.items()} == {case: one.scores for case, one in others.items()}
    assert sorted(one.measures.repair_rounds for one in run.outcomes if one.measures) == [0, 0, 1]
    assert run.manifest.mode == "batch" and run.usage.requests == 4 and run.usage.output_tokens == 20
    traces = [Trace.from_json(run.case_file(one, "trace.json") or "") for one in run.outcomes]
    assert sorted(map(len, traces)) == [1, 1, 2]
    assert "asked in batches" in run.outcomes[0].provenance


def test_the_wait_is_shown(stub: BatchStub, tmp_path: Path) -> None:
    """A terminal says what is waited for and when it is looked at again; what the last look met, if it failed."""
    stub.busy = 3
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    seen: list[Progress] = []
    with EvalProgress(screen) as shown:

        def watch(progress: Progress) -> None:
            seen.append(progress)
            shown.watch(progress)

        batched(stub, tmp_path, "a", "b", watch=watch)
        waits = [one for one in seen if one.waits is not None]
        assert len(waits) == 3 and waits[0].waits == BatchWait(2, 1, 0.01)
        shown.watch(Progress(1, 2, waits=BatchWait(1, 1, 3600, AuthenticationError("who?"))))
        time.sleep(0.3)  # the line is drawn a few times a second
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "1 of 2 cases" in text
    assert "1 request in 1 batch; looks again in 60 min (AuthenticationError at the last look)" in text


@pytest.mark.parametrize("finished", [0, 1])
def test_a_killed_run_goes_on_with_its_batch(stub: BatchStub, tmp_path: Path, finished: int) -> None:
    """`dbprompt eval run --batch`, killed while it waits for the first or the second batch: nothing is asked twice."""
    suite, home = small_suite(tmp_path, "a", "b", "c"), str(tmp_path / "tiny/1.0.0")
    said = itertools.chain(["no JSON at all"] * finished, itertools.repeat(json.dumps(GOOD)))
    stub.answer = lambda body: next(said)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "dbprompt", "eval", "run", str(suite), "--batch", "--prompt", home]
    command += ["--model", "anthropic:claude-x", "--base-url", stub.url, "--out", str(out)]
    stub.held = lambda at: at == finished
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(stub.batches) <= finished or not stub.batches[finished].looks:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lines = (out / "results.jsonl").read_text().splitlines()
    assert len(lines) == (2 if finished else 0)  # who needed no repair is written down already
    stub.held = lambda at: False
    environment = {**os.environ, "ANTHROPIC_API_KEY": KEY}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert sizes(stub) == [3, *[1] * finished]
    assert (out / "results.jsonl").read_text().splitlines()[: len(lines)] == lines
    assert "n 3; answered 3; failed 0; missing 0" in done.stdout
    files = [file for file in out.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_at_the_deadline_a_case_is_missing_not_failed(stub: BatchStub, tmp_path: Path) -> None:
    """What is still waited for has no score; the next start takes the answer of the batch that was handed in."""
    stub.held = lambda at: True
    with pytest.raises(RunError, match=r"2 of 2 cases are still waited for \(a, b\)"):
        batched(stub, tmp_path, "a", "b", batch_policy=replace(QUICK, deadline_s=0.2))
    stub.held = lambda at: False
    run = batched(stub, tmp_path, "a", "b")
    assert [one.state for one in run.outcomes] == ["answered", "answered"] and sizes(stub) == [2]


def test_one_failed_case_is_counted_and_asked_again_if_wished(stub: BatchStub, tmp_path: Path) -> None:
    """The others keep their answers; what failed is asked anew, and so is everything by `again`."""
    refused = iter(["invalid_request_error"] * 1)
    stub.fate = lambda body, batch: next(refused, "succeeded") if batch == 0 else "succeeded"
    stub.refusal = "too long"
    run = batched(stub, tmp_path, "a", "b")
    assert [(one.state, one.kind) for one in run.outcomes if one.kind] == [("failed", "RequestError")]
    assert batched(stub, tmp_path, "a", "b").failed and sizes(stub) == [2]
    assert not batched(stub, tmp_path, "a", "b", retry_failed=True).failed
    assert sizes(stub) == [2, 1]
    assert len(batched(stub, tmp_path, "a", "b", again=True).outcomes) == 2
    assert sizes(stub) == [2, 1, 2]


def test_the_same_repair_twice_is_asked_twice(stub: BatchStub, tmp_path: Path) -> None:
    """Two answers without JSON make two equal requests: the second is not answered by what answered the first."""
    said = iter(["no JSON at all", "no JSON at all", "no JSON at all", json.dumps(GOOD)])
    stub.answer = lambda body: next(said)
    run = batched(stub, tmp_path, "a")
    assert [one.state for one in run.outcomes] == ["answered"] and sizes(stub) == [1, 1, 1, 1]
    bodies = [next(iter(batch.requests.values())) for batch in stub.batches]
    assert bodies[1] == bodies[2]


def test_designs_in_batches_are_designs(stub: BatchStub, tmp_path: Path) -> None:
    """`client.batch(...).design(...)` gives what `client.design(...)` gives; what failed has a partial of its own.

    Also where tblib is installed, as by Dask: with it, copies of an error share their attributes.
    """
    pytest.importorskip("tblib.pickling_support").install()
    small_suite(tmp_path, "a")
    prompt = tmp_path / "tiny/1.0.0"
    tea = Brief.load(tmp_path / "tea.yaml")
    briefs = [tea, tea.model_copy(update={"app_name": "Coffee", "description": "Sells coffee."})]
    client = Client("anthropic:claude-x", base_url=stub.url, api_key=KEY)
    one_by_one = [Client(answering(GOOD)).design(brief, prompt=str(prompt)) for brief in briefs]
    together = client.batch(tmp_path / "good", policy=QUICK).design(briefs, prompt=str(prompt))
    for alone, made in zip(one_by_one, together, strict=True):
        assert isinstance(made, Result)
        assert (made.design, made.evidence, made.brief) == (alone.design, alone.evidence, alone.brief)
    stub.fail = [0, 400]  # the batch is refused as a whole
    failed = client.batch(tmp_path / "bad", policy=QUICK).design(briefs, prompt=str(prompt))
    assert [type(error) for error in failed] == [RequestError, RequestError]
    assert [error.partial.brief for error in failed if not isinstance(error, Result) and error.partial] == briefs  # type: ignore[attr-defined]


def test_repeats_are_answers_of_their_own(stub: BatchStub, tmp_path: Path) -> None:
    """The same case three times is three requests."""
    run = batched(stub, tmp_path, "a", repeat=3)
    assert sizes(stub) == [3] and [one.key.repeat for one in run.outcomes] == [1, 2, 3]


def test_a_key_that_is_refused_stops_the_run(stub: BatchStub, tmp_path: Path) -> None:
    """It says nothing about a case, so no case has a score; the next start asks again."""
    stub.fate = lambda body, batch: "authentication_error" if batch == 0 else "succeeded"
    with pytest.raises(AuthenticationError):
        batched(stub, tmp_path, "a", "b")
    assert len(batched(stub, tmp_path, "a", "b").outcomes) == 2


def test_what_does_not_go_with_batches_is_said(stub: BatchStub, tmp_path: Path) -> None:
    """One way of asking at a time, a model by its name, and no other machines."""
    with pytest.raises(RunError, match="one of replay, record and live, or batch"):
        batched(stub, tmp_path, "a", live=True)
    with pytest.raises(RunError, match="not a provider of your own"):
        suite_run(tmp_path, answering(GOOD), "a", batch=True)
    with ThreadPoolExecutor(1) as pool, pytest.raises(RunError, match="leave the executor"):
        batched(stub, tmp_path, "a", executor=pool)
    with pytest.raises(RunError, match="say which model"):
        run_suite(small_suite(tmp_path, "a"), prompt=str(tmp_path / "tiny/1.0.0"), batch=True, out=tmp_path / "run")
    assert not stub.batches
