"""What a forked child must not share with its parent: a connection's answers go to whichever of them reads first."""

from __future__ import annotations

import os
import sys
from typing import Protocol
from weakref import WeakSet

__all__ = ["Shared", "anew_in_a_child"]


class Shared(Protocol):
    """What holds connections, or a lock that a thread of the parent may have when it forks."""

    def begin_anew(self) -> None:
        """Lets go of what is the parent's, without a word on its connections. No other thread runs yet."""


_SHARED: WeakSet[Shared] = WeakSet()


def anew_in_a_child(one: Shared) -> None:
    """Has it begin anew in each child that is forked from now on."""
    _SHARED.add(one)


def _forked() -> None:
    for one in list(_SHARED):
        one.begin_anew()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
