"""report.html and its pictures: whole without a script or a network, no text leaves its place, nothing seen is lost."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any, TypeVar
from xml.etree import ElementTree

import pytest
from answers import design
from designs import marketplace
from pydantic import BaseModel, TypeAdapter, ValidationError

from dbprompt import Brief, DatabaseDesign, Status, Tier
from dbprompt.capacity import capacity_of
from dbprompt.checks.base_design import artefacts
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Evidence, Exhibit, Finding, Severity, Verdict
from dbprompt.messages import TurnUsage, Usage
from dbprompt.render.background import Background
from dbprompt.render.er_picture import er_picture
from dbprompt.render.page import report_page
from dbprompt.render.topology_picture import topology_picture
from dbprompt.sections import SECTIONS
from dbprompt.sections.schema import Schema

M = TypeVar("M", bound=BaseModel)

SHOP = Brief.load(Path(__file__).parents[2] / "examples/marketplace.yaml")
ATTACK = """<img src=x onerror=alert(1)>"'![x](http://e.example)"""
VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """A page as a browser takes it in; every tag has to be closed where it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open and not self.rawdata

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        assert self.open and self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:  # noqa: D102
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """All values that an attribute has, in the order of the page."""
        return [str(has[attribute]) for _, has in self.tags if attribute in has]


@cache
def _takes(model: type[BaseModel], name: str, shape: type) -> bool:
    info = model.model_fields[name]
    try:
        TypeAdapter(Annotated[info.annotation, *info.metadata, None]).validate_python(
            ATTACK if shape is str else (ATTACK,)
        )
    except ValidationError:
        return False
    return True


def attacked(part: M, hit: set[str]) -> M:
    """The same part with the attack in every text that its types let through; `hit` is told which."""

    def changed(name: str, value: Any) -> Any:
        if isinstance(value, BaseModel):
            return attacked(value, hit)
        if isinstance(value, tuple | list) and not all(isinstance(one, str) for one in value):
            return type(value)(attacked(one, hit) if isinstance(one, BaseModel) else one for one in value)
        if not isinstance(value, str | tuple | list) or not _takes(type(part), name, type(value)):
            return value
        hit.add(f"{type(part).__name__}.{name}")
        return ATTACK if isinstance(value, str) else type(value)([ATTACK] * len(value))

    return part.model_copy(update={name: changed(name, value) for name, value in part if value is not None})


def about(brief: Brief = SHOP, words: str = "") -> Background:
    """What stands beside a design."""
    usage = (TurnUsage("schema", "ask", Usage(1, 10, 10)),)
    return Background(brief, capacity_of(SHOP), words, words, usage, date(2026, 3, 1), 18)


def whole(words: str = "") -> tuple[DatabaseDesign, Evidence]:
    """All sections, with verdicts of each status, findings of each severity and an exhibit for every artefact."""
    of = design("marketplace", *SECTIONS)
    findings, verdicts, exhibits = [], [], []
    for name in SECTIONS:
        for at, one in enumerate(artefacts(Subject(of, name))):
            where = f"/{name}{one.where}"
            findings.append(Finding(f"a.b{words}", list(Severity)[at % 3], where, f"finding {words}"))
            verdicts.append(Verdict(one.label, where, list(Status)[at % 4], Tier.RULE, f"who {words}", f"not {words}"))
            exhibits.append(Exhibit(where, f"title {words}", f"text {words}"))
    return of, Evidence(tuple(findings), tuple(verdicts), tuple(exhibits))


def _self_contained(page: Page) -> None:
    """No script, no handler, no resource, no link out; every anchor is there and there once."""
    assert not {tag for tag, _ in page.tags} & {"script", "img", "image", "link", "iframe", "object", "base", "form"}
    assert not {name for _, has in page.tags for name in has if name.startswith("on") or name in {"src", "srcset"}}
    assert not [style for style in page.values("style") if "url(" in style or "@import" in style]
    ids = Counter(page.values("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    links = page.values("href")
    assert [link for link in links if link.startswith("#") and link[1:] not in ids] == []
    assert not [link for link in links if not link.startswith("#") and not re.fullmatch(r"[a-z]+/[a-z_.]+", link)]
    csp = [str(has["content"]) for tag, has in page.tags if tag == "meta" and "http-equiv" in has]
    assert csp == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    """Balanced tags, anchors that are there once, no resource and no script, a chapter for each section."""
    html = report_page(*whole(), about())
    page = Page(html)
    _self_contained(page)
    assert not re.search(r"url\(|@import|src=", html.split("<style>")[1].split("</style>")[0])
    chapters = [has["id"] for tag, has in page.tags if tag == "section" and "id" in has]
    assert len(chapters) >= len(SECTIONS) and chapters[-3:-1] == ["findings", "evidence"]
    assert [f"#{name}" for name in chapters] == page.values("href")[: len(chapters)]
    assert sum(tag == "svg" for tag, _ in page.tags) == 2


def test_hostile_text_stays_text() -> None:
    """The attack in every free text of design, brief, evidence and provenance is read as text and as nothing else."""
    hit: set[str] = set()
    of, evidence = whole(ATTACK)
    poisoned, brief = attacked(of, hit), attacked(SHOP, hit)
    assert len(hit) > 60 and {"Table.comment", "Query.sql", "Brief.app_name", "Step.sql", "Alert.promql"} <= hit
    html = report_page(poisoned, evidence, about(brief, ATTACK))
    assert "<img" not in html and 'href="http' not in html
    page = Page(html)
    _self_contained(page)
    calm = Counter(tag for tag, _ in Page(report_page(of, whole()[1], about())).tags)
    assert not Counter(tag for tag, _ in page.tags) - calm
    assert page.text.count(ATTACK) > 400


def test_what_was_seen_is_shown_once_in_its_own_row() -> None:
    """Artefacts of one place keep their own verdicts; failed rows are open; every finding and exhibit is there."""
    verdict = ("/backup/plans/0", Tier.ENGINE)
    evidence = Evidence(
        (
            Finding("x.one", Severity.ERROR, "/backup/plans/0/keep", "error in a row"),
            Finding("x.two", Severity.WARNING, "/schema/tables", "warning that no row has"),
            Finding("x.three", Severity.ADVICE, "", "advice about all of it"),
        ),
        (
            Verdict("backup log", verdict[0], Status.PASSED, verdict[1], "checker-a", "not the first"),
            Verdict("settings of the log", verdict[0], Status.FAILED, verdict[1], "checker-b", "not the second"),
            Verdict("settings of the log", "/backup/plans/1", Status.FAILED, verdict[1], "checker-c", "other place"),
        ),
        (
            Exhibit("/backup/plans/0/keep", "seen below a row", "text-below"),
            Exhibit("/monitoring", "seen where no row is", "text-homeless"),
        ),
    )
    html = report_page(DatabaseDesign(), evidence, about())  # nothing was finished: nothing is drawn
    page = Page(html)
    _self_contained(page)
    (first_open, first), (second_open, second) = re.findall(r"<details [^>]*?( open)?>(.*?)</details>", html)
    assert (first_open, second_open) == ("", " open")
    assert "checker-a" in first and "checker-b" not in first and "text-below" in first
    assert "checker-b" in second and "checker-c" in second and "checker-a" not in second and "text-below" not in second
    listed = html.split('<section id="findings">')[1].split("</section>")[0]
    assert all(finding.message in listed for finding in evidence.findings)
    assert page.text.count("text-homeless") == 1 and "1 error is left" in page.text
    assert page.values("href").count("#findings") == 2 and "<svg" not in html


def _elements(svg: str, tag: str, kind: str = "") -> list[ElementTree.Element]:
    """The elements of a picture that is well-formed."""
    root = ElementTree.fromstring(svg)  # noqa: S314  ours
    return [one for one in root.iter(f"{{http://www.w3.org/2000/svg}}{tag}") if kind in {"", one.get("class")}]


def _texts(svg: str, kind: str) -> list[str]:
    return ["".join(one.itertext()) for one in _elements(svg, "text", kind)]


def _curves(svg: str) -> int:
    return sum("C" in one.get("d", "") for one in _elements(svg, "path", "e"))


def _arrows(svg: str) -> int:
    return sum(one.get("marker-end") is not None for one in _elements(svg, "path"))


@pytest.mark.parametrize("of", [design("marketplace", "schema"), marketplace()], ids=["reference", "cycles"])
def test_every_table_and_key_is_drawn_once(of: DatabaseDesign) -> None:
    """A box a table, a line of its columns each, one curve a foreign key; a key to nowhere has none."""
    assert of.schema is not None
    svg = er_picture(of.schema)
    assert Counter(_texts(svg, "t")) == Counter(table.name for table in of.schema.tables)
    assert _curves(svg) == sum(len(table.foreign_keys) for table in of.schema.tables) > 0
    (alone, *_) = of.schema.tables
    kept = sum(key.references == alone.name for key in alone.foreign_keys)
    assert _curves(er_picture(of.schema.model_copy(update={"tables": (alone,)}))) == kept


def test_parents_stand_above_their_children_in_any_schema_and_soon() -> None:
    """Sixty tables, children first, each with two parents, and a ring on top: laid out without walking every way."""
    layers = {f"t{at}_{side}": (f"t{at + 1}_a", f"t{at + 1}_b") for at in range(30) for side in "ab"}
    key = {"referenced_columns": ["id"], "columns": ["id"]}
    table = {"columns": [{"name": "id", "type": "bigint"}], "primary_key": ["id"]}
    tables = [
        {**table, "name": name, "foreign_keys": [{**key, "references": parent} for parent in parents]}
        for name, parents in {**layers, "t30_a": ("t30_b",), "t30_b": ("t30_a",)}.items()
    ]
    svg = er_picture(Schema.model_validate({"tables": tables}))
    tops = {"".join(one.itertext()): float(one.get("y", "")) for one in _elements(svg, "text", "t")}
    assert all(tops[parent] < tops[name] for name, parents in layers.items() for parent in parents)


def test_every_server_is_drawn_once() -> None:
    """A box with name, role and size for each node, and one arrow from where its data or its connections come."""
    infrastructure = design("crm", "infrastructure").infrastructure
    assert infrastructure is not None and infrastructure.primary is not None
    svg = topology_picture(infrastructure)
    assert sorted(_texts(svg, "n")) == sorted(node.name for node in infrastructure.nodes)
    assert _arrows(svg) == (len(infrastructure.having("pooler")) or 1) + len(infrastructure.nodes) - 1
    assert _arrows(topology_picture(infrastructure.model_copy(update={"nodes": infrastructure.standbys}))) == 0


def test_names_stay_text_in_pictures() -> None:
    """A name that no type has looked at is drawn as text all the same."""
    of = design("marketplace", "schema", "infrastructure")
    assert of.schema is not None and of.infrastructure is not None
    (table, *_) = of.schema.tables
    columns = tuple(column.model_copy(update={"name": ATTACK}) for column in table.columns)
    table = table.model_copy(update={"name": ATTACK, "columns": columns})
    svg = er_picture(of.schema.model_copy(update={"tables": (table,)}))
    assert _texts(svg, "t") == [ATTACK] and sum(ATTACK in text for text in _texts(svg, "")) == len(columns) + 1
    place = {"name": ATTACK, "tier": ATTACK, "region": ATTACK, "zone": ATTACK}
    node = of.infrastructure.nodes[0].model_copy(update=place)
    svg = topology_picture(of.infrastructure.model_copy(update={"nodes": (node,)}))
    assert _texts(svg, "n") == [ATTACK] and {ATTACK, f"{ATTACK}, zone {ATTACK}"} < set(_texts(svg, "s"))


def test_nothing_to_draw_is_no_broken_picture() -> None:
    """Without a table, or without a server, the picture is empty and still one."""
    infrastructure = design("marketplace", "infrastructure").infrastructure
    assert infrastructure is not None
    for svg in (
        er_picture(Schema.model_construct(tables=())),
        topology_picture(infrastructure.model_copy(update={"nodes": ()})),
    ):
        (root,) = _elements(svg, "svg")
        assert min(map(float, root.attrib["viewBox"].split()[2:])) > 0 and not _elements(svg, "text")
