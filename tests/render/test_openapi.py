"""The API of the tables is OpenAPI 3.1, names what is there, and shows no secret."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import design
from designs import HOSTILE, marketplace

from dbprompt.brief import Brief
from dbprompt.render.openapi import openapi, openapi_json
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import ColumnType

BRIEFS = Path(__file__).parents[1] / "briefs"


def documents() -> dict[str, Any]:
    """The document of each design that has everything in it."""
    shop, crm = Brief.load(BRIEFS / "pg_marketplace_orders.yaml"), Brief.load(BRIEFS / "pg_crm_multitenant.yaml")
    return {
        "marketplace": openapi(design("marketplace", "schema"), brief=shop),
        "crm": openapi(design("crm", "schema"), brief=crm),
        "odd": openapi(marketplace(), title=HOSTILE),
        "every type": openapi(_every_type()),
        "empty": openapi(DatabaseDesign()),
    }


def _every_type() -> DatabaseDesign:
    columns: list[dict[str, object]] = [{"name": "id", "type": "bigint", "identity": True}]
    for kind in ColumnType:
        more: dict[str, object] = {"enum": "t"} if kind is ColumnType.ENUM else {}
        more |= {"length": 3} if kind in {ColumnType.CHAR, ColumnType.VECTOR} else {}
        columns += [
            {"name": f"a_{kind}", "type": kind, **more},
            {"name": f"b_{kind}", "type": kind, "nullable": True, **more},
            {"name": f"c_{kind}", "type": kind, "array": True, **more},
        ]
    keyless = {"name": "problem", "columns": [{"name": "x", "type": "text"}]}
    tables = [{"name": "t", "columns": columns, "primary_key": ["id"]}, keyless]
    return DatabaseDesign.model_validate(
        {"schema": {"enums": [{"name": "t", "values": ["a", "<b>"]}], "tables": tables}}
    )


@pytest.mark.parametrize("name", documents())
def test_the_validator_takes_it(name: str) -> None:
    """The specification's own schema and the rules beside it have no word against any document."""
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(documents()[name])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("paths", "/orders", "get", "responses", "200", "description"), "description"),
        (("paths", "/orders/{id}", "parameters"), "id"),
        (("components", "schemas", "Orders"), "Orders"),
        (("info", "title"), "title"),
    ],
)
def test_the_validator_refuses_what_is_missing(path: tuple[str, ...], said: str) -> None:
    """A document without a part that it needs is refused, so the test above can fail."""
    validator = pytest.importorskip("openapi_spec_validator")
    broken = copy.deepcopy(documents()["marketplace"])
    here = broken
    for step in path[:-1]:
        here = here[step]
    del here[path[-1]]
    with pytest.raises(Exception, match=said):
        validator.validate(broken)


@pytest.mark.parametrize("name", documents())
def test_every_reference_leads_somewhere(name: str) -> None:
    """Each $ref names a schema of the document, and each operation has an id of its own."""
    document = documents()[name]
    schemas = document["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in _values(document, "$ref")} <= set(schemas)
    ids = list(_values(document["paths"], "operationId"))
    assert len(ids) == len(set(ids))


def _values(node: Any, key: str) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key and isinstance(value, str))
        node = list(node.values())
    for one in node if isinstance(node, list) else ():
        yield from _values(one, key)


def test_what_a_client_sees_and_sends() -> None:
    """Numbered columns are never sent, secrets are never seen, and money is a text of as many digits as the column."""
    schemas = documents()["marketplace"]["components"]["schemas"]
    seller, new, change = schemas["Sellers"], schemas["SellersNew"], schemas["SellersChange"]
    assert "payout_account" not in seller["properties"]
    assert new["properties"]["payout_account"]["writeOnly"] is True
    assert "id" in seller["properties"] and "id" not in new["properties"] and "id" not in change["properties"]
    assert set(new["required"]) == {"shop_name", "payout_account"} and "required" not in change
    assert schemas["Products"]["properties"]["price"]["pattern"] == r"^-?\d{1,10}(\.\d{1,2})?$"
    assert schemas["Products"]["properties"]["stock"]["minimum"] == 0
    assert schemas["OrderLines"]["properties"]["product_id"]["type"] == ["integer", "null"]


def test_hashes_are_left_out() -> None:
    """What an application computes from a secret is neither seen nor sent; a token is sent and not seen."""
    columns = [{"name": "id", "type": "bigint", "identity": True}]
    columns += [{"name": name, "type": "text"} for name in ("password_hash", "api_token", "full_name")]
    users = {"name": "users", "columns": columns, "primary_key": ["id"]}
    text = openapi_json(DatabaseDesign.model_validate({"schema": {"tables": [users]}}))
    schemas = json.loads(text)["components"]["schemas"]
    assert "password_hash" not in text
    assert set(schemas["Users"]["properties"]) == {"id", "full_name"}
    assert set(schemas["UsersNew"]["properties"]) == {"api_token", "full_name"}


def test_the_tenant_is_the_callers() -> None:
    """A tenant stands in no path and in no request, and the pages of an item's collection begin after a key."""
    document = documents()["crm"]
    assert "/contact/{id}" in document["paths"] and "/activity/{contact_id}/{occurred_at}/{id}" in document["paths"]
    sent = [body for name, body in document["components"]["schemas"].items() if name.endswith(("New", "Change"))]
    assert sent and not any("tenant_id" in body["properties"] for body in sent)
    names = [parameter["name"] for parameter in document["paths"]["/activity"]["get"]["parameters"]]
    assert names == ["contact_id", "after", "limit"]
    assert "409" in document["paths"]["/app_user"]["post"]["responses"]
    assert "409" not in document["paths"]["/deal/{id}"]["delete"]["responses"]


def test_text_cannot_leave_its_place() -> None:
    """A hostile comment stays a string: no markup in the file, no link in what a viewer renders."""
    assert "<" not in openapi_json(marketplace(), title=HOSTILE)
