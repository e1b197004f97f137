"""The ER diagram is read by Mermaid itself, and says what the schema says.

Poor: `[USER] ||--o{ [ORDER] : places`, which no Mermaid takes; a column named `pk`, which it takes for the mark of a
key; a table that is drawn without one of its columns.
Better: each table, column and reference of the schema, as Mermaid's own parser gives them back.

The diagram is written by us from the schema, so a difference is a mistake of ours: there is no finding that a model
could repair, the verdict alone says it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date

from dbprompt.checks.base_design import listing
from dbprompt.checks.subject import Subject
from dbprompt.errors import MissingExtraError
from dbprompt.evidence import Report, Status, Tier, Verdict
from dbprompt.proofs.base_mermaid import Drawing, UnreadableError, mermaid_version, read_diagram
from dbprompt.render.mermaid import er_diagram
from dbprompt.sections.schema import Schema, Table

__all__ = ["diagram_reads", "differences"]

_ARTEFACT = "ER diagram"
_WHERE = "/tables"


def diagram_reads(subject: Subject, as_of: date) -> Report:
    """A verdict on the ER diagram of the section `schema`."""
    schema = subject.design.schema
    if subject.section != "schema" or schema is None:
        return Report()
    try:
        checker = mermaid_version()
        drawing = read_diagram(er_diagram(subject.design))
    except MissingExtraError as missing:
        unseen = Verdict(_ARTEFACT, _WHERE, Status.NOT_CHECKED, Tier.NOTHING, "mermaid.js", str(missing))
        return Report(verdicts=(unseen,))
    except UnreadableError as refused:
        failed = Verdict(_ARTEFACT, _WHERE, Status.FAILED, Tier.VENDOR, checker, f"Mermaid refuses it: {refused}")
        return Report(verdicts=(failed,))
    if wrong := list(differences(drawing, schema)):
        failed = Verdict(_ARTEFACT, _WHERE, Status.FAILED, Tier.VENDOR, checker, listing(wrong, most=5))
        return Report(verdicts=(failed,))
    said = "how it is laid out: it was read, not drawn"
    return Report(verdicts=(Verdict(_ARTEFACT, _WHERE, Status.PASSED, Tier.VENDOR, checker, said),))


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
