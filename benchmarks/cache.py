"""How much of a whole design's input a provider's prompt cache could serve, by the rules that the providers document.

    python benchmarks/cache.py

This is a model of the providers and not the providers: no request is sent. The requests are those of the authored
recordings (all sections and repairs of five briefs, both prompt families), tokens are estimated as characters / 3.8,
and the answer's schema is counted as input, as both providers do. The rules:

- A prefix is served if an earlier request had it, to the letter, and it has at least 1,024 tokens. (Anthropic: up to a
  cache mark; 4,096 for some models. OpenAI: in steps of 128.)
- An entry is there once the first answer to it has begun: sections that are asked side by side do not serve each other.
- The schema of the answer. OpenAI: "the structured output schema serves as a prefix to the system message". Anthropic:
  another format makes another prefix. Each section and each repair has a schema of its own, so by these rules
  hardly anything is served; the first column says so. The other columns say what is served with
  `response_format="text"`, where the schema is said in words, behind everything else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dbprompt.providers.base import estimate_tokens
from dbprompt.sections import all_needs

RECORDINGS = Path(__file__).parents[1] / "evals/recordings/postgres"
FAMILIES = ("database_architect", "design_framework")
FEWEST, STEP = 1_024, 128


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it was asked (its wave, then its round), its texts in order, and how they are marked."""

    wave: tuple[int, int]
    section: str
    texts: tuple[str, ...]
    marked: tuple[bool, ...]
    schema: str

    @property
    def tokens(self) -> int:
        """All of its input."""
        return estimate_tokens("".join(self.texts) + self.schema)


def requests_of(path: Path) -> Iterator[Asked]:
    """The requests of a recording."""
    rounds: dict[str, int] = {}
    for each in json.loads(path.read_text(encoding="utf-8"))["interactions"]:
        body, section = json.loads(each["request"]["body"]), each["dbprompt"]["section"]
        blocks = [*body.get("system", ()), *(block for turn in body["messages"] for block in turn["content"])]
        turn = rounds[section] = rounds.get(section, -1) + 1
        yield Asked(
            (depth(section), turn),
            section,
            tuple(block["text"] for block in blocks),
            tuple("cache_control" in block for block in blocks),
            json.dumps(body["output_config"], ensure_ascii=False),
        )


def depth(section: str) -> int:
    """In which wave a section is asked."""
    return max((depth(need) + 1 for need in all_needs(section)), default=0)


def is_there(earlier: Asked, later: Asked) -> bool:
    """Whether the answer to one request had begun when the other was sent."""
    if earlier.section == later.section:
        return earlier.wave < later.wave
    return earlier.wave[0] < later.wave[0]


Served = Callable[[Asked, Asked], int]


def by_marks(asked: Asked, earlier: Asked) -> int:
    """Anthropic: the tokens up to the mark, if both have the same up to there."""
    end = max((n for n, mark in enumerate(asked.marked) if mark), default=-1) + 1
    prefix = asked.texts[:end]
    return estimate_tokens("".join(prefix)) if prefix == earlier.texts[:end] else 0


def by_letters(asked: Asked, earlier: Asked) -> int:
    """OpenAI: the tokens of the longest common beginning."""
    mine, theirs = "".join(asked.texts), "".join(earlier.texts)
    same = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
    return int(same / 3.8) // STEP * STEP


def behind_schema(served: Served) -> Served:
    """The same where the schema stands first: only a request with the same schema has anything in common."""
    return lambda asked, earlier: served(asked, earlier) if asked.schema == earlier.schema else 0


def share(asked: list[Asked], served: Served, *, fewest: int = FEWEST) -> float:
    """Cached input tokens, as a share of all input tokens of a design."""
    cached = 0
    for number, one in enumerate(asked):
        hits = [served(one, other) for other in asked[:number] + asked[number + 1 :] if is_there(other, one)]
        best = max(hits, default=0)
        cached += best if best >= fewest else 0
    return cached / sum(one.tokens for one in asked)


def main() -> None:
    """The table."""
    table = Table(
        "recording",
        "requests",
        "input",
        "prefix",
        "as sent",
        "Anthropic*",
        "OpenAI*",
        title="Cached share of a design's input tokens",
    )
    failed = []
    for path in sorted(RECORDINGS.glob("*.json")):
        case, _, family = path.stem.partition(".")
        if family not in FAMILIES:
            continue
        asked = list(requests_of(path))
        prefixes = {one.texts[: max(n for n, mark in enumerate(one.marked) if mark) + 1] for one in asked}
        if len(prefixes) != 1 or any(sum(one.marked) > 4 for one in asked):
            failed.append(f"{path.name}: {len(prefixes)} different prefixes are marked")
        sent = max(share(asked, behind_schema(by_marks)), share(asked, behind_schema(by_letters)))
        figures = (sent, share(asked, by_marks), share(asked, by_letters))
        sizes = (len(asked), sum(one.tokens for one in asked), estimate_tokens("".join(next(iter(prefixes)))))
        table.add_row(f"{case}, {family}", *(f"{size:,}" for size in sizes), *(f"{figure:.0%}" for figure in figures))
    Console(width=110).print(table, "as sent: by the documented rule for schemas. *: with response_format='text'.")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
