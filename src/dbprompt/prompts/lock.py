"""The lock file: a published prompt version never changes, and neither does the output schema it was published with.

`prompts.lock` is TOML. Per version it holds one sha256 over everything, and one for each template and each output
schema, so that a difference can be named. The labels `latest` and `production` are the only part that moves.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeAlias

from dbprompt._assets import assets
from dbprompt.disk import write_whole
from dbprompt.errors import PromptError, PromptLockError
from dbprompt.prompts.prompt import Prompt

__all__ = [
    "DRAFT",
    "LABELS",
    "LOCK_FILE",
    "Change",
    "Entry",
    "Lock",
    "check_lock",
    "entry_of",
    "exported_schema_hash",
    "move_label",
    "read_lock",
    "versions_in",
    "write_lock",
]

LOCK_FILE = "prompts.lock"
DRAFT = "draft"
LABELS = ("latest", "production")
_VERSION = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}")
_HEAD = "# Written by `dbprompt prompts lock`. A published version never changes: make a new one.\n"

SchemaHash: TypeAlias = Callable[[str], str | None]
"""The sha256 of a section's output schema, or None if there is no schema for it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A locked version: one hash for the whole, one for each part."""

    sha256: str
    files: Mapping[str, str]
    schemas: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lock:
    """What `prompts.lock` says: entries by `name@version`, labels by family."""

    versions: Mapping[str, Entry] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between a version and its lock entry: what part, and what happened to it."""

    prompt: str
    part: str
    what: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.prompt}: {self.part} {self.what}"


def exported_schema_hash(section: str) -> str | None:
    """The sha256 of `schemas/SECTION.json` as canonical JSON."""
    try:
        file = assets("schemas") / f"{section}.json"
        schema = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        return None
    canonical = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def entry_of(prompt: Prompt, schema_hash: SchemaHash = exported_schema_hash) -> Entry:
    """What the lock holds for a version as it stands."""
    files = prompt.folder.file_hashes
    schemas = {section: found for section in prompt.sections if (found := schema_hash(section))}
    whole = json.dumps({"files": files, "schemas": schemas}, sort_keys=True)
    return Entry(hashlib.sha256(whole.encode()).hexdigest(), files, schemas)


def read_lock(root: Traversable) -> Lock:
    """Reads `prompts.lock`; a folder without one has an empty lock.

    Raises:
        PromptError: the file cannot be understood.
    """
    file = root / LOCK_FILE
    if not file.is_file():
        return Lock()
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        entries = {
            name: Entry(str(entry["sha256"]), dict(entry["files"]), dict(entry.get("schemas", {})))
            for name, entry in data.get("versions", {}).items()
        }
        labels = {name: {k: str(v) for k, v in given.items()} for name, given in data.get("labels", {}).items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise PromptError(f"{file} cannot be read: {error!r}; restore it from version control") from error
    return Lock(entries, labels)


def versions_in(root: Traversable) -> dict[str, Traversable]:
    """The folder of every version under a root, by `name@version`, oldest first."""
    found: list[tuple[str, tuple[int, ...], Traversable]] = []
    for family in root.iterdir():
        if not family.is_dir():
            continue
        for folder in family.iterdir():
            if _VERSION.fullmatch(folder.name) and (folder / "prompt.toml").is_file():
                found.append((family.name, tuple(map(int, folder.name.split("."))), folder))
    ordered = sorted(found, key=lambda item: item[:2])
    return {f"{family}@{folder.name}": folder for family, _, folder in ordered}


def check_lock(
    root: Traversable, schema_hash: SchemaHash = exported_schema_hash, *, only: str = ""
) -> tuple[Change, ...]:
    """Every difference between the prompts under a root and their lock; nothing means that all is as published.

    Args:
        root: the folder of the families.
        schema_hash: where the output schemas' hashes come from.
        only: `name@version`; looks at this version alone.
    """
    lock = read_lock(root)
    folders = versions_in(root)
    if only:
        entries = {name: entry for name, entry in lock.versions.items() if name == only}
        lock, folders = Lock(entries), {name: folder for name, folder in folders.items() if name == only}
    changes: list[Change] = []
    for name, folder in folders.items():
        locked = lock.versions.get(name)
        if locked is None:
            changes.append(Change(name, LOCK_FILE, "does not hold this version"))
        else:
            changes += _differences(name, locked, entry_of(Prompt.read(folder), schema_hash))
    changes += [Change(name, "its folder", "was removed") for name in lock.versions if name not in folders]
    for family, labels in lock.labels.items():
        changes += [
            Change(family, f"label {label}", f"names {version}, which is not there")
            for label, version in labels.items()
            if f"{family}@{version}" not in folders
        ]
    return tuple(changes)


def write_lock(root: Path, schema_hash: SchemaHash = exported_schema_hash, *, force: bool = False) -> Lock:
    """Adds the versions that are not locked yet and moves the label latest to the newest.

    Args:
        root: the folder of the families.
        schema_hash: where the output schemas' hashes come from.
        force: accept changes to locked versions; only while nothing is released.

    Raises:
        PromptLockError: a locked version was changed, and `force` is not given.
    """
    old = read_lock(root)
    folders = versions_in(root)
    new = {name: entry_of(Prompt.read(folder), schema_hash) for name, folder in folders.items()}
    changed = [c for name in old.versions if name in new for c in _differences(name, old.versions[name], new[name])]
    changed += [Change(name, "its folder", "was removed") for name in old.versions if name not in new]
    if changed and not force:
        lines = "".join(f"\n  - {change}" for change in changed)
        raise PromptLockError(f"a published version never changes; undo this, or make a new version of it:{lines}")
    lock = Lock(new, _labels(old, list(new)))
    write_whole(root / LOCK_FILE, _toml(lock))
    return lock


def move_label(root: Path, family: str, label: str, version: str) -> Lock:
    """Points a label at a locked version; `latest` moves by itself.

    Raises:
        PromptError: there is no such label, or no such locked version.
    """
    lock = read_lock(root)
    movable = [name for name in LABELS if name != "latest"]
    if label not in movable:
        raise PromptError(f"label {label!r} cannot be moved by hand; there is {', '.join(movable)}")
    locked = [name.split("@")[1] for name in lock.versions if name.split("@")[0] == family]
    if version not in locked:
        raise PromptError(f"{family}@{version} is not locked; locked are {', '.join(locked) or 'none'} of {family!r}")
    labels = {**lock.labels, family: {**lock.labels.get(family, {}), label: version}}
    moved = Lock(lock.versions, labels)
    write_whole(root / LOCK_FILE, _toml(moved))
    return moved


def _labels(old: Lock, names: list[str]) -> dict[str, dict[str, str]]:
    """The newest version of a family is latest; production stays where it is, if that is still there."""
    labels: dict[str, dict[str, str]] = {}
    for name in names:
        family, version = name.split("@")
        kept = old.labels.get(family, {})
        still = {label: v for label, v in kept.items() if f"{family}@{v}" in names}
        labels[family] = {"production": version, **still, "latest": version}
    return labels


def _differences(name: str, locked: Entry, now: Entry) -> list[Change]:
    changes: list[Change] = []
    for what, before, after in (
        ("", locked.files, now.files),
        ("output schema ", locked.schemas, now.schemas),
    ):
        for part in sorted({*before, *after}):
            if part not in after:
                changes.append(Change(name, what + part, "was removed"))
            elif part not in before:
                changes.append(Change(name, what + part, "was added"))
            elif before[part] != after[part]:
                changes.append(Change(name, what + part, "was changed"))
    if not changes and locked.sha256 != now.sha256:
        changes.append(Change(name, LOCK_FILE, "holds a sum that does not fit its parts"))
    return changes


def _toml(lock: Lock) -> str:
    """TOML with quoted keys; all values are versions and hexadecimal digits."""
    lines = [_HEAD]
    for family in sorted(lock.labels):
        lines += [f"[labels.{family}]", *(f'{k} = "{v}"' for k, v in sorted(lock.labels[family].items())), ""]
    for name, entry in lock.versions.items():
        lines += [f'[versions."{name}"]', f'sha256 = "{entry.sha256}"', ""]
        for kind, parts in (("files", entry.files), ("schemas", entry.schemas)):
            lines += [f'[versions."{name}".{kind}]', *(f'"{k}" = "{v}"' for k, v in sorted(parts.items())), ""]
    return "\n".join(lines).rstrip() + "\n"
