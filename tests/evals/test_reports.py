"""Reports: every number leads to its case, nothing that a model says gets out of its place, and parsers accept them."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from eval_cases import GOOD, POOR, suite_run
from rich.console import Console

from dbprompt import ScriptedProvider
from dbprompt.evals import Run, compare_runs
from dbprompt.evals.report_files import junit, rows
from dbprompt.evals.report_page import run_page
from dbprompt.evals.report_plots import Bar, Point, bars, scatter
from dbprompt.evals.report_terminal import print_comparison, print_run

HOSTILE = """</pre></td><script>alert(1)</script><img src=x onerror=alert(1)> ]]> [bold red]x[/] \x00\x0b\ud83d\ude00"""
VOID = {"meta", "br", "img", "path", "circle", "rect"}


class _Page(HTMLParser):
    """Checks that tags close in order; collects ids, links, tags and what would load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.active: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.active += [name for name, _ in attrs if name.startswith("on") or name == "src"]
        self.active += [tag] if tag in {"script", "iframe", "link", "object", "img"} else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def _run(folder: Path) -> Run:
    """A right case, a wrong one, one that failed on hostile text, and one that is missing."""
    lines: list[Any] = [GOOD, POOR, *[HOSTILE.encode("utf-8", "surrogatepass").decode("utf-8", "replace")] * 4]
    model = ScriptedProvider({"selection": lines})
    suite_run(folder, model, "right", "wrong", "broken", workers=1)
    with pytest.raises(Exception, match="broke off"):
        suite_run(folder, ScriptedProvider({"selection": [ValueError("bug")]}), "right", "wrong", "broken", "gone")
    from dbprompt.evals import load_run

    return load_run(folder / "run")


def test_every_link_of_the_page_leads_somewhere_on_it(tmp_path: Path) -> None:
    """One file: each bar, point and name has its target on the page, and no id is there twice."""
    run = _run(tmp_path)
    page = _Page(run_page(run, compare_runs(suite_run(tmp_path, GOOD, "right", "wrong", out="base"), run)))
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    for case in ("right", "wrong", "broken"):
        parts = {f"case-{case}-1-{part}" for part in ("prompt", "answer", "design", "evidence")}
        assert parts <= set(page.ids) and {f"#{part}" for part in parts} <= set(page.links)
    assert "#case-wrong-1-one_store" in page.links


def test_what_a_model_says_stays_text(tmp_path: Path) -> None:
    """Scripts, images and handlers of an answer are shown, and are nothing else."""
    text = run_page(_run(tmp_path))
    assert not _Page(text).active
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "default-src 'none'" in text


def test_the_page_counts_what_failed_and_what_is_missing(tmp_path: Path) -> None:
    """n, failed and missing stand at the top, before any mean."""
    text = run_page(_run(tmp_path))
    assert "1 of 3" in text and "1 failed, scored 0" in text and "Missing: gone." in text
    assert "0.33" in text
    assert "between 6% and 79% (Wilson, 95 %)" in text


def test_junit_is_read_by_a_parser_and_says_what_happened(tmp_path: Path) -> None:
    """A `must` is a failure, a failed or missing case an error, a `should` is skipped with the reason."""
    root = ET.fromstring(junit(_run(tmp_path)))  # noqa: S314  our own text
    assert {suite.get("name") for suite in root} == {"right", "wrong", "broken", "missing"}
    by_name = {suite.get("name"): suite for suite in root}
    assert [test.get("name") for test in by_name["wrong"] if test.find("failure") is not None] == ["one_store"]
    assert [test.get("name") for test in by_name["wrong"] if test.find("skipped") is not None] == ["no_search", "money"]
    assert by_name["broken"].get("errors") == "1" and by_name["missing"].get("errors") == "1"
    assert root.get("tests") == str(sum(int(suite.get("tests") or 0) for suite in root))


def test_json_lines_hold_every_expectation(tmp_path: Path) -> None:
    """A line for each expectation of each case, those that were not asked with null, and the missing case."""
    lines = [json.loads(line) for line in rows(_run(tmp_path)).splitlines()]
    met = {(line["case"], line.get("id")): line["met"] for line in lines}
    assert met["right", "one_store"] is True and met["wrong", "one_store"] is False
    assert met["right", "money"] is None and met["gone", None] is None
    assert met["broken", "one_store"] is False


def test_the_terminal_says_the_same_and_keeps_markup_as_text(tmp_path: Path) -> None:
    """Counts, intervals and the failed case are printed; brackets of an answer colour nothing."""
    run = _run(tmp_path)
    screen = Console(file=io.StringIO(), width=140)
    print_run(screen, run)
    print_comparison(screen, compare_runs(run, run))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "n 4; answered 2; failed 1; missing 1 (gone)" in text
    assert "0.33 (0.06 to 0.79)" in text and "No difference that 3 cases could show" in text
    assert re.search(r"must wrong/one_store \(not_used\)", text)


def test_plots_keep_their_figures_inside(tmp_path: Path) -> None:
    """A share of one fills its track and no more; a cost of nothing is drawn at the axis."""
    drawn = bars([Bar("<b>", 1.0, "1 of 1", "x", "passed", 0.2, 1.0)], "T & t")
    assert 'width="420.0"' in drawn and "<b>" not in drawn and "T &amp; t" in drawn
    assert 'cx="56.0"' in scatter([Point("a", 0.0, 0.0, "x")], "tokens", "t")
