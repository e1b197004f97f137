"""The runner: any executor, bounded, told how far it is, and in a notebook; a failed case is counted with 0."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from eval_cases import GOOD, POOR, answering, small_suite, suite_run

from dbprompt import ScriptedProvider
from dbprompt.calls.trace import Trace
from dbprompt.errors import AuthenticationError, EngineUnavailableError, RequestError
from dbprompt.evals import Price, Progress, RunError, load_suite, run_suite
from dbprompt.evals.outcomes import Outcome
from dbprompt.providers import Settings

ROOT = Path(__file__).parents[2]


def test_a_case_is_scored_by_its_musts(tmp_path: Path) -> None:
    """A `must` about the engines fails a second engine; one about tables that were not asked for counts for nothing."""
    run = suite_run(tmp_path, POOR, "a")
    one = run.outcomes[0]
    assert {score.id: score.passed for score in one.scores} == {"one_store": False, "no_search": False}
    assert one.not_asked == {"money": "schema"} and run.not_asked == 1
    assert (one.score, one.passed, one.state) == (0.0, False, "answered")
    assert suite_run(tmp_path, GOOD, "a", out="good").outcomes[0].passed


def test_a_failed_case_is_counted_with_zero(tmp_path: Path) -> None:
    """A model that answers rubbish leaves no gap: the case is there, failed, and pulls the mean down."""
    lines = [GOOD, *["no JSON at all"] * 9]
    run = suite_run(tmp_path, ScriptedProvider({"selection": lines}), "a", "b", workers=1)
    assert [one.state for one in run.outcomes] == ["answered", "failed"]
    assert run.failed[0].kind == "UnprovenError"
    assert run.mean_score == 0.5 and run.passes == {"a": True, "b": False}
    assert [score.id for score in run.failed[0].scores if not score.passed] == ["one_store", "no_search"]
    assert run.failed[0].not_asked == {"money": "schema"}  # a failure is no word about what nobody asked for
    assert {(kind.check, kind.n) for kind in run.kinds} == {("not_used", 2)}


def test_each_case_keeps_prompt_answer_design_and_evidence(tmp_path: Path) -> None:
    """What a number is made of stands in the run's folder, the failed answers too."""
    run = suite_run(tmp_path, ScriptedProvider({"selection": ["rubbish", GOOD]}), "a")
    one = run.outcomes[0]
    trace = Trace.from_json(run.case_file(one, "trace.json") or "")
    assert [one.answer == "rubbish" for one in trace] == [True, False]
    assert "Sells tea" in trace[0].messages[-1].text
    assert json.loads(run.case_file(one, "design.json") or "")["selection"]["decision"]["engine"] == "postgresql"
    assert json.loads(run.case_file(one, "evidence.json") or "")["verdicts"]
    assert one.measures is not None and one.measures.repair_rounds == 1


def test_the_providers_key_is_in_no_file(tmp_path: Path) -> None:
    """Where a provider keeps its settings, what it was opened with is blotted out of what the run writes."""
    key = "sk-test-3f9a1c77d2e84b60"
    provider = ScriptedProvider({"selection": [f"your key is {key}", GOOD]})
    provider.settings = Settings("scripted", key)  # type: ignore[attr-defined]
    run = suite_run(tmp_path, provider, "a")
    told = run.case_file(run.outcomes[0], "trace.json") or ""
    assert key not in told and "your key is [key]" in told


class _Counting(Executor):
    """An executor of our own, such as a cluster's: it counts what is under way."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0
        self._lock = threading.Lock()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self.now, self.all = self.now + 1, self.all + 1
            self.most = max(self.most, self.now)

        def work() -> None:
            time.sleep(0.01)
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                result = error
            with self._lock:
                self.now -= 1
            future.set_exception(result) if isinstance(result, BaseException) else future.set_result(result)

        threading.Thread(target=work).start()
        return future


def test_any_executor_runs_the_cases_and_never_more_than_allowed(tmp_path: Path) -> None:
    """Whatever has the shape of `concurrent.futures` gives what our own threads give, so many at a time."""
    names = [f"c{at}" for at in range(12)]
    executor = _Counting()
    theirs = suite_run(tmp_path, GOOD, *names, executor=executor, workers=3)
    ours = suite_run(tmp_path, GOOD, *names, out="ours")
    assert executor.all == 12 and executor.most == 3
    assert [(one.key, one.scores) for one in theirs.outcomes] == [(one.key, one.scores) for one in ours.outcomes]


def test_a_recorded_case_can_run_in_another_process(tmp_path: Path) -> None:
    """A task of names and files can be pickled: that is what a worker on another machine gets."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        run = run_suite(
            load_suite(ROOT / "evals/suites/postgres.yaml").only(("marketplace",)),
            prompt=str(ROOT / "evals/prompts/terse_architect/1.0.0"),
            sections=["selection"],
            out=tmp_path / "run",
            executor=pool,
        )
    assert [one.key.case for one in run.outcomes] == ["marketplace"]
    assert run.outcomes[0].state == "answered" and "authored" in run.outcomes[0].provenance


