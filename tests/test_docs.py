"""Every example in the README and the docs runs, and prints what stands below it."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import dbprompt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = [m.name for m in pkgutil.walk_packages(dbprompt.__path__, "dbprompt.") if m.name != "dbprompt.__main__"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_print_what_the_page_shows(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's Python blocks run in order in one namespace; an `output` block is what was printed since the last."""
    namespace: dict[str, object] = {}
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        for kind, body in FENCE.findall(page.read_text(encoding="utf-8")):
            if kind == "python":
                exec(compile(body, str(page), "exec", dont_inherit=True), namespace)  # noqa: S102  the project's own page
            elif kind == "output":
                assert capsys.readouterr().out.strip() == body.strip()
    finally:
        os.chdir(here)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_print_what_the_page_shows(page: Path) -> None:
    """A `console` block is a session: lines that begin with `$ dbprompt` run, and print what follows."""
    for kind, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if kind != "console":
            continue
        for command, shown in re.findall(r"^\$ dbprompt (.*)\n((?:(?!\$ ).*\n?)*)", body, re.MULTILINE):
            done = subprocess.run(
                [sys.executable, "-m", "dbprompt", *shlex.split(command)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout.strip() == shown.strip(), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links of the pages name files that are there."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("name", ["dbprompt", *MODULES])
def test_docstring_examples(name: str) -> None:
    """The examples of the docstrings are true."""
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
