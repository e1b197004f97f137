"""A JSON text that comes in pieces: it is read once, and the text of a value is handed out whole."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TypeAlias, TypeVar

__all__ = ["Reader", "Reading"]

R = TypeVar("R")

Reading: TypeAlias = "Generator[None, str, R]"
"""Stops where the text ends by now, is sent the next piece there, and returns what it was to read."""

_SPACE = re.compile(r"[ \t\n\r]*")
_MARK = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_WORD = re.compile(r"[^\s,:{}\[\]\"]*")


class Reader:
    """Where a text is read, and how far. Pieces must not be empty.

    `kept` is the text of the value that is being read, as far as it has come.
    """

    __slots__ = ("_at", "_piece", "kept")

    def __init__(self) -> None:
        self.kept: list[str] = []
        self._piece = ""
        self._at = 0

    def find(self, mark: str) -> Reading[None]:
        """Goes to the next such character, wherever it stands."""
        while (at := self._piece.find(mark, self._at)) < 0:
            self._piece, self._at = (yield), 0
        self._at = at

    def peek(self) -> Reading[str]:
        """The next character that is no space; it stays."""
        at = _SPACE.match(self._piece, self._at).end()  # type: ignore[union-attr]  # it matches nothing as well
        while at == len(self._piece):
            self._piece = yield
            at = _SPACE.match(self._piece).end()  # type: ignore[union-attr]
        self._at = at
        return self._piece[at]

    def take(self) -> Reading[str]:
        """The next character that is no space."""
        mark = yield from self.peek()
        self._at += 1
        return mark

    def value(self) -> Reading[str]:
        """The text of the value that begins here: a string, an object or a list with all that is in it, or a word."""
        mark = yield from self.peek()
        self.kept = []
        yield from self._nested() if mark in '"{[' else self._word()
        text, self.kept = "".join(self.kept), []
        return text

    def _word(self) -> Reading[None]:
        """A number, true, false or null: over when something else begins."""
        while (end := _WORD.match(self._piece, self._at).end()) == len(self._piece):  # type: ignore[union-attr]
            self.kept.append(self._piece[self._at :])
            self._piece, self._at = (yield), 0
        self.kept.append(self._piece[self._at : end])
        self._at = end

    def _nested(self) -> Reading[None]:
        """A string, or everything between brackets: whether they are the right ones is seen when the text is parsed."""
        piece, start = self._piece, self._at
        at, depth, in_string, escaped = start, 0, False, False
        while True:
            if in_string:
                at = _IN_STRING.match(piece, at).end()  # type: ignore[union-attr]
                if at < len(piece):
                    in_string, escaped = piece[at] != '"', piece[at] == "\\"
                    at += 1
            elif found := _MARK.search(piece, at):
                at, mark = found.end(), found.group()
                in_string = mark == '"'
                depth += 0 if in_string else 1 if mark in "{[" else -1
            else:
                at = len(piece)
            if depth <= 0 and not in_string:
                break
            if at == len(piece):
                self.kept.append(piece[start:])
                piece, start, at, escaped = (yield), 0, int(escaped), False
        self.kept.append(piece[start:at])
        self._piece, self._at = piece, at
