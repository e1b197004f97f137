"""The catalogue of rules: complete against the code, true on the engine, and settable by the user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from codes_in_source import built, codes
from design_cases import subject

import dbprompt
from dbprompt import Client, ScriptedProvider
from dbprompt.checks.catalogue import (
    NOT_RULES,
    Claim,
    Rule,
    catalogue,
    example_setup,
    false_claims,
    families,
    family_of,
    mistakes,
    settable,
)
from dbprompt.checks.catalogue.markdown import rules_markdown
from dbprompt.checks.settings import RuleSettings
from dbprompt.engines.postgres import installations
from dbprompt.errors import RuleError
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.ladder import verify
from dbprompt.migration import verify_migration

RULES = catalogue()
CASES = [pytest.param(rule, id=code) for code, rule in RULES.items() if not rule.prose]
MAJOR = installations()[0].major


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    """No finding can be made that the catalogue does not explain."""
    named, endless = built()
    made = {code: found.places for code, found in codes().items() if family_of(code) not in NOT_RULES} | named
    assert {code: places for code, places in made.items() if code not in RULES} == {}
    assert {family: places for family, places in endless.items() if family not in NOT_RULES} == {}


def test_every_rule_of_the_catalogue_is_in_the_source() -> None:
    """No rule is listed that nothing looks for."""
    named, _ = built()
    made = {*codes(), *named}
    assert [code for code in RULES if code not in made] == []


def test_severities_are_those_of_the_source() -> None:
    """What the code says of a rule for sure, the catalogue says too."""
    told = {code: {rule.severity, *rule.also} for code, rule in RULES.items()}
    wrong = {
        code: (sorted(found.severities), sorted(told[code]))
        for code, found in codes().items()
        if code in told and not found.severities <= told[code]
    }
    assert wrong == {}


def test_every_family_has_a_page_and_a_line() -> None:
    """Each rule says all that its page promises, and the worst severity stands first."""
    assert {rule.family for rule in RULES.values()} == set(families())
    order = list(Severity)
    for rule in RULES.values():
        assert all((rule.why, rule.source, rule.fix, rule.poor, rule.better, rule.reads)), rule.id
        assert all(order.index(rule.severity) < order.index(level) for level in rule.also), rule.id


def test_the_page_is_current() -> None:
    """A changed rule without its page fails here; run `make rules`."""
    page = Path(__file__).parents[2] / "docs" / "rules.md"
    assert page.read_text(encoding="utf-8") == rules_markdown()


def test_all_twenty_five_mistakes_are_covered() -> None:
    """Each mistake names rules that exist, or the engine's refusal beside one."""
    listed = mistakes()
    assert len(listed) == 25
    for mistake in listed:
        unknown = [code for code in mistake.rules if code not in RULES and code != "engine.*"]
        assert unknown == [], mistake.title
        assert any(code in RULES for code in mistake.rules), mistake.title


@pytest.mark.parametrize("rule", CASES)
def test_the_better_case_runs(rule: Rule) -> None:
    """What the catalogue recommends is accepted by the engine, and the rule has no word against it."""
    evidence = _verified(rule, rule.better)
    assert evidence.ok, [str(finding) for finding in evidence.errors]
    assert rule.id not in {finding.code for finding in evidence.findings}


@pytest.mark.parametrize("rule", CASES)
def test_the_poor_case_is_refused_as_named_or_found(rule: Rule) -> None:
    """The engine takes the poor case or refuses it for the named cause; a rule over SQL text finds it."""
    evidence = _verified(rule, rule.poor)
    errors = {finding.code.partition(".")[2] for finding in evidence.errors}
    assert errors == ({rule.refused} if rule.refused else set()), [str(finding) for finding in evidence.errors]
    if "sql" in rule.reads and "migration" not in rule.reads:
        told = [finding for finding in evidence.findings if finding.code == rule.id]
        assert told and {finding.severity for finding in told} <= {rule.severity, *rule.also}


def _verified(rule: Rule, sql: str) -> dbprompt.Evidence:
    if rule.dialect != "postgres":
        return verify(sql, dialect=rule.dialect)
    return verify(sql, setup=f"{example_setup()};{rule.setup}")


@pytest.mark.parametrize("claim", [pytest.param(claim, id=claim.claim) for claim in false_claims()])
def test_a_false_claim_is_false(claim: Claim) -> None:
    """The engine itself shows that it is not so."""
    if "PostgreSQL 18" in claim.truth and MAJOR < 18:
        pytest.skip("needs PostgreSQL 18")
    shown = f"DO $$ BEGIN ASSERT ({claim.shows}); END $$"
    evidence = verify(f"{claim.sql}; {shown}", setup=example_setup())
    assert evidence.ok, [str(finding) for finding in evidence.errors]


def test_an_unknown_rule_is_named_with_its_neighbour() -> None:
    """Every wrong setting is told at once, with what was meant."""
    with pytest.raises(RuleError) as caught:
        verify(
            "SELECT 1", ignore=["types.varchar255", "type.*", "engine.syntax_error"], severity={"types.char": "fatal"}
        )
    told = [str(problem) for problem in caught.value.problems]
    assert "did you mean 'types.varchar_255'" in told[0]
    assert "'types.*'" in told[1]
    assert "what an engine refused" in told[2]
    assert "error, warning, advice" in told[3]


