"""Everything that defines a database, as facts that can be compared: what a migration changed, what its undoing left.

A fact has a kind, the object that it is about, and a value: `not null`, `orders.total`, `yes`. Read as superuser from
the catalogues alone; nothing of the sandbox is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dbprompt.engines.postgres.sandbox import PostgresSandbox

__all__ = ["Catalogue", "Difference", "differences", "snapshot"]

Catalogue: TypeAlias = Mapping[tuple[str, str], str]

# Rows of kind, object and value; a value of NULL is no fact. Rights are one only where they are not those that every
# new object has: GRANT and REVOKE write these out where NULL stood before.
_QUESTION = """
WITH spaces AS MATERIALIZED (
    SELECT oid, nspname, CASE WHEN nspname = 'public' THEN '' ELSE quote_ident(nspname) || '.' END AS prefix
    FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
), relations AS MATERIALIZED (
    SELECT c.*, s.prefix || quote_ident(c.relname) AS name
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace WHERE c.oid >= 16384
), columns AS MATERIALIZED (
    SELECT a.*, c.name || '.' || quote_ident(a.attname) AS name
    FROM pg_attribute a JOIN relations c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'c', 'f')
    WHERE a.attnum > 0 AND NOT a.attisdropped
), types AS MATERIALIZED (
    SELECT t.*, s.prefix || quote_ident(t.typname) AS name
    FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace WHERE t.oid >= 16384
)
SELECT 'schema', quote_ident(nspname), 'yes' FROM spaces
UNION ALL
SELECT CASE relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                    WHEN 'c' THEN 'composite type' WHEN 'f' THEN 'foreign table' ELSE 'table' END, name,
       CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) WHEN relkind = 'S' THEN 'yes'
            ELSE CASE relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END END
FROM relations WHERE relkind IN ('r', 'p', 'S', 'v', 'm', 'c', 'f')
UNION ALL
SELECT f.kind, c.name, f.value FROM relations c, LATERAL (VALUES
    ('partitioning', CASE relkind WHEN 'p' THEN pg_get_partkeydef(oid) ELSE pg_get_expr(relpartbound, oid) END),
    ('row security', CASE WHEN relrowsecurity THEN 'on' END),
    ('forced row security', CASE WHEN relforcerowsecurity THEN 'on' END),
    ('storage options', array_to_string(reloptions, ', ')),
    ('replica identity', CASE WHEN relkind IN ('r', 'p') THEN nullif(relreplident::text, 'd') END),
    ('rights', CASE WHEN relacl IS NOT NULL THEN nullif(
        (SELECT coalesce(string_agg(r, ', ' ORDER BY r), 'none') FROM unnest(relacl::text[]) r),
        (SELECT coalesce(string_agg(r, ', ' ORDER BY r), 'none')
         FROM unnest(acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)::text[]) r)) END),
    ('column order', CASE WHEN relkind IN ('r', 'p') THEN
        (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM columns a WHERE a.attrelid = c.oid) END)
) f (kind, value)
UNION ALL
SELECT f.kind, a.name, f.value FROM columns a, LATERAL (VALUES
    ('column', format_type(atttypid, atttypmod) || coalesce(' COLLATE ' || (
        SELECT quote_ident(l.collname) FROM pg_collation l JOIN pg_type y ON y.oid = a.atttypid
        WHERE l.oid = a.attcollation AND l.oid <> y.typcollation), '')),
    ('not null', CASE WHEN attnotnull THEN 'yes' END),
    ('identity', CASE attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END),
    (CASE attgenerated WHEN '' THEN 'default' ELSE 'generated' END, CASE WHEN atthasdef THEN
        (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = a.attrelid AND adnum = a.attnum) END)
) f (kind, value)
UNION ALL
SELECT 'constraint', c.name || '.' || quote_ident(conname), pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN relations c ON c.oid = k.conrelid
WHERE contype <> 't' AND conparentid = 0 AND (contype <> 'n' OR NOT convalidated)
UNION ALL
SELECT 'index', c.name, pg_get_indexdef(c.oid) || CASE WHEN indisvalid THEN '' ELSE ' (INVALID)' END
FROM relations c JOIN pg_index i ON i.indexrelid = c.oid
UNION ALL
SELECT 'trigger', c.name || '.' || quote_ident(tgname),
       pg_get_triggerdef(t.oid) || CASE tgenabled WHEN 'O' THEN '' ELSE ' (enabled: ' || tgenabled::text || ')' END
