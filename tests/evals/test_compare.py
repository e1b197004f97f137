"""Two runs: paired by case, the worst first, and never surer than so many cases allow."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eval_cases import BRIEF, GOOD, POOR, answering, small_suite, suite_run
from rich.console import Console

from dbprompt import ScriptedProvider, load_prompt
from dbprompt.evals import Run, assert_suite, compare_runs, judge, load_run, run_suite
from dbprompt.evals.report_terminal import print_comparison

NAMES = [f"c{at}" for at in range(8)]


def _mixed(folder: Path, good: int, out: str, **options: Any) -> Run:
    """The first `good` cases are right, the others are not."""
    lines = [GOOD] * good + [POOR] * (8 - good)
    return suite_run(folder, ScriptedProvider({"selection": lines}), *NAMES, out=out, workers=1, **options)


def test_the_same_run_twice_shows_no_difference(tmp_path: Path) -> None:
    """A run against itself turned nothing, and is said not to differ in those words."""
    run = _mixed(tmp_path, 5, "a")
    found = compare_runs(run, run)
    assert found.scores.verdict().startswith("No difference that 8 cases could show")
    assert not found.turned and not found.kinds


@pytest.mark.parametrize(
    ("lost", "said"), [(1, "No difference that 8 cases"), (5, "No difference"), (6, "Worse by 0.75")]
)
def test_worse_is_said_only_where_so_many_cases_can_show_it(tmp_path: Path, lost: int, said: str) -> None:
    """One turned case shows nothing, five show nothing (p = 0.0625), six do."""
    found = compare_runs(_mixed(tmp_path, 8, "a"), _mixed(tmp_path, 8 - lost, "b"))
    assert found.scores.verdict().startswith(said)
    assert found.passes.verdict().startswith(said)
    assert [change.case for change in found.scores.turned] == NAMES[8 - lost :]
    assert {(one.check, one.met_after) for one in found.turned} == {("not_used", False)}
    assert found.turned[0].reason == "second_database is part of the design"


def test_so_few_changed_cases_get_no_interval(tmp_path: Path) -> None:
    """Five of five one way: an interval drawn from them would leave zero out, so the words say what lacks instead."""
    said = compare_runs(_mixed(tmp_path, 8, "a"), _mixed(tmp_path, 3, "b")).scores.verdict()
    assert said.endswith("(change -0.62, p = 0.0625: 5 changed, and it takes 6 at least).")


def test_only_what_both_runs_were_scored_by_is_compared(tmp_path: Path) -> None:
    """A `must` that one run was not asked moves no score; a case without a common one is compared with nothing."""
    before = suite_run(tmp_path, GOOD, "a", out="a")
    one = before.outcomes[0]
    (must,) = one.musts
    more = replace(one, scores=(*one.scores, replace(must, id="money", check="money_exact", passed=False)))
    wider = replace(before, outcomes=(more,))
    assert more.score == 0.5 and compare_runs(before, wider).scores.delta.value == 0
    other = replace(before, outcomes=(replace(one, scores=(replace(must, id="money"),)),))
    found = compare_runs(before, other)
    assert found.scores.n == 0 and any("no must in common" in note for note in found.notes)


def test_what_turned_is_shown_though_no_score_moved(tmp_path: Path) -> None:
    """A `should` that was lost is in the report; answers that a person wrote are called so."""
    before = suite_run(tmp_path, GOOD, "a", out="a")
    scores = tuple(replace(s, passed=s.level == "must", reason="seen") for s in before.outcomes[0].scores)
    weaker = replace(before.outcomes[0], scores=scores, provenance="replayed from a.json: authored, 2026-11-22, a:b")
    screen = Console(file=io.StringIO(), width=140)
    print_comparison(screen, compare_runs(before, replace(before, outcomes=(weaker,))))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "+0.00 a: 1.00 to 1.00" in text and "lost should no_search (not_used), now: seen" in text
    assert "A person wrote the answers of the second run" in text


def test_a_case_that_changed_is_compared_with_nothing(tmp_path: Path) -> None:
    """Other expectations are another case: the note names it."""
    before = suite_run(tmp_path, GOOD, "a", "b", out="a")
    small_suite(tmp_path, "a", "b", brief=BRIEF.replace("level: should", "level: must"))
    prompt = load_prompt(tmp_path / "tiny/1.0.0")
    after = run_suite(tmp_path / "suite.yaml", prompt=prompt, model=answering(POOR), out=tmp_path / "b")
    found = compare_runs(before, after)
    assert found.changed_cases == ("a", "b") and found.scores.n == 0
    assert "nothing can be compared" in found.scores.verdict()
    assert any("differ between the runs" in note for note in found.notes)
    assert not judge(after, baseline=before).ok


def test_prompt_and_model_changed_at_once_is_said(tmp_path: Path) -> None:
    """A comparison that cannot tell which of two changes did it says so."""
    before = suite_run(tmp_path, GOOD, "a", out="a")
    (tmp_path / "tiny/1.0.0/prompt.toml").write_text(
        (tmp_path / "tiny/1.0.0/prompt.toml").read_text().replace('name = "tiny"', 'name = "other"')
    )
    prompt = load_prompt(tmp_path / "tiny/1.0.0")
    model = ScriptedProvider({"selection": [GOOD]}, model="another")
    after = run_suite(tmp_path / "suite.yaml", prompt=prompt, model=model, out=tmp_path / "b")
    assert any("both differ" in note for note in compare_runs(before, after).notes)


def test_a_gate_names_what_fell(tmp_path: Path) -> None:
    """More than is allowed stops; exactly as much does not; what is missing stops whatever the score is."""
    before, after = _mixed(tmp_path, 8, "a"), _mixed(tmp_path, 6, "b")
    assert judge(after, baseline=before, max_regression=0.25).ok
    judged = judge(after, baseline=before, max_regression=0.2)
    assert "fell by 0.250; 0.200 is allowed" in judged.reasons[0]
    assert "c6 1.00 to 0.00" in judged.reasons[0]
    few = suite_run(tmp_path, GOOD, "c0", out="few")
    assert "7 cases of the baseline have no outcome" in judge(few, baseline=before).reasons[0]
    assert not judge(after, min_score=0.8).ok


def test_a_gate_stops_a_run_that_lacks_cases(tmp_path: Path) -> None:
    """Whatever the cases that are there score, one that has no outcome stops the gate, and is named."""
    whole = suite_run(tmp_path, GOOD, "a", "b")
    lines = (whole.folder / "results.jsonl").read_bytes().splitlines(keepends=True)
    (whole.folder / "results.jsonl").write_bytes(lines[0])
    cut = load_run(whole.folder)
    assert cut.mean_score == 1.0 and not judge(cut, min_score=1.0).ok
    assert f"not reached: {cut.missing[0]}" in judge(cut, min_score=1.0).reasons[0]
    unrecorded = replace(whole, manifest=replace(whole.manifest, without=("c",)))
    assert judge(whole, min_score=1.0).ok and "c." in judge(unrecorded).reasons[0]


def test_a_run_with_more_repeats_is_not_worse_for_it(tmp_path: Path) -> None:
    """As many repeats are compared as both have: one more that fails turns nothing, and is said."""
    before = suite_run(tmp_path, GOOD, *NAMES, out="a")
    lines = [GOOD, GOOD, POOR] * len(NAMES)
    model = ScriptedProvider({"selection": lines})
    after = suite_run(tmp_path, model, *NAMES, out="b", repeat=3, workers=1)
    assert not any(after.passes.values())
    found = compare_runs(before, after)
    assert not found.turned and not found.passes.turned and not found.scores.turned and not found.kinds
    assert any("unequally often" in note and "c0 1" in note for note in found.notes)
    assert compare_runs(after, after).passes.n == len(NAMES)
    assert not [note for note in compare_runs(after, after).notes if "unequally" in note]


def test_assert_suite_fails_a_test_with_the_reasons(tmp_path: Path) -> None:
    """Without a plugin: a pytest test calls it, and reads which `must` of which case is not met."""
    suite = small_suite(tmp_path, "a", "b")
    prompt = load_prompt(tmp_path / "tiny/1.0.0")
    run = assert_suite(suite, prompt=prompt, model=answering(GOOD), out=tmp_path / "good")
    assert len(run.outcomes) == 2
    with pytest.raises(AssertionError, match=r"(?s)mean score is 0\.000.*a: one_store \(not_used\)"):
        assert_suite(suite, prompt=prompt, model=answering(POOR), out=tmp_path / "poor")
    with pytest.raises(AssertionError, match=r"fell by 1\.000"):
        assert_suite(suite, prompt=prompt, model=answering(POOR), out=tmp_path / "p2", baseline=run, max_regression=0.1)
