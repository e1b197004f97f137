"""What the brief's compliance asks for is answered, item by item, by something that the design really has.

Poor: "We are GDPR compliant." beside a payout account that everybody may read and an audit log of 90 days, where the
brief says seven years.
Better: one answer an item, in the brief's own word, with the sections that meet it; a decision for each attribute that
is personal, about health or secret; a record of the tables that the brief names, kept as long as it says.

Whether an answer is true in law is for a person. Here are counted: items, fields, tables and days.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from dbprompt.brief import AttributeRole, Brief, Entity
from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.base_matching import places_of, typed_columns
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.names import normal
from dbprompt.sections.schema import Schema
from dbprompt.sections.security import AuditEvent, ComplianceAnswer, Security

__all__ = ["compliance", "days_of", "items_of"]

_SENSITIVE = {AttributeRole.PII, AttributeRole.PHI, AttributeRole.SECRET}
_HIDDEN_LEVEL = {AttributeRole.PHI, AttributeRole.SECRET}
_DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: number for number, word in enumerate(_WORDS, 1)}
_SPAN = re.compile(rf"\b(\d+|{'|'.join(_NUMBERS)})[ -](day|week|month|year)s?\b", re.IGNORECASE)
_EVENTS = (
    ("administration", re.compile(r"\badministrat|\badmin\b|\bprivileged\b", re.IGNORECASE)),
    ("data_reads", re.compile(r"\bread|\baccess(es|ed)?\b|\bview(s|ed|ing)?\b|\blook", re.IGNORECASE)),
    ("logins", re.compile(r"\blog-?ins?\b|\bsign-?ins?\b|\bauthentication", re.IGNORECASE)),
    ("data_changes", re.compile(r"\bchange|\bwrite|\bupdate|\bedit|\bmodif|\bcorrect", re.IGNORECASE)),
)
_MEETS = {
    "audit": {"security", "monitoring"},
    "access_control": {"security"},
    "encryption": {"security", "infrastructure", "backup"},
    "residency": {"infrastructure", "backup"},
}


def compliance(subject: Subject) -> Report:
    """The brief's compliance against the section `security`."""
    security, schema = subject.design.security, subject.design.schema
    if subject.section != "security" or security is None or schema is None:
        return Report()
    brief = subject.brief
    findings = [
        *_fields(brief, security, schema),
        *(_encryption(brief, security) if brief else ()),
        *(_audit(brief, security, schema) if brief else ()),
        *(_answers(brief, security) if brief else ()),
    ]
    uncovered = "whether it holds in law, and what happens outside of the database"
    if brief is None:
        uncovered = f"what the compliance asks for: there is no brief; {uncovered}"
    return judged(subject, findings, checker=rules("compliance"), uncovered=uncovered)


def items_of(brief: Brief) -> tuple[tuple[str, str], ...]:
    """Every item of the brief's compliance that has to be answered, as (kind, its own word)."""
    asked = brief.compliance
    return (
        *(("regime", word) for word in asked.regimes),
        *(("residency", word) for word in asked.residency),
        *(("encryption", word) for word in asked.encryption),
        *((("audit", asked.audit),) if asked.audit else ()),
        *((("access_control", asked.access_control),) if asked.access_control else ()),
    )