FROM pg_trigger t JOIN relations c ON c.oid = t.tgrelid WHERE NOT tgisinternal
UNION ALL
SELECT 'policy', c.name || '.' || quote_ident(polname), concat(
    CASE polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                ELSE 'DELETE' END,
    ' TO ' || (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r) END, ', ')
               FROM unnest(polroles) r),
    CASE WHEN NOT polpermissive THEN ' RESTRICTIVE' END,
    ' USING ' || pg_get_expr(polqual, polrelid), ' WITH CHECK ' || pg_get_expr(polwithcheck, polrelid))
FROM pg_policy p JOIN relations c ON c.oid = p.polrelid
UNION ALL
SELECT 'rule', c.name || '.' || quote_ident(rulename), pg_get_ruledef(r.oid)
FROM pg_rewrite r JOIN relations c ON c.oid = r.ev_class WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'enum', name, (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
                      FROM pg_enum e WHERE e.enumtypid = t.oid) FROM types t WHERE typtype = 'e'
UNION ALL
SELECT 'domain', name, concat(
    format_type(typbasetype, typtypmod), CASE WHEN typnotnull THEN ' NOT NULL' END, ' DEFAULT ' || typdefault,
    (SELECT string_agg(' ' || pg_get_constraintdef(k.oid), '' ORDER BY conname)
     FROM pg_constraint k WHERE k.contypid = t.oid AND contype = 'c'))
FROM types t WHERE typtype = 'd'
UNION ALL
SELECT 'range type', name, format_type(rngsubtype, NULL) FROM types t JOIN pg_range r ON r.rngtypid = t.oid
UNION ALL
SELECT 'function', s.prefix || quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       CASE prokind WHEN 'a' THEN 'an aggregate' ELSE pg_get_functiondef(p.oid) END
FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND classid = 'pg_proc'::regclass AND deptype = 'e')
UNION ALL
SELECT 'statistics', s.prefix || quote_ident(stxname), pg_get_statisticsobjdef(x.oid)
FROM pg_statistic_ext x JOIN spaces s ON s.oid = x.stxnamespace
UNION ALL
SELECT 'extension', quote_ident(extname), extversion FROM pg_extension WHERE extname <> 'plpgsql'
UNION ALL
SELECT 'comment', c.name || coalesce('.' || quote_ident(attname), ''), description
FROM pg_description d JOIN relations c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = objsubid AND objsubid > 0
"""


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
_NAMING_ROLES = {"rights", "policy"}
_LONGEST = 120


def snapshot(sandbox: PostgresSandbox) -> Catalogue:
    """All facts of the sandbox's database. Its role, whose name means nothing to anybody, is called `owner`."""
    rows = sandbox.rows(_QUESTION)
    role = re.compile(rf"\b{re.escape(sandbox.name)}\b")
    return {
        (str(kind), str(name)): role.sub("owner", value) if kind in _NAMING_ROLES else value
        for kind, name, value in rows
        if value is not None
    }


def differences(was: Catalogue, now: Catalogue) -> tuple[Difference, ...]:
    """The facts that differ. What belongs to an object that is itself new or gone is not listed beside it."""
    found = [
        Difference(*key, was.get(key), now.get(key)) for key in sorted({**was, **now}) if was.get(key) != now.get(key)
    ]
    whole = {one.name for one in found if one.kind in _WHOLES and (one.was is None or one.now is None)}
    return tuple(one for one in found if not _below(one, whole))


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
