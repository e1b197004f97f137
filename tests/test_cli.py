"""The command line: what it prints, where it writes, how it ends. Never a traceback for a user's mistake."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from answers import design

from dbprompt import DatabaseDesign
from dbprompt.cli import main
from dbprompt.result import load_design

ROOT = Path(__file__).parents[1]
BRIEF = str(ROOT / "examples/marketplace.yaml")
TAPE = str(ROOT / "evals/recordings/postgres/marketplace.database_architect.json")


@pytest.fixture
def dbprompt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line in this process: arguments in, exit code and both outputs out."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dbprompt", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_an_address_is_for_one_model(dbprompt) -> None:
    """Of several models nobody knows which one it is for: a usage error, and no traceback."""
    several = ["--model", "openai:a", "--model", "openai:b", "--base-url", "http://127.0.0.1:9/v1"]
    code, _, err = dbprompt("design", BRIEF, *several)
    assert code == 2 and "single --model" in err


def test_design_shows_the_repair_and_writes_the_folder(dbprompt, tmp_path: Path) -> None:
    """The demo's command tells where the answers come from, shows the repair, and writes every file."""
    code, out, _ = dbprompt("design", BRIEF, "--replay", TAPE, "--out", str(tmp_path / "out"))
    assert code == 0
    assert "authored" in out and "references.unknown_table" in out and "repair 1" in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"README.md", "schema", "queries", "design.json", "evidence.json"} <= names
    assert json.loads((tmp_path / "out/evidence.json").read_text())["ok"] is True


def test_a_written_design_can_be_gone_on_from(dbprompt, tmp_path: Path) -> None:
    """`--start` proves a design again and asks for nothing that is there and right."""
    dbprompt("design", BRIEF, "--replay", TAPE, "--out", str(tmp_path / "out"))
    start = str(tmp_path / "out/design.json")
    code, out, _ = dbprompt("design", BRIEF, "--replay", TAPE, "--start", start)
    assert code == 0
    assert "asked" not in out.split("Evidence")[0].replace("asked for again", "")


def test_a_recording_is_streamed(dbprompt) -> None:
    """`--stream` shows each item of a recorded answer, wrong ones too; sections are given with a comma or often."""
    code, out, _ = dbprompt("design", BRIEF, "--replay", TAPE, "--stream", "--sections", "selection,schema")
    assert code == 0
    assert "/options/0 postgresql" in out and "/tables/3 orders" in out and "✗ /tables/5 payments" in out
    assert "repair 1" in out and "queries" not in out.split("Evidence")[0].split("answers replayed")[1]


