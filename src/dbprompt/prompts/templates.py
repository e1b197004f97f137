"""The template language of prompts: a small part of Jinja, checked when a prompt is loaded, rendered in a sandbox.

Allowed: text, `{{ NAME }}`, `if`, `for`, `include "a/name.md.j2"`, `{% filter fenced("label") %}`, comparisons and the
filters below. No calls, no arithmetic, no assignment, no macros: a template cannot compute, reach into objects or
double its text. What a user wrote may only be printed through `fenced`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from jinja2 import FunctionLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dbprompt.errors import PromptError, RenderError
from dbprompt.prompts.fence import fence

__all__ = ["MAX_RENDERED", "Audit", "Templates"]

MAX_RENDERED = 400_000

_STATEMENTS = (nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.FilterBlock, nodes.Include)
_EXPRESSIONS = (nodes.Name, nodes.Const, nodes.Filter, nodes.Test, nodes.Getattr, nodes.Getitem, nodes.Compare)
_COMBINED = (nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Tuple, nodes.List)
_ALLOWED = (nodes.Template, *_STATEMENTS, *_EXPRESSIONS, *_COMBINED)
_FILTERS = frozenset({"fenced", "join", "length", "default", "upper", "lower", "trim", "first", "last"})
_TESTS = frozenset({"none", "defined", "string", "number", "mapping", "sequence", "true", "false", "in", "eq", "ne"})
_HARMLESS = frozenset({"fenced", "length"})
_LOOP = frozenset({"first", "last", "index", "index0", "length"})
_BLANK_LINES = re.compile(r"\n{3,}")
_MAX_DEPTH = 8


class _Environment(ImmutableSandboxedEnvironment):
    """Operators that could multiply text are intercepted, so that nothing is computed while compiling either."""

    intercepted_binops = frozenset({"*", "**", "%", "+", "-", "/", "//"})

    def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
        raise TemplateError(f"a template does not compute: {operator!r} is not available")


@dataclass(frozen=True, slots=True)
class Audit:
    """What a template uses: the names it reads, and where it prints untrusted text without a fence."""

    names: frozenset[str]
    leaks: tuple[str, ...]


@dataclass(slots=True)
class Templates:
    """The templates of one prompt, by path; `read` gives a template's source, or None if there is none."""

    read: Callable[[str], str | None]
    _environment: _Environment = field(init=False)

    _OPTIONS: ClassVar[Mapping[str, bool]] = {"trim_blocks": True, "lstrip_blocks": True, "optimized": False}

    def __post_init__(self) -> None:
        self._environment = _Environment(
            loader=FunctionLoader(self.read),
            undefined=StrictUndefined,
            finalize=_printable,
            autoescape=False,  # prompts are Markdown; text of users is fenced
            **self._OPTIONS,
        )
        environment = self._environment
        environment.filters = {name: environment.filters[name] for name in _FILTERS - {"fenced"}}
        environment.filters["fenced"] = _fenced
        environment.globals.clear()

    def audit(self, path: str, untrusted: frozenset[str]) -> Audit:
        """Reads a template and what it includes.

        Raises:
            PromptError: the template is not valid, is missing, or uses something outside the language.
        """
        names: set[str] = set()
        leaks: list[str] = []
        _Walk(self, names, leaks).template(path, _Here(untrusted))
        return Audit(frozenset(names), tuple(dict.fromkeys(leaks)))

    def parse(self, path: str) -> nodes.Template:
        """The syntax tree of a template.

        Raises:
            PromptError: it is not valid, or missing.
        """
        source = self.read(path)
        if source is None:
            raise PromptError(f"{path}: there is no such template")
        try:
            return self._environment.parse(source, filename=path)
        except TemplateSyntaxError as error:
            raise PromptError(f"{path}, line {error.lineno}: {error.message}") from error

    def render(self, path: str, values: Mapping[str, object]) -> str:
        """The text of a template.

        Raises:
            RenderError: a name is undefined or empty, the sandbox refused, or the text outgrew its cap.
        """
        try:
            parts = self._environment.get_template(path).generate(**values)
            text = "".join(_capped(parts, path))
        except TemplateNotFound as error:
            raise RenderError(f"{path}: there is no template {error.name!r}") from error
        except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise RenderError(f"{path}: {error}") from error
        return _BLANK_LINES.sub("\n\n", text).strip()


