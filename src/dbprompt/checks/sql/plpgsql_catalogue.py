"""The routines in plpgsql and their triggers as the catalogue has them, and DO blocks, which it has not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbprompt.checks.sql.advice import Catalogue
from dbprompt.checks.sql.plpgsql_tree import Body
from dbprompt.checks.sql.plpgsql_triggers import Trigger
from dbprompt.checks.sql.routines import routine as written
from dbprompt.checks.sql.tree import Parsed

__all__ = ["Routine", "block", "quoted", "routines", "triggers", "variables"]

_ROUTINES = (
    "SELECT p.oid::text, n.nspname, p.proname, p.prokind, pg_get_functiondef(p.oid), "
    "pg_get_function_result(p.oid), array_to_string(p.proconfig, E'\\n'), "
    "(SELECT string_agg(a.name || E'\\t' || format_type(a.type, NULL), E'\\n') "
    "FROM unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[])) a(name, type) WHERE a.name <> ''), "
    "p.prosrc ~* '#variable_conflict', (SELECT string_agg(format_type(a.type, NULL), E'\\t') "
    "FROM unnest(p.proallargtypes, p.proargmodes) a(type, mode) WHERE a.mode = 't'), p.prosrc "
    "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang "
    "WHERE l.lanname = 'plpgsql' AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT 1 FROM pg_depend d "
    "WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') ORDER BY p.oid"
)
_TRIGGERS = (
    "SELECT t.tgfoid::text, t.tgname, t.tgrelid::regclass::text, t.tgtype::text, (t.tgqual IS NOT NULL)::text, "
    "(SELECT string_agg(a.attname, E'\\t') FROM pg_attribute a "
    "WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[])), t.tgnewtable, t.tgoldtable "
    "FROM pg_trigger t WHERE NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY t.oid"
)
_TRIGGER_VARIABLES = {
    "tg_name": "name", "tg_when": "text", "tg_level": "text", "tg_op": "text", "tg_relid": "oid",
    "tg_relname": "name", "tg_table_name": "name", "tg_table_schema": "name", "tg_nargs": "integer",
    "tg_argv": "text[]", "tg_event": "text", "tg_tag": "text",
}  # fmt: skip
_POLYMORPHIC = re.compile(r'"?any(\w*)"?(\[\])?\Z')
_ALIAS = re.compile(r'\b(\w+)"?\s+ALIAS\s+FOR\b', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function, procedure or DO block in plpgsql.

    Args:
        oid: its number; empty for a DO block.
        name: of it.
        kind: `f` for a function, `p` for a procedure, `d` for a DO block.
        definition: the statement that makes it.
        returns: its result as SQL.
        settings: its SET clauses.
        arguments: names and types.
        tolerates_conflicts: whether it says what a name means that is a column and a variable.
        columns: types of RETURNS TABLE.
        source: its body as text.
    """

    oid: str
    name: str
    kind: str
    definition: str
    returns: str
    settings: tuple[str, ...] = ()
    arguments: Mapping[str, str] | None = None
    tolerates_conflicts: bool = False
    columns: tuple[str, ...] = ()
    source: str = ""


def routines(catalogue: Catalogue) -> Iterator[Routine]:
    """What the database has, without what extensions brought."""
    for row in catalogue.rows(_ROUTINES):
        oid, _, name, kind, definition, returns, settings, arguments, tolerates, columns, source = row
        pairs = [line.split("\t") for line in (arguments or "").split("\n") if "\t" in line]
        yield Routine(
            str(oid), str(name), str(kind), str(definition), returns or "",
            tuple(filter(None, (settings or "").split("\n"))), {pair[0]: pair[1] for pair in pairs}, tolerates == "t",
            tuple((columns or "").split("\t")) if columns else (), source or "",
        )  # fmt: skip


def triggers(catalogue: Catalogue) -> Mapping[str, Sequence[Trigger]]:
    """The triggers by the number of their function."""
    found: dict[str, list[Trigger]] = {}
    for oid, name, table, bits, conditional, columns, *transitions in catalogue.rows(_TRIGGERS):
        trigger = Trigger(
            str(name), str(table), int(bits or 0), conditional == "true",
            frozenset(filter(None, (columns or "").split("\t"))), frozenset(one.lower() for one in transitions if one),
        )  # fmt: skip
        found.setdefault(str(oid), []).append(trigger)
    return found


def block(parsed: Parsed) -> Routine:
    """A DO block, as if it were a procedure without arguments."""
    _, source = written(parsed)
    conflicts = "#variable_conflict" in source.lower()
    return Routine("", "the block", "d", parsed.sql, "void", tolerates_conflicts=conflicts, source=source)


def variables(routine: Routine, body: Body, trigger: Trigger | None) -> tuple[dict[str, str], set[str]]:
    """The types of a body's variables, and the names of those whose type only a run would tell."""
    types = {name.lower(): kind for name, kind in body.variables.items()}
    types |= {name.lower(): kind for name, kind in (routine.arguments or {}).items()}
    unknown = {name.lower() for name in body.unknown if name.lower() not in types}
    unknown |= {alias.lower() for alias in _ALIAS.findall(routine.source)}
    unknown |= {name for name, kind in types.items() if _POLYMORPHIC.match(kind)}
    if "trigger" in routine.returns:
        types |= _TRIGGER_VARIABLES
        if trigger is not None:
            types |= {"new": trigger.table, "old": trigger.table}
            unknown -= {"new", "old"}
        else:
            unknown |= {"new", "old"}
    return types, unknown


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'
