"""Recorded cases a second: here, on Dask workers, against a plain loop over stock vcrpy and against the bare SDK.

    python benchmarks/evals.py [--cases 200] [--no-dask] [--engine 0] [--whole]

A case is a brief of its own with a recording of its own. By default it is asked for one section, `selection`: one
request, rules and no engine. `--engine N` adds N cases of the sections selection, schema and indexes, checked on
PostgreSQL, on one and on two Dask workers; all have the same answer, so a warm worker may know some of it. `--whole`
adds a case of all sixteen sections, with its engine and proofs.

The floor is the SDK with a transport that hands the recorded answer back: nothing is looked up, rendered, checked,
scored or kept. The plain loop is the same SDK under vcrpy's own cassette. CPU is the seconds of the processes that do
the cases (for Dask: of the workers, and apart of the runner), so "a core" does not depend on who else uses the machine;
a PostgreSQL server's own is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anthropic
import httpx2
import vcr
from rich.console import Console
from rich.table import Table

from dbprompt import Client, load_prompt
from dbprompt.evals import Suite, load_suite, run_suite
from dbprompt.evals.distributed import SHARD, connect
from dbprompt.evals.plan import plan_of
from dbprompt.evals.trial import attempt_all
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.base_cassette import Interaction, read
from dbprompt.providers.tape import Tape

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "evals/recordings/postgres/marketplace.terse_architect@1.0.0.json"
PROMPT = str(ROOT / "evals/prompts/terse_architect/1.0.0")
MODEL = "anthropic:claude-opus-4-8"
ONE, THREE = ("selection",), ("selection", "schema", "indexes")


@dataclass(frozen=True, slots=True)
class Timed:
    """A figure: cases a second of the clock and of the CPU of who did them, and the runner's CPU a case in ms."""

    name: str
    clock: float
    cpu: float
    runner_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Recordings:
    """Cases with a recording each, and what a run of them is told."""

    suite: Suite
    folder: Path
    sections: tuple[str, ...]

    def file(self, name: str) -> Path:
        """The recording of a case."""
        return self.folder / f"{name}.terse_architect.json"

    @property
    def options(self) -> dict[str, object]:
        """For `plan_of` and `run_suite`."""
        return {"prompt": PROMPT, "sections": self.sections, "replay": [self.folder]}

    @property
    def first(self) -> tuple[Interaction, ...]:
        """The first exchange of each case."""
        return tuple(read(self.file(case.name))[0] for case in self.suite.cases)


def recordings(folder: Path, cases: int, sections: Sequence[str]) -> Recordings:
    """The recorded answers of a case under so many briefs, authored anew for each."""
    marketplace = load_suite(ROOT / "evals/suites/postgres.yaml").only(("marketplace",))
    known = {one.source.section: json.loads(one.answer)["content"][0]["text"] for one in read(RECORDED)}
    prompt, given = load_prompt(PROMPT), marketplace.cases[0]
    made = []
    folder.mkdir()
    for at in range(cases):
        told = f"{given.case.brief.description} This is shop number {at}."
        brief = given.case.brief.model_copy(update={"description": told})
        made.append(replace(given, name=f"m{at}", case=replace(given.case, brief=brief)))
    found = Recordings(replace(marketplace, cases=tuple(made)), folder, tuple(sections))
    for case in made:
        answers = authored_transport({name: [known[name]] for name in sections})
        tape = Tape.open(found.file(case.name), mode="record", provenance="authored", inner=answers)
        with Client(MODEL, recording=tape, api_key="none") as client:
            client.design(case.case.brief, prompt=prompt, sections=sections)
    return found


def timed(name: str, cases: int, work: Callable[[], object]) -> Timed:
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    spent = time.process_time() - cpu
    return Timed(name, cases / (time.perf_counter() - clock), cases / spent)


def bare_sdk(exchanges: Sequence[Interaction]) -> None:
    """The floor: the SDK builds the request and reads the answer."""

    class Answering(httpx2.BaseTransport):
        now: Interaction

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            request.read()
            return httpx2.Response(200, headers=dict(self.now.headers), content=self.now.answer.encode())

    answering = Answering()
    http = httpx2.Client(transport=answering)
    with anthropic.Anthropic(api_key="none", max_retries=0, http_client=http) as client:
        for one in exchanges:
            answering.now = one
            client.messages.create(**json.loads(one.body))


