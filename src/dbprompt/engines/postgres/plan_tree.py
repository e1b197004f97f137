"""A plan as EXPLAIN (FORMAT JSON) gives it, and what is read out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbprompt.messages import Json

__all__ = ["INDEX_SCANS", "Plan"]

INDEX_SCANS = frozenset({"Index Scan", "Index Only Scan", "Bitmap Index Scan"})


@dataclass(frozen=True, slots=True)
class Plan:
    """One node with everything below it."""

    json: Mapping[str, Json]

    @property
    def kind(self) -> str:
        """`Index Scan`."""
        return self.text("Node Type")

    @property
    def cost(self) -> float:
        """The planner's cost of the whole of it."""
        return self.number("Total Cost")

    @property
    def rows(self) -> float:
        """How many rows the planner expects of it."""
        return self.number("Plan Rows")

    @property
    def children(self) -> tuple[Plan, ...]:
        """The nodes right below."""
        below = self.json.get("Plans")
        return tuple(Plan(one) for one in below if isinstance(one, dict)) if isinstance(below, list) else ()

    @property
    def relation(self) -> str:
        """The table that it reads; of a bitmap, its table stands one node above."""
        return self.text("Relation Name")

    @property
    def index(self) -> str:
        """The index that it reads."""
        return self.text("Index Name")

    def text(self, key: str) -> str:
        """A property as text; empty if it has none."""
        value = self.json.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> float:
        """A property as a number."""
        value = self.json.get(key)
        return float(value) if isinstance(value, int | float) else 0.0

    def words(self, key: str) -> tuple[str, ...]:
        """A property as a list of texts."""
        value = self.json.get(key)
        return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()

    def nodes(self) -> Iterator[Plan]:
        """This node and all below it, from the top."""
        yield self
        for child in self.children:
            yield from child.nodes()

    @property
    def indexes(self) -> tuple[str, ...]:
        """The indexes that it reads, each once."""
        arbiters = [name for node in self.nodes() for name in node.words("Conflict Arbiter Indexes")]
        return tuple(dict.fromkeys([*(node.index for node in self.nodes() if node.index), *arbiters]))

    def lookups(self) -> frozenset[str]:
        """The indexes in which it looks something up, instead of reading them from end to end."""
        return frozenset(node.index for node in self.nodes() if node.kind in INDEX_SCANS and node.text("Index Cond"))
