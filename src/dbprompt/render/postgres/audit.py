"""The record of changes: one append-only table, the function that fills it, and a trigger for each recorded table.

It belongs to a role of its own that nobody is a member of: neither the application nor a migration can rewrite it. The
function runs with that owner's rights and a fixed search_path, so a role needs no right on the record to be recorded.
Nothing is deleted from it but by audit.purge(), which takes only what is older than its days; audit.purge_all() calls
it until nothing is left to take, each batch a transaction of its own.

Written down are who was connected (`changed_by`), whom the application spoke for (`app_user`, from the setting
app.user_id), the row's key, and of an update only the columns that changed.

A column whose protection is not access control (a hash, a token, a ciphertext) is recorded as the SHA-256 of its stored
value: that it changed is seen, and a record kept for years is no second place to steal it from. Personal data that is
left to access control is recorded as it is, since a record without values answers nothing; who may read it is said by
`read_by`, and erasing a person has to reach it too.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.postgres.base import Statement, identifier, literal, names, short_name
from dbprompt.render.postgres.security import NO_LOGIN, OWNER, RECORD_OWNER
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Schema
from dbprompt.sections.security import Security

__all__ = ["APP_USER", "RECORD", "audit_statements"]

RECORD = "audit.change_log"
"""The table of the record."""
APP_USER = "app.user_id"
"""The setting in which an application says whom it speaks for."""

_TABLE = f"""\
CREATE TABLE {RECORD} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    table_name text NOT NULL,
    action text NOT NULL CHECK (action IN ('insert', 'update', 'delete', 'truncate')),
    row_key jsonb,
    old_values jsonb,
    new_values jsonb,
    changed_by text NOT NULL,
    app_user text
)"""
_FUNCTION = f"""\
CREATE FUNCTION audit.record_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
-- Arguments: the table's name, the columns of its key, the columns whose values are recorded as a hash.
DECLARE
    key_columns text[] := string_to_array(TG_ARGV[1], ',');
    hidden text[] := string_to_array(TG_ARGV[2], ',');
    -- In a function with its owner's rights current_user is the owner; this is the role that was acted as.
    actor text := CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END;
    before jsonb;
    after jsonb;
    row_key jsonb;
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        before := to_jsonb(OLD);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        after := to_jsonb(NEW);
    END IF;
    IF TG_OP = 'UPDATE' AND before = after THEN
        RETURN NULL;
    END IF;
    SELECT jsonb_object_agg(name, audit.shown(name, coalesce(before, after) -> name, hidden))
    INTO row_key FROM unnest(key_columns) AS name;
    INSERT INTO {RECORD} (table_name, action, row_key, old_values, new_values, changed_by, app_user)
    SELECT TG_ARGV[0], lower(TG_OP), row_key, old_part, new_part, actor,
           nullif(current_setting('{APP_USER}', true), '')
    FROM (
        SELECT jsonb_object_agg(field.key, audit.shown(field.key, field.value, hidden)) AS old_part
        FROM jsonb_each(before) AS field
        WHERE TG_OP <> 'UPDATE' OR after -> field.key IS DISTINCT FROM field.value
    ) AS old_side, (
        SELECT jsonb_object_agg(field.key, audit.shown(field.key, field.value, hidden)) AS new_part
        FROM jsonb_each(after) AS field
        WHERE TG_OP <> 'UPDATE' OR before -> field.key IS DISTINCT FROM field.value
    ) AS new_side;
    RETURN NULL;
