"""The lock and the library: a published version never changes; every name leads somewhere or says what there is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dbprompt import library
from dbprompt._assets import assets
from dbprompt.errors import PromptError, PromptLockError, PromptNotFoundError
from dbprompt.prompts.lock import check_lock, write_lock

ROOT = Path(__file__).parents[2] / "prompts"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A copy of the shipped prompts, locked."""
    root = tmp_path / "prompts"
    shutil.copytree(ROOT, root)
    write_lock(root, force=True)
    return root


def test_shipped_prompts_are_as_locked() -> None:
    """The prompts and output schemas in the tree are the published ones (`dbprompt prompts lock --check`)."""
    assert [str(change) for change in library.check_prompts()] == []


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("system.md.j2", "system.md.j2"),
        ("sections/_so_far.md.j2", "sections/_so_far.md.j2"),
        ("prompt.toml", "prompt.toml"),
    ],
)
def test_one_changed_character_is_found_and_named(prompts: Path, file: str, part: str) -> None:
    """Any change to a template, a shared partial or a setting fails the check, and cannot be locked over."""
    changed = prompts / "database_architect/2.0.0" / file
    text = changed.read_text(encoding="utf-8")
    changed.write_text(text.replace(" database", " databse", 1).replace("Build", "Builds"), encoding="utf-8")
    assert [str(change) for change in check_lock(prompts)] == [f"database_architect@2.0.0: {part} was changed"]
    with pytest.raises(PromptLockError, match="make a new version"):
        write_lock(prompts)


def test_a_changed_output_schema_is_found(prompts: Path) -> None:
    """A published prompt is bound to the schemas it was published with."""
    (found, *_) = check_lock(prompts, lambda section: "0" * 64)
    assert "output schema" in found.part


def test_comments_and_line_ends_are_no_change(prompts: Path) -> None:
    """Settings are compared by meaning, templates without their line ends."""
    toml = prompts / "database_architect/2.0.0/prompt.toml"
    toml.write_text("# a remark\n" + toml.read_text(encoding="utf-8"), encoding="utf-8")
    system = prompts / "database_architect/2.0.0/system.md.j2"
    system.write_bytes(system.read_bytes().replace(b"\n", b"\r\n"))
    assert check_lock(prompts) == ()


def test_a_new_version_is_locked_and_becomes_latest(prompts: Path) -> None:
    """A new version is added without touching old entries; latest moves, production stays."""
    old, new = prompts / "database_architect/2.0.0", prompts / "database_architect/2.0.10"
    shutil.copytree(old, new)
    toml = new / "prompt.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('"2.0.0"', '"2.0.10"'), encoding="utf-8")
    lock = write_lock(prompts)
    assert dict(lock.labels["database_architect"]) == {"latest": "2.0.10", "production": "2.0.0"}
    assert library.load_prompt("database_architect", root=prompts).version == "2.0.10"
    assert library.load_prompt("database_architect@production", root=prompts).version == "2.0.0"
    shutil.rmtree(new)
    assert {change.what for change in check_lock(prompts)} == {"was removed", "names 2.0.10, which is not there"}


def test_every_way_to_name_a_prompt() -> None:
    """Version, label, bare name and path all load; the listing shows what there is."""
    exact = library.load_prompt("database_architect@2.0.0")
    for name in ("database_architect", "database_architect@latest", ROOT / "database_architect/2.0.0"):
        assert library.load_prompt(name).hash == exact.hash
    assert library.load_prompt(ROOT / "database_architect").version == "2.0.0"
    assert [str(item) for item in library.list_prompts()] == ["database_architect@2.0.0", "design_framework@1.0.0"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("database_architec", "did you mean 'database_architect'"),
        ("nothing_like_it", "there are database_architect, design_framework"),
        ("database_architect@9.9.9", "it has 2.0.0, latest \\(2.0.0\\)"),
        ("./nowhere", "holds no prompt.toml"),
        ("database_architect@../../x", "no prompt.toml|no version"),
    ],
)
def test_unknown_prompts_say_what_there_is(name: str, told: str) -> None:
    """A name that leads nowhere is answered with those that lead somewhere."""
    with pytest.raises(PromptNotFoundError, match=told):
        library.load_prompt(name)


def test_a_folder_must_be_what_it_is_called(prompts: Path) -> None:
    """A version copied to another folder without changing its settings is refused."""
    shutil.copytree(prompts / "design_framework/1.0.0", prompts / "design_framework/1.1.0")
    with pytest.raises(PromptError, match=r"prompt\.toml says design_framework@1\.0\.0"):
        library.load_prompt("design_framework@1.1.0", root=prompts)


@pytest.mark.parametrize("kind", ["..", "../src", "prompts/../src", ""])
def test_assets_stay_inside(kind: str) -> None:
    """Only a plain folder name is looked up among the shipped files."""
    with pytest.raises(ValueError, match="is not the name"):
        assets(kind)


@pytest.mark.parametrize(
    ("file", "goes_on"),
    [
        ("sections/schema.md.j2", True),
        ("sections/indexes.md.j2", False),
        ("sections/_so_far.md.j2", False),
        ("system.md.j2", False),
        ("context.md.j2", False),
        ("repair.md.j2", False),
    ],
)
def test_a_turn_is_made_of_its_own_template_and_what_all_share(prompts: Path, file: str, goes_on: bool) -> None:
    """Another section's template keeps the hash that a turn's recording is found by; everything else changes it."""
    before = library.load_prompt("database_architect", root=prompts)
    changed = prompts / "database_architect/2.0.0" / file
    changed.write_text(changed.read_text(encoding="utf-8") + "Be brief.\n", encoding="utf-8")
    after = library.load_prompt("database_architect", root=prompts)
    assert (after.turn_hash("indexes") == before.turn_hash("indexes")) == goes_on
    assert after.hash != before.hash and before.turn_hash("indexes") != before.turn_hash("schema")


def test_an_included_section_template_belongs_to_the_turn(prompts: Path) -> None:
    """A template that takes in another section's template says something else when that one changes."""
    folder = prompts / "database_architect/2.0.0/sections"
    indexes, caching = folder / "indexes.md.j2", folder / "caching.md.j2"
    indexes.write_text(indexes.read_text(encoding="utf-8") + '{% include "sections/caching.md.j2" %}', encoding="utf-8")
    before = library.load_prompt("database_architect", root=prompts)
    caching.write_text(caching.read_text(encoding="utf-8") + "Be brief.\n", encoding="utf-8")
    after = library.load_prompt("database_architect", root=prompts)
    assert after.turn_hash("indexes") != before.turn_hash("indexes")
    assert after.turn_hash("schema") == before.turn_hash("schema")
