"""Writes `docs/faults.md` from the table: `make faults`."""

from __future__ import annotations

from pathlib import Path

from table import GROUPS, TRIES, End, Right, Row

__all__ = ["PAGE", "faults_markdown"]

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

_HEAD = f"""# Faults

<!-- Written by `make faults` from tests/faults/table.py; edit there. -->

What goes wrong between you and a model, and what you get for it: the right object after so many requests, or which
error with what in it. Never half an object, never a hang, never another library's exception, never a retry that cannot
help. Each row is a test over HTTP against a server on loopback, through `Client.run`, `AsyncClient.run`,
`Client.stream` and `AsyncClient.stream`, with Anthropic's Messages, OpenAI's Responses and chat completions: twelve
calls a row, each held to its end, to the requests that the server saw, to its time, and to leaving no connection open.

Where a fault may pass, a request is sent {TRIES} times in all (`RetryPolicy.attempts`); where an answer is wrong, it is
sent back up to {TRIES - 1} times (`Client.attempts`). An answer that is streamed to you is not asked for again once you
have its first piece: the error's `partial` holds the items that were finished. The times are those of a quiet
machine, with waits of 5 to 10 ms between tries; yours are as long as `RetryPolicy` says, and after a 429 without
`Retry-After` at least 1, 2, 4 s and so on, 30 s at most. [Each row was seen to fail](faults_mutations.md) with the code
that handles it removed.

Two things are not held: the look-up of a host's name by plain code, which the operating system bounds; and an SDK
client of your own (`sdk=`), which keeps its transport: there a whole body that trickles may outlast a deadline in plain
code, and no size is counted.
"""

_ERRORS = {
    "anthropic": "Anthropic",
    "openai": "Responses",
    "compatible": "chat completions",
}


def faults_markdown() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_group(title, rows) for title, rows in GROUPS.items())])


def _group(title: str, rows: tuple[Row, ...]) -> str:
    lines = [_line(row) for row in rows]
    head = f"## {title}\n\n| what happens | what you get | requests | within |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    ends: list[tuple[str, End]] = [("", row.whole)]
    if row.streamed is not None and row.streamed != row.whole:
        ends.append(("streamed: ", row.streamed))
    for who, end in row.but.items():
        api, _, mode = who.partition("/")
        ends.append((f"{_ERRORS[api]}{', streamed' if mode == 'streamed' else ''}: ", end))
    told = "<br>".join(lead + _end(end) for lead, end in ends)
    counts = "<br>".join(f"{end.requests}" for _, end in ends)
    after = f"{row.after_s:g} to " if row.after_s else ""
    return f"| {_name(row)} | {told} | {counts} | {after}{row.within_s:g} s |"


def _name(row: Row) -> str:
    more = []
    if row.timeout_s < 1:
        more.append(f"timeout_s={row.timeout_s:g}")
    if row.deadline_s is not None:
        more.append(f"deadline_s={row.deadline_s:g}")
    return row.name + (f" (`{', '.join(more)}`)" if more else "")


def _end(end: End) -> str:
    if isinstance(end, Right):
        return "the right object"
    holds = [f"“{words}”" for words in end.says]
    holds += [f"`.status` {end.status}"] if end.status is not None else []
    holds += [f"`.retry_after` {end.retry_after:g}"] if end.retry_after is not None else []
    holds += [f"`.findings`: `{end.finding}`{f' at `{end.where}`' if end.where else ''}"] if end.finding else []
    holds += ["`.partial`: what was finished"] if end.partial is not None else []
    return f"`{end.kind.__name__}`" + (f": {', '.join(holds)}" if holds else "")


if __name__ == "__main__":
    PAGE.write_text(faults_markdown(), encoding="utf-8")
