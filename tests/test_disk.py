"""Files on disk: whole or not at all, and one writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbprompt.disk import take_lock, write_whole


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """Neither half a file nor a leftover, whatever fails while it is written."""
    file = tmp_path / "new/kept.txt"
    write_whole(file, "before")

    def broken() -> Iterator[str]:
        yield "aft"
        raise RuntimeError("the source failed")

    with pytest.raises(RuntimeError, match="the source failed"):
        write_whole(file, broken())
    assert file.read_text(encoding="utf-8") == "before" and list(file.parent.iterdir()) == [file]
    assert file.stat().st_mode & 0o600 == 0o600


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe or a folder stays what it is; through a link the file behind it is written."""
    with pytest.raises(OSError, match="no file"):
        write_whole(tmp_path, "x")
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_text("before", encoding="utf-8")
    link.symlink_to(target)
    write_whole(link, "after")
    assert link.is_symlink() and target.read_text(encoding="utf-8") == "after"


def test_a_lock_says_who_has_it(tmp_path: Path) -> None:
    """The first one has it; the second one hears which process that is."""
    with (
        (tmp_path / "lock").open("a+", encoding="utf-8") as first,
        (tmp_path / "lock").open("a+", encoding="utf-8") as second,
    ):
        assert take_lock(first) == ""
        assert take_lock(second).startswith("process ")
