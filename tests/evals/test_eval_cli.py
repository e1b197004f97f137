"""`dbprompt eval`: a suite from its recordings, two runs compared, a build stopped; and it ends as it should."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dbprompt.cli import main

ROOT = Path(__file__).parents[2]
SUITE = str(ROOT / "evals/suites/postgres.yaml")
TERSE = str(ROOT / "evals/prompts/terse_architect/1.0.0")
COMMON = ("--prompt", TERSE, "--case", "marketplace", "--section", "selection")


@pytest.fixture
def dbprompt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process: arguments in, exit code and both outputs out."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dbprompt", "eval", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.usefixtures("no_sockets")
def test_a_suite_runs_from_its_recordings_and_writes_its_reports(dbprompt, tmp_path: Path) -> None:
    """The recorded case is scored offline, progress goes to stderr, and each report is a file."""
    out, files = str(tmp_path / "run"), [tmp_path / name for name in ("r.html", "r.xml", "r.jsonl")]
    reports = [
        text for name, file in zip(("html", "junit", "jsonl"), files, strict=True) for text in (f"--{name}", str(file))
    ]
    code, shown, told = dbprompt("run", SUITE, *COMMON, "--out", out, *reports)
    assert code == 0
    assert "n 1; answered 1; failed 0; missing 0" in shown and "authored" in shown
    assert "1 of 1 cases: marketplace" in told
    assert all(file.stat().st_size for file in files)
    assert "are there already" in dbprompt("run", SUITE, *COMMON, "--out", out)[2]
    assert dbprompt("report", out)[0] == 0


@pytest.mark.usefixtures("no_sockets")
def test_a_recording_that_does_not_fit_is_no_low_score(dbprompt, tmp_path: Path) -> None:
    """A changed prompt finds no recording: exit code 3, and what changed."""
    import shutil

    shutil.copytree(TERSE, tmp_path / "terse")
    file = tmp_path / "terse/sections/selection.md.j2"
    file.write_text(file.read_text() + "Think.\n")
    arguments = ("--prompt", str(tmp_path / "terse"), "--case", "marketplace", "--section", "selection")
    code, shown, told = dbprompt("run", SUITE, *arguments, "--out", str(tmp_path / "run"))
    assert code == 3 and "failed 1" in shown and "No recording for terse_architect@1.0.0" in told


@pytest.mark.usefixtures("no_sockets")
def test_check_stops_a_build_and_says_why(dbprompt, tmp_path: Path) -> None:
    """A score that is not reached is exit code 1 with the reason; the same run against itself may pass."""
    out = str(tmp_path / "run")
    code, shown, _ = dbprompt("check", SUITE, *COMMON, "--out", out, "--min-score", "1")
    assert code == 1 and "stop The mean score is 0.000; at least 1.000 is wanted." in shown
    code, shown, _ = dbprompt("check", SUITE, *COMMON, "--out", out, "--baseline", out, "--max-regression", "0")
    assert code == 0 and "may pass" in shown and "No difference that 1 case could show" in shown
    code, shown, _ = dbprompt("compare", out, out, "--html", str(tmp_path / "c.html"))
    assert code == 0 and "Against the baseline" in (tmp_path / "c.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nothing.yaml"], "nothing.yaml"),
        (["run", SUITE, "--case", "shop"], "'shop'"),
        (["run", SUITE, "--section", "tables"], "'tables'"),
        (["run", SUITE, "--live"], "which model"),
        (["run", SUITE, "--live", "--record", "x", "--model", "anthropic:x"], "one of replay, record and live"),
        (["run", SUITE, "--price", "free"], "MODEL=INPUT,OUTPUT"),
        (["check", SUITE], "--baseline"),
        (["compare", "nowhere", "nowhere"], "nowhere holds no run"),
    ],
)
def test_a_mistake_is_one_message(dbprompt, arguments: list[str], says: str) -> None:
    """What is wrong with an option or a file is told with the fix: exit code 2, no traceback."""
    code, shown, told = dbprompt(*arguments)
    text = " ".join((shown + told).replace("│", " ").split())
    assert code == 2 and says in text and "Traceback" not in text
