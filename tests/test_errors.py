"""Errors outlive the process that raised them: a pool, Dask and a cache hand them on as they are."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dbprompt import errors
from dbprompt.errors import BriefError, BudgetError, DbpromptError, MissingExtraError, Problem, RuleError, VariableError

PROBLEMS = [Problem("/a", "7", "write a text")]
ARGUMENTS: dict[type[DbpromptError], tuple[tuple[Any, ...], dict[str, Any]]] = {
    BudgetError: (("no more",), {"bound": "requests", "limit": 1, "spent": 0}),
    **dict.fromkeys((BriefError, RuleError, VariableError, errors._ManyProblems), (("b.yaml", PROBLEMS), {})),
    MissingExtraError: (("tblib", "dask"), {}),
}
COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]  # noqa: S301


def kinds(root: type[DbpromptError]) -> Iterator[type[DbpromptError]]:
    """Every error class of the package."""
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


@pytest.fixture(scope="module")
def everything() -> list[DbpromptError]:
    """One of each, also of those that stand beside what they are about."""
    home = Path(errors.__file__).parent
    for file in home.rglob("*.py"):
        if re.search(r"^class \w+\(.*Error\b.*\):", file.read_text(encoding="utf-8"), re.MULTILINE):
            import_module(".".join(("dbprompt", *file.relative_to(home).with_suffix("").parts)))
    known = {kind for kind in kinds(DbpromptError) if kind.__module__.startswith("dbprompt.")}
    assert {getattr(errors, name) for name in errors.__all__} & {*kinds(DbpromptError)} < known
    made = []
    for kind in sorted(known, key=lambda kind: kind.__name__):
        given, named = ARGUMENTS.get(kind, (("s", PROBLEMS) if kind.__name__ == "SuiteError" else ("no",), {}))
        made.append(kind(*given, **named))
    return made


@pytest.mark.parametrize("copied", COPIES)
def test_every_error_survives_a_copy(everything: list[DbpromptError], copied: Callable[[Any], Any]) -> None:
    """Its words and its attributes, also those that were set later; and what is changed in one is so in one alone."""
    assert len(everything) > 30
    for error in everything:
        error.partial = {"done": 1}  # type: ignore[attr-defined]
        again = copied(error)
        assert type(again) is type(error) and again is not error
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
        again.partial = None
        assert error.partial == {"done": 1}  # type: ignore[attr-defined]


def test_a_copy_stays_one_where_tblib_hands_errors_on() -> None:
    """Dask brings tblib, which takes the copying of all errors over."""
    code = """if True:
        import copy, pickle, dbprompt.errors as e
        from tblib import pickling_support
        pickling_support.install()
        error = e.BudgetError("no", bound="requests", limit=1, spent=0)
        for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert vars(again) == vars(error) and str(again) == "no"
            again.text = "other"
            assert error.text == ""
    """
    pytest.importorskip("tblib")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_error_can_be_printed_whatever_it_quotes(everything: list[DbpromptError]) -> None:
    """A server, a model or a file may say half of a letter, which no terminal, log or file takes as it is."""
    for error in everything:
        error.args = ("it said \ud83d",)
        assert str(error) == r"it said \ud83d"
        "".join(traceback.format_exception(error)).encode()
