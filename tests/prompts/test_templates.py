"""The template language: what it refuses when a prompt is loaded, and what rendering never lets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbprompt.errors import PromptError, RenderError
from dbprompt.messages import Role
from dbprompt.prompts.prompt import Prompt, RepairItem, render_default_repair

TOML = """\
name = "tiny"
version = "1.0.0"
title = "Tiny"
description = "For tests."
sections = ["part"]

[[variables]]
name = "NOTE"
type = "string"
description = "text of a user"
required = true

[[variables]]
name = "SIZE"
type = "quantity:bytes"
description = "a size"

[[variables]]
name = "ITEMS"
type = "list"
description = "texts of a user"
"""


def tiny(folder: Path, *, system: str = "Be brief.", context: str = "Hello", part: str = "Go.", **more: str) -> Prompt:
    """A prompt of one section, written to disk and read back."""
    (folder / "sections").mkdir()
    texts = {"system": system, "context": context, "sections/part": part, **more}
    for path, text in texts.items():
        (folder / f"{path}.md.j2").write_text(text, encoding="utf-8")
    (folder / "prompt.toml").write_text(TOML, encoding="utf-8")
    return Prompt.read(folder)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ range(10**9) }}",
        "{{ 'a' * 200000000 }}",
        "{{ '%0999999999d' % 1 }}",
        "{% set x = NOTE %}{{ x }}",
        "{% macro m() %}{% endmacro %}",
        "{% include NOTE %}",
        "{% include 'missing.md.j2' %}",
        "{% include '../system.md.j2' %}",
        "{% extends 'system.md.j2' %}",
        "{{ NOTE | attr('x') }}",
        "{{ SIZE.__init__ }}",
        "{{ cycler }}",
        "{{ NOPE }}",
        "{% if NOPE %}x{% endif %}",
        "{{ NOTE | fenced(NOTE) }}",
        "{{ unclosed",
    ],
)
def test_refused_at_load(tmp_path: Path, template: str) -> None:
    """Reaching into objects, computing, calling, unknown names and missing files are errors before anything renders."""
    with pytest.raises(PromptError, match=r"context\.md\.j2"):
        tiny(tmp_path, context=template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ NOTE }}",
        "{{ NOTE | upper }}",
        "{{ NOTE if SIZE else 'x' }}",
        "{{ SIZE or NOTE }}",
        "{{ ITEMS | join(', ') }}",
        "{{ ITEMS[0] }}",
        "{% for item in ITEMS %}{{ item }}{% endfor %}",
        "{% for item in ITEMS %}{{ loop.nextitem }}{% endfor %}",
        "{% for SIZE in ITEMS %}{{ SIZE }}{% endfor %}",
        "{% for a in ITEMS %}{% for b in a %}{{ b }}{% endfor %}{% endfor %}",
        "{% if SIZE %}{% include 'leak.md.j2' %}{% endif %}",
        "{% filter upper %}{{ NOTE }}{% endfilter %}",
        "{% filter fenced('note') | upper %}{{ NOTE }}{% endfilter %}",
    ],
)
def test_user_text_needs_a_fence(tmp_path: Path, template: str) -> None:
    """Text of a user that would be printed outside a fence is an error at load, through loops and includes as well."""
    with pytest.raises(PromptError, match="without 'fenced'"):
        tiny(tmp_path, context=template, leak="{{ NOTE }}")


@pytest.mark.parametrize(
    "template",
    [
        "{{ NOTE | fenced('note') }}",
        "{{ ITEMS | fenced('items') }}",
        "{% filter fenced('all') %}{% for item in ITEMS %}{{ item }}{% endfor %}{{ NOTE }}{% endfilter %}",
        "{% filter fenced('all') %}{% include 'leak.md.j2' %}{% endfilter %}",
        "{{ ITEMS | length }}{% if NOTE == 'x' %}y{% endif %}",
    ],
)
def test_fenced_is_fine(tmp_path: Path, template: str) -> None:
    """Fenced text, counts and comparisons are allowed."""
    assert tiny(tmp_path, context=template, leak="{{ NOTE }}").render(NOTE="n", ITEMS=["a", "b"])


def test_no_user_text_in_the_system_role(tmp_path: Path) -> None:
    """Even a fence does not let text of a user into the system message."""
    with pytest.raises(PromptError, match=r"system\.md\.j2: NOTE is text of a user"):
        tiny(tmp_path, system="{{ NOTE | fenced('note') }}")


def test_a_value_that_was_not_given_is_never_printed(tmp_path: Path) -> None:
    """An optional variable that was left out cannot come out as "None"."""
    prompt = tiny(tmp_path, context="Size {{ SIZE }}")
    assert prompt.render(NOTE="n", SIZE="2 TB")[1].text == "Size 2 TB"
    with pytest.raises(RenderError, match="not given"):
        prompt.render(NOTE="n")


def test_rendered_text_is_capped(tmp_path: Path) -> None:
    """A template that would print without bound stops at the cap."""
    loops = "{% for a in ITEMS %}{% for b in ITEMS %}" + "x" * 100 + "{% endfor %}{% endfor %}"
    with pytest.raises(RenderError, match="longer than"):
        tiny(tmp_path, context=loops).render(NOTE="n", ITEMS=["i"] * 500)


def test_crlf_gives_the_same_hash_and_a_changed_partial_another(tmp_path: Path) -> None:
    """The hash sees words and partials, not line ends."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    prompts = [
        tiny(tmp_path / "a", context="one\ntwo", shared="s"),
        tiny(tmp_path / "b", context="one\ntwo", shared="t"),
    ]
    tiny(tmp_path / "c", context="one\ntwo", shared="s")
    (tmp_path / "c" / "context.md.j2").write_bytes(b"one\r\ntwo")
    assert Prompt.read(tmp_path / "c").hash == prompts[0].hash != prompts[1].hash


def test_repair_holds_the_items_and_their_findings(tmp_path: Path) -> None:
    """A repair ask is one user message with the broken items, fenced, and nothing of the context."""
    item = RepairItem("tables_3", '{"name": "loan"}', ("column x </data> is not there",), "loan")
    prompt = tiny(tmp_path, context="the context")
    for messages in (prompt.render_repair("part", [item]), render_default_repair([item])):
        (message,) = messages
        assert message.role is Role.USER
        assert 'tables_3 (loan)\nWas: {"name": "loan"}\nWrong: column x' in message.text
        assert message.text.count("</data>") == 1
        assert "the context" not in message.text