def test_a_section_is_asked_again(dbprompt, tmp_path: Path) -> None:
    """`--again` asks for the section though it is there and right, and for nothing else; the rest is kept as it is."""
    right = design("marketplace", "selection", "schema")
    data = right.model_dump(mode="json", exclude_none=True)
    data["selection"]["decision"]["rationale"] = data["schema"]["tables"][0]["comment"] = "By hand."
    (tmp_path / "design.json").write_text(json.dumps(data))
    start = ["--start", str(tmp_path), "--section", "selection", "--again"]
    code, _, _ = dbprompt("design", BRIEF, "--replay", TAPE, *start, "--out", str(tmp_path / "out"))
    made = json.loads((tmp_path / "out/evidence.json").read_text())["made"]
    assert (code, [turn["section"] for turn in made["usage_by_turn"]]) == (0, ["selection"])
    by_hand = DatabaseDesign.model_validate(data)
    assert by_hand.without("selection").selection is None and right.selection
    assert load_design(tmp_path / "out") == by_hand.with_section("selection", right.selection)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["design", "nothing.yaml", "--model", "anthropic:x"], 2, "nothing.yaml"),
        (["design", BRIEF], 2, "--model"),
        (["design", BRIEF, "--model", "gpt"], 3, "anthropic:MODEL"),
        (["design", BRIEF, "--model", "anthropic:x"], 3, "ANTHROPIC_API_KEY"),
        (["design", BRIEF, "--replay", TAPE, "--prompt", "databse_architect"], 2, "database_architect"),
        (["design", BRIEF, "--replay", str(ROOT / "README.md")], 3, "README.md"),
        (["design", BRIEF, "--replay", TAPE, "--section", "colours"], 2, "colours"),
        (["design", BRIEF, "--replay", TAPE, "--section", "selection", "--max-cost", "0"], 2, "cost_usd"),
        (["design", BRIEF, "--replay", TAPE, "--section", "selection", "--price", "m=1"], 2, "MODEL=INPUT,OUTPUT"),
        (["design", BRIEF, "--replay", TAPE, "--section", "selection", "--max-cost", "0.000001"], 3, "cost_usd"),
        (["verify", "nothing.sql"], 2, "nothing.sql"),
        (["verify", "-", "--dialect", "klingon"], 2, "postgres"),
        (["prompts", "show", "nothing"], 2, "nothing"),
        (["prompts", "render", "database_architect"], 2, "DESCRIBE_APPLICATION"),
        (["prompts", "render", "database_architect", "--var", "X"], 2, "NAME=VALUE"),
        (["prompts", "render", "database_architect", "--var", "DESCRIBE_APLICATION=x"], 2, "DESCRIBE_APPLICATION"),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_code(dbprompt, arguments: list[str], code: int, says: str) -> None:
    """Bad input ends with its documented code and a message that names the place."""
    ended, out, err = dbprompt(*arguments, stdin="SELECT 1")
    assert (ended, "Traceback" in err + out) == (code, False)
    assert says in err + out


def test_verify_prints_evidence_and_fails_what_is_wrong(dbprompt, tmp_path: Path) -> None:
    """Exit 0 with an engine's pass, exit 1 with the finding; `--json` is the evidence."""
    setup = tmp_path / "before.sql"
    setup.write_text("CREATE TABLE orders (id bigint PRIMARY KEY)")
    code, out, _ = dbprompt("verify", "-", "--setup", str(setup), stdin="CREATE INDEX ON orders (id, id)")
    assert code == 0 and "passed (engine)" in out
    code, out, _ = dbprompt("verify", "-", "--setup", str(setup), "--json", stdin="CREATE INDEX ON orders (buyer_id)")
    assert code == 1
    assert [finding["code"] for finding in json.loads(out)["findings"]] == ["engine.undefined_column"]


def test_render_prints_the_messages(dbprompt) -> None:
    """`prompts render` shows each role and its text, from a brief or from variables."""
    code, out, _ = dbprompt("prompts", "render", "database_architect", "--brief", BRIEF, "--section", "indexes")
    assert code == 0 and out.count("--- user") == 2 and "latest_orders_of_buyer" in out
    pairs = ("--var", "describe_application=A library", "--var", "LIST_MAIN_ENTITIES=book, loan")
    code, out, _ = dbprompt("prompts", "render", "database_architect", *pairs)
    assert code == 0 and "A library" in out


def test_doctor_names_engines_parsers_and_providers(dbprompt) -> None:
    """`doctor` says what is usable, and how to get what is not."""
    code, out, _ = dbprompt("doctor")
    assert code == 0
    assert "PostgreSQL" in out and "postgast" in out and "set ANTHROPIC_API_KEY" in out


def test_the_module_is_the_command() -> None:
    """`python -m dbprompt` is the same as `dbprompt`."""
    done = subprocess.run(
        [sys.executable, "-m", "dbprompt", "prompts", "list"], capture_output=True, text=True, check=True
    )
    assert "database_architect" in done.stdout


def test_again_wants_a_design_and_a_section(dbprompt) -> None:
    """Without them nothing would be asked anew: the command says what is missing."""
    code, _, err = dbprompt("design", BRIEF, "--again", "--section", "schema")
    assert code == 2 and "--start" in err
