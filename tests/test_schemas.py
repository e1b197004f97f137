"""The JSON Schemas in `schemas/` are those of the code. `make schemas` (this file, run) writes them anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbprompt.brief import Brief
from dbprompt.sections import SECTIONS, DatabaseDesign, output_schema

FOLDER = Path(__file__).parents[1] / "schemas"


def exported() -> dict[str, str]:
    """File name to text: what a model is given for each section, and what users' editors want for a brief."""
    schemas = {name: dict(output_schema(model, name).schema) for name, model in SECTIONS.items()}
    schemas["brief"] = Brief.model_json_schema()
    schemas["design"] = DatabaseDesign.model_json_schema()
    return {f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()}


@pytest.mark.parametrize("name", exported())
def test_schema_file_is_current(name: str) -> None:
    """A changed model without its exported schema fails here; run `make schemas`."""
    assert (FOLDER / name).read_text(encoding="utf-8") == exported()[name]


def test_no_schema_is_left_over() -> None:
    """Every file in the folder is exported by the code."""
    assert {path.name for path in FOLDER.iterdir()} == set(exported())


@pytest.mark.parametrize("name", SECTIONS)
def test_section_schemas_are_strict(name: str) -> None:
    """Every object requires all its properties and allows no others, as the providers' strict modes ask."""

    def objects(node: object) -> list[dict[str, object]]:
        if isinstance(node, dict):
            here = [node] if "properties" in node and node.get("type") == "object" else []
            return here + [found for value in node.values() for found in objects(value)]
        return [found for item in node for found in objects(item)] if isinstance(node, list) else []

    found = objects(dict(output_schema(SECTIONS[name], name).schema))
    assert found
    for schema in found:
        assert schema["required"] == list(schema["properties"])  # type: ignore[call-overload]
        assert schema["additionalProperties"] is False


if __name__ == "__main__":
    for file, text in exported().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