def stock_loop(made: Recordings) -> None:
    """What anyone would write: the SDK, and vcrpy around it."""
    player = vcr.VCR(serializer="json", record_mode="none", match_on=["method", "uri", "body"])
    with anthropic.Anthropic(api_key="none", max_retries=0) as client:
        for case in made.suite.cases:
            body = json.loads(read(made.file(case.name))[0].body)
            with player.use_cassette(str(made.file(case.name))) as tape:
                client.post("/v1/messages", body=body, cast_to=object)
                assert tape.play_count == 1


def here(made: Recordings, cases: int, out: Path) -> list[Timed]:
    tasks = plan_of(made.suite, **made.options).tasks  # type: ignore[arg-type]
    warm, exchanges = attempt_all(tasks[:3]), made.first
    assert not any(isinstance(end, Exception) for end in warm.ends), warm
    bare_sdk(exchanges[:3])
    return [
        timed("the SDK alone: the floor", cases, lambda: bare_sdk(exchanges)),
        timed("plain loop over vcrpy", cases, lambda: stock_loop(made)),
        timed("cases alone", cases, lambda: attempt_all(tasks)),
        timed("run_suite", cases, lambda: run_suite(made.suite, out=out, workers=1, **made.options)),  # type: ignore[arg-type]
    ]


def on_dask(made: Recordings, cases: int, out: Path, shard: int) -> list[Timed]:
    from distributed import Client as Dask
    from distributed import LocalCluster

    rows = []
    for count in (1, 2):
        options = {"n_workers": count, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        with LocalCluster(**options) as cluster, Dask(cluster) as dask, connect(cluster.scheduler_address) as pool:
            for warmth in ("cold", "warm"):
                worked = sum(dask.run(_spent).values())
                folder = out / f"{len(made.sections)}.{count}.{warmth}"
                run = lambda folder=folder, pool=pool, count=count: run_suite(  # noqa: E731
                    made.suite, out=folder, executor=pool, workers=count * 2, shard=shard, **made.options
                )  # type: ignore[arg-type]
                row = timed(f"{count} Dask worker{'s' if count > 1 else ''}, {warmth}", cases, run)
                worked = sum(dask.run(_spent).values()) - worked
                rows.append(replace(row, cpu=cases / worked, runner_ms=1_000 / row.cpu))
    return rows


def _spent() -> float:
    """CPU of a worker and of the processes that it ended."""
    return sum(os.times()[:4])


def whole(out: Path) -> list[Timed]:
    suite = load_suite(ROOT / "evals/suites/postgres.yaml").only(("marketplace",))
    run_suite(suite, sections=ONE, out=out / "warm")
    return [timed("one case of 16 sections, with engine", 1, lambda: run_suite(suite, out=out / "whole"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--engine", type=int, default=0, metavar="CASES")
    parser.add_argument("--no-dask", action="store_true")
    parser.add_argument("--whole", action="store_true")
    asked = parser.parse_args()
    screen, before = Console(width=110), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = recordings(folder / "one", asked.cases, ONE)
        rows = here(made, asked.cases, folder / "here")
        if not asked.no_dask:
            rows += on_dask(made, asked.cases, folder, SHARD)
        shown(screen, f"{asked.cases} cases of one section, no engine", rows, rows[1].clock)
        if asked.engine:
            made = recordings(folder / "three", asked.engine, THREE)
            rows = on_dask(made, asked.engine, folder, 1)
            shown(screen, f"{asked.engine} cases of three sections, with PostgreSQL", rows, rows[1].clock)
        if asked.whole:
            rows = whole(folder)
            shown(screen, "Whole", rows, rows[0].clock)
    screen.print(f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} cores")


def shown(screen: Console, title: str, rows: Sequence[Timed], unit: float) -> None:
    against = "against vcrpy" if len(rows) > 4 or rows[0].runner_ms is None else "against one warm worker"
    table = Table("way", "cases/s of the clock", against, "cases/s of one core", "runner's CPU a case", title=title)
    for row in rows:
        digits = 0 if row.clock > 20 else 2
        runner = f"{row.runner_ms:.1f} ms" if row.runner_ms is not None else ""
        clock, cpu = f"{row.clock:,.{digits}f}", f"{row.cpu:,.{digits}f}"
        table.add_row(row.name, clock, f"{row.clock / unit:.2f}", cpu, runner)
    screen.print(table)


if __name__ == "__main__":
    main()
