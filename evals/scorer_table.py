"""Prints what the case files of the scorers show: python evals/scorer_table.py

A column `alone` counts damages that turned this kind and no other; tests/evals/test_scorers.py holds each damage to it.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "evals"), str(TESTS / "checks")]


def main() -> None:
    from scorer_cases import table

    print("| check kind | passes | fails | alone |\n| --- | ---: | ---: | ---: |")
    for row in table():
        print(f"| {row.kind} | {row.passes} | {row.fails} | {row.alone} |")


if __name__ == "__main__":
    main()
