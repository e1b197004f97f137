"""The page's plots as SVG of our own: they take the page's colours, and each mark leads to what it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Bar", "Move", "Point", "bars", "moves", "scatter"]

TRACK, ROW, VALUE = 420, 26, 130


@dataclass(frozen=True, slots=True)
class Bar:
    """A share from 0 to 1 with its words; `low` and `high` are its interval, if it has one."""

    label: str
    share: float
    said: str
    href: str
    tone: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A share before and after."""

    label: str
    before: float
    after: float
    said: str
    href: str


@dataclass(frozen=True, slots=True)
class Point:
    """A case: what it cost, what it scored. `group` is 0 for this run and 1 for the one it is compared with."""

    label: str
    cost: float
    score: float
    href: str
    group: int = 0


def bars(rows: Sequence[Bar], title: str) -> str:
    """A row for each share."""
    left = _room(row.label for row in rows)
    parts = [_grid(len(rows), left)]
    for at, bar in enumerate(rows):
        y = at * ROW
        width = max(2.0, bar.share * TRACK)
        parts.append(
            f'<a href="#{escape(bar.href)}"><title>{escape(f"{bar.label}: {bar.said}")}</title>'
            f'<rect class="hit" x="0" y="{y}" width="{left + TRACK + VALUE}" height="{ROW}"/>'
            f'<text class="name" x="{left - 12}" y="{y + 17}">{escape(_cut(bar.label))}</text>'
            f'<rect class="track" x="{left}" y="{y + 6}" width="{TRACK}" height="14" rx="3"/>'
            f'<rect class="{escape(bar.tone)}" x="{left}" y="{y + 6}" width="{width:.1f}" height="14" rx="3"/>'
            f"{_whisker(bar, left, y)}"
            f'<text class="value" x="{left + TRACK + 12}" y="{y + 17}">{escape(bar.said)}</text></a>'
        )
    return _svg(left + TRACK + VALUE, len(rows) * ROW + 24, "".join(parts) + _shares(len(rows) * ROW, left), title)


def _whisker(bar: Bar, start: int, y: int) -> str:
    if bar.low is None or bar.high is None:
        return ""
    left, right, middle = start + bar.low * TRACK, start + bar.high * TRACK, y + 13
    return (
        f'<path class="whisker" d="M{left:.1f} {middle - 4}V{middle + 4}M{left:.1f} {middle}H{right:.1f}'
        f'M{right:.1f} {middle - 4}V{middle + 4}"/>'
    )


def moves(rows: Sequence[Move], title: str) -> str:
    """A row for each share that was one thing before and is another after: hollow before, filled after."""
    left = _room(row.label for row in rows)
    parts = [_grid(len(rows), left)]
    for at, move in enumerate(rows):
        y = at * ROW + 13
        tone = "failed" if move.after < move.before else "passed" if move.after > move.before else "same"
        one, two = left + move.before * TRACK, left + move.after * TRACK
        parts.append(
            f'<a href="#{escape(move.href)}"><title>{escape(f"{move.label}: {move.said}")}</title>'
            f'<rect class="hit" x="0" y="{y - 13}" width="{left + TRACK + VALUE}" height="{ROW}"/>'
            f'<text class="name" x="{left - 12}" y="{y + 4}">{escape(_cut(move.label))}</text>'
            f'<path class="way {tone}" d="M{one:.1f} {y}H{two:.1f}"/>'
            f'<circle class="before" cx="{one:.1f}" cy="{y}" r="5"/>'
            f'<circle class="{tone}" cx="{two:.1f}" cy="{y}" r="5"/>'
            f'<text class="value" x="{left + TRACK + 12}" y="{y + 4}">{escape(move.said)}</text></a>'
        )
    return _svg(left + TRACK + VALUE, len(rows) * ROW + 24, "".join(parts) + _shares(len(rows) * ROW, left), title)


def scatter(points: Sequence[Point], unit: str, title: str) -> str:
    """Cost to the right, score upwards. Points that would hide each other are drawn with a little room between."""
    left, bottom, width, height = 56, 260, 600, 220
    top = _nice(max((point.cost for point in points), default=1.0) or 1.0)
    parts = [f'<path class="axis" d="M{left} {bottom - height}V{bottom}H{left + width}"/>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = bottom - share * height, left + share * width
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{left + width}"/>')
        parts.append(f'<text class="tick end" x="{left - 8}" y="{y + 4:.1f}">{share:.2f}</text>')
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{bottom + 18}">{_figure(share * top)}</text>')
    parts.append(f'<text class="tick mid" x="{left + width / 2:.1f}" y="{bottom + 38}">{escape(unit)}</text>')
    parts.append(f'<text class="tick" x="{left - 48}" y="{bottom - height - 12}">score</text>')
    taken: dict[tuple[int, int], int] = {}
    for point in sorted(points, key=lambda point: point.group, reverse=True):
        x, y = left + point.cost / top * width, bottom - point.score * height
        place = (round(x / 90), round(y / 14))
        taken[place] = taken.get(place, 0) + 1
        lift = (taken[place] - 1) * 14
        tone = "before" if point.group else "passed" if point.score == 1 else "failed"
        end = x > left + width * 0.8
        parts.append(
            f'<a href="#{escape(point.href)}"><title>{escape(f"{point.label}: {point.score:.2f}, ")}'
            f"{_figure(point.cost)} {escape(unit)}</title>"
            f'<circle class="{tone}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
            f'<text class="tick{" end" if end else ""}" x="{x - 10 if end else x + 10:.1f}" '
            f'y="{y + 4 + lift:.1f}">{escape(point.label)}</text></a>'
        )
    return _svg(left + width + 100, bottom + 50, "".join(parts), title)


def _room(labels: Iterable[str]) -> int:
    """How wide the column of names is, at 7.5 units a character: a phone has no room to spare."""
    return 20 + round(7.5 * max((len(_cut(label)) for label in labels), default=0))


def _grid(rows: int, left: int) -> str:
    return "".join(
        f'<path class="grid" d="M{left + share * TRACK:.1f} 0V{rows * ROW + 4}"/>' for share in (0, 0.25, 0.5, 0.75, 1)
    )


def _shares(y: int, left: int) -> str:
    return "".join(
        f'<text class="tick mid" x="{left + share * TRACK:.1f}" y="{y + 18}">{share:.0%}</text>'
        for share in (0, 0.5, 1)
    )


def _svg(width: float, height: float, body: str, title: str) -> str:
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 -4 {width:.0f} {height + 4:.0f}" '
        f'width="{width:.0f}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )


def _cut(label: str) -> str:
    return label if len(label) <= 34 else label[:33] + "…"


def _nice(top: float) -> float:
    """The next round figure: 1, 2, 2.5 or 5 times a power of ten."""
    power = math.pow(10, math.floor(math.log10(top)))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= top)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.3g}"
