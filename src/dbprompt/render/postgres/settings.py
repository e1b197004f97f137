"""`postgresql.conf`: each setting under its heading, with the reason beside it."""

from __future__ import annotations

import re
from itertools import groupby

from dbprompt.machines.postgres_settings import ServerSetting

__all__ = ["settings_conf"]

_BARE = re.compile(r"^-?[0-9]+(\.[0-9]+)?[A-Za-z]*$|^[a-z][a-z_]*$")


def settings_conf(settings: tuple[ServerSetting, ...], *, version: int) -> str:
    """The file. What a managed service sets by itself stands there as a comment.

    >>> print(settings_conf((ServerSetting("jit", "off", "short statements", "manual", "planner"),), version=18))
    # PostgreSQL 18, computed by dbprompt from design.json: the primary, and whatever may take its place.
    <BLANKLINE>
    # planner
    jit = off  # short statements
    <BLANKLINE>
    """
    parts = [
        f"# PostgreSQL {version}, computed by dbprompt from design.json: the primary, and whatever may take its place."
    ]
    for group, members in groupby(settings, key=lambda setting: setting.group):
        parts.append("\n".join((f"# {group}", *map(_line, members))))
    return "\n\n".join(parts) + "\n"


def _line(setting: ServerSetting) -> str:
    """`name = value  # why`, on one line whatever the reason holds."""
    why = " ".join(setting.why.split())
    line = f"{setting.name} = {_value(setting.value)}  # {why}"
    return f"# set by the service: {line}" if setting.by_service else line


def _value(value: str) -> str:
    """Numbers, units and words as they are; all else between quotes."""
    if _BARE.match(value):
        return value
    return "'" + " ".join(value.split()).replace("\\", "\\\\").replace("'", "''") + "'"
