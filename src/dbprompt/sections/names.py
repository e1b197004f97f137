"""How names of a brief and of a design are matched (`briefs/FORMAT.md`, "Names")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["entity_matches", "name_matches", "normal"]

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(maxsize=4096)
def normal(name: str) -> str:
    """Lower-cased, camelCase split, schema prefix dropped, the last word singular.

    >>> normal("public.OrderItems"), normal("categories"), normal("address")
    ('order_item', 'category', 'address')
    """
    words = _CAMEL.sub("_", name.rsplit(".", 1)[-1]).lower().split("_")
    return "_".join([*words[:-1], _singular(words[-1])])


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word


def entity_matches(design_name: str, name: str, aliases: Iterable[str]) -> bool:
    """Whether a table is this entity, by its name or an alias."""
    return normal(design_name) in {normal(candidate) for candidate in (name, *aliases)}


def name_matches(design_name: str, name: str, aliases: Iterable[str], entity: str) -> bool:
    """Whether a column is this attribute; the entity's own name may stand in front of either."""
    wanted = {_without(entity, candidate) for candidate in (name, *aliases)}
    return bool({normal(design_name), _without(entity, design_name)} & (wanted | {normal(n) for n in (name, *aliases)}))


def _without(entity: str, name: str) -> str:
    return normal(name).removeprefix(normal(entity) + "_")
