"""The chapter and the scripts on access, as text."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from answers import answer, design
from pydantic import ValidationError

from dbprompt.machines.access_settings import access_settings
from dbprompt.render.access import access_chapter, audit_file, security_file
from dbprompt.render.background import Background
from dbprompt.render.folder import files_of
from dbprompt.render.postgres.audit import audit_statements
from dbprompt.render.postgres.jobs import jobs_sql
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.security import AuditEvent, Security

ABOUT = Background(None, None, "", "", (), date(2026, 1, 15), 15)


def changed(**parts: Any) -> DatabaseDesign:
    """The marketplace's answer with other parts of its section."""
    security = answer("marketplace", "security") | parts
    return DatabaseDesign.model_validate({"schema": answer("marketplace", "schema"), "security": security})


def test_a_design_without_the_section_has_no_chapter_and_no_scripts() -> None:
    """Nothing is written of what was not asked."""
    empty = design("marketplace", "schema")
    assert not list(access_chapter(empty, ABOUT))
    assert not security_file(empty, ABOUT) and not audit_file(empty, ABOUT)


def test_without_a_trigger_there_is_no_record() -> None:
    """audit.sql is only there where a trigger records something."""
    other = changed(audit=[{"event": "logins", "means": "server_log", "keep_days": 90}])
    assert security_file(other, ABOUT) and not audit_file(other, ABOUT)


def test_words_cannot_become_markup() -> None:
    """Reasons and answers stand in the chapter as words, whatever they hold."""
    evil = "</td><script>alert(1)</script> | [x](javascript:x) `y`"
    compliance = [{"kind": "regime", "item": "gdpr", "answer": evil, "met_in": ["security"]}]
    page = "\n".join(access_chapter(changed(compliance=compliance), ABOUT))
    assert "<script" not in page and "[x](" not in page
    assert "\\|" in page


def test_the_grants_are_a_matrix_with_the_columns_of_a_grant() -> None:
    """What a role may do with a table is read in one cell."""
    page = "\n".join(access_chapter(changed(), ABOUT))
    assert "s i u (status)" in page
    assert "tables made later" in page
    assert "lifecycle (not in this design)" in page


def test_hidden_columns_are_named_to_the_trigger() -> None:
    """A token is handed to the trigger as hidden, personal data under access control is not."""
    triggers = {one.sql for one in audit_statements(changed()) if one.sql.startswith("CREATE TRIGGER sellers_record_c")}
    assert len(triggers) == 1 and "('sellers', 'id', 'payout_account')" in triggers.pop()


def test_a_hostile_policy_withholds_its_file_alone() -> None:
    """The folder says why, and the other files are there."""
    policy = {"name": "own", "table": "orders", "using": "true); DROP TABLE orders; --"}
    files = files_of(changed(policies=[policy]), ABOUT)
    assert "DROP TABLE" not in files["schema/security.sql"]
    assert "withheld" in files["schema/security.sql"]
    assert "CREATE TABLE audit.change_log" in files["schema/audit.sql"]


def test_settings_follow_from_what_is_recorded() -> None:
    """The widest of the events that the log records decides, and each item knows its settings."""
    section = answer("marketplace", "security") | {
        "audit": [
            {"event": "schema_changes", "means": "server_log", "keep_days": 30},
            {"event": "data_changes", "tables": ["orders"], "means": "server_log", "keep_days": 30},
            {"event": "administration", "means": "pgaudit", "keep_days": 30},
        ]
    }
    settings = {one.name: one for one in access_settings(Security.model_validate(section))}
    assert settings["log_statement"].value == "mod"
    assert settings["log_statement"].where == ("/audit/0", "/audit/1")
    assert settings["pgaudit.log"].value == "role"
    assert settings["ssl_min_protocol_version"].value == "TLSv1.2"


@pytest.mark.parametrize("event", ["logins", "slow_queries"])
def test_what_no_extension_records_is_refused(event: str) -> None:
    """pgaudit sees statements: who came, and what took long, is written by the log or the application."""
    asked = {"event": event, "means": "pgaudit", "keep_days": 30}
    with pytest.raises(ValidationError, match="pgaudit records statements"):
        AuditEvent.model_validate(asked)
    assert AuditEvent.model_validate(asked | {"means": "server_log"}).event == event


def test_time_outs_belong_to_roles_that_somebody_waits_for() -> None:
    """Each role of requests has its limits, and those of migrations, backups and jobs have none."""
    security = Security.model_validate(answer("marketplace", "security"))
    script = files_of(changed(), ABOUT)["schema/security.sql"]
    set_for = set(re.findall(r"ALTER ROLE (\w+) SET statement_timeout", script))
    others = {role.name for role in security.roles if role.purpose in {"migration", "monitoring", "backup"}}
    assert others and set_for == {role.name for role in security.roles} - others


def test_the_record_is_purged_until_nothing_is_left() -> None:
    """The job calls the procedure that repeats the batch, not the batch."""
    assert "CALL audit.purge_all()" in jobs_sql(changed(), title="")
