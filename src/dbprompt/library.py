"""Finds prompts: by `name@version`, `name@label`, `name` (its label latest), or the path of a folder of one's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path

from dbprompt._assets import assets
from dbprompt.errors import PromptError, PromptNotFoundError
from dbprompt.prompts.changes import Level
from dbprompt.prompts.diff import PromptDiff, diff_prompts
from dbprompt.prompts.lint import BUDGET, Health, lint_folder
from dbprompt.prompts.lint.measured import measured_tokens
from dbprompt.prompts.lock import (
    DRAFT,
    LABELS,
    LOCK_FILE,
    Change,
    Entry,
    Lock,
    check_lock,
    move_label,
    read_lock,
    versions_in,
    write_lock,
)
from dbprompt.prompts.prompt import Prompt
from dbprompt.prompts.release import Plan, plan_release
from dbprompt.prompts.tokens import Counter, Tokens, estimate
from dbprompt.providers.base_cassette import read as read_cassette

__all__ = [
    "Located",
    "PromptListing",
    "check_prompts",
    "compare_prompts",
    "label_prompt",
    "lint_prompt",
    "list_prompts",
    "load_prompt",
    "locate_prompt",
    "lock_prompts",
    "own_root",
    "plan_prompt_release",
    "prompt_names",
]


@dataclass(frozen=True, slots=True)
class PromptListing:
    """A prompt version that can be loaded, and the labels that point at it."""

    name: str
    version: str
    title: str
    sections: tuple[str, ...]
    labels: tuple[str, ...]

    def __str__(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a prompt's files are, whether or not they can be loaded.

    Args:
        folder: holds its files.
        place: the end of the folder's path, `name/version`.
        root: the folder of the families, with the lock; None if the folder stands alone.
    """

    folder: Traversable
    place: str
    root: Traversable | None


def locate_prompt(name: str | Path, *, root: Path | None = None) -> Located:
    """Finds a prompt's folder as `load_prompt` does, but reads none of its files: it may be damaged.

    Raises:
        PromptNotFoundError: there is no such prompt or folder.
    """
    if isinstance(name, Path) or _is_path(name):
        return _located(Path(name))
    here = _shipped() if root is None else root
    versions = versions_in(here)
    exact = _resolve(name, read_lock(here), tuple(versions))
    return Located(versions[exact], exact.replace("@", "/"), here)


def _located(path: Path) -> Located:
    if not path.is_dir():
        raise PromptNotFoundError(f"{path} is no folder")
    versions = versions_in(path.resolve().parent)
    own = [folder for name, folder in versions.items() if name.split("@")[0] == path.resolve().name]
    folder = Path(str(own[-1])) if own and not (path / "prompt.toml").is_file() else path.resolve()
    place, root = f"{folder.parent.name}/{folder.name}", folder.parent.parent
    stands = (root / LOCK_FILE).is_file() or place.replace("/", "@") in versions_in(root)
    return Located(folder, place, root if stands else None)


def load_prompt(name: str | Path, *, root: Path | None = None) -> Prompt:
    """Loads a prompt.

    >>> load_prompt("database_architect@2.0.0").sections[0]
    'selection'

    Args:
        name: `name@version`, `name@label`, `name`, or the path of a folder that holds a `prompt.toml`, or holds
            versions.
        root: another folder of families than the one that ships with dbprompt.

    Raises:
        PromptNotFoundError: there is no such prompt; the message lists what there is.
        PromptError: its files are wrong.
    """
    if isinstance(name, Path) or _is_path(name):
        return _from_path(Path(name))
    here = _shipped() if root is None else root
    versions = versions_in(here)
    exact = _resolve(name, read_lock(here), tuple(versions))
    prompt = Prompt.read(versions[exact])
    if str(prompt) != exact:
        raise PromptError(f"{versions[exact]}: prompt.toml says {prompt}; its folder says {exact}")
    return prompt


def list_prompts(*, root: Path | None = None) -> tuple[PromptListing, ...]:
    """Every prompt version that can be loaded by name, families in order, oldest first."""
    here = _shipped() if root is None else root
    labels = read_lock(here).labels
    listed: list[PromptListing] = []
    for name, folder in versions_in(here).items():
        family, version = name.split("@")
        prompt = Prompt.read(folder)
        pointing = tuple(label for label in LABELS if labels.get(family, {}).get(label) == version)
        listed.append(PromptListing(family, version, prompt.title, prompt.sections, pointing))
    return tuple(listed)


def prompt_names(*, root: Path | None = None) -> tuple[str, ...]:
    """The `name@version` of every version's folder, whether or not it can be loaded."""
    return tuple(versions_in(_shipped() if root is None else root))


def check_prompts(*, root: Path | None = None) -> tuple[Change, ...]:
    """What differs from `prompts.lock`; nothing means that every published version is as it was."""
    return check_lock(_shipped() if root is None else root)


