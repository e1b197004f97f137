"""What a model's name asks of the stub: `stub[-SIZE][+FAULT[*TIMES]]...[~LABEL]`.

`stub-40kb` is an answer of 40,000 characters; `stub+status_503*2` fails twice and then answers; `stub+stall-2s` stalls
for ever. A label keeps the counters of two tests apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container
from dataclasses import dataclass

__all__ = ["Knobs", "Step", "knobs_of", "step_of"]

_SIZE = re.compile(r"-(\d+)(kb|mb)$")
_FAULT = re.compile(
    r"(?P<name>chaos(?=_)|.+?)(?:_(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|(?<=chaos_\d)|(?<=chaos_\d\d)))?(?:\*(?P<times>\d+))?"
)
_UNITS = {"kb": 1_000, "mb": 1_000_000, "ms": 0.001, "s": 1.0, "": 1.0}


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Args:
        name: which.
        seconds: its length, from `-30s` or `-250ms`; the seed in `chaos-7`.
        times: how many requests it is for.
    """

    name: str
    seconds: float | None = None
    times: float = math.inf


@dataclass(frozen=True, slots=True)
class Knobs:
    """The size of the good answer in characters (0: as small as the schema lets it), and the faults before it."""

    size: int = 0
    steps: tuple[Step, ...] = ()

    def at(self, number: int) -> Step | None:
        """The fault of request `number` (from 0); None is a good answer."""
        for step in self.steps:
            if number < step.times:
                return step
            number -= int(step.times)
        return None


def knobs_of(model: str, known: Container[str]) -> Knobs:
    """What a name asks for. A name that is none of ours is answered well.

    Raises:
        ValueError: a fault that there is not, so that no test passes on a misspelt one.
    """
    name, *faults = model.partition("~")[0].split("+")
    size = _SIZE.search(name)
    return Knobs(int(size[1]) * int(_UNITS[size[2]]) if size else 0, tuple(step_of(each, known) for each in faults))


def step_of(text: str, known: Container[str]) -> Step:
    """One fault as written: `503*1`, `rate-limited-30s`, `stall_mid-250ms*2`."""
    found = _FAULT.fullmatch(text.replace("-", "_"))
    name = "" if found is None else found["name"]
    name = f"status_{name}" if name[:3].isdecimal() else name
    if found is None or name not in known:
        raise ValueError(f"{text!r} is no fault of the stub")
    seconds = None if found["number"] is None else float(found["number"]) * _UNITS[found["unit"]]
    return Step(name, seconds, math.inf if found["times"] is None else int(found["times"]))
