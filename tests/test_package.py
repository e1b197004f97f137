"""The package works the same from sdist, wheel and checkout: prompts and schemas travel with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel that was built from the sdist, installed apart from the checkout."""
    folder = tmp_path_factory.mktemp("package")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, code: str) -> str:
    """The output of code that sees the installed package and not the checkout."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=installed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["prompts", "schemas"])
def test_every_prompt_and_schema_is_in_the_wheel(installed: Path, kind: str) -> None:
    """The wheel that was built from the sdist holds the tree's files, byte for byte, and no others."""

    def files(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    shipped = files(installed / "dbprompt/_data" / kind)
    assert shipped
    assert shipped == files(ROOT / kind)


def test_the_installed_package_is_used_and_finds_its_prompts(installed: Path) -> None:
    """Prompts load from the installed package, with the same hashes as in the checkout."""
    code = "import dbprompt; print(dbprompt.__file__); print(*[p.hash for p in map(dbprompt.load_prompt, {})])"
    names = ["database_architect", "design_framework"]
    where, hashes = run(installed, code.format(names)).splitlines()
    assert Path(where).is_relative_to(installed)
    import dbprompt

    assert hashes.split() == [dbprompt.load_prompt(name).hash for name in names]


def test_the_installed_package_replays_the_demo(installed: Path, tmp_path: Path) -> None:
    """The command of the demo works with the installed package, from another folder."""
    brief = ROOT / "examples/marketplace.yaml"
    tape = ROOT / "evals/recordings/postgres/marketplace.database_architect.json"
    arguments = ["dbprompt", "design", str(brief), "--replay", str(tape), "--out", str(tmp_path / "out")]
    code = f"import sys; from dbprompt.cli import main; sys.argv = {arguments!r}; main()"
    assert "proven on an engine" in run(installed, code)
    assert (tmp_path / "out/schema/schema.sql").exists()
