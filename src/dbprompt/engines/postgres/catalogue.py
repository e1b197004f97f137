"""Everything that defines a database, as facts that can be compared: what a migration changed, what its undoing left.

A fact has a kind, the object that it is about, and a value: `not null`, `orders.total`, `yes`. Read as superuser from
the catalogues alone; nothing of the sandbox is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dbprompt.engines.postgres.sandbox import PostgresSandbox

__all__ = ["Catalogue", "Difference", "differences", "snapshot"]

Catalogue: TypeAlias = Mapping[tuple[str, str], str]
_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_NAME = "CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END || quote_ident({})"
_TABLE = _NAME.format("c.relname")
_OF = f"{_TABLE} || '.' || quote_ident"
_RELATION = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_COLUMN = f"pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r','p','v','m','c','f') JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped AND {_OURS}"  # noqa: E501
_IS_TABLE = f"c.relkind IN ('r', 'p') AND {_OURS}"
_PERSISTENCE = "CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END"
_IDENTITY = "CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END"
_ENABLED = "CASE t.tgenabled WHEN 'O' THEN '' ELSE ' (enabled: ' || t.tgenabled::text || ')' END"
_COMMAND = "CASE p.polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END"  # noqa: E501
_ROLES = "(SELECT string_agg(CASE WHEN r = 0 THEN 'public' ELSE pg_get_userbyid(r) END, ', ') FROM unnest(p.polroles) r)"
_DEPENDS = "EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = {0}.oid AND d.classid = '{1}'::regclass AND d.deptype IN ('e', 'i'))"  # noqa: E501
# One fact a row: kind, object, value. A value of NULL is no fact.
_FACTS = (
    f"SELECT 'schema', quote_ident(n.nspname), 'yes' FROM pg_namespace n WHERE {_OURS}",
    f"SELECT CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'"
    f" WHEN 'c' THEN 'composite type' WHEN 'f' THEN 'foreign table' ELSE 'table' END, {_TABLE},"
    f" CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) WHEN c.relkind = 'S' THEN 'yes' ELSE {_PERSISTENCE} END"
    f" FROM {_RELATION} WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'c', 'f') AND {_OURS}",
    f"SELECT 'partitioning', {_TABLE}, coalesce(pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid))"
    f" FROM {_RELATION} WHERE {_IS_TABLE}",
    f"SELECT 'row security', {_TABLE}, CASE WHEN c.relrowsecurity THEN 'on' END FROM {_RELATION} WHERE {_IS_TABLE}",
    f"SELECT 'forced row security', {_TABLE}, CASE WHEN c.relforcerowsecurity THEN 'on' END FROM {_RELATION}"
    f" WHERE {_IS_TABLE}",
    f"SELECT 'storage options', {_TABLE}, array_to_string(c.reloptions, ', ') FROM {_RELATION}"
    f" WHERE c.relkind IN ('r', 'p', 'v', 'm', 'i') AND {_OURS}",
    f"SELECT 'replica identity', {_TABLE}, nullif(c.relreplident::text, 'd') FROM {_RELATION} WHERE {_IS_TABLE}",
    f"SELECT 'rights', {_TABLE}, (SELECT string_agg(x, ', ' ORDER BY x) FROM unnest(c.relacl::text[]) x) FROM {_RELATION} WHERE {_OURS}",  # noqa: E501
    f"SELECT 'column order', {_TABLE}, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)"
    f" FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) FROM {_RELATION} WHERE {_IS_TABLE}",
    f"SELECT 'column', {_OF}(a.attname), format_type(a.atttypid, a.atttypmod) ||"
    f" coalesce(' COLLATE ' || quote_ident((SELECT l.collname FROM pg_collation l JOIN pg_type y ON y.oid = a.atttypid"
    f" WHERE l.oid = a.attcollation AND l.oid <> y.typcollation)), '') FROM {_COLUMN}",
    f"SELECT 'not null', {_OF}(a.attname), CASE WHEN a.attnotnull THEN 'yes' END FROM {_COLUMN}",
    f"SELECT 'identity', {_OF}(a.attname), {_IDENTITY} FROM {_COLUMN}",
    f"SELECT CASE a.attgenerated WHEN '' THEN 'default' ELSE 'generated' END, {_OF}(a.attname),"
    f" (SELECT pg_get_expr(e.adbin, e.adrelid) FROM pg_attrdef e WHERE e.adrelid = c.oid AND e.adnum = a.attnum) FROM {_COLUMN}",
    f"SELECT 'constraint', {_OF}(k.conname), pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS} AND (k.contype <> 'n' OR NOT k.convalidated)"
    " AND k.contype <> 't' AND k.conparentid = 0",
    f"SELECT 'index', {_TABLE}, pg_get_indexdef(c.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' (INVALID)' END"
    f" FROM {_RELATION} JOIN pg_index i ON i.indexrelid = c.oid WHERE {_OURS} AND n.nspname <> 'pg_toast'",
    f"SELECT 'trigger', {_OF}(t.tgname), pg_get_triggerdef(t.oid) || {_ENABLED} FROM pg_trigger t"
    f" JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND {_OURS}",
    f"SELECT 'policy', {_OF}(p.polname), {_COMMAND} || ' TO ' || {_ROLES} || CASE WHEN p.polpermissive THEN '' ELSE ' RESTRICTIVE' END"
    " || coalesce(' USING ' || pg_get_expr(p.polqual, p.polrelid), '') || coalesce(' CHECK ' || pg_get_expr(p.polwithcheck, p.polrelid), '')"  # noqa: E501
    " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace",
    f"SELECT 'rule', {_OF}(r.rulename), pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.rulename <> '_RETURN' AND {_OURS}",
    f"SELECT 'enum', {_NAME.format('t.typname')}, (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)"
    f" FROM pg_enum e WHERE e.enumtypid = t.oid) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND {_OURS}",  # noqa: E501
    f"SELECT 'domain', {_NAME.format('t.typname')}, format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END"  # noqa: E501
    " || coalesce(' DEFAULT ' || t.typdefault, '') || coalesce((SELECT string_agg(' ' || pg_get_constraintdef(k.oid), '' ORDER BY k.conname)"
    f" FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'), '') FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND {_OURS}",  # noqa: E501
    f"SELECT 'range type', {_NAME.format('t.typname')}, format_type(r.rngsubtype, NULL) FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid"
    f" JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_OURS}",
    f"SELECT 'function', {_NAME.format('p.proname')} || '(' || pg_get_function_identity_arguments(p.oid) || ')',"
    f" CASE WHEN p.prokind IN ('f', 'p', 'w') THEN pg_get_functiondef(p.oid) ELSE 'yes' END FROM pg_proc p"
    f" JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS} AND NOT {_DEPENDS.format('p', 'pg_proc')}",
    f"SELECT 'statistics', {_NAME.format('s.stxname')}, pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s"
    f" JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {_OURS}",
    "SELECT 'extension', quote_ident(extname), extversion FROM pg_extension WHERE extname <> 'plpgsql'",
    f"SELECT 'comment', {_TABLE} || coalesce('.' || quote_ident(a.attname), ''), d.description FROM pg_description d"
    f" JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 WHERE {_OURS}",
)  # fmt: skip
_QUESTION = "SELECT kind, object, value FROM ({}) facts (kind, object, value) WHERE value IS NOT NULL".format(
    " UNION ALL ".join(_FACTS)
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not as it was.

    Args:
        kind: of the fact, `not null`.
        name: of the object, `orders.total`.
        was: its value before; None if there was none.
        now: its value now; None if there is none.
    """

    kind: str
    name: str
    was: str | None
    now: str | None

    def __str__(self) -> str:
        """The difference as words."""
        if self.was is None and self.now is None:
            return f"{self.kind} {self.name}"
        if self.now is None:
            return f"{self.kind} of {self.name} is gone (was {_short(self.was)})" if self._detail else self._gone()
        if self.was is None:
            return f"{self.kind} of {self.name} is left: {_short(self.now)}" if self._detail else self._left()
        return f"{self.kind} {self.name} is {_short(self.now)}, was {_short(self.was)}"

    @property
    def _detail(self) -> bool:
        return self.kind in _DETAILS

    def _gone(self) -> str:
        return f"{self.kind} {self.name} is gone"

    def _left(self) -> str:
        return f"{self.kind} {self.name} is left behind"


