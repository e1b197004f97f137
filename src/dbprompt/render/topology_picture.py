"""The servers as a picture (SVG): a column for each zone, the application's way in above, replication as arrows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from dbprompt.sections.infrastructure import Infrastructure, Node

__all__ = ["topology_picture"]

WIDTH, HEIGHT, GAP, EDGE, HEAD = 212, 62, 70, 24, 30
_ROLES: Mapping[str, tuple[str, str]] = {
    "primary": ("primary: reads and writes", "#1f5fbf"),
    "sync_standby": ("standby, waits for each commit", "#1f8a4c"),
    "async_standby": ("standby, follows behind", "#5c8f2c"),
    "read_replica": ("read replica", "#7a5bb0"),
    "pooler": ("connection pooler", "#b27208"),
}
_STYLE = (
    "svg.topology text{font:13px system-ui,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:#1d2430}"
    "svg.topology .n{font-weight:650}"
    "svg.topology .s{fill:#5b6472;font-size:11.5px}"
    "svg.topology .z{fill:#f5f7fa;stroke:#dfe3ea}"
    "svg.topology .b{fill:#fff;stroke-width:1.8}"
    "svg.topology .e{fill:none;stroke:#5b6472;stroke-width:1.5}"
    "svg.topology .d{stroke-dasharray:5 4}"
)
_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#5b6472"/></marker></defs>'
)


def topology_picture(infrastructure: Infrastructure) -> str:
    """The picture. Names, roles, regions and zones are identifiers, so nothing in it is free text."""
    zones = list(dict.fromkeys((node.region, node.zone) for node in infrastructure.nodes))
    column = {zone: at for at, zone in enumerate(zones)}
    places: dict[str, tuple[float, float]] = {}
    for zone in zones:
        here = [node for node in infrastructure.nodes if (node.region, node.zone) == zone]
        for at, node in enumerate(sorted(here, key=lambda node: node.role != "pooler")):
            row = at if any(one.role == "pooler" for one in here) else at + _has_pooler(infrastructure)
            places[node.name] = (EDGE + column[zone] * (WIDTH + GAP) + 15, EDGE + HEAD + 64 + row * (HEIGHT + 46))
    bottom = max((y for _, y in places.values()), default=0) + HEIGHT + 20
    width = EDGE * 2 + len(zones) * (WIDTH + GAP) - GAP + 30
    drawn = [*_zones(zones, bottom), *_ways(infrastructure, places), *_boxes(infrastructure, places)]
    return (
        f'<svg class="topology" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + EDGE:.0f}" '
        f'width="{width}" '
        f'style="max-width:100%" role="img" aria-label="{len(infrastructure.nodes)} servers in {len(zones)} zones">'
        f"<style>{_STYLE}</style>{_ARROW}{''.join(drawn)}</svg>"
    )


def _has_pooler(infrastructure: Infrastructure) -> int:
    return int(any(node.role == "pooler" for node in infrastructure.nodes))


def _zones(zones: list[tuple[str, str]], bottom: float) -> Iterator[str]:
    for at, (region, zone) in enumerate(zones):
        x = EDGE + at * (WIDTH + GAP)
        yield f'<rect class="z" x="{x}" y="{EDGE + 34}" width="{WIDTH + 30}" height="{bottom - EDGE - 34:.0f}" rx="8"/>'
        yield f'<text class="s" x="{x + 12}" y="{EDGE + 54}">{escape(region)}, zone {escape(zone)}</text>'


def _boxes(infrastructure: Infrastructure, places: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    for node in infrastructure.nodes:
        x, y = places[node.name]
        words, colour = _ROLES[node.role]
        tier = infrastructure.tier(node.tier)
        size = f"{node.tier}: {tier.cpus} cpu, {tier.memory_gb} GB" if tier else node.tier
        yield f'<rect class="b" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" stroke="{colour}"/>'
        yield f'<text class="n" x="{x + 12}" y="{y + 20}">{escape(node.name)}</text>'
        yield f'<text class="s" x="{x + 12}" y="{y + 37}">{words}</text>'
        yield f'<text class="s" x="{x + 12}" y="{y + 53}">{escape(size)}</text>'


def _ways(infrastructure: Infrastructure, places: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    primary = infrastructure.primary
    if primary is None:
        return
    poolers = [node for node in infrastructure.nodes if node.role == "pooler"]
    for node in poolers or [primary]:
        x, y = places[node.name]
        yield f'<path class="e" d="M{x + WIDTH * 0.8} {EDGE + 8}V{y - 3}" marker-end="url(#arrow)"/>'
        yield f'<text class="s" x="{x + WIDTH * 0.8 - 72}" y="{EDGE + 18}">application</text>'
    for node in infrastructure.nodes:
        if node.role == "pooler":
            yield _arrow(node, primary, places, dashed=False)
        elif node is not primary:
            yield _arrow(primary, node, places, dashed=node.role != "sync_standby")


def _arrow(start: Node, end: Node, places: Mapping[str, tuple[float, float]], *, dashed: bool) -> str:
    (ax, ay), (bx, by) = places[start.name], places[end.name]
    kind = "e d" if dashed else "e"
    if ax == bx:
        line = f"M{ax + WIDTH / 2} {ay + HEIGHT}V{by - 3}" if ay < by else f"M{ax + WIDTH / 2} {ay}V{by + HEIGHT + 3}"
        return f'<path class="{kind}" d="{line}" marker-end="url(#arrow)"/>'
    near = abs(ax - bx) <= WIDTH + GAP
    sx, tx = (ax + WIDTH, bx - 3) if ax < bx else (ax, bx + WIDTH + 3)
    sy, ty = ay + HEIGHT / 2, by + HEIGHT / 2 - (14 if ay < by else 0)
    if near:
        middle = (sx + tx) / 2
        line = f"M{sx} {sy}C{middle} {sy} {middle} {ty} {tx} {ty}"
    else:  # below the boxes in between
        low = max(ay, by) + HEIGHT + 16
        sx, tx = ax + WIDTH / 2, bx + WIDTH / 2
        line = f"M{sx} {ay + HEIGHT}C{sx} {low + 18} {tx} {low + 18} {tx} {by + HEIGHT + 3}"
    return f'<path class="{kind}" d="{line}" marker-end="url(#arrow)"/>'
