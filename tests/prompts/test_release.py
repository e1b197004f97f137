"""A release: the number, the folder, the lock and the changelog, or none of them; and labels."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from dbprompt import library
from dbprompt.errors import OutputError, PromptError, PromptLockError
from dbprompt.prompts import release as module
from dbprompt.prompts.changes import Level
from dbprompt.prompts.lock import check_lock, read_lock, write_lock
from dbprompt.prompts.release import plan_release, release

TOML = """\
name = "small"
version = "1.0.0"
title = "Small"
description = "For tests."

[[variables]]
name = "NOTE"
type = "string"
description = "What the customer said."
required = true
"""
DAY = date(2026, 11, 22)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A family with one locked version, and a draft that says one thing more."""
    made = tmp_path / "prompts"
    for place in ("1.0.0", "draft"):
        folder = made / "small" / place
        folder.mkdir(parents=True)
        (folder / "prompt.toml").write_text(TOML, encoding="utf-8")
        (folder / "system.md.j2").write_text("You design databases.\n", encoding="utf-8")
        (folder / "context.md.j2").write_text('{{ NOTE | fenced("note") }}\n', encoding="utf-8")
    write_lock(made)
    (made / "small/draft/system.md.j2").write_text("You design databases. Index every foreign key.\n")
    return made


