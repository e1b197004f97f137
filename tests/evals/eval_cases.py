"""A small suite and a model that answers from a script, for the tests of runs: no engine, no recording, no network."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dbprompt import load_prompt
from dbprompt.evals import Run, run_suite
from dbprompt.providers import ScriptedProvider

__all__ = ["BRIEF", "GOOD", "POOR", "answering", "small_suite", "suite_run"]

ROOT = Path(__file__).parents[2]
BRIEF = """\
app_name: Tea
description: Sells tea.
entities:
  - {name: order, rows_now: 1000, attributes: [{name: total, role: money}]}
expectations:
  - {id: one_store, check: not_used, features_all: [second_database], level: must, why: One team}
  - {id: no_search, check: not_used, features_all: [elasticsearch], level: should, why: Nobody searches}
  - {id: money, check: money_exact, level: must, why: Taxes}
"""
"""Two expectations about the engines, and one about a section that these tests do not ask for."""

PROMPT_TOML = """\
name = "tiny"
version = "1.0.0"
title = "Tiny"
description = "Asks for the engines."
sections = ["selection"]

[[variables]]
name = "DESCRIBE_APPLICATION"
type = "string"
description = "What it is."
required = true
"""


def _selection(*stores: str) -> dict[str, Any]:
    return {
        "criteria": [{"name": "simple", "weight": 5, "why": "Sells tea."}],
        "options": [
            {"engine": "postgresql", "grades": [{"criterion": "simple", "grade": 3, "reason": "One server."}]},
            {"engine": "mysql", "grades": [{"criterion": "simple", "grade": 2, "reason": "One server."}]},
        ],
        "decision": {"engine": "postgresql", "rationale": "One server is simple.", "against_grades": None},
        "supporting": [
            {"engine": store, "role": "search", "purpose": "Search <script>alert(1)</script>", "fed_by": "cdc"}
            for store in stores
        ],
    }


GOOD, POOR = _selection(), _selection("elasticsearch")


def small_suite(folder: Path, *names: str, brief: str = BRIEF) -> Path:
    """A suite of the same brief under several names, and a prompt beside it."""
    (folder / "tiny/1.0.0/sections").mkdir(parents=True, exist_ok=True)
    home = folder / "tiny/1.0.0"
    (home / "prompt.toml").write_text(PROMPT_TOML)
    (home / "system.md.j2").write_text("You choose engines.\n")
    (home / "sections/selection.md.j2").write_text('{{ DESCRIBE_APPLICATION | fenced("application") }}\n')
    (folder / "tea.yaml").write_text(brief)
    cases = "".join(f"  - {{name: {name}, inputs: {{brief: tea.yaml}}}}\n" for name in names)
    suite = folder / "suite.yaml"
    suite.write_text(f"name: small\ncases:\n{cases}")
    return suite


def answering(line: Mapping[str, Any] | Callable[..., Any], times: int = 1000) -> ScriptedProvider:
    """A model that always gives this answer."""
    return ScriptedProvider({"selection": [line] * times})


def suite_run(folder: Path, line: object, *names: str, out: str = "run", **options: Any) -> Run:
    """Runs a small suite; the same folder goes on with the same run."""
    suite = small_suite(folder, *names)
    model = line if isinstance(line, ScriptedProvider) else answering(line)  # type: ignore[arg-type]
    return run_suite(suite, prompt=load_prompt(folder / "tiny/1.0.0"), model=model, out=folder / out, **options)


def _slow(log: Path) -> Callable[[object], dict[str, Any]]:
    def answer(request: object) -> dict[str, Any]:
        time.sleep(0.05)
        with log.open("a") as file:
            file.write("asked\n")
        return GOOD

    return answer


if __name__ == "__main__":  # a run that a test kills: python eval_cases.py FOLDER CASES
    home = Path(sys.argv[1])
    names = [f"c{at}" for at in range(int(sys.argv[2]))]
    run = suite_run(home, _slow(home / "asked.log"), *names)
    print(json.dumps({"done": len(run.outcomes), "missing": list(run.missing)}))