_DETAILS = {
    "not null", "identity", "default", "generated", "row security", "forced row security", "storage options",
    "replica identity", "rights", "partitioning", "comment", "column order",
}  # fmt: skip
_LONGEST = 120


def snapshot(sandbox: PostgresSandbox) -> Catalogue:
    """All facts of the sandbox's database."""
    return {(str(kind), str(name)): str(value) for kind, name, value in sandbox.rows(_QUESTION)}


def differences(was: Catalogue, now: Catalogue) -> tuple[Difference, ...]:
    """The facts that differ. What belongs to an object that is itself new or gone is not listed beside it."""
    found = [
        Difference(*key, was.get(key), now.get(key)) for key in sorted({**was, **now}) if was.get(key) != now.get(key)
    ]
    whole = {one.name for one in found if one.kind in _WHOLES and (one.was is None or one.now is None)}
    return tuple(one for one in found if (one.name in whole and one.kind in _WHOLES) or not _below(one, whole))


_WHOLES = {"table", "view", "materialized view", "composite type", "foreign table", "column", "schema"}


def _below(one: Difference, whole: set[str]) -> bool:
    """Whether it is a property of something that came or went as a whole."""
    parent = one.name.rpartition(".")[0]
    if one.kind == "column order":
        return one.name in whole or _same_columns(one)
    if one.kind in {"constraint", "trigger", "policy", "rule"} | _WHOLES:
        return parent in whole and parent != ""
    return one.kind in _DETAILS and (one.name in whole or parent in whole)


def _same_columns(one: Difference) -> bool:
    """Whether the order differs only because columns came or went: they are facts of their own."""
    was, now = (one.was or "").split(", "), (one.now or "").split(", ")
    both = set(was) & set(now)
    return [name for name in was if name in both] == [name for name in now if name in both]


def _short(text: str | None) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