def test_what_guards_cannot_be_ignored() -> None:
    """A refusal of the grammar, of the allow-list or of the shape is no opinion."""
    for code in ("sql.forbidden", "statements.not_one", "expressions.not_one", "shape.missing"):
        with pytest.raises(RuleError):
            RuleSettings.of([code])
    assert not {code for code in settable() if RULES[code].fixed}


def test_an_ignored_finding_stays_in_the_evidence() -> None:
    """It no longer counts, and it is not gone."""
    sql = "CREATE TABLE t (price float8, code char(3))"
    loud, quiet = verify(sql), verify(sql, ignore=["types.*"])
    of = {finding.code for finding in loud.findings} - {finding.code for finding in quiet.findings}
    assert of == {"types.float_money", "types.char"} == {finding.code for finding in quiet.ignored}
    assert loud.ignored == () and "references.no_primary_key" in {finding.code for finding in quiet.findings}
    assert len(quiet.to_json()["ignored"]) == 2  # type: ignore[arg-type]


def test_a_raised_rule_fails_the_statement() -> None:
    """The verdict of the rules follows the severity that the user gives."""
    sql = "CREATE TABLE t (id bigint)"
    assert verify(sql).ok
    evidence = verify(sql, severity={"references.no_primary_key": "error"})
    assert not evidence.ok
    assert [v.status for v in evidence.verdicts if v.tier is Tier.RULE] == [Status.FAILED]


def test_an_id_goes_before_its_family_and_a_call_before_the_brief() -> None:
    """The more exact word and the later one win."""
    brief = RuleSettings.of(["types.*"], where="rules.")
    call = RuleSettings.of(["types.char"], {"types.float_money": "advice", "types.*": "warning"}, base=brief)
    assert call.ignored == {"types.char"}
    assert call.severity["types.float_money"] is Severity.ADVICE
    assert call.severity["types.money"] is Severity.WARNING


def test_ignoring_an_error_lifts_the_verdict_of_that_rule_alone() -> None:
    """The engine's verdict beside it, and other findings of the item, are left as they are."""
    where = "/tables/0"
    wrong = Finding("types.float_money", Severity.ERROR, f"{where}/columns/1", "")
    verdicts = (
        Verdict("table t", where, Status.FAILED, Tier.RULE, "rules"),
        Verdict("table t", where, Status.FAILED, Tier.ENGINE, "postgresql"),
        Verdict("table u", "/tables/1", Status.FAILED, Tier.RULE, "rules"),
    )
    refused = Finding("engine.x", Severity.ERROR, where, "")
    settings = RuleSettings.of(["types.float_money"])
    report = settings.apply(Report((wrong, refused), verdicts))
    assert [verdict.status for verdict in report.verdicts] == [Status.PASSED, Status.FAILED, Status.FAILED]
    assert "ignored by the settings: types.float_money" in report.verdicts[0].uncovered
    assert (report.findings, report.ignored) == ((refused,), (wrong,))
    other = replace(wrong, code="types.key_overflow")
    assert settings.apply(Report((wrong, other), verdicts)).verdicts[0].status is Status.FAILED


def test_a_brief_sets_rules_for_its_design() -> None:
    """What the brief ignores does not come back for repair, and is in the report as ignored."""
    from dbprompt.checks.registry import rule_checks

    of = subject(
        "schema",
        {"tables/orders/columns/total": {"type": "double", "precision": None, "scale": None}},
        brief={"rules": {"ignore": ["types.float_money"], "severity": {"tables.*": "error"}}},
    )
    assert of.brief is not None
    settings = RuleSettings.of(of.brief.rules.ignore, of.brief.rules.severity)
    report = sum((settings.apply(rule(of)) for rule in rule_checks("schema")), Report())
    assert report.errors == ()
    assert [finding.code for finding in report.ignored] == ["types.float_money"]
    assert Status.FAILED not in {verdict.status for verdict in report.verdicts}


@pytest.mark.parametrize(
    "rule", [pytest.param(r, id=r.id) for r in RULES.values() if "migration" in r.reads and not r.prose]
)
def test_a_migration_rule_finds_its_poor_case_alone(rule: Rule) -> None:
    """Gone through as a migration of the example's tables, the poor case is found, and the better one is not."""
    before = ";".join((example_setup(), rule.setup))
    rows = dict.fromkeys(("buyers", "products", "orders", "order_lines"), 50_000_000)
    poor, better = (verify_migration(before, up, rows=rows) for up in (rule.poor, rule.better))
    told = [finding for finding in poor.findings if finding.code == rule.id]
    assert told and {finding.severity for finding in told} <= {rule.severity, *rule.also}
    assert rule.id not in {finding.code for finding in better.findings}


def test_a_brief_with_an_unknown_rule_is_refused_before_anything_is_asked() -> None:
    """The place in the brief is named, and the provider has heard nothing."""
    of = subject("schema", brief={"rules": {"ignore": ["types.float_mony"]}})
    provider = ScriptedProvider([])
    with pytest.raises(RuleError) as caught, Client(provider) as client:
        client.design(of.brief)
    (problem,) = caught.value.problems
    assert problem.where == "rules.ignore[0]" and "types.float_money" in problem.fix
    assert not provider.requests
