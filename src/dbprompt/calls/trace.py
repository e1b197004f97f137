"""Everything that a job said and was told: for a notebook, a file, and the question what a model was really asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from dbprompt.calls.exchange import UNCOUNTED, Exchange
from dbprompt.disk import write_whole
from dbprompt.errors import OutputError
from dbprompt.messages import Message, Reply, Request, Usage

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["Exchange", "Trace"]

FORMAT = 1


class Trace:
    """Every request of a job with its answer, failed ones too, in the order in which they ended.

    It holds what was sent and said, so it is as confidential as these are; keys are never in it. Only ever appended
    to; threads and tasks may do so at once.

    Args:
        exchanges: what it begins with.
    """

    __slots__ = ("_exchanges",)

    def __init__(self, exchanges: Iterable[Exchange] = ()) -> None:
        self._exchanges = list(exchanges)  # list.append is safe between threads

    def add(
        self,
        request: Request,
        end: Reply | BaseException,
        *,
        asked: str,
        attempt: int = 1,
        waited_s: float = 0.0,
        started_at: datetime,
        seconds: float | None,
        keys: tuple[str, ...] = (),
        failed: Usage = UNCOUNTED,
    ) -> None:
        """Takes in one request: what it was, and what came of it; the arguments are those of `Exchange.of`."""
        self._exchanges.append(
            Exchange.of(
                request,
                end,
                asked=asked,
                attempt=attempt,
                waited_s=waited_s,
                started_at=started_at,
                seconds=seconds,
                keys=keys,
                failed=failed,
            )
        )

    def __iter__(self) -> Iterator[Exchange]:
        """What there is by now."""
        return iter(tuple(self._exchanges))

    def __len__(self) -> int:
        """How many requests."""
        return len(self._exchanges)

    def __getitem__(self, at: int) -> Exchange:
        """One of them: `trace[-1]` is the last."""
        return self._exchanges[at]

    def __eq__(self, other: object) -> bool:
        """Whether the same was said, at the same times."""
        return self._exchanges == other._exchanges if isinstance(other, Trace) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it grows

    def of(self, section: str) -> tuple[Exchange, ...]:
        """The exchanges of one section: the first ask, what failed, the repairs."""
        return tuple(one for one in self if one.section == section)

    @property
    def failed(self) -> tuple[Exchange, ...]:
        """The requests that ended in an error."""
        return tuple(one for one in self if one.error_type)

    @property
    def usage(self) -> Usage:
        """What all of them cost."""
        return sum((one.usage for one in self), Usage())

    @property
    def shared(self) -> tuple[Message, ...]:
        """The messages with which every request begins: a design asks all its sections below the same ones."""
        lists = [one.messages for one in self]
        if len(lists) < 2:
            return ()
        same = takewhile(lambda column: all(one == column[0] for one in column), zip(*lists, strict=False))
        return tuple(column[0] for column in same)

    def to_json(self) -> str:
        """The trace as one JSON document. Texts stand once: every request of a design begins as the others do.

        Half of a letter, which no file can hold, is escaped, and read back as it was.
        """
        numbers: dict[str, int] = {}
        written = _exchanges().dump_python(tuple(self), mode="json")
        for exchange in written:
            for message in exchange["messages"]:
                message["text"] = numbers.setdefault(message["text"], len(numbers))
        document = {"format": FORMAT, "texts": list(numbers), "exchanges": written}
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        return text.encode("utf-8", "backslashreplace").decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Trace:
        """Back from the text of a file.

        Raises:
            OutputError: the text is no trace.
        """
        from pydantic import ValidationError

        try:
            document = json.loads(text)
            texts, written = document["texts"], document["exchanges"]
            if document["format"] != FORMAT:
                raise OutputError(f"the text is a trace of format {document['format']}; this version reads {FORMAT}")
            for exchange in written:
                exchange["messages"] = [{**said, "text": texts[said["text"]]} for said in exchange["messages"]]
            return cls(_exchanges().validate_python(written))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise OutputError(f"the text is no trace: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise OutputError("the text is no trace: it is JSON that trace.save() wrote") from error

    def save(self, path: str | Path) -> Path:
        """Writes all of it into one JSON file, or nothing.

        Raises:
            OutputError: the file cannot be written.
        """
        file = Path(path)
        try:
            write_whole(file, self.to_json())
        except OSError as error:
            raise OutputError(f"{file} cannot be written: {error.strerror or error}") from error
        return file

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Reads a file that `save` wrote.

        Raises:
            OutputError: the file cannot be read, or is no trace.
        """
        file = Path(path)
        try:
            return cls.from_json(file.read_bytes())
        except OSError as error:
            raise OutputError(f"{file} cannot be read: {error.strerror}") from error
        except OutputError as error:
            raise OutputError(f"{file}: {error}") from error

    def __repr__(self) -> str:
        """Counts; nothing that was said."""
        usage, failed = self.usage, len(self.failed)
        wrong = f", {failed} failed" if failed else ""
        tokens = f"{usage.input_tokens:,} input and {usage.output_tokens:,} output tokens"
        return f"Trace({len(self)} request{'s' if len(self) != 1 else ''}{wrong}; {tokens})"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from dbprompt.calls.trace_view import trace_html

        return trace_html(repr(self), tuple(self), self.shared)

    def _repr_markdown_(self) -> str:
        """For notebooks that show no HTML."""
        from dbprompt.calls.trace_view import trace_markdown

        return trace_markdown(repr(self), tuple(self), self.shared)


@cache
def _exchanges() -> TypeAdapter[tuple[Exchange, ...]]:
    from pydantic import TypeAdapter

    return TypeAdapter(tuple[Exchange, ...])
