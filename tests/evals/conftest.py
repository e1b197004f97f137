"""Makes the case reader of the design checks importable: a base design, and small changes to it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "checks"))
sys.path.append(str(Path(__file__).parents[1] / "providers"))
