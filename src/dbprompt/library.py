"""Finds prompts: by `name@version`, `name@label`, `name` (its label latest), or the path of a folder of one's own."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path

from dbprompt._assets import assets
from dbprompt.errors import PromptError, PromptNotFoundError
from dbprompt.prompts.lock import LABELS, Change, Lock, check_lock, read_lock, versions_in, write_lock
from dbprompt.prompts.prompt import Prompt

__all__ = ["PromptListing", "check_prompts", "list_prompts", "load_prompt", "lock_prompts"]


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


def check_prompts(*, root: Path | None = None) -> tuple[Change, ...]:
    """What differs from `prompts.lock`; nothing means that every published version is as it was."""
    return check_lock(_shipped() if root is None else root)


def lock_prompts(*, root: Path | None = None, force: bool = False) -> Lock:
    """Locks the versions that are new.

    Raises:
        PromptLockError: a published version was changed.
        PromptError: the prompts are part of an installed package, where nothing is written.
    """
    here = _shipped() if root is None else root
    if not isinstance(here, Path) or here.parent.name == "_data":
        raise PromptError(
            "the prompts of an installed package are not locked again; work in a checkout, or give a root"
        )
    return write_lock(here, force=force)


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
