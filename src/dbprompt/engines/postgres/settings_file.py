"""Whether the server program reads a configuration file: its syntax, each name and each value. Nothing is started."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.binaries import Installation
from dbprompt.engines.postgres.programs import environment

__all__ = ["read_settings"]

_SECONDS = 10
_SAID_ANYWAY = ("skipping missing configuration file", "contains errors")


def read_settings(installation: Installation, text: str) -> Outcome:
    """Has `postgres -C` read a whole file, which it may do as root too, since no server comes of it."""
    if installation.dsn:
        return Outcome(Answer.UNDECIDED, message="the program of a server that is in use is not at hand")
    with tempfile.TemporaryDirectory(prefix="dbprompt-settings-") as directory:
        file = Path(directory) / "postgresql.conf"
        file.write_text(text, encoding="utf-8")
        program = str(installation.bindir / "postgres")
        try:
            asked = subprocess.run(
                [program, "-C", "config_file", "-D", directory, f"--config-file={file}"],
                env=environment(), cwd="/", capture_output=True, text=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return Outcome(Answer.UNDECIDED, message=f"the server program could not be asked: {error}")
        if not asked.returncode:
            return Outcome(Answer.ACCEPTED, note="read by the server program, not started with")
        said = [line.partition(":  ")[2] for line in asked.stderr.replace(f"{directory}/", "").splitlines()]
    wrong = [line for line in said if line and not any(words in line for words in _SAID_ANYWAY)]
    lacking = all("by this build" in line for line in wrong)
    return Outcome(Answer.UNDECIDED if lacking else Answer.REFUSED, message="; ".join(wrong) or "it was not read")
