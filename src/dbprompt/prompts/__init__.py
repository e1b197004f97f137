"""Prompts: versioned template families with typed variables, their lock, and how a brief fills them."""

from __future__ import annotations

from dbprompt.prompts.from_brief import brief_variables, fill_from_brief
from dbprompt.prompts.prompt import Prompt, RepairItem, render_default_repair
from dbprompt.prompts.quantities import Quantity, QuantityKind, parse_quantity
from dbprompt.prompts.variables import Values, Variable

__all__ = [
    "Prompt",
    "Quantity",
    "QuantityKind",
    "RepairItem",
    "Values",
    "Variable",
    "brief_variables",
    "fill_from_brief",
    "parse_quantity",
    "render_default_repair",
]
