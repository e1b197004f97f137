"""What differs between two versions, and how far that moves the version number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from dbprompt.prompts.changes import Level, differences, level_of
from dbprompt.prompts.diff import diff_prompts
from dbprompt.prompts.lock import Entry
from dbprompt.prompts.prompt import Prompt

TOML = """\
name = "small"
version = "{version}"
title = "Small"
description = "For tests."
sections = ["schema", "queries"]

[hints]
max_output_tokens = 4000

[[variables]]
name = "NOTE"
type = "string"
description = "What the customer said."
required = true
examples = ["a library lends books"]
max_length = 500

[[variables]]
name = "SIZE"
type = "quantity:bytes"
description = "Raw size today."
unit = "GB"
examples = ["2 TB"]

[[variables]]
name = "KIND"
type = "enum"
description = "How it is used."
choices = ["oltp", "olap"]
"""
SIZE = "{% if SIZE is not none %}\nSize: {{ SIZE }}\n{% endif %}"
LONG = "Design all tables. " * 30 + "Keep the lag < 5 s for 1.500 rows. "
FILES = {
    "prompt.toml": TOML,
    "system.md.j2": f"You design databases. {LONG}Give one table for each entity and name it well.\n",
    "context.md.j2": '{{ NOTE | fenced("note") }}\n' + SIZE + "\n{% if KIND %}\nFor {{ KIND }}.\n{% endif %}\n",
    "sections/schema.md.j2": "Design the tables.\n",
    "sections/queries.md.j2": "Write the queries.\nNever use 3 joins.\n",
}  # fmt: skip
INCLUDE = "{% include 'sections/_rule.md.j2' %}"
SCHEMAS = {"schema": "a" * 64, "queries": "b" * 64}


def prompt(folder: Path, version: str = "1.0.0", changed: Mapping[str, str | None] | None = None) -> Prompt:
    """A prompt from the files above with some of them changed; None leaves a file out."""
    for path, text in {**FILES, **(changed or {})}.items():
        if text is not None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text.replace("{version}", version), encoding="utf-8")
    return Prompt.read(folder)


def swapped(path: str, old: str, new: str) -> dict[str, str | None]:
    """One file with one text replaced."""
    assert old in FILES[path]
    return {path: FILES[path].replace(old, new, 1)}


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        (swapped("prompt.toml", 'name = "SIZE"', 'name = "VOLUME"')
         | swapped("context.md.j2", SIZE, SIZE.replace("SIZE", "VOLUME")), Level.MAJOR),
        (swapped("prompt.toml", '"quantity:bytes"', '"quantity:count"'), Level.MAJOR),
        (swapped("prompt.toml", 'unit = "GB"\n', 'unit = "MB"\n'), Level.MAJOR),
        (swapped("prompt.toml", 'unit = "GB"\n', 'required = true\n'), Level.MAJOR),
        (swapped("prompt.toml", '"oltp", ', ''), Level.MAJOR),
        (swapped("prompt.toml", "max_length = 500", "max_length = 50"), Level.MAJOR),
        (swapped("prompt.toml", "max_length = 500", 'pattern = "[a-z ]+"\nmax_length = 500'), Level.MAJOR),
        (swapped("prompt.toml", '["schema", "queries"]', '["schema"]') | {"sections/queries.md.j2": None}, Level.MAJOR),
        (swapped("prompt.toml", "max_length = 500", "max_length = 900"), Level.MINOR),
        (swapped("prompt.toml", '"olap"', '"olap", "both"'), Level.MINOR),
        (swapped("prompt.toml", 'choices', 'default = "oltp"\nchoices'), Level.MINOR),
        (swapped("prompt.toml", "required = true\n", ""), Level.MINOR),
        (swapped("prompt.toml", "4000", "8000"), Level.MINOR),
        (swapped("sections/schema.md.j2", "tables", "tables, with comments"), Level.MINOR),
        (swapped("sections/queries.md.j2", "3", "4"), Level.MINOR),
        (swapped("sections/queries.md.j2", "Never", "Always"), Level.MINOR),
        (swapped("system.md.j2", "lag < 5 s", "lag > 5 s"), Level.MINOR),
        (swapped("system.md.j2", "lag < 5 s", "lag -5 s"), Level.MINOR),
        (swapped("system.md.j2", "1.500 rows", "1,500 rows"), Level.MINOR),
        ({"sections/_more.md.j2": "More."}, Level.MINOR),
        (swapped("prompt.toml", "Raw size today.", "Raw size, as of today."), Level.PATCH),
        (swapped("prompt.toml", "For tests.", "For the tests."), Level.PATCH),
        (swapped("system.md.j2", "databases. ", "databases;\n"), Level.PATCH),
        (swapped("system.md.j2", "name it well", "call it well"), None),
        (swapped("system.md.j2", "name it well", "call it well") | swapped("prompt.toml", "4000", "8000"), Level.MINOR),
    ],
)  # fmt: skip
def test_the_level_follows_from_what_changed(
    tmp_path: Path, changed: dict[str, str | None], level: Level | None
) -> None:
    """Breaks are major, behaviour is minor, the same words are a patch; a word or two only a person can judge."""
    found = differences(prompt(tmp_path / "a"), prompt(tmp_path / "b", changed=changed), SCHEMAS, SCHEMAS)
    assert found
    assert level_of(found) is level


def test_a_changed_output_schema_is_major(tmp_path: Path) -> None:
    """Whoever reads the answers may break."""
    found = differences(prompt(tmp_path / "a"), prompt(tmp_path / "b"), SCHEMAS, SCHEMAS | {"schema": "c" * 64})
    assert [(str(one), one.level) for one in found] == [("output schema schema: was changed", Level.MAJOR)]


def test_texts_are_compared_as_a_model_reads_them(tmp_path: Path) -> None:
    """Only the messages that read otherwise are shown, per section; a partial shows wherever it is included."""
    changed = {
        "sections/_rule.md.j2": "One rule.",
        **{path: text + INCLUDE for path, text in FILES.items() if path.startswith("sections/")},
    }  # fmt: skip
    found = diff_prompts(prompt(tmp_path / "a"), prompt(tmp_path / "b", "1.1.0", changed))
    assert {text.part: (text.added, text.removed) for text in found.texts} == {
        "section schema": (1, 0),
        "section queries": (1, 0),
    }
    assert "+One rule." in found.texts[0].lines
    assert found.level is Level.MINOR


def test_a_changed_example_is_no_changed_text(tmp_path: Path) -> None:
    """Both versions are filled with the same values, so that only what the prompt says differs."""
    changed = swapped("prompt.toml", '["a library lends books"]', '["a shop sells tea"]')
    found = diff_prompts(prompt(tmp_path / "a"), prompt(tmp_path / "b", changed=changed))
    assert found.texts == ()
    assert found.level is Level.PATCH


def test_schemas_are_compared_as_they_were_locked(tmp_path: Path) -> None:
    """The old version's schema is the locked one, not the one of today."""
    old, new = prompt(tmp_path / "a"), prompt(tmp_path / "b", "1.0.1")
    found = diff_prompts(old, new, Entry("", {}, {"schema": "0" * 64}))
    assert [str(one) for one in found.differences] == ["output schema schema: was changed"]
    assert diff_prompts(old, new).differences == ()
