"""A run as one self-contained page: counts, plots, and each number a click from the prompt, answer and evidence.

It needs no script and loads nothing, so it can be kept with a build and sent by mail.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files

from dbprompt.evals.compare import Comparison
from dbprompt.evals.outcomes import Outcome
from dbprompt.evals.report_case import anchor, case_section, score_anchor
from dbprompt.evals.report_plots import Bar, Move, Point, bars, moves, scatter
from dbprompt.evals.runs import Kind, Run
from dbprompt.evals.statistics import wilson

__all__ = ["run_page"]


def run_page(run: Run, against: Comparison | None = None) -> str:
    """The page.

    Args:
        run: what is shown.
        against: the same run compared with a baseline.
    """
    chapters = [("summary", "Summary", _summary(run))]
    if against is not None:
        chapters.append(("against", "Against the baseline", _against(against)))
    if run.outcomes:
        chapters += [("kinds", "By check kind", _kinds(run)), ("cost", "Cost against quality", _cost(run, against))]
    listed = [(name, title, False) for name, title, _ in chapters]
    listed += [(anchor(one), one.key.label, not one.passed) for one in run.outcomes]
    nav = "".join(
        f'<li><a href="#{name}">{escape(title)}{" <b>✗</b>" if bad else ""}</a></li>' for name, title, bad in listed
    )
    body = "".join(f'<section id="{name}">{html}</section>' for name, _, html in chapters)
    cases = "".join(case_section(run, one) for one in run.outcomes)
    about = run.manifest
    foot = f"dbprompt {about.dbprompt}, begun {about.started_at}, partitions counted from {about.as_of}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(about.suite)}: {escape(about.prompt)}</title><style>{_css()}</style></head>"
        f'<body><div class="frame"><nav aria-label="Contents"><ol>{nav}</ol></nav>'
        f"<main>{body}{cases}<footer>{escape(foot)}</footer></main></div></body></html>\n"
    )


def _css() -> str:
    house = (files("dbprompt.render") / "page.css").read_text(encoding="utf-8")
    return house + (files("dbprompt.evals") / "report_page.css").read_text(encoding="utf-8")


def _summary(run: Run) -> str:
    about = run.manifest
    sections = f"; sections {', '.join(about.sections)}" if about.sections else ""
    tally = "".join(
        f'<li><span class="dot {tone}"></span>{number:,} {word}</li>'
        for tone, number, word in (
            ("passed", sum(one.passed for one in run.outcomes), "passed"),
            ("inconclusive", sum(not one.passed and one.state == "answered" for one in run.outcomes), "not every must"),
            ("failed", len(run.failed), "failed, scored 0"),
            ("not_checked", len(run.missing), "missing"),
        )
    )
    missing = f"<p>Missing: {escape(', '.join(run.missing))}.</p>" if run.missing else ""
    left_out = (
        f"<p>{run.not_asked} expectations are about sections that this run did not ask for; they count for nothing.</p>"
        if run.not_asked
        else ""
    )
    if not run.outcomes:
        return f"<h1>{escape(about.suite)}</h1><p>Nothing was done yet.</p>{missing}"
    rate, said = run.pass_rate, ", ".join(dict.fromkeys(one.source for one in run.outcomes))
    figures = [
        (f"{sum(run.passes.values())} of {len(run.passes)}", "cases meet every must", _span(rate.low, rate.high)),
        (f"{run.mean_score:.2f}", "mean score", "share of musts met; failed cases are in it with 0"),
        (f"{run.usage.input_tokens + run.usage.output_tokens:,}", "tokens", f"{run.usage.requests} requests"),
        (f"{run.seconds:,.1f} s", "time of all cases", "" if run.cost is None else f"cost {run.cost:.4f}"),
    ]
    tiles = "".join(f"<li><b>{escape(b)}</b>{escape(t)}<small>{escape(s)}</small></li>" for b, t, s in figures)
    return (
        f'<h1>{escape(about.suite)}</h1><p class="lead">{escape(about.prompt)}, {escape(about.model)}, '
        f"answers {escape(said)}{escape(sections)}. A click on a bar or a number leads to its case.</p>"
        f'<ul class="tiles">{tiles}</ul><ul class="tally">{tally}</ul>{missing}{left_out}'
        f"<h3>Cases</h3>{_case_plot(run)}"
    )


def _span(low: float, high: float) -> str:
    return f"the share is between {low:.0%} and {high:.0%} (Wilson, 95 %)"


def _case_plot(run: Run) -> str:
    rows = [
        Bar(
            label=one.key.label,
            share=one.score,
            said=_said(one),
            href=anchor(one),
            tone="passed" if one.passed else "failed",
        )
        for one in sorted(run.outcomes, key=lambda one: (one.score, one.key.case, one.key.repeat))
    ]
    return f'<div class="wide">{bars(rows, "Score of each case")}</div>'


def _said(one: Outcome) -> str:
    if one.state == "failed":
        return "failed"
    met = sum(score.passed for score in one.musts)
    return f"{met} of {len(one.musts)} must" if one.musts else "no must was asked for"


def _kinds(run: Run) -> str:
    rows = [
        Bar(
            label=kind.check,
            share=kind.met / kind.n,
            said=f"{kind.met} of {kind.n} {kind.level}",
            href=f"kind-{kind.check}",
            tone="passed" if kind.met == kind.n else "failed" if kind.level == "must" else "inconclusive",
        )
        for kind in run.kinds
    ]
    listed = "".join(_kind_row(run, kind) for kind in _once(run.kinds))
    return (
        "<h2>By check kind</h2><p>Expectations met, over all cases and repeats; the worst first. The interval in the "
        "table is Wilson's, and takes each expectation for itself.</p>"
        f'<div class="wide">{bars(rows, "Expectations met by check kind")}</div>'
        '<div class="wide"><table><thead><tr><th>Check</th><th>Met</th><th>95 %</th><th>Each expectation</th></tr>'
        f"</thead><tbody>{listed}</tbody></table></div>"
    )


def _once(kinds: tuple[Kind, ...]) -> Iterator[Kind]:
    """Each check once, both levels together."""
    for check in dict.fromkeys(kind.check for kind in kinds):
        of = [kind for kind in kinds if kind.check == check]
        yield Kind(check, sum(k.n for k in of), sum(k.met for k in of), " and ".join(sorted(k.level for k in of)))


def _kind_row(run: Run, kind: Kind) -> str:
    links = " ".join(
        f'<a class="claim {"passed" if score.passed else "failed"}" href="#{escape(score_anchor(one, score))}">'
        f"{escape(one.key.label)}/{escape(score.id)}</a>"
        for one in run.outcomes
        for score in sorted(one.scores, key=lambda score: score.passed)
        if score.check == kind.check
    )
    between = wilson(kind.met, kind.n)
    return (
        f'<tr id="kind-{escape(kind.check)}"><td><code>{escape(kind.check)}</code></td><td>{kind.met} of {kind.n}</td>'
        f'<td>{between.low:.0%} to {between.high:.0%}</td><td class="links">{links}</td></tr>'
    )


def _cost(run: Run, against: Comparison | None) -> str:
    both = [(run, 0)] + ([(against.before, 1)] if against is not None else [])
    priced = all(one.cost is not None for one, _ in both)
    points = [
        Point(one.key.label + (" (baseline)" if group else ""), _spent(one, priced), one.score, anchor(one), group)
        for whose, group in both
        for one in whose.outcomes
        if group == 0 or one.key.case in run.by_case
    ]
    unit = "cost of a case, in US dollars" if priced else "tokens of a case, input and output (no price is known)"
    return f'<h2>Cost against quality</h2><div class="wide">{scatter(points, unit, "Cost against score")}</div>'


def _spent(one: Outcome, priced: bool) -> float:
    if one.measures is None:
        return 0.0
    usage = one.measures.usage
    return one.measures.cost or 0.0 if priced else float(usage.input_tokens + usage.output_tokens)


def _against(found: Comparison) -> str:
    after = {case: anchor(repeats[0]) for case, repeats in found.after.by_case.items()}
    notes = "".join(f'<p class="warn">{escape(note)}</p>' for note in found.notes)
    case_moves = [
        Move(one.case, one.before, one.after, f"{one.before:.2f} to {one.after:.2f}", after[one.case])
        for one in found.cases
    ]
    kind_moves = [
        Move(k.check, k.before / k.n, k.after / k.n, f"{k.before} to {k.after} of {k.n}", f"kind-{k.check}")
        for k in found.kinds
    ]
    by_kind = f'<h3>Check kinds that changed</h3><div class="wide">{moves(kind_moves, "Kinds")}</div>'
    turned = "".join(
        f'<tr><td><span class="dot {"passed" if one.met_after else "failed"}"></span>'
        f"{'gained' if one.met_after else 'lost'}</td><td>{escape(one.check)}<br>{escape(one.level)}</td>"
        f'<td class="said"><a href="#{after[one.case]}-{escape(one.id)}">{escape(one.case)}/{escape(one.id)}</a>'
        f"<br>{'before' if one.met_after else 'now'}: {escape(one.reason)}</td></tr>"
        for one in found.turned
    )
    spent = [f"{one.repairs} repairs, {one.tokens:,} tokens" for one in found.spent]
    return (
        f'<h2>Against the baseline</h2><p class="lead">Before: {escape(str(found.before))}. '
        f"After: {escape(str(found.after))}.</p>{notes}"
        f"<p><strong>Score: {escape(found.scores.verdict())}</strong> Bootstrap over cases.</p>"
        f"<p><strong>Cases that pass: {escape(found.passes.verdict())}</strong> Exact McNemar test.</p>"
        f"<p>Spent on these cases before: {spent[0]}. Now: {spent[1]}.</p>"
        f'<div class="wide">{moves(case_moves, "Score of each case before and after")}</div>'
        '<p class="soft">Hollow: before. Filled: after.</p>'
        + (by_kind if kind_moves else "<p>No check kind changed.</p>")
        + (f'<h3>Expectations that turned</h3><div class="wide"><table>{turned}</table></div>' if turned else "")
    )
