"""Asks a real model on this machine and keeps what it says: python evals/record_model.py CASE SECTION

One section with up to two repairs, on top of the reference answers that it builds on. Needs a server that speaks the
OpenAI API at SERVER. `evals/raw_and_repaired.py` counts what is written here.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from record_authored import CASES
from rich.console import Console

from dbprompt import AskError, Brief, Client, RetryPolicy
from dbprompt.cli.progress import Progress
from dbprompt.cli.show import print_result
from dbprompt.providers.tape import Tape
from dbprompt.result import Result

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
FOLDER = ROOT / "evals/recordings/model"
SERVER = "http://127.0.0.1:8081/v1"
MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m"
START = {"schema": (), "indexes": ("schema",), "queries": ("schema", "indexes")}
"""What stands when a section is asked for."""
MOST_TOKENS = {"schema": 6000, "indexes": 2500, "queries": 2500}
LONGEST_S = 3000.0


def record(case: str, section: str, screen: Console) -> None:
    """One conversation; what the file holds already is not asked again."""
    from answers import design

    retry = RetryPolicy(deadline_s=LONGEST_S)
    tape = Tape.open(FOLDER / f"{case}.{section}.json", mode="record", keep=True)
    most = MOST_TOKENS[section]
    with (
        Progress(screen) as progress,
        Client(
            f"openai:{MODEL}",
            base_url=SERVER,
            recording=tape,
            attempts=2,
            max_output_tokens=most,
            timeout_s=LONGEST_S,
            retry=retry,
            watch=progress.watch,
        ) as client,
    ):
        try:
            result = client.design(Brief.load(CASES[case]), sections=[section], start=design(case, *START[section]))
        except AskError as error:
            screen.print(f"{type(error).__name__}: {error}", markup=False)
            if not isinstance(error.partial, Result):
                return
            result = error.partial
    print_result(screen, result)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    parser.add_argument("section", choices=START)
    given = parser.parse_args()
    screen, began = Console(width=160), time.monotonic()
    record(given.case, given.section, screen)
    screen.print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
