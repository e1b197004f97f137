"""What has to be seen happening on an engine: roles that see only their rows, backups that come back, jobs that run.

A proof loads the design into a sandbox and tries it out there, with rows where it needs rows. One proof a file.
"""

from __future__ import annotations

from collections.abc import Mapping

from dbprompt.checks import Proof
from dbprompt.sections import SectionName

__all__ = ["PROOFS"]

PROOFS: Mapping[SectionName, tuple[Proof, ...]] = {}
"""The proofs of each section, in the order in which they are tried."""