def days_of(text: str) -> int | None:
    """The longest span of time that a text names, in whole days, rounded up; None if it names none.

    >>> days_of("Changes to payments for 7 years"), days_of("kept six months"), days_of("everything")
    (2557, 183, None)
    """
    spans = [
        (_NUMBERS.get(number.lower()) or int(number)) * _DAYS[unit.lower()] for number, unit in _SPAN.findall(text)
    ]
    return max((int(-(-span // 1)) for span in spans), default=None)


def _fields(brief: Brief | None, security: Security, schema: Schema) -> Iterator[Finding]:
    decided: dict[tuple[str, str], int] = {}
    for at, field in enumerate(security.fields):
        first = decided.setdefault((field.table, field.column), at)
        if first != at:
            message = f"{field.table}.{field.column} is decided at /fields/{first} too; keep one decision"
            yield error("obligations.field_twice", f"/fields/{at}", message, may_drop=True)
    field_level = brief is not None and "field_level" in brief.compliance.encryption
    for table in schema.tables:
        for _, column, kinds in typed_columns(brief, table):
            roles = sorted(kinds & _SENSITIVE)
            if not roles:
                continue
            called = f"{table.name}.{column.name}"
            at_field = decided.get((table.name, column.name))
            if at_field is None:
                message = (
                    f"{called} is {listing(roles)} in the brief and has no decision; add it to fields: access_control, "
                    "application_encryption, one_way_hash, token or vault_reference"
                )
                yield error("obligations.field_undecided", "/fields", message)
                continue
            if security.fields[at_field].protection != "access_control":
                continue
            if AttributeRole.SECRET in kinds:
                message = (
                    f"{called} is secret in the brief, and access_control leaves it readable in every backup; store a "
                    "token, a hash, a ciphertext or a vault's reference"
                )
                yield error("obligations.secret_readable", f"/fields/{at_field}/protection", message)
            elif field_level and kinds & _HIDDEN_LEVEL:
                message = (
                    f"the brief asks for encryption field_level, and {called} ({listing(roles)}) has access_control "
                    "only; use application_encryption, or a token"
                )
                yield error("obligations.field_level", f"/fields/{at_field}/protection", message)


def _encryption(brief: Brief, security: Security) -> Iterator[Finding]:
    asked = brief.compliance.encryption
    if "at_rest" in asked and security.at_rest.method == "none":
        message = "the brief asks for encryption at_rest, and at_rest.method is none; use provider_kms or volume"
        yield error("obligations.at_rest", "/at_rest", message)
    if "in_transit" in asked and security.in_transit.minimum_tls == "none":
        message = "the brief asks for encryption in_transit, and in_transit.minimum_tls is none; write 1.2 or 1.3"
        yield error("obligations.in_transit", "/in_transit", message)
    hidden = any(field.protection != "access_control" for field in security.fields)
    if "field_level" in asked and not hidden:
        message = (
            "the brief asks for encryption field_level, and every field has access_control; hide those that need it"
        )
        yield error("obligations.field_level", "/fields", message)


def _audit(brief: Brief, security: Security, schema: Schema) -> Iterator[Finding]:
    """The brief's sentence about auditing: its kind of event, its tables, its days."""
    asked = brief.compliance.audit
    if not asked:
        return
    days = days_of(asked) or 1
    kinds = [kind for kind, words in _EVENTS if words.search(asked)]
    if "administration" in kinds:  # "administrative changes" are no changes of rows
        kinds = [kind for kind in kinds if kind != "data_changes"]
    long_enough = [event for event in security.audit if event.keep_days >= days]
    if not security.audit:
        message = f"the brief asks for an audit ({asked}) and audit is empty; add an event with its tables and days"
        yield error("obligations.audit_missing", "/audit", message)
        return
    if not kinds and not long_enough:
        at, event = max(enumerate(security.audit), key=lambda one: one[1].keep_days)
        yield _too_short(event, at, asked, days)
    for kind in kinds:
        of_kind = [(at, event) for at, event in enumerate(security.audit) if event.event == kind]
        if not of_kind:
            message = (
                f"the brief asks for an audit of {kind} ({asked}); audit has {listing(e.event for e in security.audit)}"
            )
            yield error("obligations.audit_missing", "/audit", message)
        elif not any(event in long_enough for _, event in of_kind):
            at, event = max(of_kind, key=lambda one: one[1].keep_days)
            yield _too_short(event, at, asked, days)
    recorded = {table for event in long_enough for table in event.tables}
    for entity in _named(brief, asked):
        tables = {place.table.name for place in places_of(brief, schema, entity)}
        if tables and not tables & recorded:
            message = (
                f"the brief asks for an audit of {entity.name} ({asked}), and no event that is kept for {days} days "
                f"records {listing(sorted(tables))}"
            )
            yield error("obligations.audit_table", "/audit", message)


def _too_short(event: AuditEvent, at: int, asked: str, days: int) -> Finding:
    message = f"{event.event} is kept for {event.keep_days} days, and the brief says {asked}: {days} days"
    return error("obligations.audit_too_short", f"/audit/{at}/keep_days", message)


def _named(brief: Brief, text: str) -> Iterator[Entity]:
    """The entities that a sentence names, by their own name or by the first word of an attribute's: payout_account."""
    words = [normal(word) for word in re.findall(r"[A-Za-z_]+", text)]
    joined = {*words, *(f"{one}_{two}" for one, two in pairwise(words))}
    by_name = [entity for entity in brief.entities if normal(entity.name) in joined]
    yield from by_name
    for entity in brief.entities:
        heads = {normal(a.name).split("_")[0] for a in entity.attributes if "_" in a.name and a.role in _SENSITIVE}
        if entity not in by_name and heads & joined:
            yield entity


def _answers(brief: Brief, security: Security) -> Iterator[Finding]:
    items = {(kind, _plain(word)): word for kind, word in items_of(brief)}
    first: dict[tuple[str, str], int] = {}
    for at, one in enumerate(security.compliance):
        key = (one.kind, _plain(one.item))
        if key not in items:
            asked = listing(repr(word) for (kind, _), word in items.items() if kind == one.kind)
            message = f"{one.kind} {one.item!r} is no item of the brief's compliance; of this kind it has: {asked}"
            yield error("obligations.answers_nothing", f"/compliance/{at}", message, may_drop=True)
        elif key in first:
            message = f"{one.kind} {one.item!r} is answered at /compliance/{first[key]} too; keep one answer"
            yield error("obligations.answered_twice", f"/compliance/{at}", message, may_drop=True)
        first.setdefault(key, at)
        yield from _met(one, at)
    for (kind, plain), word in items.items():
        if (kind, plain) not in first:
            message = (
                f"{kind} {word!r} of the brief's compliance has no answer; add one with kind {kind}, item {word!r}"
            )
            yield error("obligations.unanswered", "/compliance", message)


def _met(one: ComplianceAnswer, at: int) -> Iterator[Finding]:
    """An answer points to a section that can meet its kind of item."""
    where = _MEETS.get(one.kind)
    if where and not where & set(one.met_in):
        message = (
            f"{one.kind} {one.item!r} is said to be met in {listing(one.met_in)}, and what meets it stands in "
            f"{listing(sorted(where))}"
        )
        yield warning("obligations.met_elsewhere", f"/compliance/{at}/met_in", message)


def _plain(word: str) -> str:
    """A word without case, spaces and marks: `PCI DSS (SAQ A)` is `pci_dss_saq_a`."""
    return re.sub(r"[^a-z0-9]+", "_", word.casefold()).strip("_")