def everything(root: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_release_is_locked_loadable_and_told(root: Path) -> None:
    """The new version loads by name, fits the lock, and is the newest entry of the changelog."""
    plan = library.plan_prompt_release("small", root=root)
    folder, entry = release(plan, "Indexes on *every* key", on=DAY)
    assert (str(plan), plan.level, folder) == ("small@1.1.0", Level.MINOR, root / "small/1.1.0")
    assert check_lock(root) == ()
    assert read_lock(root).versions["small@1.1.0"] == entry
    loaded = library.load_prompt("small", root=root)
    assert (loaded.version, "Index every" in loaded.render(NOTE="x")[0].text) == ("1.1.0", True)
    assert library.load_prompt("small@production", root=root).version == "1.0.0"
    (root / "small/draft/prompt.toml").write_text(TOML + 'pattern = "[a-z]+"\n', encoding="utf-8")
    release(library.plan_prompt_release("small", root=root), on=DAY)
    log = (root / "small/CHANGELOG.md").read_text(encoding="utf-8")
    heads = [line for line in log.splitlines() if line.startswith("## ")]
    assert heads == ["## 2.0.0 (2026-11-22, major, after 1.1.0)", "## 1.1.0 (2026-11-22, minor, after 1.0.0)"]
    assert "- Indexes on \\*every\\* key" in log


@pytest.mark.parametrize("broken", ["lock", "changelog", "folder"])
def test_all_or_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Whatever step fails, the prompts are byte for byte as before."""
    plan = library.plan_prompt_release("small", root=root)
    before = everything(root)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "lock":
        monkeypatch.setattr(module, "write_lock", fail)
    elif broken == "changelog":
        monkeypatch.setattr(module, "_entry", fail)
    else:
        monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="No space left"):
        release(plan, on=DAY)
    assert everything(root) == before


def test_another_changed_version_stops_it(root: Path) -> None:
    """A release never locks over what somebody did to a published version."""
    other = root / "other/1.0.0"
    shutil.copytree(root / "small/1.0.0", other)
    (other / "prompt.toml").write_text(TOML.replace("small", "other"), encoding="utf-8")
    write_lock(root)
    (other / "system.md.j2").write_text("Changed.\n", encoding="utf-8")
    plan = library.plan_prompt_release("small", root=root)
    before = everything(root)
    with pytest.raises(PromptLockError, match=r"other@1\.0\.0"):
        release(plan, on=DAY)
    assert everything(root) == before


def test_a_level_below_what_changed_is_refused(root: Path) -> None:
    """A break cannot be called a patch; more than needed is the author's choice."""
    with pytest.raises(PromptError, match="this is minor, not patch: system"):
        library.plan_prompt_release("small", root=root, level=Level.PATCH)
    assert library.plan_prompt_release("small", root=root, level=Level.MAJOR).version == "2.0.0"


def test_wording_that_no_program_can_judge_asks_for_the_level(root: Path) -> None:
    """One other word in a long text: `auto` asks, and takes either answer."""
    long = "You design databases with care and take the simplest design that meets the numbers given. " * 4
    (root / "small/draft/system.md.j2").write_text(long, encoding="utf-8")
    release(library.plan_prompt_release("small", root=root), on=DAY)
    (root / "small/draft/system.md.j2").write_text(long.replace("care", "thought", 1), encoding="utf-8")
    with pytest.raises(PromptError, match=r"care → thought.*--level patch or --level minor"):
        library.plan_prompt_release("small", root=root)
    assert library.plan_prompt_release("small", root=root, level=Level.PATCH).version == "1.1.1"
    assert library.plan_prompt_release("small", root=root, level=Level.MINOR).version == "1.2.0"


def test_a_changed_schema_alone_can_be_released(root: Path) -> None:
    """Nobody changed a template, but the answers' form is another: that is a major version of the same text."""
    toml = TOML.replace("\n[[", 'sections = ["schema"]\n\n[[', 1)
    for place in ("1.0.0", "draft"):
        (root / "small" / place / "prompt.toml").write_text(toml, encoding="utf-8")
        (root / "small" / place / "sections").mkdir()
        (root / "small" / place / "sections/schema.md.j2").write_text("Tables.", encoding="utf-8")
    write_lock(root, lambda section: "0" * 64, force=True)
    plan = plan_release(root, root / "small/1.0.0", schema_hash=lambda section: "1" * 64)
    assert (plan.version, [str(one) for one in plan.differences]) == ("2.0.0", ["output schema schema: was changed"])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda root: (root / "small/1.0.0/system.md.j2").write_text("Edited."), "is not as it was locked"),
        (lambda root: (root / "small/draft/system.md.j2").write_text("You design databases.\n"), "nothing to release"),
        (lambda root: (root / "small/draft/system.md.j2").write_text("{{ NOTE }}"), "is text of a user"),
        (lambda root: shutil.rmtree(root / "small/draft"), "nothing to release"),
        (lambda root: shutil.copytree(root / "small/draft", root / "small/1.1.0"), None),
    ],
)
def test_what_cannot_be_released_says_why(root: Path, damage, told: str | None) -> None:
    """An edited version, an unchanged or broken draft, a folder that is taken: an error, and no file moves."""
    damage(root)
    before = everything(root)
    with pytest.raises(PromptError, match=told or "is there already"):
        release(library.plan_prompt_release("small", root=root), on=DAY)
    assert everything(root) == before


def test_a_first_version_keeps_its_number(root: Path, tmp_path: Path) -> None:
    """A family that was never released begins where its settings say."""
    own = tmp_path / "mine"
    shutil.copytree(root / "small/draft", own)
    (own / "prompt.toml").write_text(TOML.replace("small", "mine").replace("1.0.0", "0.3.0"), encoding="utf-8")
    folder, _ = release(plan_release(root, own), on=DAY)
    assert folder == root / "mine/0.3.0"
    assert library.load_prompt("mine@0.3.0", root=root).name == "mine"


def test_labels_point_at_locked_versions_only(root: Path) -> None:
    """Production moves to what is locked; nothing else can be labelled, and nothing else in the lock changes."""
    release(library.plan_prompt_release("small", root=root), on=DAY)
    before = read_lock(root)
    library.label_prompt("small", "1.1.0", "production", root=root)
    assert library.load_prompt("small@production", root=root).version == "1.1.0"
    assert read_lock(root).versions == before.versions
    for version, label in (("9.9.9", "production"), ("1.0.0", "latest"), ("1.0.0", "best")):
        with pytest.raises(PromptError, match=r"not locked|cannot be moved"):
            library.label_prompt("small", version, label, root=root)
