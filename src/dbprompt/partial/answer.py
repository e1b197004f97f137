"""Typed objects out of an answer that is still being written, in time that grows with its length and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import RLock
from typing import Generic, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from dbprompt.evidence import Evidence, Finding, Status, Tier, Verdict
from dbprompt.messages import Json, Usage
from dbprompt.partial.base_kinds import Kind, blank_instance, kind_of
from dbprompt.partial.base_text import Reader, Reading
from dbprompt.shape import read_json, shape_findings

__all__ = ["Item", "PartialAnswer", "Tail", "Unfinished"]

T = TypeVar("T", bound=BaseModel)

Validate: TypeAlias = Callable[[object], object]

_DEEPEST = 32
"""Objects in objects that are looked into; what lies deeper is final as a whole."""


@dataclass(frozen=True, slots=True)
class Item:
    """An element of a list that is complete: typed, and never changed again in this answer.

    Args:
        where: JSON pointer, `/tables/0`.
        value: the element; None if it does not fit its type.
        findings: what is wrong with its shape; then it is left out of the answer.
    """

    where: str
    value: object
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Tail:
    """What has come of the item or field that is being written: plain JSON, to be shown and not to be relied on."""

    where: str
    value: Json


@dataclass(frozen=True, slots=True)
class Unfinished(Generic[T]):
    """What was complete of an answer that broke off.

    Args:
        value: an instance made without validation: what is not final is empty or None (see `PartialAnswer.value`).
        final: JSON pointers of the fields that are complete. Of a list that is not, the items that stand in it are.
        findings: what does not fit its type, and was left out.
        usage: what was spent on it.
    """

    value: T
    final: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    usage: Usage = field(default_factory=Usage)

    @property
    def evidence(self) -> Evidence:
        """Nothing of it was proven."""
        why = "the answer broke off before it could be checked"
        verdict = Verdict(type(self.value).__name__, "", Status.NOT_CHECKED, Tier.NOTHING, "none", why)
        return Evidence(self.findings, (verdict,))


class _UnusableError(Exception):
    """From here on this is not the JSON that was asked for: only the end can say what it is."""


@dataclass(eq=False, slots=True)
class _List:
    """A list that is being written."""

    where: str
    kind: Kind
    values: list[object] = field(default_factory=list)
    data: list[object] = field(default_factory=list)
    whole: bool = True
    shown: object = None

    def built(self) -> object:
        """The elements that are final, as the type gathers them; the same one until there is one more."""
        if self.shown is None:
            self.shown = self.kind.gathered(self.values)
        return self.shown


@dataclass(eq=False, slots=True)
class _Object:
    """An object that is being written.

    Args:
        where: its JSON pointer.
        kind: what it may be.
        values: what is final, typed, by field name or key of a dict; and what is being written.
        data: the same by its key in JSON, as the whole will be validated.
        complete: pointers of the fields that are final.
        whole: whether everything fits its type so far.
    """

    where: str
    kind: Kind
    values: dict[object, object] = field(default_factory=dict)
    data: dict[str, object] = field(default_factory=dict)
    complete: list[str] = field(default_factory=list)
    whole: bool = True
    shown: object = None

    def built(self) -> object:
        """An instance of what is final, made without validation; the same one until there is more."""
        if self.shown is None:
            self.shown = self.kind.made(
                {
                    name: value.built() if isinstance(value, _Object | _List) else value
                    for name, value in self.values.items()
                }
            )
        return self.shown

    def below(self, key: str) -> str:
        """The pointer of a member."""
        return f"{self.where}/{key.replace('~', '~0').replace('/', '~1')}"


P = TypeVar("P", _Object, _List)


class PartialAnswer(Generic[T]):
    """An answer that is still being written: fed with pieces of its text, it has at any time what is final of it.

    An *item* is an element of a list that is reached through objects only, such as `/tables/0` or `/plan/steps/3`. An
    item, and a field that is complete, is validated once and never changes. Text around the JSON is passed over, as in
    a reply that is whole. From something that is no JSON on, or a key that comes twice, nothing more is final. One
    thread may feed it while others look.

    >>> from pydantic import BaseModel
    >>> class Plan(BaseModel):
    ...     title: str
    ...     steps: list[str]
    >>> plan = PartialAnswer(Plan)
    >>> plan.feed('{"title": "Move", "steps": ["pack", "lo')
    [Item(where='/steps/0', value='pack', findings=())]
    >>> plan.value, plan.tail
    (Plan(title='Move', steps=['pack']), Tail(where='/steps/1', value='lo'))
    """

    def __init__(self, output: type[T]) -> None:
        self._output, self._kind = output, kind_of(output)
        self._reader, self._lock = Reader(), RLock()
        self._open: list[_Object | _List] = []
        self._items: list[Item] = []
        self._findings: list[Finding] = []
        self._complete: tuple[str, ...] = ()
        self._value: T | None = None
        self._nothing = self._kind.made({}) if self._kind.model else blank_instance(output)
        self._writing: str | None = None
        self._over = False
        self._answer = self._read()
        next(self._answer)

    def feed(self, text: str) -> list[Item]:
        """Takes the next piece of the text; the items that it completes, in order, misshapen ones too."""
        with self._lock:
            if text and not self._over:
                try:
                    self._answer.send(text)
                except BaseException:  # a validator of the caller's failed by itself
                    self._over = True
                    raise
            items, self._items = self._items, []
            return items

    @property
    def value(self) -> T:
        """What is final, as an instance of the output class that is made without validation.

        Lists hold their finished items. A field that has not come is an empty list, tuple, set or dict if its type is
        one, and None if not, whatever its type or default says; an object that is being written is an instance by the
        same rule. Validators that run after a whole, and defaults, have their say when the whole is complete. The same
        instance is given until more is final, and one that was given never changes.
        """
        with self._lock:
            if self._value is not None:
                return self._value
            made = self._open[0].built() if self._open else None  # None while it is not known which model it is
            return cast("T", self._nothing if made is None else made)

    @property
    def tail(self) -> Tail | None:
        """What has come of the item or field that is being written. Each look at it reads that much text again."""
        with self._lock:
            where, text = self._writing, "".join(self._reader.kept)
        if where is None or not text:
            return None
        try:
            return Tail(where, from_json(text, allow_partial="trailing-strings"))
        except ValueError:  # half a word
            return None

    @property
    def final(self) -> tuple[str, ...]:
        """JSON pointers of the fields that are complete. The items of a list that is not are final as well."""
        with self._lock:
            inside = (pointer for place in self._open if isinstance(place, _Object) for pointer in place.complete)
            return (*self._complete, *inside)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What does not fit its type."""
        with self._lock:
            return tuple(self._findings)

    def unfinished(self, usage: Usage | None = None) -> Unfinished[T]:
        """What is complete, for an error to carry, and what it cost."""
        with self._lock:
            return Unfinished(self.value, self.final, self.findings, usage or Usage())

    def _read(self) -> Reading[None]:
        """The whole text: what stands before the first brace is passed over, what comes behind the last one too."""
        yield from self._reader.find("{")
        with suppress(_UnusableError):
            yield from self._root()
        self._over, self._writing = True, None
        yield

    def _root(self) -> Reading[None]:
        root = _Object("", self._kind)
        if self._kind.opens:
            yield from self._through(root, "}", self._member)
            data: object = root.data
        else:
            data = yield from self._json("")
        fitting, value = self._validated(self._output.model_validate, data, "") if root.whole else (False, None)
        self._value = cast("T | None", value if fitting else root.built())
        self._complete = tuple(root.complete)

    def _through(self, place: P, closing: str, one: Callable[[P], Reading[None]]) -> Reading[None]:
        """An object or a list from its opening to its closing bracket, member by member."""
        self._open.append(place)
        yield from self._reader.take()
        mark = yield from self._reader.peek()
        if mark == closing:
            yield from self._reader.take()
        else:
            mark = ","
        while mark == ",":
            yield from one(place)
            mark = yield from self._reader.take()
        if mark != closing:
            raise _UnusableError
        self._open.pop()

    def _element(self, place: _List) -> Reading[None]:
        """An item."""
        kind = cast("Kind", place.kind.elements)
        where = f"{place.where}/{len(place.data)}"
        data = yield from self._json(where)
        before = len(self._findings)
        fitting, value = self._validated(cast("Validate", kind.validate), data, where)
        self._items.append(Item(where, value, tuple(self._findings[before:])))
        place.data.append(value if fitting and kind.stays else data)
        if fitting:
            place.values.append(value)
            self._changed()
        else:
            place.whole = False

    def _member(self, place: _Object) -> Reading[None]:
        """A key and what it is for."""
        key = yield from self._json(None)
        if not isinstance(key, str) or key in place.data or (yield from self._reader.take()) != ":":
            raise _UnusableError
        name, kind = self._meant(place, key)
        mark = yield from self._reader.peek()
        if kind is not None and mark == "{" and kind.opens and len(self._open) < _DEEPEST:
            yield from self._inner_object(place, key, name, kind)
        elif kind is not None and mark == "[" and kind.elements is not None:
            yield from self._inner_list(place, key, name, kind)
        else:
            data = place.data[key] = yield from self._json(place.below(key))
            told = place.kind.told(key, data)
            if told is not place.kind:  # now it is known which of a union this is
                place.kind = told
                name, kind = self._meant(place, key)
            if kind is not None and kind.validate is not None:
                self._finished(place, key, name, kind, data)
        self._changed()

    def _meant(self, place: _Object, key: str) -> tuple[object, Kind | None]:
        """The field or entry that a key is for, and what it may be; None if nobody knows yet, or it is there."""
        entries = place.kind.entries
        if entries is None:
            name, kind = place.kind.members.get(key, ("", None))
            return name, None if name in place.values else kind
        of_keys, of_values = entries
        if of_keys.validate is None:
            return key, None
        fitting, entry = self._validated(of_keys.validate, key, place.below(key))
        place.whole &= fitting
        return entry, of_values if fitting else None

    def _inner_object(self, place: _Object, key: str, name: object, kind: Kind) -> Reading[None]:
        inner = place.values[name] = _Object(place.below(key), kind)
        place.data[key] = inner.data
        yield from self._through(inner, "}", self._member)
        if inner.whole and kind.entries is not None:
            place.complete.append(inner.where)
        elif inner.whole and kind.validate is not None and self._finished(place, key, name, kind, inner.data):
            return
        else:
            place.whole &= inner.whole
            place.complete += inner.complete
        place.values[name] = inner.built()

    def _inner_list(self, place: _Object, key: str, name: object, kind: Kind) -> Reading[None]:
        inner = place.values[name] = _List(place.below(key), kind)
        place.data[key] = inner.data
        yield from self._through(inner, "]", self._element)
        place.values[name] = inner.built()
        place.whole &= inner.whole
        if inner.whole:
            place.complete.append(inner.where)

    def _finished(self, place: _Object, key: str, name: object, kind: Kind, data: object) -> bool:
        """A member is complete: it is final if it fits, and left out if not."""
        validate = cast("Validate", kind.validate)
        fitting, value = self._validated(validate, data, place.below(key))
        place.whole &= fitting
        if fitting:
            place.values[name] = value
            place.complete.append(place.below(key))
            if kind.stays:
                place.data[key] = value
        return fitting

    def _validated(self, validate: Validate, data: object, where: str) -> tuple[bool, object]:
        try:
            return True, validate(data)
        except ValidationError as error:
            self._findings += (finding.below(where) for finding in shape_findings(error, cast("Json", data)))
            return False, None

    def _changed(self) -> None:
        """There is more to show of every place that is being written."""
        for place in self._open:
            place.shown = None

    def _json(self, where: str | None) -> Reading[Json]:
        """The value that begins here."""
        self._writing = where
        text = yield from self._reader.value()
        try:
            return read_json(text)
        except ValueError:
            raise _UnusableError from None
