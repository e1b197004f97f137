"""Scorers of who may see and do what, and where: security, audit, erasure, residency ("Operations")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dbprompt.checks.base_matching import Place
from dbprompt.checks.base_tenants import session_decides
from dbprompt.evals.expectations import AuditLog, Encrypt, LeastPrivilege, OfEntity, Residency, RowSecurity
from dbprompt.evals.scorers.base import Look, NotHeld, Scene, Scorer, Sections, bad, column_pointer, scorer
from dbprompt.machines.regions import lies_in
from dbprompt.sections.lifecycle import Erasure
from dbprompt.sections.names import entity_matches
from dbprompt.sections.schema import Schema, Table
from dbprompt.sections.security import Role, RowPolicy, Security

__all__ = ["SCORERS"]

_UNREADABLE = {"application_encryption", "token", "vault_reference"}


def _protected_in(expectation: Encrypt) -> Sections:
    return ("security", "schema") if expectation.fields_all else ("security",)


def _encrypt(expectation: Encrypt, scene: Scene) -> Iterator[Look]:
    security = scene.need(scene.design.security, "security")
    if expectation.at_rest:
        method = security.at_rest.method
        yield Look("/security/at_rest", method != "none", f"files are encrypted by {method}")
    if expectation.in_transit:
        tls = security.in_transit.minimum_tls
        yield Look("/security/in_transit", tls != "none", f"connections need TLS {tls}")
    protected = {(one.table, one.column): (at, one.protection) for at, one in enumerate(security.fields)}
    for pair in expectation.fields_all:
        entity, _, attribute = pair.partition(".")
        for place in scene.places(entity):
            for column in scene.columns(place, entity, attribute):
                at, protection = protected.get((place.table.name, column.name), (None, "nothing"))
                where = column_pointer(place, column) if at is None else f"/security/fields/{at}"
                said = f"{place.table.name}.{column.name} is protected by {protection}"
                yield Look(where, protection in _UNREADABLE, said)


_COMMANDS = ("select", "insert", "update", "delete")


def _row_security(expectation: RowSecurity, scene: Scene) -> Iterator[Look]:
    """Row security is switched on, and forced, for every table that has a policy; permissive policies add up."""
    security = scene.need(scene.design.security, "security")
    applications = [role for role in security.roles if role.purpose == "application"]
    if not applications:
        raise NotHeld("no role is the application's, so no policy can be for it")
    for entity in expectation.entities_all:
        for place in scene.places(entity):
            columns = scene.names(place, entity, expectation.attribute)
            yield from _policies(security, place.table, columns, applications, scene.schema)


def _policies(
    security: Security, table: Table, columns: frozenset[str], applications: list[Role], schema: Schema
) -> Iterator[Look]:
    own = [(at, policy) for at, policy in enumerate(security.policies) if policy.table == table.name]
    for role in applications:
        if role.sees_all_rows:
            yield bad(f"/security/roles/{security.roles.index(role)}", f"policies do not hold for {role.name}")
        given = [(at, policy) for at, policy in own if not policy.roles or role.name in policy.roles]
        if not any(_commands(policy) & {"select", "all"} for _, policy in given):
            yield bad("/security/policies", f"{table.name} has no policy by which {role.name} reads")
        for at, policy in given:
            keyed = all(session_decides(text, columns, schema) for text in _clauses(policy))
            said = f"policy {policy.name} of {table.name} {'keys' if keyed else 'does not key'} on {min(columns)}"
            yield Look(f"/security/policies/{at}", keyed, said)


def _commands(policy: RowPolicy) -> set[str]:
    return set(_COMMANDS) if policy.command == "all" else {policy.command}


def _clauses(policy: RowPolicy) -> list[str]:
    return [text for text in (policy.using, policy.check) if text is not None]


_OWNERS = {"postgres", "root", "rdsadmin", "cloudsqlsuperuser"}


def _least_privilege(expectation: LeastPrivilege, scene: Scene) -> Iterator[Look]:
    """dbprompt makes the owner of the tables itself, so none of the design's roles is one."""
    roles = scene.need(scene.design.security, "security").roles
    enough = len(roles) >= expectation.roles_min
    yield Look("/security/roles", enough, f"there are {len(roles)} roles; at least {expectation.roles_min}")
    applications = [(at, role) for at, role in enumerate(roles) if role.purpose == "application"]
    if not applications:
        yield bad("/security/roles", "no role is the application's")
    for at, role in applications:
        wrong = role.sees_all_rows or role.name in _OWNERS
        said = f"the application's role {role.name} {'is above the rules' if wrong else 'owns nothing'}"
        yield Look(f"/security/roles/{at}", not wrong, said)
    covered = any(not grant.tables for role in roles for grant in role.grants)
    yield Look("/security/roles", covered, f"future tables are {'' if covered else 'not '}covered by a grant")


