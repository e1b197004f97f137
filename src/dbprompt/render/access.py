"""The chapter on access: who may do what, which rows they see, what is hidden, recorded and answered; and its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.machines.access_settings import access_settings
from dbprompt.machines.timeouts import request_timeouts, serving
from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, table, text
from dbprompt.render.postgres.access_sql import audit_sql, security_sql
from dbprompt.render.postgres.audit import RECORD
from dbprompt.render.postgres.security import OWNER, RECORD_OWNER, granted_tables
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.security import Grant, Role, Security

__all__ = ["access_chapter", "audit_file", "security_file"]

_RIGHTS = ("select", "insert", "update", "delete")
_BY_PURPOSE = {
    "migration": f"all, as a member of `{OWNER}`",
    "monitoring": "statistics (`pg_monitor`)",
    "backup": "reads all (`pg_read_all_data`)",
}
_AT_REST = {"provider_kms": "with a key in the provider's KMS", "volume": "by the volume", "none": "not encrypted"}


def security_file(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    """Roles, ownership, grants and row security as a script; none without them.

    Raises:
        UnsafeSqlError: a policy's expression could leave its parentheses.
    """
    title = f"Roles, grants and row security of {about.title}"
    sql = security_sql(design, as_of=about.as_of, version=about.version, title=title, brief=about.brief)
    return {"schema/security.sql": sql} if sql else {}


def audit_file(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    """The record of changes as a script; none if no trigger records any."""
    sql = audit_sql(design, version=about.version, title=f"Record of changes of {about.title}")
    return {"schema/audit.sql": sql} if sql else {}


def access_chapter(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """The section as blocks; none without it."""
    security = design.security
    if security is None:
        return
    yield "## Access and compliance"
    yield (
        f"Every table belongs to `{OWNER}`, a role that nobody logs in as; nothing is granted to PUBLIC, and a "
        "partition has no grants of its own. Scripts: `schema/security.sql`, `schema/audit.sql`, loaded after "
        "`schema/schema.sql`."
    )
    yield "### Roles"
    yield table(("Role", "For", "Logs in", "Connections", "Sees all rows"), _roles(security), align="lllr")
    yield from _timeouts(security, about)
    yield "### Grants"
    yield "s select, i insert, u update, d delete; in brackets: of some columns only."
    yield _grants(design, security)
    yield from _policies(security)
    yield "### Encryption"
    yield table(("What", "How", "Why"), _encryption(security))
    yield from _audit(security)
    if settings := access_settings(security):
        yield "### Settings of the server that follow"
        yield table(("Setting", "Value", "Why"), [(code(s.name), code(s.value), cell(s.why)) for s in settings])
    if security.compliance:
        yield "### Compliance, item by item"
        yield table(("Item", "Answer", "Met in"), _answers(design, security))


def _roles(security: Security) -> Iterator[tuple[str, ...]]:
    for role in security.roles:
        limit = str(role.connection_limit) if role.connection_limit is not None else "no limit"
        said = "yes" if role.sees_all_rows else "no"
        yield code(role.name), role.purpose.replace("_", " "), "yes" if role.login else "no", limit, said


def _timeouts(security: Security, about: Background) -> Iterator[str]:
    if names := ", ".join(code(role.name) for role in serving(security)):
        yield f"Limits of {names}, whom somebody waits for; jobs, migrations and restores have none of them:"
        rows = [(code(name), code(f"{seconds}s"), cell(why)) for name, seconds, why in request_timeouts(about.brief)]
        yield table(("Setting of the role", "Value", "Why"), rows)


def _grants(design: DatabaseDesign, security: Security) -> str:
    """A matrix: a line a table, a column a role."""
    names = [one.name for one in design.schema.tables] if design.schema else []
    roles = [role for role in security.roles if role.purpose not in _BY_PURPOSE]
    rows = [(code(name), *(_letters(role, name, design) for role in roles)) for name in names]
    rows.append(("tables made later", *(_letters(role, None, design) for role in roles)))
    matrix = table(("Table", *(code(role.name) for role in roles)), rows)
    others = [f"`{role.name}`: {_BY_PURPOSE[role.purpose]}" for role in security.roles if role.purpose in _BY_PURPOSE]
    return "\n\n".join([matrix, *([f"By their purpose: {'; '.join(others)}."] if others else [])])


def _letters(role: Role, name: str | None, design: DatabaseDesign) -> str:
    shown = []
    for right in _RIGHTS:
        grants = [grant for grant in role.grants if right in grant.privileges and _covers(grant, name, design)]
        if any(not grant.columns for grant in grants):
            shown.append(right[0])
        elif grants:
            columns = dict.fromkeys(column for grant in grants for column in grant.columns)
            shown.append(f"{right[0]} ({cell(', '.join(columns))})")
    return " ".join(shown)


def _covers(grant: Grant, name: str | None, design: DatabaseDesign) -> bool:
    return not grant.tables if name is None else name in granted_tables(grant, design)


def _policies(security: Security) -> Iterator[str]:
    if not security.policies:
        return
    yield "### Row security"
    yield "Switched on and forced, for the owner too. Where no policy lets a role see a row, it sees none."
    rows = [
        (
            code(policy.name),
            code(policy.table),
            policy.command,
            ", ".join(map(code, policy.roles)) or "all roles",
            code(policy.using or policy.check or ""),
        )
        for policy in security.policies
    ]
    yield table(("Policy", "Table", "For", "Roles", "Rows"), rows)


def _encryption(security: Security) -> Iterator[tuple[str, str, str]]:
    rest, transit = security.at_rest, security.in_transit
    turned = f", turned every {rest.key_rotation_days:,} days" if rest.key_rotation_days else ""
    yield "files and backups", _AT_REST[rest.method] + turned, cell(rest.reason)
    clients = "; clients show certificates" if transit.verify_client else ""
    tls = "not encrypted" if transit.minimum_tls == "none" else f"TLS {transit.minimum_tls} or newer{clients}"
    yield "connections", tls, ""
    for field in security.fields:
        yield code(f"{field.table}.{field.column}"), field.protection.replace("_", " "), cell(field.reason)


def _audit(security: Security) -> Iterator[str]:
    if not security.audit:
        return
    yield "### What is recorded"
    rows = [
        (
            event.event.replace("_", " "),
            ", ".join(map(code, event.tables)),
            event.means.replace("_", " "),
            event.level,
            f"{event.keep_days:,}",
            ", ".join(map(code, event.read_by)),
        )
        for event in security.audit
    ]
    yield table(("Event", "Tables", "By", "Level", "Kept for days", "Read by"), rows, align="llllr")
    if security.recorded:
        yield (
            f"Triggers write into `{RECORD}`, which belongs to `{RECORD_OWNER}`: who, for whom, when, which row, what "
            "it was and what it became. Hashes, tokens and ciphertexts stand there as the SHA-256 of their value; "
            "personal data left to access control stands there as it is, and is erased there too. "
            "`audit.purge_all()` takes what is older than its days."
        )


def _answers(design: DatabaseDesign, security: Security) -> Iterator[tuple[str, str, str]]:
    for one in security.compliance:
        met = [
            name if name == "outside" or design.section(name) is not None else f"{name} (not in this design)"
            for name in one.met_in
        ]
        yield f"{one.kind.replace('_', ' ')}: {text(one.item)}", cell(one.answer), ", ".join(met)
