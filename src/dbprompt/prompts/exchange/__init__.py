"""Prompts for other tools and from them: one format a file."""

from __future__ import annotations

from dbprompt.prompts.exchange.from_prompty import Imported, edited_body, from_prompty
from dbprompt.prompts.exchange.plain import to_plain
from dbprompt.prompts.exchange.promptfoo import to_promptfoo
from dbprompt.prompts.exchange.prompty import to_prompty

__all__ = ["Imported", "edited_body", "from_prompty", "to_plain", "to_promptfoo", "to_prompty"]
