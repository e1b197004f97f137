"""What a trigger's function does on the event and the level of its trigger, which the engine does not compare.

Poor: `BEFORE DELETE ... RETURN NEW`: NEW is null there, so no row is ever deleted, and nobody is told.
Poor: `NEW.updated_at := now()` for an AFTER trigger: the row is stored by then.
Better: RETURN OLD for a deletion; BEFORE for what sets NEW.

A function that asks what fired it (TG_OP) takes care by itself, and is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dbprompt.checks.sql.base_script import tokens
from dbprompt.checks.sql.plpgsql_flow import reachable_returns
from dbprompt.checks.sql.plpgsql_recursion import starts_itself
from dbprompt.checks.sql.plpgsql_tree import Body, statements_in, texts_of
from dbprompt.evidence import Finding, Severity

__all__ = ["Trigger", "asks_for_table", "trigger_findings"]

_MOST = 200
_ROW, _BEFORE, _INSTEAD = 1, 2, 64
_EVENTS = {"INSERT": 4, "UPDATE": 16, "DELETE": 8, "TRUNCATE": 32}
_GIVES = {"new": 4 | 16, "old": 8 | 16}
_TRIGGER_VARIABLE = re.compile(r"\btg_(op|when|level|name|argv|nargs|relid|relname|table_name)\b", re.IGNORECASE)
_TABLE_VARIABLE = re.compile(r"\btg_(relid|relname|table_name|table_schema|argv|nargs|name)\b", re.IGNORECASE)
_COMPARED = re.compile(r"\bcase\b|\btg_\w+\s*(=|<>|!=|~|in\b|not\b|like\b)|(=|<>|!=)\s*tg_", re.IGNORECASE)
_TAKES_NULL = re.compile(
    r"\bcoalesce\b|\bis\s+(not\s+)?(null|distinct)\b|\bnum_n|\bgreatest\b|\bleast\b|\bconcat|\bin\s*\(|\bany\s*\(|"
    r"\bcase\b|\bor\b|\breturning\b|\b(from|join|as|into)\s+(new|old)\b",
    re.IGNORECASE,
)
_IS_NULL = re.compile(r"\b(new|old)\s+is\s+(not\s+)?(null|distinct\s+from\s+null)\b", re.IGNORECASE)
_SETS_FIELD = re.compile(r'\s*"?new"?\s*\.\s*"?(\w+)"?[^=]*?:?=', re.IGNORECASE)
_SETS_RECORD = re.compile(r'\s*"?new"?\s*:?=', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger of the catalogue.

    Args:
        name: of it.
        table: its table, qualified where it has to be.
        bits: `tgtype`.
        conditional: whether it has a WHEN.
        columns: of UPDATE OF; empty for all.
        transitions: what REFERENCING names, in lower case.
    """

    name: str
    table: str
    bits: int = 0
    conditional: bool = False
    columns: frozenset[str] = frozenset()
    transitions: frozenset[str] = frozenset()

    @property
    def per_row(self) -> bool:
        """Whether it is FOR EACH ROW."""
        return bool(self.bits & _ROW)

    @property
    def before(self) -> bool:
        """Whether it is BEFORE."""
        return bool(self.bits & _BEFORE)

    @property
    def after(self) -> bool:
        """Whether it is AFTER."""
        return not self.bits & (_BEFORE | _INSTEAD)

    def on(self, *events: str) -> bool:
        """Whether one of some events fires it."""
        return any(self.bits & _EVENTS[event] for event in events)

    def gives(self, record: str) -> bool:
        """Whether one of its events fills NEW or OLD."""
        return self.per_row and bool(self.bits & _GIVES[record])

    def __str__(self) -> str:
        when = "BEFORE" if self.before else "AFTER" if self.after else "INSTEAD OF"
        events = " OR ".join(event for event in _EVENTS if self.on(event))
        level = "" if self.per_row else " FOR EACH STATEMENT"
        return f"trigger {self.name} on {self.table.removeprefix('public.')} is {when} {events}{level}"


