"""Tokens: typed answers against the same design written out, and both families' input against their source pages.

    python benchmarks/tokens.py

Method: estimate, characters / 3.8 (no provider is asked; its own count would differ for both sides alike). The typed
answers are the authored reference answers as compact JSON. "Written out" is what dbprompt writes from them and what
the source pages ask a model to write itself: DDL, queries, drawings, settings, scripts, alert rules, jobs and the
document with its reasons; not counted are the evidence, the report page, design.json, and what says again what another
file or the document says (OTHER_FORMS). An API's strict mode makes a model write null where these answers
leave a property out: the second figure counts that too.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from answers import ANSWERS, answer, design  # noqa: E402

from dbprompt import Brief, load_prompt  # noqa: E402
from dbprompt.capacity import capacity_of  # noqa: E402
from dbprompt.evidence import Evidence  # noqa: E402
from dbprompt.prompts.from_brief import fill_from_brief  # noqa: E402
from dbprompt.providers.base import estimate_tokens  # noqa: E402
from dbprompt.render.background import Background  # noqa: E402
from dbprompt.render.folder import files_of  # noqa: E402
from dbprompt.render.report import report_parts  # noqa: E402
from dbprompt.sections import SECTIONS, Section  # noqa: E402

CASES = {
    "marketplace": ROOT / "tests/briefs/pg_marketplace_orders.yaml",
    "crm": ROOT / "tests/briefs/pg_crm_multitenant.yaml",
}
SOURCES = {"design_framework": 12_855, "database_architect": 10_341}
"""Characters of the two source pages' prompts, system part included."""
OTHER_FORMS = (
    "migrations/alembic/",
    "migrations/flyway/",
    "migrations/liquibase/",
    "schema/openapi.json",
    "schema/dictionary.md",
    "queries/queries.sql",
)
"""Files that say again what another file or the document says; the first migration is left out for the same reason."""


def main() -> None:
    screen = Console(width=110)
    for case, path in CASES.items():
        outputs(screen, case, Brief.load(path))
    inputs(screen, Brief.load(CASES["marketplace"]))
    repairs(screen)


def outputs(screen: Console, case: str, brief: Brief) -> None:
    """Section by section: the typed answer; and all that is written from them."""
    names = [name for name in SECTIONS if (ANSWERS / case / f"{name}.json").exists()]
    typed = {name: estimate_tokens(json.dumps(answer(case, name), ensure_ascii=False)) for name in names}
    about = Background(brief, capacity_of(brief), "", "", (), date(2026, 11, 22), brief.target.postgres_major or 18)
    made = design(case, *names)
    document = "\n\n".join(text for _, part in report_parts(made, Evidence(), about) for text in part)
    every = files_of(made, about)
    files = {name: text for name, text in every.items() if not name.startswith(OTHER_FORMS) and "_initial." not in name}
    written = {"the document": estimate_tokens(document)}
    for name, text in files.items():
        place = name.split("/")[0] + "/"
        written[place] = written.get(place, 0) + estimate_tokens(text)
    table = Table(title=f"{case}: output tokens, estimated as characters / 3.8")
    table.add_column("typed answer")
    table.add_column("tokens", justify="right")
    table.add_column("written out")
    table.add_column("tokens", justify="right")
    left, right = list(typed.items()), list(written.items())
    for at in range(max(len(left), len(right))):
        table.add_row(*_cells(left, at), *_cells(right, at))
    table.add_section()
    ours, theirs = sum(typed.values()), sum(written.values())
    table.add_row("all", f"{ours:,}", "all", f"{theirs:,}")
    screen.print(table)
    strict = sum(_written(made.section(name)) for name in names)
    screen.print(
        f"{1 - ours / theirs:.0%} fewer output tokens for the same design; "
        f"{1 - strict / theirs:.0%} where an API has every property written out ({strict:,})\n"
    )


def _written(section: Section | None) -> int:
    return estimate_tokens(json.dumps(section.model_dump(mode="json"), ensure_ascii=False)) if section else 0


def _cells(rows: list[tuple[str, int]], at: int) -> tuple[str, str]:
    return (rows[at][0], f"{rows[at][1]:,}") if at < len(rows) else ("", "")


def inputs(screen: Console, brief: Brief) -> None:
    """What is sent: the shared prefix once, and the ask of each section."""
    table = Table(title="input tokens of one whole design, first asks, estimated")
    for head in ("family", "cached prefix", "all sections' asks", "source page (one ask)"):
        table.add_column(head, justify="left" if head == "family" else "right")
    for family, characters in SOURCES.items():
        prompt = load_prompt(family)
        filled = fill_from_brief(prompt.variables, brief)
        turns = [prompt.render_turn(section, filled) for section in prompt.sections]
        prefix = sum(estimate_tokens(message.text) for message in turns[0][:-1])
        asks = sum(estimate_tokens(turn[-1].text) for turn in turns)
        table.add_row(str(prompt), f"{prefix:,}", f"{asks:,}", f"{round(characters / 3.8):,}")
    screen.print(table)


def repairs(screen: Console) -> None:
    """A repair's answer against the whole section's."""
    table = Table(title="output tokens of a repair against a full answer, estimated")
    for head in ("section", "full answer", "repair", "share"):
        table.add_column(head, justify="left" if head == "section" else "right")
    for file in sorted(ANSWERS.glob("*/*.repair.json")):
        whole = json.loads(file.with_name(file.name.replace(".repair", "")).read_text())
        full, repair = (
            estimate_tokens(json.dumps(one, ensure_ascii=False)) for one in (whole, json.loads(file.read_text()))
        )
        name = f"{file.parent.name} {file.name.split('.')[0]}"
        table.add_row(name, f"{full:,}", f"{repair:,}", f"{repair / full:.0%}")
    for case in CASES:
        whole = list((ANSWERS / case).glob("*.json"))
        spent = {part: sum(_tokens(f) for f in whole if (".repair." in f.name) is part) for part in (False, True)}
        table.add_row(
            f"{case}, whole design", f"{spent[False]:,}", f"{spent[True]:,}", f"{spent[True] / spent[False]:.0%}"
        )
    screen.print(table)


def _tokens(file: Path) -> int:
    return estimate_tokens(json.dumps(json.loads(file.read_text()), ensure_ascii=False))


if __name__ == "__main__":
    main()