END
$$"""
_SHOWN = """\
CREATE FUNCTION audit.shown(name text, value jsonb, hidden text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
SELECT CASE WHEN name = ANY (hidden) AND value <> 'null'
            THEN to_jsonb('sha256:' || encode(sha256(convert_to(value #>> '{}', 'UTF8')), 'hex'))
            ELSE value END
$$"""
_INDEXES = (
    f"CREATE INDEX change_log_row_idx ON {RECORD} (table_name, row_key, changed_at)",
    f"CREATE INDEX change_log_changed_at_idx ON {RECORD} USING brin (changed_at)",
)
_FUNCTIONS = (
    "audit.record_change()",
    "audit.shown(text, jsonb, text[])",
    "audit.purge(integer)",
)
_PURGE_ALL = "audit.purge_all(integer)"
_ALL = """\
CREATE PROCEDURE audit.purge_all(most integer DEFAULT 10000)
    LANGUAGE plpgsql
    AS $$
BEGIN
    LOOP
        EXIT WHEN audit.purge(most) = 0;
        COMMIT;
    END LOOP;
END
$$"""


def audit_statements(design: DatabaseDesign) -> tuple[Statement, ...]:
    """Everything of the record, to run after the roles; none if no changes are recorded by a trigger."""
    security, schema = design.security, design.schema
    if security is None or schema is None or not security.recorded:
        return ()
    first = next(at for at, event in enumerate(security.audit) if event.means == "trigger")
    return tuple(
        Statement(sql, "security", f"/audit/{first if at is None else at}", "audit of data_changes", "record")
        for at, sql in (
            *((None, sql) for sql in _record(security)),
            *_triggers(security, schema),
            *((None, sql) for sql in _handed_over(security)),
        )
    )


def _record(security: Security) -> Iterator[str]:
    yield f"CREATE ROLE {RECORD_OWNER} {NO_LOGIN}"
    yield f"GRANT {RECORD_OWNER} TO CURRENT_USER"
    yield "CREATE SCHEMA audit"
    yield _TABLE
    yield f"COMMENT ON TABLE {RECORD} IS 'Who changed what, when, from what to what. Only its owner may change it.'"
    yield from _INDEXES
    yield _SHOWN
    yield _FUNCTION
    yield _purge(security)
    yield _ALL  # with its caller's rights: a procedure that commits can have no others
    for function in _FUNCTIONS:
        yield f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC"
    yield f"REVOKE ALL ON PROCEDURE {_PURGE_ALL} FROM PUBLIC"
    # A migration may record further tables and call the purge.
    yield f"GRANT USAGE ON SCHEMA audit TO {OWNER}"
    for function in ("audit.record_change()", "audit.purge(integer)"):
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {OWNER}"
    yield f"GRANT EXECUTE ON PROCEDURE {_PURGE_ALL} TO {OWNER}"


def _handed_over(security: Security) -> Iterator[str]:
    yield f"GRANT USAGE, CREATE ON SCHEMA audit TO {RECORD_OWNER}"
    yield f"ALTER TABLE {RECORD} OWNER TO {RECORD_OWNER}"
    for function in _FUNCTIONS:
        yield f"ALTER FUNCTION {function} OWNER TO {RECORD_OWNER}"
    yield f"ALTER PROCEDURE {_PURGE_ALL} OWNER TO {RECORD_OWNER}"
    readers = tuple(dict.fromkeys(role for event in security.audit for role in event.read_by))
    if readers:
        yield f"GRANT USAGE ON SCHEMA audit TO {names(readers)}"
        yield f"GRANT SELECT ON {RECORD} TO {names(readers)}"
    yield f"ALTER SCHEMA audit OWNER TO {RECORD_OWNER}"
    yield f"REVOKE {RECORD_OWNER} FROM CURRENT_USER"


def _purge(security: Security) -> str:
    """Deletes what is older than its table's days, a batch a call, and says how many rows went."""
    kept = ",\n        ".join(f"({literal(table)}, {days})" for table, days in security.recorded.items())
    return f"""\
CREATE FUNCTION audit.purge(most integer DEFAULT 10000) RETURNS bigint
    SECURITY DEFINER LANGUAGE sql SET search_path = pg_catalog, pg_temp
    AS $$
WITH old AS (
    SELECT record.id
    FROM {RECORD} AS record JOIN (VALUES
        {kept}
    ) AS kept (table_name, days) USING (table_name)
    WHERE record.changed_at < now() - make_interval(days => kept.days)
    ORDER BY record.id LIMIT most
), gone AS (
    DELETE FROM {RECORD} AS record USING old WHERE record.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
$$"""


def _triggers(security: Security, schema: Schema) -> Iterator[tuple[int, str]]:
    done: set[str] = set()
    for at, event in enumerate(security.audit):
        for name in event.tables if event.means == "trigger" else ():
            table = schema.table(name)
            if name in done or table is None:
                continue  # the rules say so
            done.add(name)
            told = ", ".join(map(literal, (name, ",".join(table.primary_key), ",".join(security.masked(name)))))
            on = f"ON {identifier(name)}"
            call = f"EXECUTE FUNCTION audit.record_change({told})"
            row, whole = (identifier(short_name(name, suffix)) for suffix in ("_record_change", "_record_truncate"))
            yield at, f"CREATE TRIGGER {row}\n    AFTER INSERT OR UPDATE OR DELETE {on}\n    FOR EACH ROW {call}"
            yield at, f"CREATE TRIGGER {whole}\n    AFTER TRUNCATE {on}\n    FOR EACH STATEMENT {call}"
