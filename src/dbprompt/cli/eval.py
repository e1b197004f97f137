"""`dbprompt eval run | compare | check | report`: is this prompt, or this model, better than that one?"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbprompt.cli.base import Prices, Sections, console, listed, prices
from dbprompt.client import DEFAULT_PROMPT

if TYPE_CHECKING:
    from rich.console import Console

    from dbprompt.evals import Comparison, Run
    from dbprompt.evals.runner import PlanOptions

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Evals: run a suite of briefs, compare two runs, and stop a build that makes designs worse.",
)
SuiteArg = Annotated[Path, typer.Argument(help="a suite in YAML", metavar="SUITE")]
Prompt = Annotated[str, typer.Option(help="the family that asks: name, name@version or a folder")]
Model = Annotated[str, typer.Option(help="anthropic:MODEL or openai:MODEL; from the recordings if left out")]
BaseUrl = Annotated[str | None, typer.Option(help="an OpenAI-compatible server for openai:MODEL")]
Repeat = Annotated[int, typer.Option(min=1, help="how often each case is asked")]
Cases = Annotated[list[str] | None, typer.Option("--case", help="only this case; may be given often")]
Replay = Annotated[
    list[Path] | None,
    typer.Option(help="answer from this folder's recordings; may be given often. Default: ../recordings/SUITE"),
]
Record = Annotated[Path | None, typer.Option(help="ask, and record the exchanges into this folder")]
Live = Annotated[bool, typer.Option("--live", help="ask, and record nothing")]
Batch = Annotated[
    bool, typer.Option("--batch", help="ask through the provider's batch API: slower, cheaper; a kill loses nothing")
]
Out = Annotated[Path | None, typer.Option(help="the run's folder; a run that is there is gone on with")]
Workers = Annotated[int, typer.Option(min=1, help="cases at a time")]
Scheduler = Annotated[
    str | None, typer.Option(help="run the cases on a Dask cluster, such as tcp://10.0.0.5:8786", metavar="ADDRESS")
]
Again = Annotated[bool, typer.Option("--again", help="a run that is complete is done anew")]
Retry = Annotated[bool, typer.Option("--retry-failed", help="cases that failed are asked once more")]
Attempts = Annotated[int, typer.Option(min=0, help="repair rounds a section")]
Tokens = Annotated[int, typer.Option(min=1, help="where an answer is cut off")]
Timeout = Annotated[float, typer.Option(min=1, help="seconds that one answer may take, retries included")]
Html = Annotated[Path | None, typer.Option(help="write the page")]
Junit = Annotated[Path | None, typer.Option(help="write JUnit XML")]
Jsonl = Annotated[Path | None, typer.Option(help="write a JSON line for each expectation")]


@app.command("run")
def run_(
    suite: SuiteArg,
    prompt: Prompt = DEFAULT_PROMPT,
    model: Model = "",
    base_url: BaseUrl = None,
    repeat: Repeat = 1,
    section: Sections = None,
    case: Cases = None,
    replay: Replay = None,
    record: Record = None,
    live: Live = False,
    batch: Batch = False,
    out: Out = None,
    workers: Workers = 2,
    scheduler: Scheduler = None,
    again: Again = False,
    retry_failed: Retry = False,
    attempts: Attempts = 3,
    max_output_tokens: Tokens = 16_000,
    timeout: Timeout = 600,
    price: Prices = None,
    html: Html = None,
    junit: Junit = None,
    jsonl: Jsonl = None,
) -> None:
    """Runs a suite; start it again after a kill and it goes on. Exit code 3 if a recording did not fit."""
    options = _options(
        prompt,
        model,
        base_url,
        repeat,
        section,
        replay,
        record,
        live,
        batch,
        attempts,
        max_output_tokens,
        timeout,
        price,
    )
    run = _run(suite, case, options, out, workers, again, retry_failed, scheduler)
    from dbprompt.evals.report_terminal import print_run

    print_run(console(), run)
    _write(run, None, html, junit, jsonl)
    _stop_if_unrecorded(run)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="the folder of the run that is the baseline")],
    after: Annotated[Path, typer.Argument(help="the folder of the run that is compared with it")],
    html: Html = None,
) -> None:
    """Compares two runs case by case: better, worse, or no difference that so many cases could show."""
    from dbprompt.evals import compare_runs, load_run
    from dbprompt.evals.report_terminal import print_comparison

    found = compare_runs(load_run(before), load_run(after))
    print_comparison(console(), found)
    _write(found.after, found, html, None, None)


@app.command()
def check(
    suite: SuiteArg,
    baseline: Annotated[Path | None, typer.Option(help="the folder of a run that must not be fallen behind")] = None,
    max_regression: Annotated[
        float, typer.Option(min=0, max=1, help="how much of the mean score may be lost against the baseline")
    ] = 0.0,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="what the mean score has to reach")] = None,
    prompt: Prompt = DEFAULT_PROMPT,
    model: Model = "",
    base_url: BaseUrl = None,
    repeat: Repeat = 1,
    section: Sections = None,
    case: Cases = None,
    replay: Replay = None,
    record: Record = None,
    live: Live = False,
    batch: Batch = False,
    out: Out = None,
    workers: Workers = 2,
    again: Again = False,
    retry_failed: Retry = False,
    attempts: Attempts = 3,
    max_output_tokens: Tokens = 16_000,
    timeout: Timeout = 600,
    price: Prices = None,
    html: Html = None,
    junit: Junit = None,
    jsonl: Jsonl = None,
) -> None:
    """Runs a suite and exits with 1, and the reasons, if it fell behind the baseline or below a score."""
    if baseline is None and min_score is None:
        raise typer.BadParameter("say what to hold it against: --baseline RUN, --min-score SCORE or both")
    from dbprompt.evals import judge, load_run

    base = load_run(baseline) if baseline else None
    options = _options(
        prompt,
        model,
        base_url,
        repeat,
        section,
        replay,
        record,
        live,
        batch,
        attempts,
        max_output_tokens,
        timeout,
        price,
    )
    run = _run(suite, case, options, out, workers, again, retry_failed)
    judged = judge(run, baseline=base, max_regression=max_regression, min_score=min_score)
    screen = console()
    if judged.comparison is not None:
        from dbprompt.evals.report_terminal import print_comparison

        print_comparison(screen, judged.comparison)
    _write(run, judged.comparison, html, junit, jsonl)
    _stop_if_unrecorded(run)
    from rich.markup import escape

    for reason in judged.reasons:
        screen.print(f"[bold red]stop[/] {escape(reason)}", highlight=False, soft_wrap=True)
    if not judged.ok:
        raise typer.Exit(1)
    screen.print(f"[green]may pass[/] mean score {run.mean_score:.3f} over {len(run.by_case)} cases", highlight=False)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="the folder of a run")],
    against: Annotated[Path | None, typer.Option(help="the folder of a baseline to compare it with")] = None,
    html: Html = None,
    junit: Junit = None,
    jsonl: Jsonl = None,
) -> None:
    """Writes the reports of a run, complete or not; without an option, shows it here."""
    from dbprompt.evals import compare_runs, load_run

    found = load_run(run)
    if html is None and junit is None and jsonl is None:
        from dbprompt.evals.report_terminal import print_run

        print_run(console(), found)
    _write(found, compare_runs(load_run(against), found) if against else None, html, junit, jsonl)


def _options(
    prompt: str,
    model: str,
    base_url: str | None,
    repeat: int,
    section: list[str] | None,
    replay: list[Path] | None,
    record: Path | None,
    live: bool,
    batch: bool,
    attempts: int,
    max_output_tokens: int,
    timeout: float,
    price: list[str] | None,
) -> PlanOptions:
    from dbprompt.evals import CaseLimits

    return {
        "prompt": prompt,
        "model": model,
        "base_url": base_url,
        "repeat": repeat,
        "sections": listed(section),
        "replay": replay or (),
        "record": record,
        "live": live,
        "batch": batch,
        "limits": CaseLimits(attempts, max_output_tokens, timeout),
        "prices": prices(price),
    }


def _run(
    suite: Path,
    case: list[str] | None,
    options: PlanOptions,
    out: Path | None,
    workers: int,
    again: bool,
    retry_failed: bool,
    scheduler: str | None = None,
) -> Run:
    from dbprompt.cli.eval_progress import EvalProgress
    from dbprompt.evals import load_suite, run_suite

    read = load_suite(suite)
    with ExitStack() as stack:
        cluster = None
        if scheduler is not None:
            from dbprompt.evals.distributed import SHARD, connect

            cluster = stack.enter_context(connect(scheduler))
            workers = max(workers, cluster.threads * 2)  # one is worked on, one waits beside it
        progress = stack.enter_context(EvalProgress(console(stderr=True)))
        return run_suite(
            read.only(tuple(case)) if case else read,
            out=out,
            executor=cluster,
            workers=workers,
            shard=SHARD if cluster else 1,
            again=again,
            retry_failed=retry_failed,
            watch=progress.watch,
            **options,
        )


def _write(run: Run, against: Comparison | None, html: Path | None, junit: Path | None, jsonl: Path | None) -> None:
    from dbprompt.evals.base import write_whole

    if html is not None:
        from dbprompt.evals.report_page import run_page

        write_whole(html, run_page(run, against))
    if junit is not None or jsonl is not None:
        from dbprompt.evals.report_files import junit as junit_xml
        from dbprompt.evals.report_files import rows

        if junit is not None:
            write_whole(junit, junit_xml(run))
        if jsonl is not None:
            write_whole(jsonl, rows(run))
    screen: Console = console(stderr=True)
    screen.print(f"the run: {run.folder}", *(str(path) for path in (html, junit, jsonl) if path), markup=False)


def _stop_if_unrecorded(run: Run) -> None:
    """A recording that does not fit says nothing about the prompt: it is no low score, but no answer."""
    stale = [one for one in run.failed if one.kind in {"NoRecordingError", "RecordingError"}]
    if stale:
        screen = console(stderr=True)
        for one in stale:
            screen.print(f"{one.key.label}: {one.why}", markup=False)
        raise typer.Exit(3)
