"""An answer while it is being written: `PartialAnswer` is fed with text and has typed objects of what is final."""

from __future__ import annotations

from dbprompt.partial.answer import Item, PartialAnswer, Tail, Unfinished
from dbprompt.partial.base_kinds import list_at

__all__ = ["Item", "PartialAnswer", "Tail", "Unfinished", "list_at"]
