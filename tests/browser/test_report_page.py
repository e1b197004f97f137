"""report.html in a real browser: `make browser`. The pictures are kept in build/browser/ to be looked at."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dbprompt import Brief, Client
from dbprompt.result import Result

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build/browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"phone": 390, "tablet": 820, "desk": 1280}
LOOK = """<script>addEventListener('load', () => {
  const wide = [...document.querySelectorAll('main *')].filter(e => !e.closest('.wide') && !e.closest('pre')
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + ' ' + e.textContent.slice(0, 40));
  const dead = [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(
    decodeURIComponent(a.getAttribute('href').slice(1)))).map(a => a.getAttribute('href'));
  const flat = [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height < 40).length;
  document.body.dataset.seen = JSON.stringify({wide, dead, flat, claims: document.querySelectorAll('a.claim').length,
    pictures: document.querySelectorAll('figure svg').length, width: document.documentElement.scrollWidth});
})</script>"""


@pytest.fixture(scope="module")
def result() -> Result:
    """The demo's design."""
    tape = ROOT / "evals/recordings/postgres/marketplace.database_architect.json"
    with Client("anthropic:claude-opus-4-8", recording=tape) as client:
        return client.design(Brief.load(ROOT / "examples/marketplace.yaml"))


@pytest.fixture(scope="module")
def browser() -> str:
    """A Chromium; this target is for machines that have one."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert found, f"none of {', '.join(BROWSERS)} is on PATH: install one, or leave this target out"
    return found


def run(browser: str, tmp_path: Path, *options: str) -> str:
    """One call of the browser, without window."""
    fixed = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    return subprocess.run([browser, *fixed, *options], capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("screen", WIDTHS)
def test_the_page_fits_and_leads_to_its_evidence(screen: str, result: Result, browser: str, tmp_path: Path) -> None:
    """Nothing is wider than the screen, every link has a target, every drawing is there; one picture is kept."""
    page = result.files()["report.html"]
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    copy = tmp_path / "page.html"
    copy.write_text(re.sub(r"<meta http-equiv[^>]*>", LOOK, page), encoding="utf-8")
    size = f"--window-size={WIDTHS[screen]},2600"
    dom = run(browser, tmp_path, size, "--virtual-time-budget=3000", "--dump-dom", copy.as_uri())
    seen: dict[str, Any] = json.loads(re.findall(r'data-seen="([^"]*)"', dom)[0].replace("&quot;", '"'))
    assert seen["wide"] == [] and seen["dead"] == [] and seen["flat"] == 0
    assert seen["claims"] > 50 and seen["pictures"] >= 1
    KEPT.mkdir(parents=True, exist_ok=True)
    picture = KEPT / f"report-{screen}.png"
    plain = tmp_path / "report.html"
    plain.write_text(page, encoding="utf-8")
    run(browser, tmp_path, size, f"--screenshot={picture}", plain.as_uri())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_page_prints(result: Result, browser: str, tmp_path: Path) -> None:
    """It becomes a PDF with all chapters."""
    plain = tmp_path / "report.html"
    plain.write_text(result.files()["report.html"], encoding="utf-8")
    KEPT.mkdir(parents=True, exist_ok=True)
    run(browser, tmp_path, f"--print-to-pdf={KEPT / 'report.pdf'}", plain.as_uri())
    assert (KEPT / "report.pdf").read_bytes().startswith(b"%PDF")
