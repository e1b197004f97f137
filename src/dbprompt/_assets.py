"""Finds the files that ship with the package: `prompts/` and `schemas/`."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

__all__ = ["assets"]


def assets(kind: str) -> Traversable:
    """The shipped folder `kind`; in a checkout, the folder of that name at its root, so that edits are live.

    Raises:
        FileNotFoundError: there is no such folder, which means that the package was built without it.
    """
    if not kind.isidentifier():
        raise ValueError(f"{kind!r} is not the name of a folder of assets: use 'prompts' or 'schemas'")
    shipped = files("dbprompt") / "_data" / kind
    if shipped.is_dir():
        return shipped
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file() and (root / kind).is_dir():
        return root / kind
    raise FileNotFoundError(f"dbprompt was installed without its folder {kind!r}: install it again")
