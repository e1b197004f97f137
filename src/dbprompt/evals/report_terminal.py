"""What the terminal shows of a run and of two runs: counts before means, the worst first, and how sure it is."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dbprompt.evals.compare import Comparison
from dbprompt.evals.outcomes import Outcome
from dbprompt.evals.runs import Run
from dbprompt.evals.statistics import Paired
from dbprompt.evidence import Tier

__all__ = ["print_comparison", "print_run"]

MOST = 20


def print_run(screen: Console, run: Run) -> None:
    """Counts, check kinds, cases, and each `must` that is not met."""
    about = run.manifest
    said = ", ".join(dict.fromkeys(outcome.source for outcome in run.outcomes)) or "nobody yet"
    _say(screen, f"[bold]{escape(about.suite)}[/]  {escape(about.prompt)}, {escape(about.model)}")
    _say(screen, f"answers {escape(said)}")
    if about.sections:
        _say(screen, f"sections {', '.join(about.sections)}")
    _say(screen, _counts(run))
    if not run.outcomes:
        return
    _say(screen, f"cases that meet every must: {sum(run.passes.values())} of {len(run.passes)}, {run.pass_rate}")
    _say(screen, f"mean score {run.mean_score:.2f} (a failed case counts 0)")
    _print_kinds(screen, run)
    _print_cases(screen, run)
    _print_unmet(screen, run)


def _counts(run: Run) -> str:
    total = len(run.manifest.keys) + len(run.manifest.without)
    missing = f" ({', '.join(run.missing[:6])})" if run.missing else ""
    parts = [f"n {total}", f"answered {len(run.outcomes) - len(run.failed)}", f"failed {len(run.failed)}"]
    parts.append(f"missing {len(run.missing)}{missing}")
    if run.not_asked:
        parts.append(f"expectations about sections that were not asked for {run.not_asked}")
    if run.unreadable:
        parts.append(f"torn lines {run.unreadable}")
    return escape("; ".join(parts))


def _print_kinds(screen: Console, run: Run) -> None:
    table = Table("check", "level", "met", "not met in")
    screen.print("\nExpectations by kind")
    for kind in run.kinds:
        where = [
            f"{one.key.label}/{score.id}"
            for one in run.outcomes
            for score in one.scores
            if (score.check, score.level) == (kind.check, kind.level) and not score.passed
        ]
        style = "green" if kind.met == kind.n else "red" if kind.level == "must" else "yellow"
        table.add_row(kind.check, kind.level, f"[{style}]{kind.met} of {kind.n}[/]", escape(", ".join(where[:4])))
    screen.print(table)


def _print_cases(screen: Console, run: Run) -> None:
    table = Table("case", "score", "must", "should", "passed", "by engine", "repairs")
    screen.print("\nCases")
    for name in ("input tokens", "output tokens"):
        table.add_column(name, justify="right")
    for one in sorted(run.outcomes, key=lambda one: (one.score, one.key.case, one.key.repeat)):
        got = one.measures
        shares = [
            f"{sum(s.passed for s in one.scores if s.level == level)} of {sum(s.level == level for s in one.scores)}"
            for level in ("must", "should")
        ]
        table.add_row(
            escape(one.key.label),
            _score(one),
            *shares,
            *_shares(one),
            str(got.repair_rounds) if got else "",
            *(got.usage.token_texts[::2] if got else ("", "")),
        )
    screen.print(table)


def _shares(one: Outcome) -> tuple[str, str]:
    """Of the design's artefacts, those that passed any check, and those that an engine ran."""
    got = one.measures
    shares = (got.proven_share(), got.proven_share(Tier.ENGINE)) if got else (None, None)
    first, second = ("none" if share is None else f"{share:.0%}" for share in shares)
    return first, second


def _score(one: Outcome) -> str:
    if one.state == "failed":
        return "[red]failed, 0[/]"
    if not one.musts:
        return "[red]0, no must was asked for[/]"
    return f"[{'green' if one.passed else 'red'}]{one.score:.2f}[/]"


def _print_unmet(screen: Console, run: Run) -> None:
    for one in run.failed:
        _say(screen, f"[red]failed[/] {escape(one.key.label)}: {escape(_short(one.why))}")
    unmet = [
        (one, score) for one in run.outcomes if one.state == "answered" for score in one.scores if not score.passed
    ]
    for one, score in sorted(unmet, key=lambda pair: (pair[1].level, pair[0].key.case))[:MOST]:
        style = "red" if score.level == "must" else "yellow"
        said = escape(f"{one.key.label}/{score.id} ({score.check}): {_short(score.reason)}")
        _say(screen, f"[{style}]{score.level}[/] {said}")
    if len(unmet) > MOST:
        _say(screen, f"and {len(unmet) - MOST} more; the HTML page has all")


def print_comparison(screen: Console, found: Comparison) -> None:
    """The verdicts, then the cases and expectations that turned, worst first."""
    _say(screen, f"before  {escape(str(found.before))}")
    _say(screen, f"after   {escape(str(found.after))}")
    for note in found.notes:
        _say(screen, f"[yellow]note[/] {escape(note)}")
    _say(screen, f"[bold]score[/]   {escape(found.scores.verdict())}")
    _say(screen, f"[bold]passes[/]  {escape(_passes(found.passes))}")
    _say(screen, f"[bold]spent[/]   {_spent(found)}")
    if found.kinds:
        table = Table("check", "before", "after", "of")
        screen.print("\nKinds that changed")
        for kind in found.kinds:
            style = "red" if kind.after < kind.before else "green"
            table.add_row(kind.check, str(kind.before), f"[{style}]{kind.after}[/]", str(kind.n))
        screen.print(table)
    speaking = {one.case for one in found.turned}
    for change in [one for one in found.cases if one.delta or one.case in speaking][:MOST]:
        style = "red" if change.delta < 0 else "green" if change.delta else "yellow"
        _say(
            screen, f"[{style}]{change.delta:+.2f}[/] {escape(change.case)}: {change.before:.2f} to {change.after:.2f}"
        )
        for one in found.turned:
            if one.case == change.case:
                word, when = ("[green]gained[/]", "before") if one.met_after else ("[red]lost[/]", "now")
                said = escape(f"{one.id} ({one.check}), {when}: {_short(one.reason)}")
                _say(screen, f"      {word} {one.level} {said}")


def _spent(found: Comparison) -> str:
    one, two = found.spent
    return f"repairs {one.repairs} before, {two.repairs} now; tokens {one.tokens:,} before, {two.tokens:,} now"


def _passes(found: Paired) -> str:
    gained = sum(change.delta > 0 for change in found.turned)
    lost = len(found.turned) - gained
    return f"turned to pass: {gained or 'none'}; turned to fail: {lost or 'none'}. {found.verdict()}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 240 else line[:237] + "..."


def _say(screen: Console, text: str) -> None:
    """One line, however long: a terminal folds it, and a log keeps it whole."""
    screen.print(text, highlight=False, soft_wrap=True)
