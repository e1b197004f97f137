"""The ER diagram is read by the real Mermaid, and every name in it is one of the schema's."""

from __future__ import annotations

import sys
from datetime import date

import pytest
from answers import design
from designs import marketplace

from dbprompt.checks.subject import Subject
from dbprompt.evidence import Status, Tier
from dbprompt.proofs import diagram
from dbprompt.proofs.base_mermaid import UnreadableError, read_diagram
from dbprompt.render.mermaid import er_diagram
from dbprompt.render.topology import topology
from dbprompt.sections import DatabaseDesign

DAY = date(2026, 3, 15)


@pytest.fixture
def mermaid() -> None:
    """Skips where the extra is not installed."""
    pytest.importorskip("mermaidx")


def odd() -> DatabaseDesign:
    """Names that Mermaid could take for something else."""
    names = ("id", "pk", "fk", "uk", "one", "class", "direction", "style", "title", "erdiagram", "end", "_", "only")
    columns = [{"name": name, "type": "double", "array": name == "one"} for name in names]
    tables = [
        {"name": name, "columns": columns, "primary_key": ["pk"]} for name in ("style", "class", "end", "_", "many")
    ]
    own = {"columns": ["fk", "uk"], "references": "many", "referenced_columns": ["id", "pk"]}
    return DatabaseDesign.model_validate(
        {"schema": {"tables": [*tables, {**tables[0], "name": "to", "foreign_keys": [own]}]}}
    )


@pytest.mark.parametrize(
    "of",
    [marketplace(), design("marketplace", "schema"), design("crm", "schema"), odd()],
    ids=["all", "shop", "crm", "odd"],
)
def test_mermaid_understands_what_the_schema_says(of: DatabaseDesign, mermaid: None) -> None:
    """Tables, columns, keys and references come back from Mermaid as they are in the schema."""
    (verdict,) = diagram.diagram_reads(Subject(of, "schema"), DAY).verdicts
    assert (verdict.status, verdict.tier) == (Status.PASSED, Tier.VENDOR), verdict.uncovered


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("bigint id PK", "bigint id"), "the key of"),
        (("timestamptz created_at\n", "\n"), "column of"),
        (("citext email", "citext mail"), "mail is drawn 1 times and is there 0 times"),
        (('"buyers" {', '"people" {'), "people is drawn and no table"),
        (('"orders" ||', '"sellers" ||'), "reference"),
    ],
)
def test_a_wrong_diagram_is_told(wrong: tuple[str, str], said: str, mermaid: None) -> None:
    """What is missing, renamed or drawn from another table is named."""
    of = design("marketplace", "schema")
    text = er_diagram(of)
    assert wrong[0] in text and of.schema
    assert said in "; ".join(diagram.differences(read_diagram(text.replace(*wrong, 1)), of.schema))


def test_what_mermaid_refuses_fails(monkeypatch: pytest.MonkeyPatch, mermaid: None) -> None:
    """The form of the source prompt is no Mermaid, and the verdict says so in Mermaid's words."""
    with pytest.raises(UnreadableError, match="Parse error on line 2"):
        read_diagram("erDiagram\n    [USER] ||--o{ [ORDER] : places\n")
    monkeypatch.setattr(diagram, "er_diagram", lambda design: "erDiagram\n    [USER] ||--o{ [ORDER] : places\n")
    (verdict,) = diagram.diagram_reads(Subject(design("marketplace", "schema"), "schema"), DAY).verdicts
    assert verdict.status is Status.FAILED and "Parse error" in verdict.uncovered


def test_without_mermaid_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing the verdict is not_checked and says how to get it."""
    monkeypatch.setattr("dbprompt.proofs.base_mermaid.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "mermaidx", None)
    (verdict,) = diagram.diagram_reads(Subject(design("marketplace", "schema"), "schema"), DAY).verdicts
    assert verdict.status is Status.NOT_CHECKED and "dbprompt[diagram]" in verdict.uncovered


def test_mermaid_draws_it(mermaid: None) -> None:
    """Drawn to SVG by the real Mermaid, a design of two tables shows each of its names."""
    mermaidx = pytest.importorskip("mermaidx")
    schema = design("marketplace", "schema").schema
    assert schema
    two = [table for table in schema.tables if table.name in {"sellers", "products"}]
    of = DatabaseDesign.model_validate({"schema": {"tables": [t.model_dump() for t in two], "enums": schema.enums}})
    svg = mermaidx.render(er_diagram(of)).svg()
    names = {table.name for table in two} | {column.name for table in two for column in table.columns}
    assert names and all(f">{name}<" in svg for name in names)


def test_a_flowchart_is_read_too(mermaid: None) -> None:
    """Nodes and edges of a drawing of servers come back by their names."""
    drawing = read_diagram('flowchart LR\n    a["primary"] -->|sync| b["standby"]\n')
    assert [box.name for box in drawing.boxes] == ["a", "b"] and drawing.boxes[0].rows == (("primary",),)
    assert [(line.ends, line.label) for line in drawing.lines] == [(("a", "b"), "sync")]


@pytest.mark.parametrize("case", ["marketplace", "crm"])
def test_mermaid_reads_the_servers(case: str, mermaid: None) -> None:
    """Every server and its replication is in the drawing."""
    (verdict,) = diagram.topology_reads(Subject(design(case, "infrastructure"), "infrastructure"), DAY).verdicts
    assert (verdict.status, verdict.tier) == (Status.PASSED, Tier.VENDOR), verdict.uncovered


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("node_db_standby[", "node_db_other["), "db_other is drawn and no server"),
        (("node_db_primary -.->", "node_db_standby -.->"), "no line shows that db_replica follows db_primary"),
    ],
)
def test_a_wrong_drawing_of_the_servers_is_told(wrong: tuple[str, str], said: str, mermaid: None) -> None:
    """A server that is missing, or replication from the wrong one, is named."""
    infrastructure = design("marketplace", "infrastructure").infrastructure
    assert infrastructure
    text = topology(infrastructure)
    assert wrong[0] in text
    assert said in "; ".join(diagram.servers_missing(read_diagram(text.replace(*wrong, 1)), infrastructure))
