"""The chapters of access patterns, caching and reasons: complete, computed where they can be, and escaped."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from answers import answer, design
from designs import HOSTILE

from dbprompt.brief import Brief
from dbprompt.capacity import capacity_of
from dbprompt.render.access_patterns import access_patterns_markdown, answers
from dbprompt.render.background import Background
from dbprompt.render.caching import caching_markdown
from dbprompt.render.chapters import Chapter
from dbprompt.render.postgres import outline
from dbprompt.render.rationale import rationale_markdown
from dbprompt.sections import DatabaseDesign

SHOP = Brief.load(Path(__file__).parents[1] / "briefs/pg_marketplace_orders.yaml")
SECTIONS = ("selection", "schema", "indexes", "queries", "caching", "rationale")


def chapter(write: Chapter, of: DatabaseDesign) -> str:
    """A chapter as one text."""
    about = Background(SHOP, capacity_of(SHOP), "", "", (), date(2026, 3, 15), 18)
    return "\n\n".join(write(of, about))


def test_every_query_of_the_brief_has_its_line() -> None:
    """Kind, rate, target, freshness and what answers it; the sum of the rates is computed."""
    text = chapter(access_patterns_markdown, design("marketplace", *SECTIONS))
    (line,) = [line for line in text.splitlines() if line.startswith("| `latest_orders_of_buyer`")]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["top n", "900 a second", "20 ms", "0 s", "statement by index `orders_buyer_latest`, keyset pages"]
    assert all(f"| `{query.id}`" in text for query in SHOP.queries)
    assert "2,400 of 5,200 a second at the peak (46%)" in text
    assert "1 day" in text and "40 a day" in text


def test_a_query_that_nothing_answers_is_shown_as_that() -> None:
    """A partial design does not look whole."""
    of = answer("marketplace", "queries")
    of["queries"] = [query for query in of["queries"] if query["id"] != "order_by_number"]
    partial = DatabaseDesign.model_validate({"schema": answer("marketplace", "schema"), "queries": of})
    text = chapter(access_patterns_markdown, partial)
    assert [line.count("**nothing**") for line in text.splitlines() if "order_by_number" in line] == [1]


def test_views_caches_and_routes_answer_too() -> None:
    """Everything that serves a query is named with its place."""
    entry = {
        "name": "revenue", "kind": "query", "query": "monthly_seller_revenue", "store": "redis", "ttl_s": 7200,
        "key": "revenue:{month_start}", "invalidated_by": "expiry",
    }  # fmt: skip
    view = {
        "name": "seller_months",
        "sql": "SELECT 1 AS one",
        "refresh": "0 3 * * *",
        "serves": ["monthly_seller_revenue"],
    }
    route = {
        "name": "reports", "queries": ["monthly_seller_revenue"], "to": "read_replica", "by": "application",
        "lag_tolerance_s": 60,
    }  # fmt: skip
    phases = [{"name": "now", "up_to_records": 10, "tier": "large"}, {"name": "later", "tier": "large"}]
    scaling = {"routes": [route], "sharding": {"approach": "none", "reason": "small"}, "phases": phases}
    of = DatabaseDesign.model_validate(
        {"queries": answer("marketplace", "queries"), "caching": {"entries": [entry]}, "views": {"views": [view]},
         "scaling": scaling}
    )  # fmt: skip
    found = answers(of, "monthly_seller_revenue")
    assert found[1:] == (
        "view `seller_months`", "cache `revenue` in redis, 2 hours", "on the read replica (`reports`)"
    )  # fmt: skip


def test_the_caching_table() -> None:
    """Key, life and end of each entry; how often a key can be asked for is rate times life."""
    entries = answer("marketplace", "caching")["entries"]
    entries.append({**entries[0], "name": "revenue", "kind": "query", "query": "monthly_seller_revenue", "table": None,
                    "key": "revenue:{month_start}", "ttl_s": 86400})  # fmt: skip
    text = chapter(caching_markdown, DatabaseDesign.model_validate({"caching": {"entries": entries}}))
    text = " ".join(text.split())
    assert "| `product_page` | a row of `products` | redis | `product:{product_id}` | 5 minutes |" in text
    assert "a write to `products`" in text and "| 40 |" in text
    assert "Nothing is cached" in chapter(caching_markdown, DatabaseDesign.model_validate({"caching": {}}))


def test_risks_stand_worst_first() -> None:
    """The order is likelihood times impact, whatever the order of the answer."""
    of = answer("marketplace", "rationale")
    of["risks"] = [{"risk": f"{p} {i}", "likelihood": p, "impact": i, "mitigation": "m"} for p, i in
                   (("low", "low"), ("high", "high"), ("medium", "high"))]  # fmt: skip
    text = chapter(rationale_markdown, DatabaseDesign.model_validate({"rationale": of}))
    assert text.index("high high") < text.index("medium high") < text.index("low low")
    assert "`buyers.id`" in text and "### Open questions" in text


@pytest.mark.parametrize("write", [caching_markdown, rationale_markdown, access_patterns_markdown])
def test_text_stays_text(write: Chapter) -> None:
    """A hostile reason opens no HTML and no row of its own."""
    parts = {name: answer("marketplace", name) for name in SECTIONS}
    calm = chapter(write, DatabaseDesign.model_validate(parts))
    for items in (*parts["rationale"].values(), parts["caching"]["entries"], parts["queries"]["queries"]):
        for item in items:
            free = {"reason", "assumption", "if_wrong", "risk", "mitigation", "question", "affects", "note"}
            item |= {name: HOSTILE for name in item if name in free}
    text = chapter(write, DatabaseDesign.model_validate(parts))
    assert "alert(1)" in text and "<" not in text.replace("<->", "")
    assert [line.count(" | ") for line in text.splitlines()] == [line.count(" | ") for line in calm.splitlines()]


def test_the_outline_names_queries_and_caches() -> None:
    """What later sections need of them: names, parameters, tables, and no SQL."""
    lines = outline(design("marketplace", *SECTIONS)).splitlines()
    assert "query open_lines_of_seller(seller_id, status) reads order_lines" in lines
    assert "cache session of session in redis, 86400 s" in lines
