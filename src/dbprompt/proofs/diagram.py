"""The ER diagram and the drawing of the servers are read by Mermaid itself, and say what the design says.

Poor: `[USER] ||--o{ [ORDER] : places`, which no Mermaid takes; a column named `pk`, which it takes for the mark of a
key; a table that is drawn without one of its columns.
Better: each table, column and reference of the schema, as Mermaid's own parser gives them back.

The diagram is written by us from the schema, so a difference is a mistake of ours: there is no finding that a model
could repair, the verdict alone says it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date

from dbprompt.checks.base_design import listing
from dbprompt.checks.subject import Subject
from dbprompt.errors import MissingExtraError
from dbprompt.evidence import Report, Status, Tier, Verdict
from dbprompt.proofs.base_mermaid import Drawing, UnreadableError, mermaid_version, read_diagram
from dbprompt.render.mermaid import er_diagram
from dbprompt.render.topology import topology
from dbprompt.sections.infrastructure import Infrastructure
from dbprompt.sections.schema import Schema, Table

__all__ = ["diagram_reads", "differences", "servers_missing", "topology_reads"]


def diagram_reads(subject: Subject, as_of: date) -> Report:
    """A verdict on the ER diagram of the section `schema`."""
    schema = subject.design.schema
    if subject.section != "schema" or schema is None:
        return Report()
    return _read("ER diagram", "/tables", er_diagram(subject.design), lambda drawing: differences(drawing, schema))


def topology_reads(subject: Subject, as_of: date) -> Report:
    """A verdict on the drawing of the servers of the section `infrastructure`."""
    infrastructure = subject.design.infrastructure
    if subject.section != "infrastructure" or infrastructure is None:
        return Report()
    drawn = topology(infrastructure)
    return _read("topology drawing", "/nodes", drawn, lambda drawing: servers_missing(drawing, infrastructure))


def _read(artefact: str, where: str, text: str, wrong_in: Callable[[Drawing], Iterator[str]]) -> Report:
    try:
        checker = mermaid_version()
        drawing = read_diagram(text)
    except MissingExtraError as missing:
        return _verdict(artefact, where, Status.NOT_CHECKED, "mermaid.js", str(missing))
    except UnreadableError as refused:
        return _verdict(artefact, where, Status.FAILED, checker, f"Mermaid refuses it: {refused}")
    if wrong := list(wrong_in(drawing)):
        return _verdict(artefact, where, Status.FAILED, checker, listing(wrong, most=5))
    return _verdict(artefact, where, Status.PASSED, checker, "how it is laid out: it was read, not drawn")


def _verdict(artefact: str, where: str, status: Status, checker: str, said: str) -> Report:
    tier = Tier.NOTHING if status is Status.NOT_CHECKED else Tier.VENDOR
    return Report(verdicts=(Verdict(artefact, where, status, tier, checker, said),))


def servers_missing(drawing: Drawing, infrastructure: Infrastructure) -> Iterator[str]:
    """Servers that the drawing lacks or invents, and replication that it does not show."""
    if not drawing.kind.startswith("flowchart"):
        yield f"it is a {drawing.kind} and no flowchart"
        return
    shown = {box.name.removeprefix("node_") for box in drawing.boxes if box.name.startswith("node_")}
    real = {node.name for node in infrastructure.nodes}
    yield from (f"server {name} is not drawn" for name in sorted(real - shown))
    yield from (f"{name} is drawn and no server" for name in sorted(shown - real))
    ways = {line.ends for line in drawing.lines}
    for node in infrastructure.having("sync_standby", "async_standby", "read_replica"):
        primary = infrastructure.primary
        if primary is not None and (f"node_{primary.name}", f"node_{node.name}") not in ways:
            yield f"no line shows that {node.name} follows {primary.name}"


def differences(drawing: Drawing, schema: Schema) -> Iterator[str]:
    """What a diagram shows that the schema has not, or the other way round; nothing if they agree."""
    if drawing.kind != "er":
        yield f"it is a {drawing.kind} and no ER diagram"
        return
    shown = {box.name: box for box in drawing.boxes}
    for table in schema.tables:
        box = shown.pop(table.name, None)
        if box is None:
            yield f"table {table.name} is not drawn"
            continue
        names = Counter(_plain(row[1]) for row in box.rows if len(row) > 1)
        yield from _apart(names, Counter(_plain(column.name) for column in table.columns), f"column of {table.name}")
        keys = {_plain(row[1]) for row in box.rows if "PK" in row[2:]}
        if keys != {_plain(name) for name in table.primary_key}:
            yield f"the key of {table.name} is drawn as {listing(sorted(keys))}"
    yield from (f"{name} is drawn and no table" for name in shown)
    lines = Counter(f"{line.ends[0]} to {line.ends[1]} by {line.label}" for line in drawing.lines)
    yield from _apart(lines, Counter(one for table in schema.tables for one in _references(table, schema)), "reference")


def _references(table: Table, schema: Schema) -> Iterator[str]:
    for key in table.foreign_keys:
        if schema.table(key.references) is not None:
            yield f"{key.references} to {table.name} by {', '.join(key.columns)}"


def _apart(drawn: Counter[str], real: Counter[str], what: str) -> Iterator[str]:
    for one in sorted({*drawn, *real}):
        if drawn[one] != real[one]:
            yield f"{what} {one} is drawn {drawn[one]} times and is there {real[one]} times"


def _plain(name: str) -> str:
    """A name without the line that sets it apart from a mark: `pk_` stands for `pk`."""
    return name.rstrip("_") if name.rstrip("_").lower() in {"pk", "fk", "uk"} else name