@dataclass(frozen=True)  # no slots: the cached properties
class _Read:
    """A body with what its triggers make of it."""

    function: str
    body: Body
    source: str

    @cached_property
    def texts(self) -> tuple[tuple[str, str, int], ...]:
        """Kind, text without strings, and line of each SQL text."""
        return tuple((kind, _without_strings(text), line) for kind, text, line in texts_of(self.body.action))

    @cached_property
    def asks(self) -> bool:
        """Whether it decides by what fired it."""
        return any(_IS_NULL.search(text) or _asks(text, _TRIGGER_VARIABLE) for _, text, _ in self.texts)

    @cached_property
    def fields_set(self) -> dict[str, int]:
        """Fields of NEW that it sets, with the line."""
        found = {}
        for kind, text, line in self.texts:
            if kind == "assign" and (match := _SETS_FIELD.match(text)):
                found[match.group(1).lower()] = line
        for kind, node, line in statements_in(self.body.action):
            target = node.get("target") if kind in {"execsql", "dynexecute"} else None
            row = target.get("PLpgSQL_row") if isinstance(target, dict) else None
            fields = row.get("fields") if isinstance(row, dict) else None
            for field in fields if isinstance(fields, list) else ():
                record, _, name = str(field.get("name", "") if isinstance(field, dict) else "").partition(".")
                if record == "new":
                    found[name] = line
        return found

    @cached_property
    def returns(self) -> tuple[tuple[str, int], ...]:
        """What it can return, in lower case, with the lines; a variable of which the name is not known is empty."""
        nodes = [node for kind, node, _ in statements_in(self.body.action) if kind == "return" and node.get("lineno")]
        named = tuple(_returned(self.source))
        names = {id(node): name for node, name in zip(nodes, named, strict=True)} if len(nodes) == len(named) else {}
        return tuple((names.get(id(node), ""), line) for node, line in reachable_returns(self.body))

    def always(self, what: str) -> int:
        """The line of a return, if every one is of NEW, OLD or NULL as asked; else 0."""
        return self.returns[0][1] if self.returns and all(name == what for name, _ in self.returns) else 0

    @cached_property
    def sets_record(self) -> bool:
        """Whether it sets NEW as a whole."""
        targets = (node.get("target") for _, node, _ in statements_in(self.body.action))
        whole = (one.get("PLpgSQL_rec") for one in targets if isinstance(one, dict))
        return any(isinstance(one, dict) and one.get("refname") == "new" for one in whole) or any(
            kind == "assign" and _SETS_RECORD.match(text) for kind, text, _ in self.texts
        )


def trigger_findings(
    function: str, body: Body, source: str, triggers: Sequence[Trigger]
) -> Iterator[tuple[Trigger, Finding]]:
    """Warnings for what a function makes of each of its triggers."""
    read = _Read(function, body, source)
    for trigger in triggers[:_MOST]:
        for finding in _of_one(read, trigger, triggers):
            yield trigger, finding


def _of_one(read: _Read, trigger: Trigger, beside: Sequence[Trigger]) -> Iterator[Finding]:
    if line := starts_itself(read.body, trigger.table, trigger.columns, _own_events(trigger), per_row=trigger.per_row):
        message = (
            f"{trigger}, and line {line} of {read.function} does the same to its table each time, so it calls itself "
            'until "stack depth limit exceeded". Set NEW in a BEFORE trigger, or add WHEN (pg_trigger_depth() = 0).'
        )
        yield _warning("plpgsql.endless_trigger", message)
    if read.asks:
        return
    nulls = [*_null_records(read, trigger, beside)]
    yield from nulls
    if not nulls:
        yield from _in_vain(read, trigger)
        yield from _lost_rows(read, trigger)


def _own_events(trigger: Trigger) -> frozenset[str]:
    """Events that fire it without a condition."""
    return frozenset() if trigger.conditional else frozenset(event for event in _EVENTS if trigger.on(event))