@dataclass(slots=True)
class _Walk:
    """Follows untrusted values through loops and includes."""

    templates: Templates
    names: set[str]
    leaks: list[str]

    def template(self, path: str, here: _Here) -> None:
        if here.depth > _MAX_DEPTH:
            raise PromptError(f"{path}: templates include each other more than {_MAX_DEPTH} deep")
        tree = self.templates.parse(path)
        for node in _descendants(tree):
            _refuse(node, path)
        stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
        inside = replace(here, path=path, bound=here.bound | stored | {"loop"})
        self.names |= {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"} - inside.bound
        self._body(tree.body, inside)

    def _body(self, body: list[nodes.Node], here: _Here) -> None:
        for node in body:
            match node:
                case nodes.Output() if not here.fenced:
                    leaking = (part for part in node.nodes if _leaks(part, here.tainted))
                    self.leaks += [f"{here.path}, line {part.lineno}" for part in leaking]
                case nodes.For():
                    hot = _names_in(node.target) if _leaks(node.iter, here.tainted) else frozenset()
                    self._body([*node.body, *node.else_], replace(here, tainted=here.tainted | hot))
                case nodes.If():
                    self._body([*node.body, *node.elif_, *node.else_], here)
                case nodes.FilterBlock():
                    self._body(node.body, replace(here, fenced=here.fenced or node.filter.name == "fenced"))
                case nodes.Include():
                    self._include(node, here)

    def _include(self, node: nodes.Include, here: _Here) -> None:
        at = f"{here.path}, line {node.lineno}"
        if not (isinstance(node.template, nodes.Const) and isinstance(node.template.value, str)):
            raise PromptError(f"{at}: write the name of the included template as text")
        if not node.with_context or node.ignore_missing:
            raise PromptError(f"{at}: include takes the name of a template and nothing else")
        if self.templates.read(node.template.value) is None:
            raise PromptError(f"{at}: there is no template {node.template.value!r} in this prompt")
        self.template(node.template.value, replace(here, depth=here.depth + 1))


@dataclass(frozen=True, slots=True)
class _Here:
    """Where the walk is: which names hold untrusted text, which are set by a loop, whether a fence is around it."""

    tainted: frozenset[str]
    path: str = ""
    depth: int = 0
    bound: frozenset[str] = frozenset()
    fenced: bool = False


def _leaks(expression: nodes.Node, tainted: frozenset[str]) -> bool:
    """Whether an expression's value holds untrusted text."""
    match expression:
        case nodes.TemplateData() | nodes.Const() | nodes.Compare() | nodes.Test() | nodes.Not():
            return False
        case nodes.Filter() if expression.name in _HARMLESS:
            return False
        case nodes.Getattr(node=nodes.Name(name="loop")) if expression.attr in _LOOP:
            return False
        case nodes.Name():
            return expression.name in tainted or expression.name == "loop"
    return any(_leaks(child, tainted) for child in expression.iter_child_nodes())


def _names_in(target: nodes.Node) -> frozenset[str]:
    return frozenset(name.name for name in (target, *_descendants(target)) if isinstance(name, nodes.Name))


def _descendants(node: nodes.Node) -> Iterator[nodes.Node]:
    for child in node.iter_child_nodes():
        yield child
        yield from _descendants(child)


def _refuse(node: nodes.Node, path: str) -> None:
    """Refuses what is outside the language."""
    at = f"{path}, line {node.lineno}"
    if not isinstance(node, _ALLOWED):
        raise PromptError(f"{at}: a template does not {_MEANING.get(type(node).__name__, 'compute, assign or call')}")
    match node:
        case nodes.Name(name=name) | nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))):
            if name.startswith("_"):
                raise PromptError(f"{at}: {name!r} begins with '_' and is not available")
        case nodes.Filter(name=name) if name not in _FILTERS:
            raise PromptError(f"{at}: no filter {name!r}; there are {', '.join(sorted(_FILTERS))}")
        case nodes.Filter(name="fenced", args=args) if not all(isinstance(arg, nodes.Const) for arg in args):
            raise PromptError(f"{at}: write the label of a fence as text")
        case nodes.Test(name=name) if name not in _TESTS:
            raise PromptError(f"{at}: no test {name!r}; there are {', '.join(sorted(_TESTS))}")


_MEANING = {"Call": "call anything", "Macro": "define macros", "Import": "import", "FromImport": "import"}


def _fenced(value: object, label: object = "text") -> str:
    name = str(label)
    if not re.fullmatch(r"[a-z][a-z0-9_ ]{0,40}", name):
        raise TemplateError(f"the label of a fence is short and in lower case, not {name!r}")
    text = "\n".join(f"- {_text(item)}" for item in value) if isinstance(value, tuple | list) else _text(value)
    return fence(text, name)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, tuple | list):
        return "; ".join(_text(item) for item in value)
    return str(_printable(value))


def _printable(value: object) -> object:
    """Refuses to print a value that was not given, or that is no text or number."""
    if value is None:
        raise TemplateError("prints a variable that was not given; ask with 'if' first")
    if isinstance(value, Mapping | tuple | list):
        raise TemplateError("prints a list or mapping; loop over it, or join or fence it")
    return value


def _capped(parts: Iterator[str], path: str) -> Iterator[str]:
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_RENDERED:
            raise RenderError(f"{path}: the text is longer than {MAX_RENDERED:,} characters; shorten the variables")
        yield part
