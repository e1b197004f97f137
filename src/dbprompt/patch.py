"""Repair in small: which items findings point at, the schema that asks for just these, and putting them back."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from dbprompt.evidence import Finding
from dbprompt.messages import Json, OutputSchema
from dbprompt.shape import item_pointer, name_of

__all__ = ["BrokenItem", "apply_patch", "broken_items", "patch_schema"]


@dataclass(frozen=True, slots=True)
class BrokenItem:
    """An item that has to be replaced, or a list that something has to be added to.

    Args:
        pointer: JSON pointer: `/tables/3` is replaced, `/tables` is added to, empty is the whole answer.
        text: the item's JSON as it stands, empty for a list.
        findings: what is wrong.
        name: what the item calls itself.
    """

    pointer: str
    text: str
    findings: tuple[Finding, ...]
    name: str = ""
    adds: bool = False

    @property
    def may_drop(self) -> bool:
        """Whether the item may be left out: a finding says so."""
        return any(finding.may_drop for finding in self.findings)

    @property
    def key(self) -> str:
        """The property that holds the new item in the reply: `tables_3`, `add_tables`, `decision`."""
        key = self.pointer.strip("/").replace("/", "_")
        return f"add_{key}" if self.adds else key


def broken_items(whole: OutputSchema, document: Json, errors: Sequence[Finding]) -> tuple[BrokenItem, ...] | None:
    """The items that these errors lie in, in the order of the document; None if an error concerns the whole."""
    if not isinstance(document, dict):
        return None
    by_pointer: dict[str, list[Finding]] = {}
    for error in errors:
        pointer = item_pointer(error.where, document)
        key = pointer.split("/")[1] if pointer else ""
        if key not in cast("dict[str, Json]", whole.schema["properties"]) or key not in document:
            return None
        by_pointer.setdefault(pointer, []).append(error)
    return tuple(_item(pointer, document, findings) for pointer, findings in sorted(by_pointer.items(), key=_order))


def _order(entry: tuple[str, list[Finding]]) -> tuple[str, int]:
    _, key, *at = entry[0].split("/")
    return key, int(at[0]) if at else 1_000_000


def _item(pointer: str, document: dict[str, Json], findings: list[Finding]) -> BrokenItem:
    _, key, *at = pointer.split("/")
    value = document[key]
    if isinstance(value, list):
        if not at:
            return BrokenItem(pointer, "", tuple(findings), adds=True)
        value = value[int(at[0])]
    return BrokenItem(pointer, json.dumps(value, ensure_ascii=False), tuple(findings), name_of(value))


def patch_schema(whole: OutputSchema, items: Sequence[BrokenItem]) -> OutputSchema:
    """A schema with one property an item: the new item, or null where it may be dropped; for a list, what to add."""
    defs = cast("dict[str, Json]", whole.schema.get("$defs", {}))
    properties = cast("dict[str, dict[str, Json]]", whole.schema["properties"])
    asked: dict[str, Json] = {}
    for item in items:
        whole_property = properties[item.pointer.split("/")[1]]
        element = whole_property.get("items")
        if item.adds:
            asked[item.key] = {"type": "array", "items": element}
        elif element is not None:
            asked[item.key] = {"anyOf": [element, {"type": "null"}]} if item.may_drop else element
        else:
            asked[item.key] = whole_property
    schema: dict[str, Json] = {
        "type": "object",
        "properties": asked,
        "required": list(asked),
        "additionalProperties": False,
    }
    used = _used(asked, defs)
    if used:
        schema["$defs"] = {name: defs[name] for name in defs if name in used}
    return OutputSchema(f"{whole.name}_repair", schema)


def _used(node: Json, defs: dict[str, Json], found: frozenset[str] = frozenset()) -> frozenset[str]:
    """The definitions that a schema reaches."""
    if isinstance(node, list):
        for item in node:
            found = _used(item, defs, found)
    elif isinstance(node, dict):
        ref = node.get("$ref")
        name = ref.removeprefix("#/$defs/") if isinstance(ref, str) else ""
        if name in defs and name not in found:
            found = _used(defs[name], defs, found | {name})
        for value in node.values():
            found = _used(value, defs, found)
    return found


def apply_patch(document: Json, items: Sequence[BrokenItem], answer: dict[str, Json]) -> Json:
    """The document with the answered items in place; what the answer leaves out, or drops unasked, stays as it was."""
    patched = copy.deepcopy(document)
    if not isinstance(patched, dict):
        return patched
    dropped: list[tuple[str, int]] = []
    for item in items:
        if item.key not in answer:
            continue
        _, key, *at = item.pointer.split("/")
        value, there = answer[item.key], patched[key]
        if not isinstance(there, list):
            patched[key] = value
        elif item.adds:
            there.extend(one for one in (value if isinstance(value, list) else [value]) if one is not None)
        elif value is None and item.may_drop:
            dropped.append((key, int(at[0])))
        elif value is not None:
            there[int(at[0])] = value
    for key, place in sorted(dropped, reverse=True):
        cast("list[Json]", patched[key]).pop(place)
    return patched