def _null_records(read: _Read, trigger: Trigger, beside: Sequence[Trigger]) -> Iterator[Finding]:
    """NEW or OLD where no trigger of the function has one."""
    for record in _GIVES:
        if any(one.gives(record) or record in one.transitions for one in (trigger, *beside)):
            continue
        tested = re.compile(rf"\b{record}\.\w+\s+is\s+(not\s+)?null\b", re.IGNORECASE)
        if any(tested.search(text) for _, text, _ in read.texts):
            continue
        field = re.compile(rf'(?<![\w.$"])"?{record}"?\s*\.\s*"?(\w+|\*)', re.IGNORECASE)
        for _, text, line in read.texts:
            if (found := field.search(text)) is None or _TAKES_NULL.search(text):
                continue
            name = record.upper()
            instead = "read OLD" if record == "new" else "read NEW"
            if not trigger.per_row:
                instead = f"make it FOR EACH ROW, or read the rows from REFERENCING {name} TABLE"
            message = (
                f"{trigger}, where {name} is null, and line {line} of {read.function} uses {name}.{found.group(1)}: "
                f"{instead}."
            )
            yield _warning("plpgsql.null_record", message)
            break


def _in_vain(read: _Read, trigger: Trigger) -> Iterator[Finding]:
    """Fields of NEW that are set after the row is stored."""
    if not (trigger.after and trigger.gives("new")):
        return
    for field, line in read.fields_set.items():
        used = re.compile(rf'\bnew\b"?\s*(\.\s*"?({field}\b|\*)|(?!"?\s*\.))', re.IGNORECASE)
        if any(used.search(text) for kind, text, _ in read.texts if kind != "assign"):
            continue
        message = (
            f"{trigger}: the row is stored by then, so line {line} of {read.function} sets NEW.{field} in vain. Make "
            "it a BEFORE trigger."
        )
        yield _warning("plpgsql.trigger_in_vain", message)
        return


def _lost_rows(read: _Read, trigger: Trigger) -> Iterator[Finding]:
    """BEFORE triggers that give null back for every row, which skips it without a word."""
    if not (trigger.before and trigger.per_row):
        return
    writes = [text for kind, text, _ in read.texts if kind in {"execsql", "dynexecute", "perform", "call"}]
    left_null = not read.sets_record and not read.fields_set  # one field that is set makes a row of NEW
    if trigger.on("DELETE") and left_null and (line := read.always("new")):
        own = trigger.table.rpartition(".")[2].strip('"')
        if not any({"update", own.lower()} <= set(re.findall(r"\w+", text.lower())) for text in writes):
            message = (
                f"{trigger}: for a deleted row NEW is null, so line {line} of {read.function}, RETURN NEW, leaves "
                "every row where it is and DELETE reports 0. RETURN OLD when TG_OP is DELETE."
            )
            yield _warning("plpgsql.row_skipped", message)
    line = read.always("null")
    elsewhere = any(re.search(r"\bnew\b", text, re.IGNORECASE) for text in writes)  # the row is stored in another table
    if line and ((trigger.on("INSERT") and not elsewhere) or (trigger.on("INSERT", "UPDATE") and read.fields_set)):
        command = "INSERT" if trigger.on("INSERT") else "UPDATE"
        message = (
            f"{trigger}: line {line} of {read.function} is RETURN NULL on every way, so no row gets through and "
            f"{command} reports 0. RETURN NEW."
        )
        yield _warning("plpgsql.row_skipped", message)


def asks_for_table(body: Body) -> bool:
    """Whether a function decides by the table, or by the trigger's arguments, what it does."""
    return any(_asks(text, _TABLE_VARIABLE) for _, text, _ in texts_of(body.action))


def _asks(text: str, variables: re.Pattern[str]) -> bool:
    """Whether a text depends on the trigger's own variables, and does not only write them down."""
    if not variables.search(text):
        return False
    return not re.match(r"\s*insert\b", text, re.IGNORECASE) or bool(_COMPARED.search(text))


def _returned(source: str) -> Iterator[str]:
    """What stands after each RETURN of a source, in order."""
    after: list[str] | None = None
    for token in tokens(source):
        word = token.lower()
        if not token.strip() or token.startswith(("--", "/*")):
            continue
        if after is None:
            after = [] if word == "return" else None
        elif word == ";":
            if after[:1] not in (["next"], ["query"]):
                yield "".join(after).strip('"')
            after = None
        else:
            after.append(word)


def _without_strings(text: str) -> str:
    return "".join("''" if token.startswith("'") else token for token in tokens(text))


def _warning(code: str, message: str) -> Finding:
    return Finding(code, Severity.WARNING, "", message)
