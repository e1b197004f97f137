"""A design written by hand: a marketplace with everything in it that is hard to write down."""

from __future__ import annotations

from dbprompt.sections import DatabaseDesign

__all__ = ["HOSTILE", "MARKETPLACE", "marketplace"]

HOSTILE = """'); DROP TABLE buyers; -- "x" \\'; $$ |<script>alert(1)</script>| */ \\! id"""
"""Text that tries to leave every place that it could stand in."""


def _column(name: str, kind: str = "bigint", **more: object) -> dict[str, object]:
    return {"name": name, "type": kind, **more}


_ID = _column("id", identity=True)
_CREATED = _column("created_at", "timestamptz", default={"kind": "now"})


def _references(column: str, table: str, **more: object) -> dict[str, object]:
    return {"columns": [column], "references": table, "referenced_columns": ["id"], **more}


MARKETPLACE: dict[str, object] = {
    "selection": {
        "criteria": [
            {"name": "transactions", "weight": 5, "why": "Orders and payments change together"},
            {"name": "operations", "weight": 3, "why": "Two engineers | part time"},
        ],
        "options": [
            {
                "engine": "postgresql",
                "grades": [
                    {"criterion": "transactions", "grade": 3, "reason": "Full ACID"},
                    {"criterion": "operations", "grade": 2, "reason": "Managed"},
                ],
            },
            {
                "engine": "mongodb",
                "grades": [
                    {"criterion": "transactions", "grade": 1, "reason": "Late addition"},
                    {"criterion": "operations", "grade": 2, "reason": "Managed"},
                ],
            },
        ],
        "decision": {"engine": "postgresql", "rationale": "Money needs transactions and exact decimals."},
        "supporting": [
            {"engine": "redis", "role": "cache", "purpose": "Product pages", "fed_by": "cache_aside"},
        ],
    },
    "schema": {
        "enums": [{"name": "order_status", "values": ["open", "paid", "it's gone", "shipped"]}],
        "tables": [
            {
                "name": "order",
                "entity": "order",
                "comment": "One basket; its lines freeze the price | at the time of sale, it's final.",
                "columns": [
                    _ID,
                    _column("buyer_id"),
                    _column("user", "uuid", nullable=True, default={"kind": "time_ordered_uuid"}),
                    _column("public_number", "varchar", length=20, comment='Shown to "people"'),
                    _column("status", "enum", enum="order_status", default={"kind": "literal", "value": "it's gone"}),
                    _column(
                        "total",
                        "decimal",
                        precision=12,
                        scale=2,
                        default={"kind": "literal", "value": "0.00"},
                        comment="Sum of the lines, in EUR",
                    ),
                    _column("tags", "text", array=True, default={"kind": "empty_array"}),
                    _column("extra", "json", default={"kind": "empty_object"}),
                    _column("is_gift", "boolean", default={"kind": "literal", "value": "FALSE"}),
                    _column("total_cents", generated="(total * 100)::bigint"),
                    _CREATED,
                ],
                "primary_key": ["id"],
                "foreign_keys": [_references("buyer_id", "buyers", on_delete="restrict")],
                "uniques": [{"columns": ["public_number"]}],
                "checks": [{"name": "order_total_check", "expression": "total >= 0"}],
            },
            {
                "name": "buyers",
                "entity": "buyer",
                "columns": [
                    _ID,
                    _column("email", "citext"),
                    _column("full_name", "text"),
                    _column("last_order_id", nullable=True),
                    _CREATED,
                ],
                "primary_key": ["id"],
                "foreign_keys": [_references("last_order_id", "order", on_delete="set_null")],
                "uniques": [{"columns": ["email"]}],
            },
            {
                "name": "products",
                "entity": "product",
                "columns": [
                    _ID,
                    _column("title", "text"),
                    _column("price", "decimal", precision=12, scale=2),
                    _column("stock", "integer", default={"kind": "literal", "value": "0"}),
                    _column("replaced_by", nullable=True),
                ],
                "primary_key": ["id"],
                "foreign_keys": [_references("replaced_by", "products", on_delete="set_null")],
                "checks": [{"name": "products_stock_check", "expression": "stock >= 0"}],
            },
            {
                "name": "order_lines",
                "entity": "order_line",
                "columns": [
                    _column("order_id"),
                    _column("line_no", "smallint"),
                    _column("product_id", nullable=True),
                    _column("title_at_sale", "text"),
                    _column("unit_price", "decimal", precision=12, scale=2),
                    _column("quantity", "integer"),
                    _CREATED,
                ],
                "primary_key": ["order_id", "line_no", "created_at"],
                "foreign_keys": [
                    _references("order_id", "order", on_delete="cascade"),
                    _references("product_id", "products", on_delete="set_null"),
                ],
                "checks": [{"name": "order_lines_quantity_check", "expression": "quantity BETWEEN 1 AND 999"}],
                "partitioning": {"strategy": "range", "column": "created_at", "granularity": "month"},
            },
            {
                "name": "pickup_slots",
                "columns": [
                    _ID,
                    _column("order_id"),
                    _column("counter", "text"),
                    _column("during", "tstzrange"),
                ],
                "primary_key": ["id"],
                "foreign_keys": [_references("order_id", "order", on_delete="cascade")],
                "uniques": [{"columns": ["order_id"]}],
                "exclusions": [
                    {
                        "name": "pickup_slots_no_overlap",
                        "elements": [
                            {"expression": "counter", "operator": "="},
                            {"expression": "tstzrange(lower(during), upper(during))", "operator": "&&"},
                        ],
                        "where": "counter <> 'it''s (closed)'",
                    }
                ],
            },
        ],
        "normal_form": "3NF",
        "functional_dependencies": [
            {"table": "buyers", "determinant": ["email"], "dependents": ["full_name"]},
        ],
        "denormalized": [
            {
                "table": "order",
                "column": "total",
                "source": "sum of order_lines",
                "reason": "Read on every list of orders",
                "sync": "transaction",
            }
        ],
    },
    "indexes": {
        "indexes": [
            {
                "name": "order_buyer_created_idx",
                "table": "order",
                "keys": [
                    {"column": "buyer_id"},
                    {"column": "created_at", "order": "desc"},
                    {"column": "id", "order": "desc"},
                ],
                "include": ["status", "total"],
                "purpose": "The buyer's own list, newest first; it's the hottest",
                "serves": ["latest_orders_of_buyer"],
            },
            {
                "name": "products_title_trgm",
                "table": "products",
                "method": "gin",
                "keys": [{"column": "title", "operator_class": "trigram"}],
                "purpose": "Search by part of a title",
            },
            {
                "name": "order_open_idx",
                "table": "order",
                "keys": [{"expression": "lower(public_number)"}],
                "unique": True,
                "where": "status <> 'shipped'",
            },
            {"name": "order_lines_product_idx", "table": "order_lines", "keys": [{"column": "product_id"}]},
            {
                "name": "buyers_last_order_idx",
                "table": "buyers",
                "keys": [{"column": "last_order_id", "nulls": "first"}],
            },
        ]
    },
    "queries": {
        "queries": [
            {
                "id": "latest_orders_of_buyer",
                "sql": 'SELECT id, status, total, created_at FROM "order"\nWHERE buyer_id = $1\n'
                "ORDER BY created_at DESC, id DESC LIMIT 20; -- newest",
                "parameters": [{"name": "buyer_id", "type": "bigint"}],
                "pagination": "keyset",
                "next_page_sql": 'SELECT id, status, total, created_at FROM "order"\nWHERE buyer_id = $1 '
                "AND (created_at, id) < ($2, $3)\nORDER BY created_at DESC, id DESC LIMIT 20",
                "next_page_parameters": [
                    {"name": "buyer_id", "type": "bigint"},
                    {"name": "last_created_at", "type": "timestamptz"},
                    {"name": "last_id", "type": "bigint"},
                ],
                "uses_index": "order_buyer_created_idx",
            },
            {
                "id": "order_by_number",
                "sql": 'SELECT id, status, \';\' AS "a;b" FROM "order" WHERE public_number = $1 AND status = ANY ($2)',
                "parameters": [
                    {"name": "number", "type": "varchar"},
                    {"name": "statuses", "type": "enum", "enum": "order_status", "array": True},
                ],
            },
            {
                "id": "Analyze",
                "sql": "SELECT id, title FROM products WHERE title % $1 ORDER BY similarity(title, $1) DESC LIMIT 10",
                "parameters": [{"name": "words", "type": "text"}],
                "uses_index": "products_title_trgm",
            },
        ]
    },
}


def marketplace() -> DatabaseDesign:
    """The design, made anew."""
    return DatabaseDesign.model_validate(MARKETPLACE)
