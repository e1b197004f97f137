"""A result is written as a whole or not at all, and read back as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from designs import HOSTILE, MARKETPLACE, marketplace
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dbprompt.brief import Brief
from dbprompt.capacity import capacity_of
from dbprompt.errors import OutputError
from dbprompt.evidence import Evidence, Finding, Severity, Status, Tier, Verdict
from dbprompt.messages import TurnUsage, Usage
from dbprompt.result import Result, evidence_from_json, load_design
from dbprompt.sections import DatabaseDesign

TODAY = date(2026, 7, 19)
NAMES = [
    "README.md",
    "design.json",
    "evidence.json",
    "queries/queries.sql",
    "report.html",
    "schema/dictionary.md",
    "schema/erd.mmd",
    "schema/openapi.json",
    "schema/schema.sql",
]
"""What a folder holds at least, whatever sections there are."""


def _result(words: str = "fine") -> Result:
    brief = Brief(
        app_name=words.strip() or "x",
        description=words,
        target={"version": "15.3"},
        entities=[{"name": "order", "rows_now": 10, "rows_per_day": 2, "attributes": [{"name": "id", "role": "id"}]}],
        queries=[{"id": "order_by_number", "text": words, "kind": "point", "entity": "order"}],
    )
    evidence = Evidence(
        (Finding("index.missing", Severity.WARNING, "/schema/tables/0", words),),
        (
            Verdict("table order", "/schema/tables/0", Status.PASSED, Tier.RULE, "dbprompt 0.1"),
            Verdict("table order", "/schema/tables/0", Status.PASSED, Tier.ENGINE, "postgresql 18.6", words),
            Verdict("query Analyze", "/queries/queries/2", Status.NOT_CHECKED, Tier.NOTHING, "none", words),
        ),
    )
    turns = (TurnUsage("schema", "ask", Usage(1, 100, 50)), TurnUsage("schema", "repair", Usage(1, 40, 5)))
    return Result(marketplace(), evidence, turns, brief, capacity_of(brief), words, "database_architect@2.0.0", TODAY)


def test_written_and_read_back(tmp_path: Path) -> None:
    """The folder holds every file; the design and the evidence read back from it are equal to those written."""
    result = _result()
    out = result.write(tmp_path / "deep" / "out")
    assert {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()} >= set(NAMES)
    assert load_design(out) == result.design == load_design(out / "design.json")
    assert evidence_from_json((out / "evidence.json").read_text()) == result.evidence
    assert (out / "schema/schema.sql").read_text().startswith("-- Database schema of fine\n-- PostgreSQL 15,")


def test_written_again_is_replaced(tmp_path: Path) -> None:
    """A run into the same folder replaces what the run before wrote, and leaves nothing beside it."""
    out = tmp_path / "out"
    _result().write(out)
    replace(_result(), design=DatabaseDesign()).write(out)
    assert load_design(out) == DatabaseDesign()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("change", ["notes.txt", "schema/schema.sql", "sub/deep.txt"])
def test_foreign_files_are_kept(tmp_path: Path, change: str) -> None:
    """A folder with a file that we did not write, or that was changed since, is left alone and the file is named."""
    out = _result().write(tmp_path / "out")
    before = (out / "README.md").read_bytes()
    (out / change).parent.mkdir(exist_ok=True)
    (out / change).write_text("mine")
    with pytest.raises(OutputError, match=change):
        replace(_result(), design=DatabaseDesign()).write(out)
    assert (out / change).read_text() == "mine"
    assert (out / "README.md").read_bytes() == before


def test_someone_elses_folder(tmp_path: Path) -> None:
    """A README.md that we did not write is never taken for ours; nor is a file in place of the folder."""
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(OutputError, match=r"README\.md"):
        _result().write(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        _result().write(tmp_path / "README.md")
    assert [entry.name for entry in tmp_path.iterdir()] == ["README.md"]


def test_failed_write_keeps_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the system fails, in a file or in either rename, the old folder is as it was."""
    out = _result().write(tmp_path / "out")
    old = (out / "schema/schema.sql").read_bytes()
    newer = replace(_result(), design=DatabaseDesign())
    for method, failing in (("write_text", 3), ("rename", 1), ("rename", 2)):
        with monkeypatch.context() as patched:
            patched.setattr(Path, method, _failing(getattr(Path, method), failing))
            with pytest.raises(OutputError, match="No space left"):
                newer.write(out)
        assert (out / "schema/schema.sql").read_bytes() == old
        assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def _failing(real: Callable[..., Any], turn: int) -> Callable[..., Any]:
    """The same method, but for one call that fails as a full disk does."""
    turns = count(1)

    def called(*args: Any, **more: Any) -> Any:
        if next(turns) == turn:
            raise OSError(28, "No space left on device")
        return real(*args, **more)

    return called


