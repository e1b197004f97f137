"""report.html: the whole design as one self-contained page, each claim a click away from its evidence.

It needs no script and loads nothing: pictures and styles stand in the page, so it can be sent by mail and printed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from dbprompt.evidence import Evidence, Exhibit, Severity, Status, Verdict
from dbprompt.render.background import Background
from dbprompt.render.er_picture import er_picture
from dbprompt.render.evidence import (
    EvidenceRow,
    evidence_rows,
    evidence_summary,
    findings_markdown,
    status_words,
)
from dbprompt.render.markdown import count
from dbprompt.render.report import made_markdown, report_parts
from dbprompt.render.topology_picture import topology_picture
from dbprompt.sections import SECTIONS, DatabaseDesign, SectionName

__all__ = ["report_page"]

_STATUS_WORDS = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.INCONCLUSIVE: "undecided",
    Status.NOT_CHECKED: "not checked",
}


def report_page(design: DatabaseDesign, evidence: Evidence, about: Background) -> str:
    """The page.

    Args:
        design: what is shown.
        evidence: each artefact's row is linked from every place that names the artefact.
        about: what was asked, and how it was made.
    """
    proofs = _Proofs(evidence)
    pictures = dict(_pictures(design))
    parts = [_Part(name, _Markdown(proofs, name, pictures)) for name in ("", *SECTIONS)]
    markdown = {part.section: part.markdown for part in parts}
    chapters = [
        chapter
        for section, paragraphs in report_parts(design, evidence, about)
        for chapter in markdown[section].chapters("\n\n".join(paragraphs))
    ]
    chapters += markdown[""].chapters(f"## Findings\n\n{findings_markdown(evidence) or 'None are left.'}")
    made = markdown[""].chapters("\n\n".join(made_markdown(about)))
    body = [
        _opening(evidence, about),
        *(chapter.html for chapter in chapters),
        proofs.html(),
        *(chapter.html for chapter in made),
    ]
    titles = [(chapter.anchor, chapter.title) for chapter in chapters]
    titles += [("evidence", "Evidence"), *((chapter.anchor, chapter.title) for chapter in made)]
    listed = "".join(f'<li><a href="#{anchor}">{escape(title)}</a></li>' for anchor, title in titles)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(about.title)}: database design</title><style>{_css()}</style></head>"
        f'<body><div class="frame"><nav aria-label="Contents"><ol>{listed}</ol></nav>'
        f"<main>{''.join(body)}</main></div></body></html>\n"
    )


def _css() -> str:
    return (files("dbprompt.render") / "page.css").read_text(encoding="utf-8")


def _pictures(design: DatabaseDesign) -> Iterator[tuple[str, str]]:
    """SVG by the first word of the Mermaid source that the document has in its place."""
    if design.schema is not None:
        yield "erDiagram", er_picture(design.schema)
    if design.infrastructure is not None:
        yield "flowchart", topology_picture(design.infrastructure)


def _opening(evidence: Evidence, about: Background) -> str:
    rows = Counter(row.status for row in evidence_rows(evidence))
    tally = "".join(
        f'<li><span class="dot {status.value}"></span>{rows[status]:,} {_STATUS_WORDS[status]}</li>'
        for status in Status
        if rows[status]
    )
    errors = sum(finding.severity is Severity.ERROR for finding in evidence.findings)
    warning = (
        f'<p class="warn"><strong>Not finished: {count(errors, "error is", "errors are")} left</strong>, listed under '
        '<a href="#findings">Findings</a>. Do not build on it as it stands.</p>'
        if errors
        else ""
    )
    return (
        f'<section><h1>{escape(about.title)}: database design</h1><p class="lead">{escape(evidence_summary(evidence))} '
        f'A dot behind a name leads to what was checked about it.</p><ul class="tally">{tally}</ul>{warning}</section>'
    )


@dataclass(frozen=True, slots=True)
class _Chapter:
    anchor: str
    title: str
    html: str


@dataclass(frozen=True, slots=True)
class _Part:
    section: SectionName
    markdown: _Markdown


@dataclass(frozen=True, slots=True)
class _Proof:
    """A row of the evidence with its place in the page, and who said what of its artefact."""

    anchor: str
    row: EvidenceRow
    verdicts: Sequence[Verdict]
    exhibits: Sequence[Exhibit]


class _Proofs:
    """The rows of the evidence, and the way from a name to its row."""

    def __init__(self, evidence: Evidence) -> None:
        verdicts: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
        first: dict[str, tuple[str, str]] = {}
        for verdict in evidence.verdicts:
            row = (_section(verdict.where), verdict.artefact)
            verdicts[row].append(verdict)
            first.setdefault(verdict.where, row)
        shown: dict[tuple[str, str] | None, list[Exhibit]] = defaultdict(list)
        for exhibit in evidence.exhibits:
            shown[first.get(_narrowest(exhibit.where, first))].append(exhibit)
        self._homeless = shown[None]
        self._proofs: list[_Proof] = []
        self._by_name: dict[str, list[_Proof]] = defaultdict(list)
        for at, found in enumerate(evidence_rows(evidence), start=1):
            row = (_section(found.where), found.artefact)
            proof = _Proof(f"proof-{at}", found, verdicts[row], shown[row])
            self._proofs.append(proof)
            self._by_name[found.artefact.rpartition(" ")[2]].append(proof)

    def link(self, name: str, section: SectionName) -> tuple[str, Status] | None:
        """Anchor and status of the artefact that a chapter means by a name; its own section comes first."""
        found = self._by_name.get(name)
        if not found:
            return None
        own = [proof for proof in found if _section(proof.row.where) == section]
        proof = (own or found)[0]
        return proof.anchor, proof.row.status

    def html(self) -> str:
        """The chapter with all rows."""
        parts = [
            '<section id="evidence"><h2>Evidence</h2><p>Engine: a real server ran it. Vendor\'s analyser and parser: '
        ]
        parts += [
            "it reads as this language. Rule: a rule of dbprompt's looked at it. Open a row for who said what.</p>"
        ]
        last = None
        for proof in self._proofs:
            section = _section(proof.row.where)
            if section != last:
                parts.append(f"<h3>{escape(section or 'design')}</h3>")
                last = section
            parts.append(_row(proof))
        return "".join([*parts, *map(_exhibit, self._homeless), "</section>"])


def _section(where: str) -> SectionName:
    return where.split("/")[1] if "/" in where else ""


def _narrowest(where: str, places: Container[str]) -> str:
    """The first of these places on the way up from a pointer; empty if there is none."""
    while where and where not in places:
        where = where.rpartition("/")[0]
    return where


def _row(proof: _Proof) -> str:
    row = proof.row
    verdicts = "".join(
        f"<dt>{escape(verdict.checker)}</dt><dd>{_STATUS_WORDS[verdict.status]}"
        f"{escape('; ' + verdict.uncovered) if verdict.uncovered else ''}</dd>"
        for verdict in proof.verdicts
    )
    findings = "".join(
        f"<dt>{escape(finding.severity)} {escape(finding.code)}</dt><dd>{escape(finding.message)}</dd>"
        for finding in row.findings
    )
    opened = " open" if row.status is Status.FAILED else ""
    return (
        f'<details class="proof" id="{proof.anchor}"{opened}><summary>'
        f'<span><span class="dot {row.status.value}"></span><strong>{escape(row.artefact)}</strong></span>'
        f'<span class="how">{escape(status_words(row))}, {escape(row.checker)}</span></summary>'
        f"<dl><dt>place</dt><dd><code>{escape(row.where)}</code></dd>{verdicts}{findings}</dl>"
        f"{''.join(map(_exhibit, proof.exhibits))}</details>"
    )


def _exhibit(exhibit: Exhibit) -> str:
    return f"<p>{escape(exhibit.title)}</p><pre><code>{escape(exhibit.text)}</code></pre>"


class _Markdown:
    """Our own Markdown as HTML: tables scroll, Mermaid becomes a picture, names of artefacts become links."""

    def __init__(self, proofs: _Proofs, section: SectionName, pictures: Mapping[str, str]) -> None:
        self._proofs, self._section, self._pictures = proofs, section, pictures
        self._parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        self._renderer = RendererHTML(self._parser)

    def chapters(self, markdown: str) -> list[_Chapter]:
        """A chapter for each heading of the second rank."""
        made: list[_Chapter] = []
        tokens = self._parser.parse(markdown)
        starts = [at for at, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
        for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
            title = tokens[start + 1].content
            anchor = "-".join(re.findall(r"[a-z0-9]+", title.lower()))
            html = "".join(self._html(tokens[start:end]))
            made.append(_Chapter(anchor, title, f'<section id="{escape(anchor)}">{html}</section>'))
        return made

    def _html(self, tokens: Sequence[Token]) -> Iterator[str]:
        for token in tokens:
            if token.type == "inline":
                yield from map(self._inline, token.children or ())
            elif token.type == "fence":
                yield self._block(token)
            elif token.type in {"table_open", "table_close"}:
                yield '<div class="wide"><table>' if token.nesting == 1 else "</table></div>"
            elif token.type == "paragraph_open" and token.hidden:
                continue
            else:
                yield self._renderer.renderToken([token], 0, self._parser.options, {})

    def _inline(self, token: Token) -> str:
        if token.type == "code_inline":
            code = f"<code>{escape(token.content)}</code>"
            found = self._proofs.link(token.content, self._section)
            return f'<a class="claim {found[1].value}" href="#{found[0]}">{code}</a>' if found else code
        if token.type == "text":
            return escape(token.content)
        if token.type in {"softbreak", "hardbreak"}:
            return "\n"
        return self._renderer.renderToken([token], 0, self._parser.options, {})

    def _block(self, token: Token) -> str:
        picture = self._pictures.get(token.content.split(None, 1)[0]) if token.info == "mermaid" else None
        if picture is None:
            return f"<pre><code>{escape(token.content)}</code></pre>"
        return f'<figure><div class="wide">{picture}</div></figure>'
