"""The pages are those of the table, and no row is without something that handles it."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from mutation_list import MUTATIONS, Mutation
from mutations import PAGE as MUTATIONS_PAGE
from mutations import source_of
from page import PAGE, faults_markdown
from table import ROWS

NAMES = [row.name for row in ROWS]


def test_the_page_is_current() -> None:
    """A changed row without its page fails here; run `make faults`."""
    assert PAGE.read_text(encoding="utf-8") == faults_markdown()


def test_rows_have_names_of_their_own() -> None:
    """A row is known by its name, on the page and to the mutations."""
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []


def test_every_row_has_a_mutation() -> None:
    """Nothing is in the table whose handling nobody has taken away."""
    mutated = {row for mutation in MUTATIONS for row in mutation.rows}
    assert mutated - set(NAMES) == set()
    assert [name for name in NAMES if name not in mutated] == []


def test_every_row_was_seen_to_fail() -> None:
    """The page of the mutations holds each row, with calls that failed; run `make fault-mutations`."""
    text = MUTATIONS_PAGE.read_text(encoding="utf-8")
    failed = {
        name: int(count) for name, count in re.findall(r"^\| (.*?) \| .* \| (\d+) of \d+ \|$", text, re.MULTILINE)
    }
    assert [name for name in NAMES if not failed.get(name)] == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_mutations_name_code_that_is_there(mutation: Mutation) -> None:
    """What a mutation takes away stands in its file, once."""
    assert source_of(mutation).read_text(encoding="utf-8").count(mutation.old) == 1
