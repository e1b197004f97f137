"""One case on the page: what it was scored by, and below it the prompt, the answer and the evidence themselves.

Whatever a model said is escaped, and stands as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from dbprompt.calls.trace import Exchange, Trace
from dbprompt.errors import OutputError
from dbprompt.evals.measures import Measures
from dbprompt.evals.outcomes import Outcome
from dbprompt.evals.runs import Run
from dbprompt.evals.scorers import Score
from dbprompt.evidence import Evidence, Severity
from dbprompt.messages import Message
from dbprompt.render.evidence import TIER_WORDS, evidence_rows, evidence_summary, status_words
from dbprompt.result import evidence_from_json
from dbprompt.sections import SECTIONS

__all__ = ["anchor", "case_section", "score_anchor"]

MOST_TEXT = 400_000
"""Characters of prompts and answers that a page shows of one case; the run's folder has all of them."""


def anchor(outcome: Outcome) -> str:
    """Where a case stands on the page."""
    return f"case-{outcome.key.case}-{outcome.key.repeat}"


def score_anchor(outcome: Outcome, score: Score) -> str:
    """Where one expectation of a case stands."""
    return f"{anchor(outcome)}-{score.id}"


def case_section(run: Run, one: Outcome) -> str:
    """The chapter of a case."""
    here = anchor(one)
    trace = _trace(run.case_file(one, "trace.json"))
    evidence = _evidence(run.case_file(one, "evidence.json"))
    design = run.case_file(one, "design.json")
    state = "passed" if one.passed else "failed"
    why = f'<p class="warn"><strong>Failed, and scored 0.</strong> {escape(one.why)}</p>' if one.why else ""
    links = " · ".join(f'<a href="#{here}-{name}">{name}</a>' for name in ("prompt", "answer", "design", "evidence"))
    return (
        f'<section id="{here}"><h2><span class="dot {state}"></span>{escape(one.key.label)}: {one.score:.2f}</h2>'
        f'<p class="lead">{escape(_facts(one))}</p><p>{links}</p>{why}'
        f"{_scores(run, one, here)}"
        f"{_folded(f'{here}-prompt', 'Prompt, as it was rendered', _prompt(trace))}"
        f"{_folded(f'{here}-answer', 'Answers, as they came', _answers(trace))}"
        f"{_folded(f'{here}-design', 'Design', _text(design))}"
        f"{_folded(f'{here}-evidence', 'Evidence', _proofs(evidence))}</section>"
    )


def _facts(one: Outcome) -> str:
    got = one.measures
    parts = [one.provenance]
    if got is not None:
        share = got.proven_share()
        parts.append(
            f"{share:.0%} of {got.artefacts} artefacts passed a check" if share is not None else "no artefacts"
        )
        parts.append(f"{got.usage.requests} requests, of these {got.repair_rounds} repairs")
        parts.append("{0} input and {2} output tokens".format(*got.usage.token_texts))
        parts.append(f"{got.seconds or 0:.1f} s")
        if got.cost is not None:
            parts.append(f"cost {got.cost:.4f}")
    alike = ", ".join(f"{name.replace('_', ' ')} {f1:.2f}" for name, f1 in one.likeness.items() if f1 is not None)
    return "; ".join([*filter(None, parts), *([f"likeness to the gold schema (F1): {alike}"] if alike else [])])


def _tiers(got: Measures) -> str:
    """How many artefacts passed, by the strongest that looked at them."""
    by = [f"{got.proven[tier]} by {TIER_WORDS[tier]}" for tier in TIER_WORDS if got.proven.get(tier)]
    left = [f"{got.failed} failed"] * bool(got.failed) + [f"{got.open} undecided or not checked"] * bool(got.open)
    return f"{got.artefacts} artefacts: " + (", ".join([*by, *left]) or "none passed")


