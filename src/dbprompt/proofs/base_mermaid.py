"""Mermaid's own parser, in QuickJS: what a diagram says, as Mermaid itself understands it.

`mermaidx` carries the real mermaid.js. Drawing with it takes seconds a diagram in QuickJS; reading takes a tenth of
one, and refuses what a viewer would refuse. The JavaScript reaches nothing outside: it has no file, no network, and
only the text of the diagram.
"""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Protocol, cast

from dbprompt.errors import MissingExtraError

__all__ = ["Box", "Drawing", "Line", "UnreadableError", "mermaid_version", "read_diagram"]

_MEMORY = 512 * 1024 * 1024
_STACK = 2 * 1024 * 1024
_MOST_STEPS = 20_000
_READINGS = 1_000  # of one context: each leaves some 30 kB behind
_READ = """
globalThis.__out = null; globalThis.__error = null;
__resetDocument(); mermaid.initialize({startOnLoad: false});
mermaid.mermaidAPI.getDiagramFromText(%s).then(diagram => {
  const db = diagram.db, all = of => of ? [...of.call(db).values()] : [];
  const entities = all(db.getEntities), names = new Map(entities.map(e => [e.id, e.label]));
  globalThis.__out = JSON.stringify({
    kind: diagram.type,
    boxes: entities.length
      ? entities.map(e => ({name: e.label, rows: e.attributes.map(a => [a.type, a.name, ...(a.keys || [])])}))
      : all(db.getVertices).map(v => ({name: v.id, rows: [[String(v.text || v.id)]]})),
    lines: entities.length
      ? all(db.getRelationships).map(r => ({ends: [names.get(r.entityA), names.get(r.entityB)], label: r.roleA}))
      : all(db.getEdges).map(e => ({ends: [e.start, e.end], label: String(e.text || '')})),
  });
}).catch(error => { globalThis.__error = String(error && error.message || error); });
"""


class UnreadableError(Exception):
    """Mermaid refuses the diagram; the message is its own."""


@dataclass(frozen=True, slots=True)
class Box:
    """An entity with its rows, each as (type, name, marks ...); or a node with its text."""

    name: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A relationship or an edge: parent and child in the order in which they were written."""

    ends: tuple[str, str]
    label: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A diagram as Mermaid understands it; the kind is Mermaid's word, `er` or `flowchart-v2`."""

    kind: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


class _Context(Protocol):
    def eval(self, code: str) -> object: ...
    def execute_pending_job(self) -> bool: ...
    def set_memory_limit(self, limit: int) -> None: ...
    def set_max_stack_size(self, limit: int) -> None: ...
    def add_callable(self, name: str, function: object) -> None: ...


_HERE = threading.local()  # a context belongs to the thread that made it


def mermaid_version() -> str:
    """The package that carries mermaid.js, for verdicts.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return f"mermaid.js of mermaidx {version('mermaidx')}"
    except PackageNotFoundError as missing:
        raise MissingExtraError("mermaidx", "diagram") from missing


def read_diagram(text: str) -> Drawing:
    """Reads a diagram.

    Raises:
        MissingExtraError: mermaidx is not installed.
        UnreadableError: Mermaid refuses the text.
    """
    if find_spec("mermaidx") is None or find_spec("quickjs") is None:
        raise MissingExtraError("mermaidx", "diagram")
    return _reader(os.getpid()).submit(_read, text).result()


@cache
def _reader(process: int) -> ThreadPoolExecutor:
    """The one thread that reads for all others, so that mermaid.js is loaded once. A forked process has its own."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"dbprompt-mermaid-{process}")


def _read(text: str) -> Drawing:
    if getattr(_HERE, "left", 0) == 0:
        _HERE.context, _HERE.left = _loaded(), _READINGS
    context, _HERE.left = cast("_Context", _HERE.context), _HERE.left - 1
    context.eval(_READ % json.dumps(text))
    _settle(context)
    error = context.eval("globalThis.__error && globalThis.__error.slice(0)")
    found = context.eval("globalThis.__out && globalThis.__out.slice(0)")
    if error or not isinstance(found, str):
        raise UnreadableError(str(error or "it gave no answer"))
    made = json.loads(found)
    boxes = tuple(Box(box["name"], tuple(tuple(row) for row in box["rows"])) for box in made["boxes"])
    lines = tuple(Line((line["ends"][0], line["ends"][1]), line["label"]) for line in made["lines"])
    return Drawing(made["kind"], boxes, lines)


def _loaded() -> _Context:
    """A context with mermaid.js in it, which takes most of a second. Nothing is drawn, so no text is measured."""
    scripts = import_module("mermaidx.engines._common").context_scripts()
    context = cast("_Context", import_module("quickjs").Context())
    context.set_memory_limit(_MEMORY)
    context.set_max_stack_size(_STACK)
    for name in ("__log", "__measureText", "__measureTextFull", "__measureGlyphs", "__measureForeignObject"):
        context.add_callable(name, lambda *given: 0)
    for script in scripts:
        context.eval(script)
    return context


def _settle(context: _Context) -> None:
    """Runs promises and timers until there is an answer, or nothing is left that could give one."""
    for _ in range(_MOST_STEPS):
        if context.eval("!!(globalThis.__out || globalThis.__error)"):
            return
        if not _one_job(context) and not context.eval("__runNextTimer()"):
            return


def _one_job(context: _Context) -> bool:
    try:
        return bool(context.execute_pending_job())
    except StopIteration:
        return False
