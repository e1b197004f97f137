"""`dbprompt prompts ...`: what the commands print, and how they end."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from dbprompt import library
from dbprompt.cli import main

OWN = Path(__file__).parents[2] / "examples/prompts"
Run: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `dbprompt prompts` in this process: arguments in, exit code and both outputs out."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dbprompt", "prompts", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_lint_ends_with_1_unless_all_rules_pass(prompts: Run) -> None:
    """A CI can use it: exit code, place and fix as text, and the same as JSON."""
    assert prompts("lint", "--root", OWN)[0] == 0
    code, out, _ = prompts("lint", OWN / "index_advice/draft")
    assert (code, "prompt.toml:31: WRITES is in no template" in out) == (1, True)
    code, out, _ = prompts("lint", OWN / "index_advice/draft", "--json")
    (health,) = json.loads(out)
    assert (code, health["score"], health["passed"], health["applicable"]) == (1, 0.9, 18, 20)
    assert health["tokens"]["the whole prompt"]["method"] == "estimate"


def test_from_a_draft_to_production(prompts: Run, tmp_path: Path) -> None:
    """Diff, dry run, release, label: only the release and the label change a file."""
    root = tmp_path / "prompts"
    shutil.copytree(OWN, root)
    assert "A release of this is minor." in prompts("diff", root / "index_advice/1.0.0", root / "index_advice/draft")[1]
    assert "would release" in prompts("release", "index_advice", "--root", root, "--dry-run")[1]
    assert not (root / "index_advice/1.1.0").exists()
    assert prompts("release", "index_advice", "--root", root, "--level", "patch")[0] == 2
    assert prompts("release", "index_advice", "--root", root, "--note", "Asks for the cost of writes.")[0] == 0
    assert prompts("label", "index_advice", "1.1.0", "production", "--root", root)[0] == 0
    assert library.load_prompt("index_advice@production", root=root).version == "1.1.0"
    assert prompts("lock", "--check", "--root", root)[0] == 0


def test_export_and_import_a_prompty_file(prompts: Run, tmp_path: Path) -> None:
    """The file goes out and comes back; a second import does not overwrite the first."""
    file = tmp_path / "advice.prompty"
    assert prompts("export", OWN / "index_advice/1.0.0", "--format", "prompty", "--out", file)[0] == 0
    code, out, _ = prompts("import", file, "--to", tmp_path / "back")
    assert (code, out.startswith("restored")) == (0, True)
    back = library.load_prompt(tmp_path / "back/index_advice/1.0.0")
    assert back.hash == library.load_prompt(OWN / "index_advice/1.0.0").hash
    assert prompts("import", file, "--to", tmp_path / "back")[0] == 2


def test_plain_text_wants_its_variables(prompts: Run) -> None:
    """What is missing is named; with it, the text goes to standard output and its length beside it."""
    asked = ("export", OWN / "index_advice/1.0.0", "--format", "plain", "--var", "ddl=CREATE TABLE t (id int)")
    code, out, err = prompts(*asked)
    assert (code, out, "QUERY is missing" in err) == (2, "", True)
    code, out, err = prompts(*asked, "--var", "query=SELECT 1")
    assert (code, "SELECT 1" in out, "estimate" in err) == (0, True, True)
