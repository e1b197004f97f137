"""Materialised views are made, filled from rows, and refreshed the way the design says."""

from __future__ import annotations

from datetime import date

from dbprompt.checks.base_design import error
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.seeding import Seeds
from dbprompt.evidence import Finding, Report, Status
from dbprompt.proofs.base import Stage
from dbprompt.proofs.base_rows import number, refusal, told, tried
from dbprompt.render.postgres import identifier, single_statement
from dbprompt.render.postgres.views import refresh_sql
from dbprompt.sections.views import MaterializedView

__all__ = ["view_refreshes"]

_TWICE = {"21000", "23505"}  # what a concurrent refresh says of rows with the same key, and what the index says


def view_refreshes(subject: Subject, as_of: date) -> Report:
    """Each view over a dozen rows a table: refreshed, and compared with its SELECT."""

    def trial(ready: Stage, seeds: Seeds) -> Report:
        views = subject.design.views.views if subject.design.views else ()
        return sum((_refresh(ready, seeds, view, f"/views/{at}") for at, view in enumerate(views)), Report())

    return tried(subject, as_of, ("schema", "views"), trial)


def _refresh(ready: Stage, seeds: Seeds, view: MaterializedView, where: str) -> Report:
    artefact = f"materialized view {view.name}"
    outcome = ready.sandbox.run(refresh_sql(view))
    if not outcome.ok:
        findings = (_finding(view, outcome, where),) if outcome.answer is Answer.REFUSED else ()
        return Report(findings, (told(ready, artefact, where, refusal(outcome), outcome.message),))
    rows = number(ready, f"SELECT count(*) FROM {identifier(view.name)}")  # noqa: S608
    same, apart = ready.sandbox.fetch(_difference(view))
    if same.ok and apart and apart[0][0] != "0":
        why = "refreshed, it does not hold what its SELECT gives: that gives something else each time it is asked"
        return Report(verdicts=(told(ready, artefact, where, Status.INCONCLUSIVE, why),))
    open_ = [] if rows else ["its SELECT found none of the made-up rows, so its key met none"]
    open_ += [] if same.ok else ["its rows could not be compared with its SELECT"]
    open_ += [f"{table} took no rows" for table in seeds.refused]
    open_ += ["how long it takes on real rows"]
    return Report(verdicts=(told(ready, artefact, where, Status.PASSED, "; ".join(open_)),))


def _difference(view: MaterializedView) -> str:
    name, select = identifier(view.name), single_statement(view.sql)
    return (
        f"SELECT count(*) FROM ((TABLE {name} EXCEPT ALL ({select}\n))"  # noqa: S608
        f" UNION ALL (({select}\n) EXCEPT ALL TABLE {name})) AS apart"
    )


def _finding(view: MaterializedView, outcome: Outcome, where: str) -> Finding:
    if outcome.code in _TWICE:
        key = ", ".join(view.unique_key)
        message = (
            f"on made-up rows, view {view.name} has two rows with the same unique_key ({key}), and its refresh fails: "
            f"{outcome.detail or outcome.message}. Name every column that it is grouped by"
        )
        return error("views.key_not_unique", f"{where}/unique_key", message)
    message = f"view {view.name} cannot be refreshed on made-up rows: {outcome.message}"
    return error("views.refresh_fails", f"{where}/sql", f"{message}; make the SELECT hold for every row")