def lock_prompts(*, root: Path | None = None, force: bool = False) -> Lock:
    """Locks the versions that are new.

    Raises:
        PromptLockError: a published version was changed.
        PromptError: the prompts are part of an installed package, where nothing is written.
    """
    return write_lock(own_root(root), force=force)


def label_prompt(name: str, version: str, label: str, *, root: Path | None = None) -> Lock:
    """Points a label at a locked version.

    Raises:
        PromptError: there is no such label or version, or the prompts are part of an installed package.
    """
    return move_label(own_root(root), name, label, version)


def lint_prompt(
    name: str | Path,
    *,
    root: Path | None = None,
    budget: int = BUDGET,
    count: Counter = estimate,
    recordings: Iterable[Path] = (),
) -> Health:
    """The health of a prompt, whether or not it can be loaded.

    Args:
        name: as for `load_prompt`.
        root: another folder of families than the one that ships with dbprompt.
        budget: the most tokens that a turn may have.
        count: how tokens are counted where no recording of this text measured them.
        recordings: files of recorded exchanges; those with a real model measure the turns that they asked.

    Raises:
        PromptNotFoundError: there is no such prompt or folder.
        RecordingError: a recording cannot be read.
    """
    at = locate_prompt(name, root=root)
    exchanges = [exchange for path in recordings for exchange in read_cassette(path)]
    counted: dict[str, Tokens] = {}
    if exchanges:
        with suppress(PromptError):
            counted = measured_tokens(Prompt.read(at.folder), exchanges)
    return lint_folder(at.folder, place=at.place, root=at.root, budget=budget, count=count, counted=counted)


def compare_prompts(old: str | Path, new: str | Path, *, root: Path | None = None) -> PromptDiff:
    """What differs between two versions, in what a model reads and in what a caller relies on."""
    before, after = load_prompt(old, root=root), load_prompt(new, root=root)
    found = diff_prompts(before, after, _locked(old, before, root), _locked(new, after, root))
    return replace(found, old=str(old), new=str(new)) if found.old == found.new else found


def _locked(name: str | Path, prompt: Prompt, root: Path | None) -> Entry | None:
    at = locate_prompt(name, root=root)
    return read_lock(at.root).versions.get(str(prompt)) if at.root is not None else None


def plan_prompt_release(name: str | Path, *, root: Path | None = None, level: Level | None = None) -> Plan:
    """What a release would do; `dbprompt.prompts.release.release` carries it out.

    Args:
        name: the folder of a changed prompt, or the name of a family: its folder `draft` is released, and without
            one its newest version, if only output schemas changed.
        root: another folder of families than the one that ships with dbprompt.
        level: how far the number moves; None to tell it from what changed.

    Raises:
        PromptError: there is nothing to release, or it cannot be; the message says what to do.
    """
    here = own_root(root)
    if isinstance(name, Path) or _is_path(name):
        return plan_release(here, Path(name), level)
    draft = here / name / DRAFT
    if draft.is_dir():
        return plan_release(here, draft, level)
    return plan_release(here, Path(str(locate_prompt(name, root=root).folder)), level)


def own_root(root: Path | None = None) -> Path:
    """The folder of the families, if something may be written there.

    Raises:
        PromptError: the prompts are part of an installed package.
    """
    here = _shipped() if root is None else root
    if not isinstance(here, Path) or here.parent.name == "_data":
        raise PromptError("the prompts of an installed package are not changed; work in a checkout, or give a root")
    return here


@lru_cache(maxsize=1)
def _shipped() -> Traversable:
    return assets("prompts")


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.startswith(".")


def _from_path(path: Path) -> Prompt:
    if (path / "prompt.toml").is_file():
        return Prompt.read(path)
    versions = versions_in(path.parent) if path.is_dir() else {}
    own = [folder for name, folder in versions.items() if name.split("@")[0] == path.name]
    if not own:
        raise PromptNotFoundError(f"{path} holds no prompt.toml, and no folder of a version that does")
    return Prompt.read(own[-1])


def _resolve(name: str, lock: Lock, known: tuple[str, ...]) -> str:
    family, _, wanted = name.partition("@")
    of_family = [key.split("@")[1] for key in known if key.split("@")[0] == family]
    if not of_family:
        families = list(dict.fromkeys(key.split("@")[0] for key in known))
        near = difflib.get_close_matches(family, families, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(families) or 'none'}"
        raise PromptNotFoundError(f"no prompt {family!r}; {hint}", known=known)
    labels = lock.labels.get(family, {})
    version = labels.get(wanted or "latest", wanted) or of_family[-1]
    if version not in of_family:
        named = "".join(f", {label} ({labels[label]})" for label in LABELS if label in labels)
        raise PromptNotFoundError(
            f"prompt {family!r} has no version {wanted!r}; it has {', '.join(of_family)}{named}", known=known
        )
    return f"{family}@{version}"
