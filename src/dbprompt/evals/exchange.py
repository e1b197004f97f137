"""What was said in a case: every prompt as it was rendered, and every answer as it came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from dbprompt.messages import Reply, Request
from dbprompt.providers import Provider
from dbprompt.sections import SECTIONS

__all__ = ["Exchange", "Listener", "Said", "Turn"]


@dataclass(frozen=True, slots=True)
class Said:
    """A message: who speaks, and the number of the text in `Exchange.texts`."""

    role: str
    text: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One request: its messages, and the answer or the error that came."""

    section: str
    messages: tuple[Said, ...]
    answer: str = ""
    error: str = ""


@dataclass(slots=True)
class Exchange:
    """All turns of a case. Texts stand once: every turn begins as the others do."""

    texts: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    def add(self, request: Request, answer: str, error: str) -> None:
        """Takes in one turn."""
        said = tuple(Said(message.role.value, self._number(message.text)) for message in request.messages)
        self.turns.append(Turn(request.origin.section, said, answer, error))

    def by_section(self) -> tuple[Turn, ...]:
        """The turns in the order of a document, each section's in the order in which they were said."""
        order = {name: at for at, name in enumerate(SECTIONS)}
        return tuple(sorted(self.turns, key=lambda turn: order.get(turn.section, -1)))

    @property
    def prefix(self) -> tuple[Said, ...]:
        """The messages with which every turn begins: system and context."""
        if len(self.turns) < 2:
            return ()
        return tuple(_common([turn.messages for turn in self.turns]))

    def to_json(self) -> str:
        """For exchange.json."""
        return _EXCHANGE.dump_json(self, indent=1).decode() + "\n"

    @classmethod
    def read(cls, text: str | None) -> Exchange | None:
        """Back from exchange.json; None if there is none that can be read."""
        try:
            return _EXCHANGE.validate_json(text) if text is not None else None
        except ValidationError:
            return None

    def _number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


_EXCHANGE = TypeAdapter(Exchange)


def _common(lists: Iterable[tuple[Said, ...]]) -> Iterable[Said]:
    for column in zip(*lists, strict=False):
        if len(set(column)) != 1:
            return
        yield column[0]


class Listener:
    """A provider that hands everything on to another one, and remembers what was said.

    Args:
        inner: the one that answers.
        closes: whether it ends with this one; not so if it is the caller's, and has more cases to answer.
    """

    def __init__(self, inner: Provider, *, closes: bool = True) -> None:
        self._inner, self._closes = inner, closes
        self.name, self.model, self.offline = inner.name, inner.model, inner.offline
        self._heard: list[tuple[Request, str, str]] = []  # appended to by several threads at once

    @property
    def exchange(self) -> Exchange:
        """What was said so far."""
        exchange = Exchange()
        for request, answer, error in list(self._heard):
            exchange.add(request, answer, error)
        return exchange

    def send(self, request: Request) -> Reply:
        """Asks once."""
        try:
            reply = self._inner.send(request)
        except Exception as error:
            self._heard.append((request, "", f"{type(error).__name__}: {error}"))
            raise
        self._heard.append((request, reply.text, ""))
        return reply

    def close(self) -> None:
        """Gives the connections back."""
        if self._closes:
            self._inner.close()
