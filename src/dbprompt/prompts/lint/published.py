"""Lock: the version is published under its own name, and is as it was published."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources.abc import Traversable

from dbprompt.errors import PromptError
from dbprompt.prompts.lint.base import Fault, Row, Rule, RuleResult, judged, line_of, not_checked
from dbprompt.prompts.lint.draft import TOML, Draft
from dbprompt.prompts.lock import DRAFT, LOCK_FILE, SchemaHash, check_lock, read_lock

__all__ = ["check_published"]

PLACE = Rule(
    "lock.place",
    Row.LOCK,
    "its folder is called NAME/VERSION as in prompt.toml, or NAME/draft",
    "rename the folder, or release it",
)
HELD = Rule("lock.held", Row.LOCK, f"{LOCK_FILE} holds this version", "dbprompt prompts lock --root FOLDER")
SAME = Rule(
    "lock.same",
    Row.LOCK,
    "templates, settings and output schemas are as they were locked",
    "put the old text back, or release a new version: dbprompt prompts release",
)


def check_published(
    draft: Draft, place: str, root: Traversable | None, schema_hash: SchemaHash
) -> Iterator[RuleResult]:
    """The rules of this row that apply. `place` is the end of the folder's path, `name/version`."""
    if not draft.title:
        for rule in (PLACE, HELD, SAME):
            yield not_checked(rule, f"{TOML} does not say name and version")
        return
    name, _, _ = draft.title.partition("@")
    if place == f"{name}/{DRAFT}":  # a draft is on its way to be a version: there is nothing to hold it to yet
        yield judged(PLACE, ())
        return
    fits = place == draft.title.replace("@", "/")
    at = line_of(draft.toml, r"^\s*version\s*=")
    yield judged(PLACE, () if fits else [Fault(TOML, at, f"says {draft.title}; the folder is {place}")])
    try:
        held = root is not None and draft.title in read_lock(root).versions
    except PromptError as error:
        yield judged(HELD, [Fault(LOCK_FILE, 0, str(error))])
        yield not_checked(SAME, f"{LOCK_FILE} cannot be read")
        return
    yield judged(HELD, () if held else [Fault(LOCK_FILE, 0, f"does not hold {draft.title}")])
    if not held or not fits or root is None:
        yield not_checked(SAME, f"there is no locked {draft.title} to compare this folder with")
    elif draft.prompt is None:
        yield not_checked(SAME, f"the prompt does not load: {draft.refusal}")
    else:
        yield judged(SAME, _changes(draft.title, root, schema_hash))


def _changes(title: str, root: Traversable, schema_hash: SchemaHash) -> Iterator[Fault]:
    for change in check_lock(root, schema_hash, only=title):
        yield Fault(change.part.removeprefix("output schema "), 0, str(change).split(": ", 1)[1])
