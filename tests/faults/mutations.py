"""Takes the handling of each fault away and sees its row fail: `make fault-mutations`, which takes some minutes.

A mutation is one small change to one file of a copy of the package (or of a library that does the handling for us).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from mutation_list import MUTATIONS, Mutation
from table import ROWS

__all__ = ["PAGE", "source_of"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults_mutations.md"
LONGEST_S = 600

_HEAD = """# What handles each fault

<!-- Written by `make fault-mutations` from tests/faults/mutation_list.py; edit there. -->

Each row of [the fault table](faults.md) was run with the code that handles it taken away, and had to fail. A test that
passes without what it tests would show here. "failed" counts calls: three APIs, plain and async, whole and streamed.

| row | what was taken away | where | failed |
| --- | --- | --- | --- |
"""


def source_of(mutation: Mutation) -> Path:
    """The file that it changes: in this package, else in an installed one."""
    ours = ROOT / "src" / mutation.file
    if ours.exists():
        return ours
    package, _, inside = mutation.file.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None, package
    return Path(spec.submodule_search_locations[0]) / inside


def main(names: Sequence[str]) -> None:
    """Runs all mutations, or those whose rows have one of these words in their names; only all write the page."""
    chosen = [each for each in MUTATIONS if not names or any(word in row for word in names for row in each.rows)]
    lines: list[str] = []
    survived: list[str] = []
    with tempfile.TemporaryDirectory(prefix="dbprompt-mutations-") as folder:
        copy = _Copy(Path(folder))
        rows = tuple(dict.fromkeys(row for mutation in chosen for row in mutation.rows))
        wrong = [f"{row}: {failed} of {calls}" for row, failed, calls in copy.outcome(rows) if failed or not calls]
        if wrong:
            sys.exit("These rows fail as they are:\n" + "\n".join(wrong))
        print(f"{len(rows)} rows pass as they are", flush=True)
        for mutation in chosen:
            with copy.mutated(mutation):
                for row, failed, calls in copy.outcome(mutation.rows, once=mutation.once):
                    line = f"| {row} | {mutation.what} | `{mutation.file}` | {failed} of {calls} |"
                    print(line, flush=True)
                    lines.append(line)
                    survived += [] if failed else [f"{row}: {mutation.what}"]
    if survived:
        sys.exit("These rows pass without their handling:\n" + "\n".join(survived))
    if not names:
        places = {row.name: at for at, row in enumerate(ROWS)}
        lines.sort(key=lambda line: places[line.split(" | ")[0].removeprefix("| ")])
        PAGE.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")


class _Copy:
    """A copy of the package as it is now, which the tests run against."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._home = folder, folder / "src"
        shutil.copytree(ROOT / "src", self._home, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("prompts", "schemas", "pyproject.toml"):  # what a checkout is known by
            (folder / name).symlink_to(ROOT / name)

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """With something taken away."""
        target = self._home / mutation.file
        if not target.exists():
            package = mutation.file.partition("/")[0]
            shutil.copytree(source_of(mutation).parents[mutation.file.count("/") - 1], self._home / package)
        text = target.read_text(encoding="utf-8")
        if text.count(mutation.old) != 1:
            sys.exit(f"{mutation.file} holds {text.count(mutation.old)} times: {mutation.old}")
        target.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        try:
            yield
        finally:
            target.write_text(text, encoding="utf-8")

    def outcome(self, rows: Sequence[str], *, once: bool = False) -> list[tuple[str, int, int]]:
        """For each row: how many of its calls failed, of how many; `once` ends with the first that does."""
        report = self._folder / "report.xml"
        environment = os.environ | {
            "PYTHONPATH": str(self._home),
            "PYTHONDONTWRITEBYTECODE": "1",  # two mutations within a second would share one
            "FAULT_ROWS": json.dumps(rows),
        }
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "tests/faults"]
        command += ["-n", "2", "--dist", "loadfile"] if len(rows) > 3 else []
        command += ["--exitfirst"] if once else []
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=LONGEST_S, check=False)
        calls, failed = Counter[str](), Counter[str]()
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  our own file
            name = next((row for row in rows if f"[{row}-" in case.get("name", "")), None)
            if name is not None:
                calls[name] += 1
                failed[name] += any(case.find(tag) is not None for tag in ("failure", "error"))
        report.unlink()
        return [(row, failed[row], calls[row]) for row in rows]


if __name__ == "__main__":
    main(sys.argv[1:])
