"""An exporter in memory, for tests that look at spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

__all__ = ["Seen", "values"]


class Seen:
    """What an exporter was given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All that are over."""
        return self.exporter.get_finished_spans()

    def named(self, start: str) -> list[ReadableSpan]:
        """Those whose names begin so, in the order of their ends."""
        return [span for span in self.spans if span.name.startswith(start)]

    def tree(self) -> dict[str, list[str]]:
        """The names of all spans, by the name of their parents."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        tree: dict[str, list[str]] = {}
        for span in self.spans:
            parent = names[span.parent.span_id] if span.parent else ""
            tree.setdefault(parent, []).append(span.name)
        return {parent: sorted(children) for parent, children in tree.items()}


def values(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})
