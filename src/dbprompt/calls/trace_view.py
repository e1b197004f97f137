"""A trace in a notebook: a short table, and below each row its prompt and its answer, folded. Text stays text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from dbprompt.calls.exchange import Exchange
from dbprompt.messages import Message, StopReason
from dbprompt.render import markdown

__all__ = ["trace_html", "trace_markdown"]

MOST_ROWS = 100
MOST_TEXT = 40_000
"""Characters that a notebook shows of one text; a file has all of them."""

_HEADS = ("#", "Section", "Asked", "Ended", "Tokens in", "out", "Seconds")

# Mid tones that can be told apart on white and on black alike; the word stands beside the colour in any case.
_GOOD, _BAD = "#2e9e5b", "#d9534f"
_CELL = "padding:.25em .9em .25em 0;vertical-align:top"
_EDGE = f"{_CELL};border-top:1px solid rgba(128,128,128,.3)"
_PRE = (
    "white-space:pre-wrap;overflow-wrap:anywhere;max-height:24em;overflow:auto;margin:.3em 0;padding:.5em .7em;"
    "border-left:3px solid rgba(128,128,128,.35);background:rgba(128,128,128,.08);color:inherit;text-align:left"
)


def trace_html(title: str, exchanges: Sequence[Exchange], shared: Sequence[Message]) -> str:
    """The fragment: self-contained, without a script, readable on light and dark.

    Args:
        title: the line above.
        exchanges: what is shown.
        shared: messages with which every one of them begins; they are shown once.
    """
    heads = "".join(f'<th style="{_CELL};text-align:{_side(at)}">{head}</th>' for at, head in enumerate(_HEADS))
    body = "".join(
        f"<tr>{_cells(at, turn, one)}</tr>"
        f'<tr style="background:none"><td></td><td colspan="{len(_HEADS) - 1}" style="{_CELL};text-align:left">'
        f"{_folded('prompt', _said(one.messages[len(shared) :]))}{_folded(_what(one), _pre(_answer(one)))}</td></tr>"
        for at, (turn, one) in enumerate(_turns(exchanges), start=1)
    )
    begins = _folded("In every request", _said(shared)) if shared else ""
    return _showable(
        '<div style="color:inherit;background:transparent;line-height:1.4;max-width:70em">'
        f"<p><strong>{escape(title)}</strong></p>{begins}"
        f'<table style="border-collapse:collapse;color:inherit;font:inherit;width:100%"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>{_more(len(exchanges))}</div>"
    )


def trace_markdown(title: str, exchanges: Sequence[Exchange], shared: Sequence[Message]) -> str:
    """The same as Markdown; what is folded is so where `<details>` is known."""
    shown = list(enumerate(_turns(exchanges), start=1))
    rows = [[str(at), *map(markdown.cell, _told(turn, one)), *_numbers(one)] for at, (turn, one) in shown]
    begins = [_details("In every request", [_plain(message) for message in shared])] if shared else []
    folded = [
        _details(f"{at}. {turn}", [*map(_plain, one.messages[len(shared) :]), (_what(one), _answer(one))])
        for at, (turn, one) in shown
    ]
    table = markdown.table(_HEADS, rows, align="llllrrr")
    return _showable("\n\n".join([f"**{markdown.text(title)}**", table, *begins, *folded]) + "\n")


def _showable(text: str) -> str:
    """The text as a notebook can send it on: half of a letter is written as `\\ud800`."""
    return text.encode("utf-8", "backslashreplace").decode()


def _turns(exchanges: Sequence[Exchange]) -> Iterator[tuple[str, Exchange]]:
    """What is shown, with what each was: the first request of a section, a repair of it, or another try."""
    repairs: dict[str, int] = {}
    for one in exchanges[:MOST_ROWS]:
        if one.attempt == 1:
            repairs[one.section] = repairs.get(one.section, -1) + 1
        repair = f", repair {repairs[one.section]}" if repairs.get(one.section) else ""
        again = f", try {one.attempt}" if one.attempt > 1 else ""
        yield (one.section or "answer") + repair + again, one


def _told(turn: str, one: Exchange) -> tuple[str, str, str]:
    waited = f" after {one.waited_s:.1f} s" if one.waited_s else ""
    return turn + waited, one.asked, one.ended


def _numbers(one: Exchange) -> tuple[str, str, str]:
    seconds = "" if one.seconds is None else f"{one.seconds:.2f}"
    asked, _, answered = one.usage.token_texts if one.stop is not None else ("", "", "")
    return asked, answered, seconds


def _cells(at: int, turn: str, one: Exchange) -> str:
    tone = _GOOD if one.stop is StopReason.COMPLETE else _BAD
    section, asked, ended = map(escape, _told(turn, one))
    cells = (str(at), section, asked, f'<span style="color:{tone}">●</span> {ended}', *_numbers(one))
    return "".join(f'<td style="{_EDGE};text-align:{_side(n)}">{cell}</td>' for n, cell in enumerate(cells))


def _side(column: int) -> str:
    return "right" if column > 3 else "left"


def _folded(title: str, body: str) -> str:
    return f'<details style="margin:.1em 0"><summary style="cursor:pointer">{title}</summary>{body}</details>'


def _said(messages: Sequence[Message]) -> str:
    return "".join(f"<small>{escape(role)}</small>{_pre(text)}" for role, text in map(_plain, messages))


def _pre(text: str) -> str:
    return f'<pre style="{_PRE}">{escape(_cut(text))}</pre>'


def _plain(message: Message) -> tuple[str, str]:
    return message.role.value, message.text


def _what(one: Exchange) -> str:
    return "error" if one.error_type else "answer"


def _answer(one: Exchange) -> str:
    return one.answer or (f"{one.error_type}: {one.error}" if one.error_type else "")


def _cut(text: str) -> str:
    left = len(text) - MOST_TEXT
    return text if left <= 0 else f"{text[:MOST_TEXT]}\n[{left:,} characters more; trace.save(path) writes all]"


def _details(title: str, texts: Sequence[tuple[str, str]]) -> str:
    blocks = "\n\n".join(f"{markdown.text(who)}\n\n{markdown.fenced(_cut(text), '')}" for who, text in texts)
    return f"<details><summary>{escape(title)}</summary>\n\n{blocks}\n\n</details>"


def _more(count: int) -> str:
    return f"<p>and {count - MOST_ROWS} more</p>" if count > MOST_ROWS else ""
