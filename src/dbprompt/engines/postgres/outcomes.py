"""What a reply of the server says about the statement, and what only about this machine."""

from __future__ import annotations

import locale
import re

from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.wire import Reply, condition_name

__all__ = ["STOPPED", "limit_of_this_machine", "outcome"]

STOPPED = "57014"
# Classes of SQLSTATE that say something about the engine's state and nothing about the statement.
_UNDECIDED_CLASSES = ("08", "53", "57", "58", "XX")
_UNDECIDED_CODES = {"25P02", "55P03", "40001", "40P01"}
_NO_RIGHT = "42501"
# Words about this server's build, or about a stand-in, and not about the statement.
_NOT_BUILT_IN = ("in this build", "by this build", "to be built with", "has no handler")
# A library that only a start of the server loads, a compression and a locale: this machine's limits as well.
_NOT_HERE = (
    (re.compile(r"must be loaded via \W?shared_preload_libraries"), "this server does not preload its library"),
    (re.compile(r'invalid value for parameter "\w+_compression": "(lz4|zstd)"'), "this server is built without it"),
    (
        re.compile(
            r'(?:collation|create locale) "(?P<locale>[a-z]{2,3}_[A-Z]{2})(?:[.@][\w.@-]+)?"'
            r".*(?:does not exist|No such file)"
        ),
        "this machine does not have the operating system's locale of that name",
    ),
)


def outcome(reply: Reply, seconds: float, note: str = "") -> Outcome:
    """What became of a statement that had so many seconds."""
    if reply.ok:
        return Outcome(Answer.ACCEPTED, seconds=reply.seconds, note=note)
    undecided = reply.code[:2] in _UNDECIDED_CLASSES or reply.code in _UNDECIDED_CODES
    if reply.code == _NO_RIGHT:  # a superuser might be allowed to, except for what nobody may
        undecided = reply.message.startswith(("permission denied", "must be")) and "system catalog" not in reply.message
    if any(words in f"{reply.message} {reply.detail}" for words in _NOT_BUILT_IN):
        undecided = True
    message = reply.message
    if reason := limit_of_this_machine(message):
        undecided, message = True, f"{message}: {reason}"
    if reply.code in {STOPPED, "57P01"}:
        message = f"it did not end within {seconds:g} s, or wrote too much: it was stopped"
    return Outcome(
        Answer.UNDECIDED if undecided else Answer.REFUSED,
        code=reply.code,
        condition=condition_name(reply.code),
        message=message,
        detail=reply.detail,
        hint=reply.hint,
        position=reply.position,
        seconds=reply.seconds,
        note=note if not undecided else "",
    )


def limit_of_this_machine(message: str) -> str:
    """What this machine lacks, where a message says no more than that; empty if it is about the statement."""
    return next((reason for words, reason in _NOT_HERE if _names_a_limit(words, message)), "")


def _names_a_limit(words: re.Pattern[str], message: str) -> bool:
    """Whether a message is one of those; a locale has to be a real one, `en_US` and not `xx_YY`."""
    found = words.search(message)
    named = found.groupdict().get("locale") if found else None
    return found is not None and (named is None or named.lower() in locale.locale_alias)
