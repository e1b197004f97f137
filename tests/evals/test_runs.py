"""Runs survive: torn lines, kills, two writers, changed cases; nothing is lost, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
from eval_cases import BRIEF, GOOD, POOR, answering, small_suite, suite_run

from dbprompt.evals import RunError, load_run, plan
from dbprompt.evals.ledger import Ledger, read_lines

SCRIPT = Path(__file__).with_name("eval_cases.py")


def test_a_finished_run_asks_nothing_again(tmp_path: Path) -> None:
    """What has an outcome is not asked; a case that is new is, and so is one more repeat."""
    suite_run(tmp_path, GOOD, "a", "b")
    model = answering(GOOD)
    suite_run(tmp_path, model, "a", "b")
    assert not model.requests
    suite_run(tmp_path, model, "a", "b", "c")
    assert len(model.requests) == 1
    assert len(suite_run(tmp_path, model, "a", "b", "c", repeat=2).outcomes) == 6
    assert len(model.requests) == 4


def test_a_torn_last_line_is_done_again(tmp_path: Path) -> None:
    """A line that a kill has cut counts for nothing: its case is asked once more, and the others stand."""
    suite_run(tmp_path, GOOD, "a", "b", "c")
    results = tmp_path / "run/results.jsonl"
    results.write_bytes(results.read_bytes()[:-40])
    torn = load_run(tmp_path / "run")
    assert len(torn.outcomes) == 2 and len(torn.missing) == 1 and torn.unreadable == 1
    model = answering(GOOD)
    whole = suite_run(tmp_path, model, "a", "b", "c")
    assert len(model.requests) == 1 and not whole.missing
    assert len(whole.outcomes) == 3


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """SIGKILL in the middle, three times: in the end each case has one line, and what was under way was asked twice."""
    total, kills = 30, 3
    for _ in range(kills):
        before = len(read_lines(tmp_path / "run")[0])
        child = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path), str(total)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(read_lines(tmp_path / "run")[0]) < before + 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert before + 4 <= len(read_lines(tmp_path / "run")[0]) < total
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), str(total)], check=True, stdout=subprocess.DEVNULL)
    run = load_run(tmp_path / "run")
    keys = [outcome.key for outcome in read_lines(tmp_path / "run")[0]]
    assert len(keys) == len(set(keys)) == len(run.outcomes) == total
    asked = len((tmp_path / "asked.log").read_text().splitlines())
    assert total <= asked <= total + 2 * kills  # two at a time can be under way when it is killed


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    """While a process writes to a run, another one is refused, with the process's number."""
    suite_run(tmp_path, GOOD, "a")
    with Ledger(tmp_path / "run"), pytest.raises(RunError, match=f"process {os.getpid()}"):
        suite_run(tmp_path, GOOD, "a", "b")
    suite_run(tmp_path, GOOD, "a", "b")


def test_a_changed_case_is_asked_again(tmp_path: Path) -> None:
    """An outcome belongs to the brief and the expectations that it was made with."""
    suite_run(tmp_path, GOOD, "a")
    model = answering(GOOD)
    small_suite(tmp_path, "a", brief=BRIEF.replace("Sells tea", "Sells coffee"))
    from dbprompt import load_prompt
    from dbprompt.evals import run_suite

    prompt = load_prompt(tmp_path / "tiny/1.0.0")
    run = run_suite(tmp_path / "suite.yaml", prompt=prompt, model=model, out=tmp_path / "run")
    assert len(model.requests) == 1 and len(run.outcomes) == 1
    assert len(read_lines(tmp_path / "run")[0]) == 2


def test_a_run_keeps_its_day_and_is_no_other_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome is never handed on as one of another day or version; a run that is gone on with keeps its day."""
    monday, tuesday = date(2026, 3, 2), date(2026, 3, 3)
    suite_run(tmp_path, GOOD, "a", as_of=monday)
    model = answering(POOR)
    run = suite_run(tmp_path, model, "a")
    assert not model.requests and run.manifest.as_of == "2026-03-02" and run.outcomes[0].passed
    run = suite_run(tmp_path, model, "a", as_of=tuesday)
    assert len(model.requests) == 1 and run.manifest.as_of == "2026-03-03" and not run.outcomes[0].passed
    monkeypatch.setattr(plan, "version", lambda name: "99.0")
    run = suite_run(tmp_path, model, "a")
    assert len(model.requests) == 2 and (run.manifest.dbprompt, run.manifest.as_of) == ("99.0", "2026-03-03")
    anew = suite_run(tmp_path, model, "a", again=True)
    assert len(model.requests) == 3 and anew.manifest.as_of == date.today().isoformat()


def test_again_keeps_the_old_results(tmp_path: Path) -> None:
    """`again` does a complete run anew, and goes on with one that was cut short."""
    suite_run(tmp_path, GOOD, "a", "b")
    run = suite_run(tmp_path, POOR, "a", "b", again=True)
    assert [one.score for one in run.outcomes] == [0.0, 0.0]
    assert (tmp_path / "run/results.1.jsonl").exists()
    results = tmp_path / "run/results.jsonl"
    results.write_bytes(results.read_bytes().split(b"\n")[0] + b"\n")
    model = answering(POOR)
    suite_run(tmp_path, model, "a", "b", again=True)
    assert len(model.requests) == 1


def test_a_foreign_case_name_leads_nowhere(tmp_path: Path) -> None:
    """A results file of a stranger cannot make a report read files outside the run's folder."""
    suite_run(tmp_path, GOOD, "a")
    manifest = tmp_path / "run/run.json"
    manifest.write_text(manifest.read_text().replace('"case": "a"', '"case": "../../secret"'))
    with pytest.raises(RunError, match="case"):
        load_run(tmp_path / "run")
