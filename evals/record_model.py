"""Asks a real model on this machine and keeps what it says: python evals/record_model.py CASE SECTION [--stream]

One section with up to two repairs, on top of the reference answers that it builds on. Needs a server that speaks the
OpenAI API at SERVER. `evals/raw_and_repaired.py` counts what is written here. A streamed section is read while it is
being written, and kept in a folder of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from record_authored import CASES
from rich.console import Console

from dbprompt import AskError, Bounds, Brief, Client, ItemDone, Repairing
from dbprompt.cli.progress import Progress
from dbprompt.cli.show import print_result
from dbprompt.drivers import Watch
from dbprompt.providers.tape import Tape
from dbprompt.result import Result

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
FOLDER = ROOT / "evals/recordings/model"
STREAMED = ROOT / "evals/recordings/streamed"
SERVER = "http://127.0.0.1:8081/v1"
MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m"
START = {"schema": (), "indexes": ("schema",), "queries": ("schema", "indexes")}
"""What stands when a section is asked for."""
MOST_TOKENS = {"schema": 6000, "indexes": 2500, "queries": 2500}
FEWER_TOKENS = {("crm", "schema"): 3000}
"""With 6,000 this one had not ended after 34 minutes; the other schemas took 1,315 at most."""
LONGEST_S = 3000.0


def most_tokens(case: str, section: str) -> int:
    """Where an answer is cut off."""
    return FEWER_TOKENS.get((case, section), MOST_TOKENS[section])


def client(tape: Tape, case: str, section: str, watch: Watch | None = None, *, attempts: int = 2) -> Client:
    """Who asks for this section."""
    return Client(
        f"openai:{MODEL}",
        base_url=SERVER,
        recording=tape,
        attempts=attempts,
        max_output_tokens=most_tokens(case, section),
        timeout_s=LONGEST_S,
        per_call=Bounds(deadline_s=LONGEST_S),
        watch=watch,
    )


def record(case: str, section: str, screen: Console) -> None:
    """One conversation; what the file holds already is not asked again."""
    from answers import design

    tape = Tape.open(FOLDER / f"{case}.{section}.json", mode="record", keep=True)
    with Progress(screen) as progress, client(tape, case, section, progress.watch) as asking:
        try:
            result = asking.design(Brief.load(CASES[case]), sections=[section], start=design(case, *START[section]))
        except AskError as error:
            screen.print(f"{type(error).__name__}: {error}", markup=False)
            if not isinstance(error.partial, Result):
                return
            result = error.partial
    print_result(screen, result)


def record_stream(case: str, section: str, screen: Console) -> None:
    """The same, read while it is being written: each item as it is complete."""
    from answers import design

    brief, start, began = Brief.load(CASES[case]), design(case, *START[section]), time.monotonic()
    tape = Tape.open(STREAMED / f"{case}.{section}.json", mode="record", keep=True)
    with client(tape, case, section) as asking, asking.stream_design(brief, sections=[section], start=start) as stream:
        try:
            for event in stream:
                if isinstance(event, ItemDone):
                    screen.print(f"{time.monotonic() - began:5.0f} s  {event.where}  {event.status}", markup=False)
                elif isinstance(event, Repairing):
                    screen.print(f"{time.monotonic() - began:5.0f} s  repair of {len(event.findings)} findings")
        except AskError as error:
            screen.print(f"{type(error).__name__}: {error}", markup=False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    parser.add_argument("section", choices=START)
    parser.add_argument("--stream", action="store_true")
    given = parser.parse_args()
    screen, began = Console(width=160), time.monotonic()
    (record_stream if given.stream else record)(given.case, given.section, screen)
    screen.print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