def test_killed_write_keeps_the_old(tmp_path: Path) -> None:
    """A process that dies at once while it writes leaves the old folder whole."""
    out = _result().write(tmp_path / "out")
    before = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    script = """
        import os, sys
        from pathlib import Path
        from dbprompt.result.folder import write_folder

        class Dying(dict):
            def items(self):
                yield "schema.sql", "half"
                os._exit(9)

        write_folder(Path(sys.argv[1]), Dying())
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(out)], check=False, env=dict(os.environ))
    assert died.returncode == 9
    assert load_design(out) == marketplace()
    assert {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()} == before


def test_no_file_outside(tmp_path: Path) -> None:
    """A name that leads out of the folder is refused before anything is swapped."""
    from dbprompt.result.folder import write_folder

    with pytest.raises(OutputError, match="outside"):
        write_folder(tmp_path / "out", {"../x": "y"})
    assert list(tmp_path.iterdir()) == []


def test_hostile_words_stay_words() -> None:
    """Text of users and models makes no HTML, image, link, heading or table cell in any file or notebook view."""
    words = f"{HOSTILE} # [x](https://evil.example) ![y](https://evil.example/y.png) https://evil.example"
    result = replace(_result(words), design=_hostile_design(words))
    files = result.files()
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for name in ("README.md", "schema/dictionary.md"):
        assert "evil.example" in files[name]
        tokens = [token for top in reader.parse(files[name]) for token in (top, *(top.children or ()))]
        assert not [token for token in tokens if token.type in {"html_block", "html_inline", "image"}]
        links = [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]
        assert not [link for link in links if "evil" in link]
        assert "https://evil" not in files[name].replace("`", "")
    assert "<script" not in result._repr_html_()
    assert "<script" not in result._repr_markdown_()
    assert words not in repr(result)


def _hostile_design(words: str) -> DatabaseDesign:
    text = json.dumps(MARKETPLACE).replace("Sum of the lines, in EUR", json.dumps(words)[1:-1])
    return DatabaseDesign.model_validate_json(text.replace("Managed", json.dumps(words)[1:-1]))


def test_tables_keep_their_width() -> None:
    """Every row of every table in the report has as many cells as its head, whatever the cells hold."""
    words = f"a | b {HOSTILE}"
    report = replace(_result(words), design=_hostile_design(words)).files()["README.md"]
    heads = 0
    for token in MarkdownIt("commonmark").enable("table").parse(report):
        heads += token.type == "tr_open"
    assert heads > 20
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    widths = {line.replace("\\|", "").count("|") for line in rows}
    assert widths <= {5, 6, 7, 9}


def test_report_says_what_is_open() -> None:
    """The report names what was not checked and why, the errors left, and what repair cost."""
    error = Finding("queries.missing", Severity.ERROR, "/queries", "query x is missing")
    report = replace(_result("no engine"), evidence=Evidence((error,), _result("no engine").evidence.verdicts)).files()
    readme = report["README.md"]
    assert "Not finished: 1 error is left" in readme
    assert "- query Analyze: no engine" in readme
    assert "query x is missing" in readme
    repair = next(line for line in readme.splitlines() if "| repair" in line)
    assert [part.strip() for part in repair.split("|")][1:-1] == ["schema", "repair", "40", "0", "5", "unknown"]


def test_unsafe_sql_is_withheld() -> None:
    """A partial result whose query holds two statements still has its files; that one says why it is empty."""
    data: Any = json.loads(json.dumps(MARKETPLACE))
    data["queries"]["queries"][1]["sql"] = "SELECT 1; DROP TABLE buyers"
    files = replace(_result(), design=DatabaseDesign.model_validate(data)).files()
    assert "DROP" not in files["queries/queries.sql"]
    assert "/queries/queries/1" in files["queries/queries.sql"]
    assert "CREATE TABLE" in files["schema/schema.sql"]


def test_unreadable_designs(tmp_path: Path) -> None:
    """A file that is missing or is no design is an error that names the file and the place."""
    with pytest.raises(OutputError, match="cannot be read"):
        load_design(tmp_path / "none.json")
    (tmp_path / "design.json").write_text('{"schema": {"tables": []}, "x": 1}')
    with pytest.raises(OutputError, match=r"schema\.tables"):
        load_design(tmp_path)
    with pytest.raises(OutputError, match="no evidence"):
        evidence_from_json("[]")


_WORDS = st.text(max_size=30).filter(lambda words: words == words.strip())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    comment=_WORDS,
    value=st.text(max_size=30),
    labels=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3),
    nullable=st.booleans(),
    length=st.integers(1, 1000) | st.none(),
)
def test_design_json_is_exact(comment: str, value: str, labels: list[str], nullable: bool, length: int | None) -> None:
    """Whatever text a design holds, design.json reads back as an equal design."""
    column = {"name": "c", "type": "varchar", "length": length, "nullable": nullable, "comment": comment}
    column["default"] = {"kind": "literal", "value": value}
    schema = {"tables": [{"name": "t", "columns": [column]}], "enums": [{"name": "e", "values": labels}]}
    design = DatabaseDesign.model_validate({"schema": schema})
    assert DatabaseDesign.model_validate_json(Result(design).files()["design.json"]) == design