_READS = re.compile(r"\b(reads?|reading|access(es|ed)?|views?|viewed|looked|opened|saw|every ?thing|exports?)\b", re.I)
_CHANGES = re.compile(r"\b(writes?|writing|written|chang(e|es|ed)|edit(s|ed)?|updates?|deletes?|every ?thing)\b", re.I)


def _audit_log(expectation: AuditLog, scene: Scene) -> Iterator[Look]:
    security = scene.need(scene.design.security, "security")
    asked = scene.brief.compliance.audit
    events = {
        event for event, words_of in (("data_reads", _READS), ("data_changes", _CHANGES)) if words_of.search(asked)
    }
    for entity in expectation.entities_all:
        for name in sorted(scene.tables(entity)):
            for event in sorted(events or {"data_changes"}):
                kept = [
                    (at, one.keep_days)
                    for at, one in enumerate(security.audit)
                    if one.event == event and name in one.tables and one.level == "all"
                ]
                at, days = max(kept, key=lambda one: one[1], default=(None, 0))
                where = "/security/audit" if at is None else f"/security/audit/{at}"
                said = f"{event} of {name} are kept {days} days; at least {expectation.min_days}"
                yield Look(where, days >= expectation.min_days, said if kept else f"{event} of {name} are not recorded")


def _erasure(expectation: OfEntity, scene: Scene) -> Iterator[Look]:
    """Every table that holds the entity, or refers to it, is said to be deleted, anonymised or kept, and why."""
    lifecycle = scene.need(scene.design.lifecycle, "lifecycle")
    entity = scene.entity(expectation.entity)
    named = {
        one.table: (at, one)
        for at, one in enumerate(lifecycle.erasures)
        if entity_matches(one.entity, entity.name, entity.aliases)
    }
    own = scene.tables(expectation.entity)
    for at, table in enumerate(scene.schema.tables):
        keys = [key for key in table.foreign_keys if key.references in own]
        if table.name not in own and not keys:
            continue
        place = Place(at, table)
        if table.name not in named:
            goes_along = any(_deleted(named, key.references) and key.on_delete == "cascade" for key in keys)
            said = f"{table.name} {'goes along by its key' if goes_along else 'is not named'}"
            yield Look(f"/schema{place.where}", goes_along, said)
            continue
        number, one = named[table.name]
        reasoned = {"delete": True, "anonymize": bool(one.columns), "keep": bool(one.reason)}[one.action]
        lacks = {"delete": "", "anonymize": ", and names no columns", "keep": ", and names no duty"}[one.action]
        said = f"{table.name}: {one.action}{'' if reasoned else lacks}"
        yield Look(f"/lifecycle/erasures/{number}", reasoned, said)


def _deleted(named: Mapping[str, tuple[int, Erasure]], table: str) -> bool:
    return table in named and named[table][1].action == "delete"


def _residency(expectation: Residency, scene: Scene) -> Iterator[Look]:
    infrastructure = scene.need(scene.design.infrastructure, "infrastructure")
    backup = scene.need(scene.design.backup, "backup")
    stands = [
        (f"/infrastructure/nodes/{at}", f"node {one.name}", one.region) for at, one in enumerate(infrastructure.nodes)
    ]
    stands += [(f"/backup/plans/{at}", f"backup {one.name}", one.region) for at, one in enumerate(backup.plans)]
    for where, called, region in stands:
        inside = any(lies_in(region, allowed) for allowed in expectation.regions_all)
        yield Look(where, inside, f"{called} is in {region}")


SCORERS: dict[str, Scorer] = {
    "encrypt": scorer(Encrypt, _encrypt, _protected_in),
    "row_security": scorer(RowSecurity, _row_security, ("schema", "security"), reads_sql=True),
    "least_privilege": scorer(LeastPrivilege, _least_privilege, ("security",)),
    "audit_log": scorer(AuditLog, _audit_log, ("schema", "security")),
    "erasure": scorer(OfEntity, _erasure, ("schema", "lifecycle")),
    "residency": scorer(Residency, _residency, ("infrastructure", "backup")),
}
