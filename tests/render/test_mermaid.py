"""The ER diagram is derived from the schema, in words that Mermaid takes."""

from __future__ import annotations

import re

from designs import marketplace

from dbprompt.render.mermaid import er_diagram
from dbprompt.sections import DatabaseDesign

# The forms that Mermaid 11's own parser took in a trial; anything else is a mistake here.
_LINE = re.compile(
    r"""erDiagram
    |[ ]{4}"[a-z_][a-z0-9_]*"[ ]\{
    |[ ]{8}(?!(?:pk|fk|uk)[ ])[a-z_][a-z0-9_]*(\[\])?[ ](?!(?:pk|fk|uk)\b)[a-z_][a-z0-9_]*
        (?:[ ](?:PK|FK|UK)(?:,[ ](?:PK|FK|UK))*)?
    |[ ]{4}\}
    |[ ]{4}"[a-z0-9_]+"[ ](?:\|\||\|o)(?:--|\.\.)(?:o\||o\{)[ ]"[a-z0-9_]+"[ ]:[ ]"[a-z0-9_,\ ]+"
    """,
    re.VERBOSE,
)


def test_cardinalities() -> None:
    """Nullable references are optional, unique ones at most one, and those within the key are drawn solid."""
    lines = er_diagram(marketplace()).splitlines()
    assert '    "buyers" ||..o{ "order" : "buyer_id"' in lines
    assert '    "order" |o..o{ "buyers" : "last_order_id"' in lines
    assert '    "order" ||--o{ "order_lines" : "order_id"' in lines
    assert '    "order" ||..o| "pickup_slots" : "order_id"' in lines
    assert "        bigint order_id PK, FK" in lines


def test_every_line_is_a_known_form() -> None:
    """Names that Mermaid reads as marks are changed, and a reference to nothing is not drawn."""
    columns = [{"name": name, "type": "double", "array": True} for name in ("pk", "fk", "uk", "one", "class")]
    columns.append({"name": "e", "type": "enum", "enum": "pk"})
    away = {"columns": ["e"], "references": "nowhere", "referenced_columns": ["id"]}
    odd = DatabaseDesign.model_validate(
        {"schema": {"tables": [{"name": "style", "columns": columns, "foreign_keys": [away]}]}}
    )
    for design in (odd, marketplace()):
        lines = er_diagram(design).splitlines()
        assert [line for line in lines if not _LINE.fullmatch(line)] == []