def test_it_runs_inside_a_running_loop(tmp_path: Path) -> None:
    """A notebook has a loop running: that is no hindrance."""

    async def cell() -> int:
        return len(suite_run(tmp_path, GOOD, "a").outcomes)

    assert asyncio.run(cell()) == 1


def test_progress_says_what_how_far_and_how_long(tmp_path: Path) -> None:
    """The watcher hears of each step, each end, and an estimate once one case is done."""
    heard: list[Progress] = []
    suite_run(tmp_path, GOOD, "a", "b", workers=1, watch=heard.append)
    assert any("a: selection asked" in one.running for one in heard)
    ends = [one for one in heard if isinstance(one.last, Outcome)]
    assert [(one.done, one.total) for one in ends] == [(1, 2), (2, 2)]
    assert heard[0].seconds_left is None and (ends[0].seconds_left or 0) > 0


@pytest.mark.parametrize("error", [AuthenticationError("no key"), EngineUnavailableError("no engine")])
def test_what_would_stop_every_case_stops_the_run(tmp_path: Path, error: Exception) -> None:
    """No key and no engine are no low scores: the run ends, keeps what it has, and goes on later."""
    lines = [GOOD, error, *[GOOD] * 9]
    model = ScriptedProvider({"selection": lines})
    with pytest.raises(type(error)):
        suite_run(tmp_path, model, "a", "b", "c", workers=1)
    assert len(model.requests) == 2
    assert len(suite_run(tmp_path, GOOD, "a", "b", "c").outcomes) == 3


def test_a_bug_of_ours_breaks_one_case_off_and_is_no_score(tmp_path: Path) -> None:
    """A case that broke off has no outcome; the others are kept, and the next start asks for it again."""
    lines = [GOOD, ValueError("a bug"), *[GOOD] * 9]
    with pytest.raises(RunError, match=r"1 of 3 cases broke off.*b: ValueError: a bug"):
        suite_run(tmp_path, ScriptedProvider({"selection": lines}), "a", "b", "c", workers=1)
    model = answering(GOOD)
    assert len(suite_run(tmp_path, model, "a", "b", "c").outcomes) == 3
    assert len(model.requests) == 1


def test_failed_cases_can_be_asked_once_more(tmp_path: Path) -> None:
    """After an outage, `retry_failed` asks for what failed and for nothing else."""
    run = suite_run(tmp_path, ScriptedProvider({"selection": [GOOD, RequestError("refused")]}), "a", "b", workers=1)
    assert len(run.failed) == 1
    model = answering(GOOD)
    assert not suite_run(tmp_path, model, "a", "b", retry_failed=True).failed
    assert len(model.requests) == 1


def test_a_price_of_the_users_is_counted(tmp_path: Path) -> None:
    """Cost comes from the user's own price for the model that answered, and is unknown without one."""
    run = suite_run(tmp_path, GOOD, "a", prices={"scripted:script": Price(3, 15)})
    assert run.cost is not None and run.cost > 0
    assert suite_run(tmp_path, GOOD, "a", out="other").cost is None


def test_a_case_without_a_recording_is_missing_and_one_more_file_adds_it(tmp_path: Path) -> None:
    """Replay asks what is recorded; the rest is named as missing, and enters when its file is there."""
    import shutil

    suite = ROOT / "evals/suites/postgres.yaml"
    recorded = ROOT / "evals/recordings/postgres/marketplace.terse_architect@1.0.0.json"
    prompt = str(ROOT / "evals/prompts/terse_architect/1.0.0")
    with pytest.raises(RunError, match="no case has a recording"):
        run_suite(suite, prompt=prompt, replay=[tmp_path], out=tmp_path / "run")
    shutil.copy(recorded, tmp_path / "marketplace.terse_architect.json")
    shutil.copy(recorded, tmp_path / "wallet.terse_architect.json")
    run = run_suite(suite, prompt=prompt, sections=["selection"], replay=[tmp_path], out=tmp_path / "run")
    assert [one.state for one in run.outcomes] == ["answered", "failed"]
    assert run.failed[0].kind == "NoRecordingError"  # a recording fits no other brief
    assert run.missing == ("crm", "clinic", "telemetry")


def test_no_model_is_asked_without_a_name(tmp_path: Path) -> None:
    """`live` without a model is an error before anything is asked."""
    with pytest.raises(RunError, match="which model"):
        run_suite(small_suite(tmp_path, "a"), live=True, out=tmp_path / "run")
