"""Writes an imported prompt's folder in one step: whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from dbprompt.errors import OutputError

__all__ = ["write_prompt_folder"]


def write_prompt_folder(target: Path, files: Mapping[str, str], judge: Callable[[Path], None]) -> Path:
    """Writes the files, lets `judge` refuse them, and only then gives the folder its name.

    Raises:
        OutputError: the folder is there already, or cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target} is there already; give another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".import-", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        for path, text in files.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_text(text, encoding="utf-8", newline="\n")
        judge(staging)
        staging.chmod(0o755)
        return staging.rename(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
