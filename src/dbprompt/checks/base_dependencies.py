"""Functional dependencies of one relation: closure, cover, keys, and what a normal form asks of them.

Pure sets of names. (Abiteboul, Hull, Vianu, Foundations of Databases, chapters 8 and 11; the keys after Lucchesi and
Osborn 1978.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["FORMS", "Dependency", "Relation", "TooManyKeysError", "Violation", "closure", "lossless", "minimal_cover"]

Names: TypeAlias = frozenset[str]
NormalForm: TypeAlias = Literal["1NF", "2NF", "3NF", "BCNF"]
FORMS: tuple[NormalForm, ...] = ("1NF", "2NF", "3NF", "BCNF")
_MOST_KEYS = 256


class TooManyKeysError(Exception):
    """The relation has more candidate keys than are looked for."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Rows that agree in `left` agree in `right`."""

    left: Names
    right: Names

    def __str__(self) -> str:
        return f"{', '.join(sorted(self.left))} -> {', '.join(sorted(self.right))}"


@dataclass(frozen=True, slots=True)
class Violation:
    """A dependency that a normal form does not allow.

    Args:
        dependency: nothing in its right side is in its left side, which is no key.
        breaks: the lowest normal form that it breaks.
        key: for 2NF, the key that a part of fixes the right side.
    """

    dependency: Dependency
    breaks: NormalForm
    key: Names = frozenset()


def closure(names: Iterable[str], dependencies: Iterable[Dependency]) -> Names:
    """Everything that these names fix.

    >>> sorted(closure("a", [Dependency(frozenset("a"), frozenset("b")), Dependency(frozenset("b"), frozenset("c"))]))
    ['a', 'b', 'c']
    """
    fixed = set(names)
    waiting = list(dependencies)
    grown = True
    while grown:
        fired = [one for one in waiting if one.left <= fixed]
        waiting = [one for one in waiting if not one.left <= fixed]
        before = len(fixed)
        for one in fired:
            fixed |= one.right
        grown = len(fixed) > before
    return frozenset(fixed)


def minimal_cover(dependencies: Iterable[Dependency]) -> tuple[Dependency, ...]:
    """Dependencies that say the same with nothing to spare: one name on the right, no name or dependency too many."""
    single = dict.fromkeys(
        Dependency(one.left, frozenset({name})) for one in dependencies for name in sorted(one.right - one.left)
    )
    cover = list(single)
    for at, one in enumerate(cover):
        left = one.left
        for name in sorted(one.left):
            if len(left) > 1 and one.right <= closure(left - {name}, cover):
                left -= {name}
        cover[at] = Dependency(left, one.right)
    for one in list(dict.fromkeys(cover)):
        others = [other for other in cover if other != one]
        if one.right <= closure(one.left, others):
            cover = others
    return tuple(dict.fromkeys(cover))


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as theory sees it: its names and what holds between them."""

    names: Names
    dependencies: tuple[Dependency, ...]

    def closure(self, names: Iterable[str]) -> Names:
        """Everything that these names fix."""
        return closure(names, self.dependencies)

    def is_superkey(self, names: Iterable[str]) -> bool:
        """Whether these names fix the whole row."""
        return self.names <= self.closure(names)

    def keys(self) -> tuple[Names, ...]:
        """All candidate keys.

        Raises:
            TooManyKeysError: there are more than 256.
        """
        found = [self._reduced(self.names)]
        for key in found:  # grows while it is walked
            for one in self.dependencies:
                candidate = one.left | (key - one.right)
                if not any(known <= candidate for known in found):
                    found.append(self._reduced(candidate))
                    if len(found) > _MOST_KEYS:
                        raise TooManyKeysError
        return tuple(found)

    def _reduced(self, superkey: Names) -> Names:
        """A candidate key within a superkey."""
        key = superkey
        for name in sorted(superkey):
            if self.is_superkey(key - {name}):
                key -= {name}
        return key

    def violations(self) -> tuple[Violation, ...]:
        """What keeps the relation out of BCNF, with the lowest form that each dependency breaks. One a left side."""
        keys = self.keys()
        prime: Names = frozenset().union(*keys)
        grouped: dict[tuple[Names, NormalForm, Names], set[str]] = {}
        for one in minimal_cover(self.dependencies):
            if one.left and not self.is_superkey(one.left):
                (name,) = one.right
                partial = next((key for key in keys if self._is_partial(one.left, key)), None)
                form: NormalForm = "BCNF" if name in prime else "3NF" if partial is None else "2NF"
                of = partial if form == "2NF" and partial else frozenset()
                grouped.setdefault((one.left, form, of), set()).add(name)
        return tuple(
            Violation(Dependency(left, frozenset(right)), form, key) for (left, form, key), right in grouped.items()
        )

    def _is_partial(self, left: Names, key: Names) -> bool:
        """Whether a part of a key fixes a left side, and with it the right one."""
        return any(left <= self.closure(key - {name}) for name in key)

    def normal_form(self) -> NormalForm:
        """The highest form that the relation is in."""
        broken = [FORMS.index(violation.breaks) for violation in self.violations()]
        return FORMS[min(broken) - 1] if broken else "BCNF"

    def split(self, violation: Violation) -> tuple[Names, Names]:
        """The two relations that heal a violation: the dependency by itself, and the rest. Nothing is lost."""
        one = violation.dependency
        return one.left | one.right, self.names - one.right

    def decomposed(self) -> tuple[Names, ...]:
        """Relations in BCNF that join to this one."""
        waiting, done = [self.names], list[Names]()
        while waiting:
            names = waiting.pop()
            part = Relation(names, tuple(projected(names, self.dependencies)))
            wrong = part.violations()
            if wrong:
                waiting.extend(part.split(wrong[0]))
            else:
                done.append(names)
        return tuple(names for names in done if not any(names < other for other in done))


def projected(names: Names, dependencies: tuple[Dependency, ...]) -> Iterator[Dependency]:
    """What holds within some of the names. Exponential in their number, as it has to be: for small relations."""
    subsets: list[Names] = [frozenset()]
    for name in sorted(names):
        subsets += [subset | {name} for subset in subsets]
    for left in subsets:
        if right := (closure(left, dependencies) & names) - left:
            yield Dependency(left, right)


def lossless(first: Names, second: Names, dependencies: Iterable[Dependency]) -> bool:
    """Whether two parts join to the whole: what they share fixes one of them."""
    shared = closure(first & second, dependencies)
    return first <= shared or second <= shared
