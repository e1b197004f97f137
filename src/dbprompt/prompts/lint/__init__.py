"""Prompt health: rules about how a prompt is made, each passed, failed or not checked.

Health is not quality: a prompt at 100 % may still design badly. `dbprompt eval` measures that.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources.abc import Traversable
from types import MappingProxyType

from dbprompt.prompts.lint.base import Fault, Health, Row, Rule, RuleResult
from dbprompt.prompts.lint.draft import read_draft
from dbprompt.prompts.lint.length import check_length, turn_lengths
from dbprompt.prompts.lint.published import check_published
from dbprompt.prompts.lint.safety import check_safety
from dbprompt.prompts.lint.structure import check_structure
from dbprompt.prompts.lint.variables import check_variables
from dbprompt.prompts.lock import SchemaHash, exported_schema_hash
from dbprompt.prompts.tokens import Counter, Tokens, estimate

__all__ = ["BUDGET", "Fault", "Health", "Row", "Rule", "RuleResult", "lint_folder"]

BUDGET = 4_000


def lint_folder(
    folder: Traversable,
    *,
    place: str,
    root: Traversable | None = None,
    budget: int = BUDGET,
    count: Counter = estimate,
    counted: Mapping[str, Tokens] = MappingProxyType({}),
    schema_hash: SchemaHash = exported_schema_hash,
) -> Health:
    """The health of a version's folder, which may be damaged.

    Args:
        folder: holds `prompt.toml` and the templates.
        place: the end of its path, `name/version`.
        root: the folder of the families, with `prompts.lock`; None if the folder stands alone.
        budget: the most tokens that a turn may have.
        count: how tokens are counted.
        counted: by section, a count that is better than that, such as a recording's.
        schema_hash: where output schemas are looked up.
    """
    draft = read_draft(folder)
    lengths = turn_lengths(draft, count, counted)
    results = (
        *check_length(draft, lengths, budget),
        *check_structure(draft, schema_hash),
        *check_variables(draft),
        *check_safety(draft),
        *check_published(draft, place, root, schema_hash),
    )
    return Health(draft.title if draft.title.replace("@", "/") == place else place, results, lengths)
