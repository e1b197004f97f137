"""Writes the recordings of `docs/evals.md` anew, a terse prompt and its next version: python evals/record_terse.py

The answers are authored, not a model's: for 1.1.0 the reference answer for the marketplace, for 1.0.0 the same without
what that prompt leaves unsaid. They show what a comparison looks like, and prove nothing about prompts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from dbprompt import Brief, Client, load_prompt
from dbprompt.messages import Json
from dbprompt.providers.authored import authored_transport
from dbprompt.providers.tape import Tape

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
PROMPTS = ROOT / "evals/prompts/terse_architect"
MODEL = "anthropic:claude-opus-4-8"


def weak_schema() -> Mapping[str, Json]:
    """Nothing keeps the stock at zero, the past as it was, or a payment from being booked twice."""
    from answers import answer

    schema = answer("marketplace", "schema")
    for table in schema["tables"]:
        if table["name"] == "products":
            table["checks"] = [check for check in table["checks"] if "stock" not in check["name"]]
        if table["name"] == "payments":
            table["uniques"] = []
        for column in table["columns"]:
            if (table["name"], column["name"]) in {("order_lines", "unit_price"), ("order_lines", "title_at_sale")}:
                column["nullable"] = True
    schema["functional_dependencies"] = [
        one for one in schema["functional_dependencies"] if one["determinant"] != ["provider_reference"]
    ]
    return schema


def record(version: str, schema: Mapping[str, Json]) -> None:
    """One conversation with one version."""
    from answers import answer

    known = {"selection": [answer("marketplace", "selection")], "indexes": [answer("marketplace", "indexes")]}
    path = ROOT / f"evals/recordings/postgres/marketplace.terse_architect@{version}.json"
    inner = authored_transport({**known, "schema": [schema]})
    tape = Tape.open(path, mode="record", provenance="authored", inner=inner)
    with Client(MODEL, recording=tape, api_key="nobody-is-asked", attempts=0) as client:
        brief = Brief.load(ROOT / "evals/briefs/pg_marketplace_orders.yaml")
        result = client.design(brief, prompt=load_prompt(PROMPTS / version))
    print(f"{path.relative_to(ROOT)}: {result.usage.requests} answers, proven: {result.evidence.ok}")


def main() -> None:
    from answers import answer

    record("1.0.0", weak_schema())
    record("1.1.0", answer("marketplace", "schema"))


if __name__ == "__main__":
    main()
