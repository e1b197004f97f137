"""Row policies, seen at work: rows of two tenants, and what each role sees and writes as one of them, or as nobody.

Poor: a policy that reads well, on a table whose owner is exempt, beside a second policy that lets all rows through, or
with `OR current_setting('app.tenant_id', true) IS NULL`, which shows everything to a request that forgot to set it.
Better: as tenant A only A's rows are seen, changed and deleted, a row of B is refused, and with nothing set no row is
seen: neither in a new session nor in one where an earlier transaction had set it, as behind a pooler. The owner sees no
more; a role that shall see all rows sees them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from dbprompt.checks.base_design import not_checked
from dbprompt.checks.base_policies import keys_of
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres.seeding import Mode, Seeds, seed
from dbprompt.engines.postgres.seeding.tables import Hints
from dbprompt.evidence import Exhibit, Finding, Report, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, Stage, stage
from dbprompt.proofs.base_acting import Acting, admit
from dbprompt.proofs.base_row_tries import Protected, Trial, Tries
from dbprompt.render.postgres import identifier
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.security import Security

# ruff: noqa: S608  (names and texts are quoted)

__all__ = ["row_policies_hold"]

_CHECKER = "postgresql, acting as each role"


def row_policies_hold(subject: Subject, as_of: date) -> Report:
    """What every role sees and writes of every table that has policies."""
    security = subject.design.security
    if subject.section != "security" or security is None or not security.policies:
        return Report()
    try:
        with stage(subject, as_of=as_of, roles=True) as ready:
            seeds = seed(ready.sandbox, Hints({}), Mode.TAME)
            tables = [_protected(ready, subject.design, security, name) for name in _tables(security)]
            acting = admit(ready, subject, security, as_of)
            reports = [_try(acting, subject.design, security, one, seeds) for one in tables if one is not None]
            return sum(reports, Report())
    except NoStageError as stopped:
        report = not_checked(subject, checker=_CHECKER, why=str(stopped))
        return Report(verdicts=tuple(one for one in report.verdicts if one.where.startswith("/policies/")))


def _tables(security: Security) -> tuple[str, ...]:
    return tuple(dict.fromkeys(policy.table for policy in security.policies))


def _protected(ready: Stage, design: DatabaseDesign, security: Security, name: str) -> Protected | None:
    table = design.schema.table(name) if design.schema else None
    if table is None:
        return None
    at = tuple(number for number, policy in enumerate(security.policies) if policy.table == name)
    texts = [sql for number in at for sql in (security.policies[number].using, security.policies[number].check) if sql]
    columns = {column.name for column in table.columns}
    keys = tuple(dict.fromkeys(key for sql in texts for key in keys_of(sql) if key.column in columns))
    found = Protected(table, at, keys, ())
    if not keys:
        return found
    texts_of_row = ", ".join(f"format('%L', {identifier(c.name)})" for c in table.columns if c.generated is None)
    order = ", ".join(map(str, range(1, len(keys) + 1)))
    _, rows = ready.fetch(f"SELECT {found.key_sql}, concat_ws(', ', {texts_of_row}) FROM {found.sql} ORDER BY {order}")
    kept = tuple((tuple(map(str, row[:-1])), str(row[-1])) for row in rows)
    return Protected(table, at, keys, kept)


def _try(acting: Acting, design: DatabaseDesign, security: Security, one: Protected, seeds: Seeds) -> Report:
    name = one.table.name
    two = one.two() if one.keys else None
    if two is None:
        why = (
            f"no two rows of different tenants could be made in {name}: {seeds.refused.get(name, 'they are all alike')}"
            if one.keys
            else "it compares no column of its table with a setting of the session, so nobody could be acted as"
        )
        return _verdicts(acting, security, one, (), dict.fromkeys(one.at, Trial(why=why)))
    acting.forget()
    tries = Tries(acting, design, security, one, two)
    findings = tuple(_once(tries.all()))
    lines = "\n".join(tries.seen)
    exhibit = Exhibit(f"/policies/{one.at[0]}", f"who sees which of the {len(one.rows)} rows of {name}", lines)
    return _verdicts(acting, security, one, findings, tries.trials) + Report(findings, exhibits=(exhibit,))


def _once(findings: Iterator[Finding]) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for finding in findings:
        if (finding.code, finding.where) not in seen:
            seen.add((finding.code, finding.where))
            yield finding


def _verdicts(
    acting: Acting, security: Security, one: Protected, findings: tuple[Finding, ...], trials: Mapping[int, Trial]
) -> Report:
    checker = f"{acting.stage.label}, acting as the role"
    verdicts = []
    for at in one.at:
        open_because = trials[at].open_because
        status = Status.FAILED if findings else Status.INCONCLUSIVE if open_because else Status.PASSED
        noted = "; ".join(filter(None, (open_because or trials[at].uncovered, acting.stage.uncovered)))
        named = f"row policy {security.policies[at].name}"
        verdicts.append(Verdict(named, f"/policies/{at}", status, Tier.ENGINE, checker, noted))
    return Report(verdicts=tuple(verdicts))
