"""The ER diagram as a picture (SVG): tables as boxes, parents above their children, crow's feet at the many side.

Poor: boxes in the order of the file, with lines across them. Better: a table stands one row below the lowest table that
it refers to, so that a line leads up from child to parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from dbprompt.render.postgres import type_name
from dbprompt.sections.schema import ForeignKey, Schema, Table

__all__ = ["er_picture"]

LETTER, LINE, HEAD, PAD = 7.2, 18, 26, 10
GAP_X, GAP_Y, EDGE = 52, 74, 64
WIDEST = 1150
_STYLE = (
    "svg.er text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1d2430}"
    "svg.er .t{font-weight:700;fill:#fff}"
    "svg.er .k{fill:#7a828f}"
    "svg.er .b{fill:#fff;stroke:#9aa4b2}"
    "svg.er .h{fill:#33507a}"
    "svg.er .e{fill:none;stroke:#5b6472;stroke-width:1.3}"
    "svg.er .o{fill:#fff;stroke:#5b6472;stroke-width:1.3}"
)


@dataclass(frozen=True, slots=True)
class _Box:
    table: Table
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        return HEAD + LINE * len(self.table.columns) + 6

    @property
    def bottom(self) -> float:
        return self.y + self.height


def er_picture(schema: Schema) -> str:
    """The picture. Names are identifiers and types are ours, so nothing in it is free text."""
    boxes = {box.table.name: box for box in _placed(schema)}
    width = max((box.x + box.width for box in boxes.values()), default=0) + EDGE
    height = max((box.bottom for box in boxes.values()), default=0) + EDGE
    edges = [edge for box in boxes.values() for edge in _edges(box, boxes)]
    drawn = [part for box in boxes.values() for part in _drawn(box)]
    return (
        f'<svg class="er" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" '
        f'style="max-width:100%" role="img" aria-label="entity relationship diagram of {len(boxes)} tables">'
        f"<style>{_STYLE}</style>{''.join(edges)}{''.join(drawn)}</svg>"
    )


def _placed(schema: Schema) -> Iterator[_Box]:
    """Row by row, each in the middle; a row that would be too wide goes on below itself."""
    lines = [line for row in _rows(schema) for line in _lines(row)]
    widest = max((_span(line) for line, _ in lines), default=0)
    y = float(EDGE)
    for line, ends_row in lines:
        x, lowest = EDGE + (widest - _span(line)) / 2, y
        for table in line:
            box = _Box(table, x, y, _width(table))
            lowest = max(lowest, box.bottom)
            x += box.width + GAP_X
            yield box
        y = lowest + (GAP_Y if ends_row else GAP_Y / 2)


def _lines(row: list[Table]) -> Iterator[tuple[list[Table], bool]]:
    """A row in pieces that fit, each with whether it is the last."""
    line: list[Table] = []
    for table in row:
        if line and _span([*line, table]) > WIDEST:
            yield line, False
            line = []
        line.append(table)
    yield line, True


def _span(tables: list[Table]) -> float:
    return sum(map(_width, tables)) + GAP_X * (len(tables) - 1)


def _rows(schema: Schema) -> list[list[Table]]:
    """Each table one row below its lowest parent; of a cycle, the key that closes it does not count."""
    tables = {table.name: table for table in schema.tables}
    depth: dict[str, int | None] = {}

    def of(name: str) -> int:
        if name not in depth:
            depth[name] = None  # on the way up: a key that leads back here closes a cycle
            parents = sorted({key.references for key in tables[name].foreign_keys} & tables.keys())
            above = [of(parent) for parent in parents if parent not in depth or depth[parent] is not None]
            depth[name] = 1 + max(above, default=-1)
        return depth[name] or 0

    rows: dict[int, list[Table]] = {}
    for table in schema.tables:
        rows.setdefault(of(table.name), []).append(table)
    return [rows[at] for at in sorted(rows)]


def _width(table: Table) -> float:
    longest = max(len(f"{column.name} {type_name(column)}") + 7 for column in table.columns)
    return PAD * 2 + LETTER * max(longest, len(table.name) + 2)


def _drawn(box: _Box) -> Iterator[str]:
    table = box.table
    keys = {name for key in table.foreign_keys for name in key.columns}
    unique = {unique.columns[0] for unique in table.uniques if len(unique.columns) == 1}
    yield f'<rect class="b" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5"/>'
    corner, side = HEAD - 5, box.width - 10
    yield f'<path class="h" d="M{box.x:.1f} {box.y + HEAD:.1f}v-{corner}q0-5 5-5h{side:.1f}q5 0 5 5v{corner}z"/>'
    yield f'<text class="t" x="{box.x + PAD:.1f}" y="{box.y + 17:.1f}">{escape(table.name)}</text>'
    for at, column in enumerate(table.columns):
        y = box.y + HEAD + LINE * at + 15
        marks = [
            mark
            for mark, holds in (
                ("PK", column.name in table.primary_key),
                ("FK", column.name in keys),
                ("UK", column.name in unique),
            )
            if holds
        ]
        kind = type_name(column) + ("?" if column.nullable else "")
        words = f'{escape(column.name)} <tspan class="k">{escape(kind)}</tspan>'
        yield f'<text x="{box.x + PAD:.1f}" y="{y:.1f}">{words}</text>'
        if marks:
            yield (
                f'<text class="k" x="{box.x + box.width - PAD:.1f}" y="{y:.1f}" text-anchor="end">'
                f"{','.join(marks[:2])}</text>"
            )


def _edges(box: _Box, boxes: Mapping[str, _Box]) -> Iterator[str]:
    drawn = [key for key in box.table.foreign_keys if key.references in boxes]
    for at, key in enumerate(drawn, start=1):
        yield _edge(box, boxes[key.references], key, at / (len(drawn) + 1), boxes)


def _edge(child: _Box, parent: _Box, key: ForeignKey, share: float, boxes: Mapping[str, _Box]) -> str:
    """From the child's upper edge to the parent's lower one; round the left side where a box stands between them."""
    optional = any((column := child.table.column(name)) and column.nullable for name in key.columns)
    one = set(key.columns) == set(child.table.primary_key) or any(
        set(unique.columns) == set(key.columns) for unique in child.table.uniques
    )
    sx, sy = child.x + child.width * share, child.y
    tx, ty = parent.x + parent.width * min(max((sx - parent.x) / parent.width, 0.15), 0.85), parent.bottom
    between = [box for box in boxes.values() if parent.bottom < box.y and box.bottom < child.y]
    blocked = [box for box in between if box.x - 6 < max(sx, tx) and min(sx, tx) < box.x + box.width + 6]
    if parent.bottom < child.y and not blocked:
        middle = (sy + ty) / 2
        line = f"M{sx:.1f} {sy:.1f}C{sx:.1f} {middle:.1f} {tx:.1f} {middle:.1f} {tx:.1f} {ty:.1f}"
        return f'<path class="e" d="{line}"/>{_many(sx, sy, one=one)}{_single(tx, ty, optional=optional)}'
    sy, ty = child.y + HEAD * (0.3 + 0.6 * share), parent.y + HEAD * 0.5 + (9 if parent is child else 0)
    far = min(box.x for box in (child, parent, *blocked)) - 16 - 36 * share
    line = f"M{child.x:.1f} {sy:.1f}C{far:.1f} {sy:.1f} {far:.1f} {ty:.1f} {parent.x:.1f} {ty:.1f}"
    foot = "" if one else f'<path class="e" d="M{child.x:.1f} {sy - 6:.1f}l-11 6l11 6"/>'
    return f'<path class="e" d="{line}"/>{foot}<path class="e" d="M{parent.x - 6:.1f} {ty - 6:.1f}v12"/>'


def _many(x: float, y: float, *, one: bool) -> str:
    """The child's end: a crow's foot, or a bar where a parent has at most one child."""
    if one:
        return f'<path class="e" d="M{x - 6:.1f} {y - 8:.1f}h12"/>'
    return f'<path class="e" d="M{x - 7:.1f} {y:.1f}L{x:.1f} {y - 11:.1f}L{x + 7:.1f} {y:.1f}"/>'


def _single(x: float, y: float, *, optional: bool) -> str:
    """The parent's end: one bar, and a circle where the child need not have a parent."""
    bar = f'<path class="e" d="M{x - 6:.1f} {y + 7:.1f}h12"/>'
    return bar + (f'<circle class="o" cx="{x:.1f}" cy="{y + 15:.1f}" r="4"/>' if optional else "")
