"""`dbprompt verify-migration`: what it prints and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dbprompt.cli import main


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs the command on a migration in files: exit code, both outputs."""
    (tmp_path / "before.sql").write_text("CREATE TABLE orders (id bigint PRIMARY KEY, code text NOT NULL)")
    (tmp_path / "down.sql").write_text("DROP INDEX i")

    def run(up: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / "up.sql").write_text(up)
        files = [
            str(tmp_path / "up.sql"),
            "--before",
            str(tmp_path / "before.sql"),
            "--down",
            str(tmp_path / "down.sql"),
        ]
        monkeypatch.setattr(sys, "argv", ["dbprompt", "verify-migration", *files, *options])
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_a_blocking_migration_ends_with_1(command) -> None:
    """The table names lock and time, the finding the safe form, and the exit code says that something is wrong."""
    code, out, _ = command("CREATE INDEX i ON orders (code)", "--rows", "orders=58_000_000")

    assert code == 1
    assert "SHARE on orders" in out
    assert "writes, about 58 s" in " ".join(out.split())
    assert "CREATE INDEX CONCURRENTLY" in out


def test_a_safe_migration_ends_with_0(command) -> None:
    """A migration that is proven ends with 0, and its safe form is named."""
    code, out, _ = command("CREATE INDEX CONCURRENTLY i ON orders (code)", "--rows", "orders=58000000")

    assert code == 0
    assert "CONCURRENTLY" in out


def test_json_is_the_whole_evidence(command) -> None:
    """`--json` prints what `to_json` gives."""
    code, out, _ = command("CREATE INDEX CONCURRENTLY i ON orders (code)", "--json")

    assert code == 0
    assert json.loads(out)["steps"][0]["waits_for_writers"] is True


def test_bad_input_ends_with_2(command) -> None:
    """A size that is none, or a schema that does not run, is the user's mistake: exit code 2, no traceback."""
    code, _, error = command("SELECT 1", "--rows", "orders=many")

    assert code == 2
    assert "orders=58000000" in error