def _scores(run: Run, one: Outcome, here: str) -> str:
    why = run.manifest.why.get(one.key.case, {})
    listed = sorted(one.scores, key=lambda score: (score.passed, score.level, score.id))
    rows = "".join(
        f'<tr id="{escape(score_anchor(one, score))}"><td><span class="dot {"passed" if score.passed else "failed"}">'
        f"</span>{'met' if score.passed else 'not met'}</td><td>{escape(score.level)}</td>"
        f'<td><a href="#kind-{escape(score.check)}">{escape(score.check)}</a><br><code>{escape(score.id)}</code></td>'
        f'<td>{escape(score.reason)}<br><span class="soft">{escape(why.get(score.id, ""))}</span></td>'
        f'<td class="where"><a href="#{here}-design">{_places(score)}</a></td></tr>'
        for score in listed
    )
    left_out = "".join(
        f'<tr><td><span class="dot not_checked"></span>not asked</td><td></td><td><code>{escape(name)}</code></td>'
        f"<td>section {escape(section)} was not asked for in this run</td><td></td></tr>"
        for name, section in one.not_asked.items()
    )
    return (
        '<div class="wide"><table><thead><tr><th>Result</th><th>Level</th><th>Check</th><th>What was found, and why it '
        f"is wanted</th><th>Where</th></tr></thead><tbody>{rows}{left_out}</tbody></table></div>"
    )


def _places(score: Score) -> str:
    more = f"<br>and {len(score.where) - 3} more" if len(score.where) > 3 else ""
    return "<br>".join(f"<code>{escape(where)}</code>" for where in score.where[:3]) + more


def _folded(name: str, title: str, body: str) -> str:
    """A part that opens when a link leads into it, without a script: browsers open what holds their target."""
    return f'<details class="proof"><summary><strong>{title}</strong></summary><div id="{name}">{body}</div></details>'


def _text(text: str | None) -> str:
    if text is None:
        return "<p>The run's folder does not have it.</p>"
    cut = "" if len(text) <= MOST_TEXT else f"\n[{len(text) - MOST_TEXT:,} characters more in the run's folder]"
    return f"<pre><code>{escape(text[:MOST_TEXT] + cut)}</code></pre>"


def _prompt(trace: Trace | None) -> str:
    if trace is None:
        return _text(None)
    shared = trace.shared
    first = "".join(map(_said, shared))
    return f"<h4>In every request</h4>{first}" + "".join(
        _turns(trace, lambda one: "".join(map(_said, one.messages[len(shared) :])))
    )


def _answers(trace: Trace | None) -> str:
    if trace is None:
        return _text(None)
    return "".join(_turns(trace, lambda one: _text(one.answer or f"{one.error_type}: {one.error}")))


def _turns(trace: Trace, body: Callable[[Exchange], str]) -> Iterator[str]:
    """In the order of a document, each section's in the order in which they came."""
    order: dict[str, int] = {name: at for at, name in enumerate(SECTIONS)}
    seen: dict[str, int] = {}
    for one in sorted(trace, key=lambda one: order.get(one.section, -1)):
        seen[one.section] = seen.get(one.section, 0) + 1
        word = "" if seen[one.section] == 1 else f", request {seen[one.section]}"
        yield f"<h4>{escape(one.section or 'answer')}{word}</h4>{body(one)}"


def _said(message: Message) -> str:
    return f'<p class="soft">{escape(message.role.value)}</p>{_text(message.text)}'


def _trace(text: str | None) -> Trace | None:
    try:
        return Trace.from_json(text) if text is not None else None
    except OutputError:
        return None


def _evidence(text: str | None) -> Evidence | None:
    try:
        return evidence_from_json(text) if text is not None else None
    except OutputError:
        return None


def _proofs(evidence: Evidence | None) -> str:
    if evidence is None:
        return _text(None)
    order = list(Severity)
    findings = "".join(
        f"<tr><td>{escape(finding.severity)}</td><td><code>{escape(finding.code)}</code></td>"
        f"<td>{escape(finding.message)}</td><td><code>{escape(finding.where)}</code></td></tr>"
        for finding in sorted(evidence.findings, key=lambda finding: order.index(finding.severity))
    )
    rows = "".join(
        f'<tr><td><span class="dot {row.status.value}"></span>{escape(row.artefact)}</td>'
        f"<td>{escape(status_words(row))}</td><td>{escape(', '.join((row.checker, *row.also)))}</td>"
        f"<td>{escape('; '.join(row.uncovered))}</td></tr>"
        for row in evidence_rows(evidence)
    )
    left = f'<h4>Findings that are left</h4><div class="wide"><table>{findings}</table></div>' if findings else ""
    return (
        f"<p>{escape(evidence_summary(evidence))}</p>{left}<h4>Artefacts</h4>"
        '<div class="wide"><table><thead><tr><th>What</th><th>Verdict</th><th>By</th><th>What that does not say</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
