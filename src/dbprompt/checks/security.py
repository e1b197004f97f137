"""What must not be stored readably, as far as a schema shows it.

Poor: `users.password text`, `payments.card_number`, `cvv`.
Better: `password_hash text` with the algorithm in the comment; a token of the payment provider instead of card data.

Why: PCI DSS 3.2 forbids storing a card's verification code at all, and a card number drags the whole database into its
scope (owasp.org, Password Storage Cheat Sheet; pcisecuritystandards.org). Row policies and grants come with their own
section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.brief import AttributeRole
from dbprompt.checks.base_design import error, judged, rules, warning
from dbprompt.checks.base_matching import typed_columns
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.schema import ColumnType, Schema

__all__ = ["security"]

_PASSWORD = re.compile(r"(^|_)(password|passwd|passphrase|pwd)$|^pin_code$")
_CARD = re.compile(r"(^|_)pan$|card_number|credit_card_(no|num)|(^|_)(cvv|cvc|cvv2)($|_)|card_security_code")
_SAYS_HASHED = re.compile(r"hash|argon|bcrypt|scrypt|pbkdf|digest", re.IGNORECASE)
_SAYS_HIDDEN = re.compile(r"encrypt|token|cipher|vault|hash|pseudonym", re.IGNORECASE)


def security(subject: Subject) -> Report:
    """Secrets in the columns of the section `schema`."""
    schema = subject.design.schema
    if subject.section != "schema" or schema is None:
        return Report()
    uncovered = "what is written into the columns; row policies, grants and encryption at rest"
    return judged(subject, _findings(subject, schema), checker=rules("security"), uncovered=uncovered)


def _findings(subject: Subject, schema: Schema) -> Iterator[Finding]:
    for number, table in enumerate(schema.tables):
        for at, column, roles in typed_columns(subject.brief, table):
            where, called = f"/tables/{number}/columns/{at}", f"{table.name}.{column.name}"
            if _CARD.search(column.name):
                message = (
                    f"{called} looks like card data, which a design must not store; drop the column and keep the "
                    "payment "
                    "provider's token or reference instead"
                )
                yield error("security.card_data", where, message)
            elif _PASSWORD.search(column.name) and not _SAYS_HASHED.search(column.comment):
                message = (
                    f"{called} looks like a readable password; store only a salted hash: name it password_hash and "
                    "give "
                    "the algorithm (argon2id, bcrypt) in the comment"
                )
                yield error("security.readable_password", where, message)
            elif AttributeRole.SECRET in roles and not (
                column.type is ColumnType.BINARY or _SAYS_HIDDEN.search(f"{column.name} {column.comment}")
            ):
                message = (
                    f"{called} is secret in the brief and nothing says how it is hidden; store a token or an encrypted "
                    "value (binary) and say so in the comment"
                )
                yield warning("security.plain_secret", where, message)
