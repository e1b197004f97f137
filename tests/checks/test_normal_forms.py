"""The algebra of dependencies keeps its laws, whatever the dependencies are."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from dbprompt.checks.base_dependencies import FORMS, Dependency, Relation, closure, lossless, minimal_cover, projected

NAMES = "abcdef"
SETS = st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=3)
DEPENDENCIES = st.lists(st.builds(Dependency, SETS, SETS), max_size=6).map(tuple)
RELATIONS = DEPENDENCIES.map(lambda given: Relation(frozenset(NAMES), given))


def subsets(names: frozenset[str]) -> list[frozenset[str]]:
    """All subsets, smallest first."""
    return [frozenset(some) for size in range(len(names) + 1) for some in combinations(sorted(names), size)]


def keys_by_definition(relation: Relation) -> set[frozenset[str]]:
    """Every set that fixes the row and has no part that does."""
    found: list[frozenset[str]] = []
    for names in subsets(relation.names):
        if relation.is_superkey(names) and not any(key <= names for key in found):
            found.append(names)
    return set(found)


def form_by_definition(relation: Relation) -> str:
    """Codd's and Boyce's definitions, word by word, over everything that follows from the dependencies."""
    keys = keys_by_definition(relation)
    prime = frozenset().union(*keys)
    everything = [one for one in projected(relation.names, relation.dependencies) if one.right - one.left]
    wrong = [(one.left, name) for one in everything if not relation.is_superkey(one.left) for name in one.right]
    partial = [name for left, name in wrong if name not in prime and any(left < key for key in keys)]
    if partial:
        return "1NF"
    if any(name not in prime for _, name in wrong):
        return "2NF"
    return "3NF" if wrong else "BCNF"


@given(DEPENDENCIES, SETS, SETS)
def test_closure_is_a_closure(dependencies: tuple[Dependency, ...], some: frozenset[str], more: frozenset[str]) -> None:
    """It holds what it was given, grows with it, and closing twice adds nothing."""
    closed = closure(some, dependencies)
    assert some <= closed
    assert closed <= closure(some | more, dependencies)
    assert closure(closed, dependencies) == closed


@given(DEPENDENCIES)
def test_a_minimal_cover_says_the_same_and_has_nothing_to_spare(dependencies: tuple[Dependency, ...]) -> None:
    """Every set has the same closure under both; without any one dependency or name it would not."""
    cover = minimal_cover(dependencies)
    everything = subsets(frozenset(NAMES))
    assert all(closure(names, cover) == closure(names, dependencies) for names in everything)
    for one in cover:
        assert len(one.right) == 1
        assert not one.right <= closure(one.left, [other for other in cover if other != one])
        assert not any(one.right <= closure(one.left - {name}, cover) for name in one.left)


@given(RELATIONS)
def test_the_keys_are_all_the_keys(relation: Relation) -> None:
    """The search finds what trying every subset finds."""
    assert set(relation.keys()) == keys_by_definition(relation)


@given(RELATIONS)
@settings(deadline=None)
def test_the_normal_form_is_that_of_the_definitions(relation: Relation) -> None:
    """Judged from a minimal cover, a relation is in the form that the definitions give it; so BCNF implies 3NF."""
    assert relation.normal_form() == form_by_definition(relation)


@given(RELATIONS)
def test_each_remedy_loses_nothing_and_heals(relation: Relation) -> None:
    """Each split of a violation joins to the whole again, and its first part obeys the dependency."""
    for violation in relation.violations():
        first, second = relation.split(violation)
        assert first | second == relation.names
        assert lossless(first, second, relation.dependencies)
        part = Relation(first, tuple(projected(first, relation.dependencies)))
        assert part.is_superkey(violation.dependency.left)


@given(RELATIONS)
@settings(deadline=None)
def test_splitting_on_ends_in_bcnf(relation: Relation) -> None:
    """Split until nothing is wrong, every part is in BCNF and every name is somewhere."""
    parts = relation.decomposed()
    assert frozenset().union(*parts) == relation.names
    for names in parts:
        assert Relation(names, tuple(projected(names, relation.dependencies))).normal_form() == FORMS[-1]
