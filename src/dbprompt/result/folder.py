"""Writes a folder all or nothing, and never over what somebody else put there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dbprompt.errors import OutputError

__all__ = ["MANIFEST", "check_folder", "fingerprint", "write_folder"]

MANIFEST = "evidence.json"
"""The file that lists the others under `files`, each with its sha256: so a folder of ours is known again."""


def fingerprint(content: str) -> str:
    """sha256 of a file's text as it is written."""
    return hashlib.sha256(content.encode()).hexdigest()


def write_folder(directory: Path, files: Mapping[str, str]) -> Path:
    """Writes `files` beside the folder first, then swaps the two; what was there is gone only after that.

    Raises:
        OutputError: something foreign is in the way, or the system refused; the folder is as it was.
    """
    target = directory.expanduser().resolve()
    check_folder(target)
    mark = uuid.uuid4().hex[:8]
    fresh = target.with_name(f".{target.name}.new-{mark}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fill(fresh, files)
        _swap(fresh, target, target.with_name(f".{target.name}.old-{mark}"))
    except OSError as error:
        raise OutputError(
            f"{target} was not written: {error.strerror or error}. Give a folder that can be replaced as a whole."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir()
    for name, content in files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise OutputError(f"{name!r} would be written outside the folder")
        file = folder / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8", newline="\n")
        if file.suffix == ".sh":
            file.chmod(0o755)


def _swap(fresh: Path, target: Path, aside: Path) -> None:
    """Two renames. If the second one fails the first is taken back; a machine that dies in between leaves both."""
    if not target.exists():
        fresh.rename(target)
        return
    target.rename(aside)
    try:
        fresh.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def check_folder(target: Path) -> None:
    """Refuses a folder that could not be written, before anything is asked or paid for.

    Raises:
        OutputError: it holds files of others, is no folder, or its parent cannot be written to.
    """
    parent = next(folder for folder in (target.absolute().parent, *target.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OutputError(f"{target} cannot be made: {parent} is no folder that can be written to")
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target} is a file; give a folder")
    try:
        strangers = _foreign(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be read: {error.strerror or error}") from error
    if strangers:
        shown = ", ".join(strangers[:5]) + (f" and {len(strangers) - 5} more" if len(strangers) > 5 else "")
        raise OutputError(
            f"{target} holds files that dbprompt did not write, or that were changed since: {shown}. "
            "Nothing was touched; move them away, or give another folder."
        )


def _foreign(target: Path) -> list[str]:
    """Everything in the folder that is not, byte for byte, a file that we wrote there."""
    known = _manifest(target)
    strangers = []
    for file in sorted(target.rglob("*")):
        name = file.relative_to(target).as_posix()
        if file.is_symlink():
            strangers.append(name)
        elif file.is_dir():
            continue
        elif known is None or (name != MANIFEST and known.get(name) != _sha256(file)):
            strangers.append(name)
    return strangers


def _manifest(target: Path) -> Mapping[str, str] | None:
    try:
        data = json.loads((target / MANIFEST).read_bytes())
        files = data["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return files if isinstance(files, dict) else None


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
