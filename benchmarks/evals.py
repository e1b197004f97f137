"""Recorded cases a second: here, on two Dask workers, and a plain loop over stock vcrpy, in one run, as ratios.

    python benchmarks/evals.py [CASES]

A case is one section (`selection`) of a recorded brief: one request through the SDK, no engine. The plain loop sends
the same request through the same SDK and vcrpy's own cassette, with a client made once; it checks, scores and keeps
nothing. CPU is the seconds of this process alone, so "a core" does not depend on who else uses the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anthropic
import vcr
from rich.console import Console
from rich.table import Table

from dbprompt.evals import load_suite, run_suite
from dbprompt.evals.distributed import SHARD, connect
from dbprompt.evals.plan import plan_of
from dbprompt.evals.trial import attempt_all
from dbprompt.providers.tape import Tape

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "evals/recordings/postgres/marketplace.terse_architect@1.0.0.json"
PROMPT = str(ROOT / "evals/prompts/terse_architect/1.0.0")


@dataclass(frozen=True, slots=True)
class Timed:
    """A figure: cases a second of the clock, and of this process's CPU."""

    name: str
    clock: float
    cpu: float | None


def timed(name: str, cases: int, work: Callable[[], object], *, here: bool = True) -> Timed:
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    spent = time.process_time() - cpu
    return Timed(name, cases / (time.perf_counter() - clock), cases / spent if here else None)


def stock_loop(cases: int, folder: Path) -> None:
    """What anyone would write: the SDK, and vcrpy around it."""
    one = next(each for each in Tape.open(RECORDED).interactions if each.source.section == "selection")
    whole = json.loads(RECORDED.read_text())
    kept = [each for each in whole["interactions"] if each["request"]["body"] == one.body]
    cassette = folder / "stock.json"
    cassette.write_text(json.dumps({"version": 1, "interactions": kept}))
    body = json.loads(one.body)
    player = vcr.VCR(serializer="json", record_mode="none", match_on=["method", "uri", "body"])
    with anthropic.Anthropic(api_key="none", max_retries=0) as client:
        for _ in range(cases):
            with player.use_cassette(str(cassette)) as tape:
                client.post("/v1/messages", body=body, cast_to=object)
                assert tape.play_count == 1


def main(cases: int) -> None:
    marketplace = load_suite(ROOT / "evals/suites/postgres.yaml").only(("marketplace",))
    names = [f"m{at}" for at in range(cases)]
    suite = replace(marketplace, cases=tuple(replace(marketplace.cases[0], name=name) for name in names))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = folder / "recording.json"
        shutil.copy(RECORDED, file)
        for name in names:
            (folder / f"{name}.terse_architect.json").hardlink_to(file)
        options = {"prompt": PROMPT, "sections": ["selection"], "replay": [folder]}
        tasks = [replace(task, recording=file) for task in plan_of(suite, **options).tasks]  # type: ignore[arg-type]
        attempt_all(tasks[:3])
        stock_loop(2, folder)
        rows = [
            timed("plain loop over vcrpy", cases, lambda: stock_loop(cases, folder)),
            timed("cases alone, one recording", cases, lambda: attempt_all(tasks)),
            timed(
                "run_suite, a recording a case", cases, lambda: run_suite(suite, out=folder / "a", workers=1, **options)
            ),  # type: ignore[arg-type]
            *on_dask(suite, folder, options, cases),
        ]
    table = Table("way", "cases/s of the clock", "cases/s of one core", "against the plain loop")
    for row in rows:
        core = f"{row.cpu:,.0f}" if row.cpu else "not measured"
        table.add_row(row.name, f"{row.clock:,.0f}", core, f"{row.clock / rows[0].clock:.2f}")
    screen = Console(width=110)
    screen.print(table)
    screen.print(f"{cases} cases; load before and during: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def on_dask(suite: object, folder: Path, options: dict[str, object], cases: int) -> list[Timed]:
    from distributed import LocalCluster

    rows = []
    for count in (1, 2):
        with (
            LocalCluster(
                n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            ) as cluster,
            connect(cluster.scheduler_address) as pool,
        ):
            for warmth in ("cold", "warm"):
                out = folder / f"{count}{warmth}"
                name = f"{count} Dask worker{'s' if count > 1 else ''}, {warmth}"
                run = lambda out=out, pool=pool, count=count: run_suite(  # noqa: E731
                    suite,
                    out=out,
                    executor=pool,
                    workers=count * 2,
                    shard=SHARD,
                    **options,  # type: ignore[arg-type]
                )
                rows.append(timed(name, cases, run, here=False))
    return rows


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
