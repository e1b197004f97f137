"""What stands when a section is asked for is all that it can name: in the schema that is shown, and in the checks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import answer, design

from dbprompt import Brief, Client, DatabaseDesign, ScriptedProvider, load_prompt
from dbprompt.capacity import capacity_of
from dbprompt.checks.registry import rule_checks
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Report
from dbprompt.jobs.known import known_names
from dbprompt.sections import SECTIONS, all_needs, output_schema
from dbprompt.sections.base import KNOWN, Known
from dbprompt.shape import Candidate, shape

PROMPT = load_prompt("database_architect")
BRIEFS = Path(__file__).parent / "briefs"
CASES = {
    "marketplace": "pg_marketplace_orders",
    "clinic": "pg_clinic_scheduling",
    "crm": "pg_crm_multitenant",
    "wallet": "pg_wallet_ledger",
    "telemetry": "timescale_fleet_telemetry",
}


def shown(section: str, start: DatabaseDesign, brief: Brief | None, patch: pytest.MonkeyPatch) -> Any:
    """The JSON Schema that a provider is given for a section, after these. What stands is not proven again here."""
    patch.setattr("dbprompt.jobs.design.design_checks", lambda *_, **__: ())
    provider = ScriptedProvider({section: [answer("marketplace", section)]})
    words = None if brief else {"DESCRIBE_APPLICATION": "A shop.", "LIST_MAIN_ENTITIES": "orders"}
    start = start.only(all_needs(section))
    Client(provider).design(brief, prompt=PROMPT, variables=words, start=start, sections=[section])
    (request,) = provider.requests
    return request.output.schema


def brief(case: str) -> Brief:
    """The brief that a reference answer answers."""
    return Brief.load(BRIEFS / f"{CASES[case]}.yaml")


def test_the_turn_for_indexes_shows_what_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables, columns and queries are enums; an index is for a table, a foreign key or a query, so there is a most."""
    of = design("marketplace", "selection", "schema", "views")
    asked = shown("indexes", of, brief("marketplace"), monkeypatch)
    index, key = (asked["$defs"][name]["properties"] for name in ("Index", "IndexKey"))
    assert of.schema is not None
    queries = [query.id for query in brief("marketplace").queries]
    columns = {column.name for table in of.schema.tables for column in table.columns}
    assert index["table"]["enum"] == [table.name for table in of.schema.tables]
    assert set(index["include"]["items"]["enum"]) == columns == set(key["column"]["anyOf"][0]["enum"])
    assert index["serves"]["items"]["enum"] == queries
    keys = sum(len(table.foreign_keys) for table in of.schema.tables)
    assert asked["properties"]["indexes"]["maxItems"] == len(of.schema.tables) + keys + len(queries)
    assert "enum" not in index["name"] and KNOWN not in str(asked)


def test_a_planned_change_names_columns_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations are bound to the tables and queries that stand; their columns are open."""
    asked = shown("migrations", design("marketplace", *SECTIONS), brief("marketplace"), monkeypatch)["$defs"]
    change, index, key = (asked[name]["properties"] for name in ("PlannedChange", "Index", "IndexKey"))
    assert "orders" in change["table"]["anyOf"][0]["enum"] and "orders" in index["table"]["enum"]
    assert "enum" not in index["include"]["items"] and "enum" not in key["column"]["anyOf"][0]


def test_a_kind_without_names_or_with_too_many_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """150 columns are an enum, 151 are not, beside tables that still are; without a brief queries are open."""
    of = design("marketplace", "selection", "schema", "views")
    assert of.schema is not None
    one = of.schema.tables[0]
    for many in (150, 151):
        wide = tuple(one.columns[0].model_copy(update={"name": f"c{at}"}) for at in range(many))
        tables = (one.model_copy(update={"columns": wide}),)
        start = of.with_section("schema", of.schema.model_copy(update={"tables": tables}))
        asked = shown("indexes", start, None, monkeypatch)
        index = asked["$defs"]["Index"]["properties"]
        assert index["table"]["enum"] == [one.name]
        assert ("enum" in index["include"]["items"]) == (many == 150)
        assert "enum" not in index["serves"]["items"] and "maxItems" not in asked["properties"]["indexes"]


@pytest.mark.parametrize("section", SECTIONS)
def test_no_schema_outgrows_a_provider(section: str) -> None:
    """OpenAI takes 1,000 enum values a schema; with as many names of each kind as are shown none has more."""
    most = Known({kind: tuple(f"{kind}{at}" for at in range(150)) for kind in ("tables", "columns", "queries")})

    def values(node: object) -> int:
        if isinstance(node, dict):
            return len(node["enum"] if isinstance(node.get("enum"), list) else ()) + sum(map(values, node.values()))
        return sum(map(values, node)) if isinstance(node, list) else 0

    assert values(output_schema(SECTIONS[section], section, most).schema) <= 1_000


def _named(schema: Any, defs: Any, value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, str]]:
    """The place and kind of everything in an answer that has to stand already."""
    schema = defs[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for one in schema.get("anyOf", ()):
        yield from _named(one, defs, value, path)
    if KNOWN in schema and value is not None:
        yield path, schema[KNOWN]
    for name, below in schema.get("properties", {}).items() if isinstance(value, dict) else ():
        yield from _named(below, defs, value.get(name), (*path, name))
    for at, item in enumerate(value) if isinstance(value, list) and "items" in schema else ():
        yield from _named(schema["items"], defs, item, (*path, at))


def test_a_name_that_does_not_stand_is_never_passed() -> None:
    """Right answers name what is shown and no more; one that names anything else, in any place, is found wrong."""
    seen: set[object] = set()
    for case in CASES:
        needs, whole = brief(case), design(case, *SECTIONS)
        figures = capacity_of(needs)
        for section, model in SECTIONS.items():
            right, schema, basis = answer(case, section), model.model_json_schema(), whole.only(all_needs(section))
            known = known_names(section, basis, needs)
            assert all(len(right[name]) <= most for name, most in known.most.items() if name in right)
            for path, kind in _named(schema, schema.get("$defs", {}), right):
                wrong = copy.deepcopy(right)
                here: Any = wrong
                for step in path[:-1]:
                    here = here[step]
                assert here[path[-1]] in (known.names.get(kind) or [here[path[-1]]]), (case, section, path)
                place = (section, *("*" if isinstance(step, int) else step for step in path))
                if place not in seen:
                    seen.add(place)
                    here[path[-1]] = "nowhere"
                    shaped = shape(model, wrong)
                    assert isinstance(shaped, Candidate), place
                    subject = Subject(basis.with_section(section, shaped.value), section, needs, figures)
                    assert sum((check(subject) for check in rule_checks(section)), Report()).errors, place
    assert len(seen) == 26
