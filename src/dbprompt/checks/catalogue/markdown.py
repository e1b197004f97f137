"""The catalogue as the page `docs/rules.md`."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.catalogue import Claim, Mistake, Rule, catalogue, example_setup, false_claims, families, mistakes
from dbprompt.render.markdown import cell, code, count, fenced, table, text

__all__ = ["rules_markdown"]

_HEAD = """# Rules

<!-- Written by `make rules` from src/dbprompt/checks/catalogue; edit there. -->

Every finding that a rule can make. What an engine refuses (`engine.*`), an item of the wrong shape (`shape.*`) and an
answer that cannot be read (`answer.*`) are no rules: they cannot be ignored. `dbprompt rules` prints this list,
`dbprompt rules types` a family, `dbprompt rules --id types.char` one rule.

A rule counts as an error (sent back for repair, and the artefact fails), a warning or an advice. In SQL text that
`dbprompt.verify` reads, nobody vouches for volumes or meanings, so a rule over it never is more than a warning. You can
set that otherwise, by id or by family; an id goes before its family, a call before the brief:

```python
import dbprompt

evidence = dbprompt.verify(
    "CREATE TABLE visits (country char(2), price double precision)",
    ignore=["types.char"],
    severity={"references.no_primary_key": "error"},
)
for finding in evidence.findings:
    print(finding.severity, finding.code)
print("ignored:", *(finding.code for finding in evidence.ignored))
```

```output
warning types.float_money
error references.no_primary_key
ignored: types.char
```

`client.design(brief, ignore=[...], severity={...})`, `dbprompt.verify_migration` and `dbprompt.plans.explain` take the
same, and so do the commands: `dbprompt verify schema.sql --ignore types.* --severity indexes.redundant=error`.

```yaml
rules:                       # in a brief
  ignore: [types.char]
  severity: {indexes.redundant: error}
```

An ignored finding does not count and is not gone: it stands in `evidence.ignored`, in `evidence.json` and in the last
line of the report. An id that names no rule is an error before anything is asked.
"""


def rules_markdown() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *_mistakes(mistakes()), *_claims(false_claims()), *_rules()))


def _mistakes(listed: tuple[Mistake, ...]) -> Iterator[str]:
    yield "## The mistakes that models make most, and what finds each\n"
    rows = (
        (str(number), cell(one.title), ", ".join(map(code, one.rules)), cell(one.check))
        for number, one in enumerate(listed, start=1)
    )
    yield table(("#", "Mistake", "Rules", "Check"), rows) + "\n"


def _claims(listed: tuple[Claim, ...]) -> Iterator[str]:
    yield "## What is often said of PostgreSQL and is not so\n"
    yield "No rule says it. A test shows each on the engine.\n"
    yield table(("Claim", "What the engine does"), ((cell(one.claim), cell(one.truth)) for one in listed)) + "\n"


def _rules() -> Iterator[str]:
    yield "## The rules\n"
    yield f"{count(len(catalogue()), 'rule')}. The cases run on PostgreSQL after these tables:\n"
    yield fenced(example_setup(), "sql") + "\n"
    for family, about in families().items():
        yield f"### {family}\n"
        yield f"{text(about)}.\n"
        for rule in catalogue().values():
            if rule.family == family:
                yield from _rule(rule)


def _rule(rule: Rule) -> Iterator[str]:
    levels = " or ".join((rule.severity, *rule.also))
    yield f"#### {code(rule.id)}\n"
    yield f"{levels.capitalize()}, in {' and '.join(_READS[place] for place in rule.reads)}. {text(rule.why)}\n"
    yield f"- Fix: {text(rule.fix)}"
    yield f"- Source: {text(rule.source)}"
    if rule.fixed:
        yield f"- Cannot be ignored: {text(rule.fixed)}"
    yield f"- Poor{_answer(rule)}: {_case(rule, rule.poor)}"
    yield f"- Better: {_case(rule, rule.better)}\n"


_READS = {"design": "designs", "sql": "SQL text", "migration": "migrations", "plan": "query plans"}


def _case(rule: Rule, case: str) -> str:
    return text(case) if rule.prose else code(case)


def _answer(rule: Rule) -> str:
    """What the engine itself says to the poor case."""
    if rule.prose:
        return ""
    return f" (the engine refuses it: {rule.refused.replace('_', ' ')})" if rule.refused else " (the engine takes it)"
