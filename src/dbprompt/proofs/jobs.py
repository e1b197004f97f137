"""The SQL of every scheduled job runs, each as pg_cron would send it: alone, outside of a transaction block."""

from __future__ import annotations

import re
from datetime import date

from dbprompt.checks.base_design import error
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer
from dbprompt.engines.postgres.seeding import Seeds
from dbprompt.engines.postgres.stand_ins import FUNCTIONS
from dbprompt.evidence import Finding, Report, Status, Verdict
from dbprompt.proofs.base import Stage
from dbprompt.proofs.base_rows import refusal, told, tried
from dbprompt.render.postgres.jobs import job_sql
from dbprompt.render.postgres.upkeep_queries import upkeep_queries

__all__ = ["index_upkeep_runs", "jobs_run"]

_UNCOVERED = "that pg_cron runs it; how long it takes on real rows"


def jobs_run(subject: Subject, as_of: date) -> Report:
    """Each job once, on a dozen rows a table."""

    def trial(ready: Stage, _: Seeds) -> Report:
        report = Report()
        for at, job in enumerate(subject.design.upkeep.jobs if subject.design.upkeep else ()):
            where, artefact = f"/jobs/{at}", f"job {job.name}"
            sql = job_sql(job, subject.design)
            outcome = ready.run(sql)
            if outcome.ok and (called := [name for name in sorted(FUNCTIONS) if re.search(rf"\b{name}\s*\(", sql)]):
                said = f"{', '.join(called)} of TimescaleDB: a stand-in that does nothing may have taken its place"
                report += Report(verdicts=(told(ready, artefact, where, Status.INCONCLUSIVE, said),))
                continue
            if outcome.ok:
                report += Report(verdicts=(told(ready, artefact, where, Status.PASSED, _UNCOVERED),))
                continue
            verdict = told(ready, artefact, where, refusal(outcome), outcome.message)
            message = f"job {job.name} fails when it runs: {outcome.message}"
            wrong = error("upkeep.job_fails", f"{where}/{'sql' if job.sql else 'target'}", f"{message}; mend its SQL")
            report += Report((wrong,) if outcome.answer is Answer.REFUSED else (), (verdict,))
        return report

    return tried(subject, as_of, ("schema", "indexes", "views", "lifecycle", "upkeep"), trial)


def index_upkeep_runs(subject: Subject, as_of: date) -> Report:
    """The questions of `ops/index_upkeep.sql`, asked of a server of the target major."""

    def trial(ready: Stage, _: Seeds) -> Report:
        ready.sandbox.run("ANALYZE")
        wrong: list[Finding] = []
        verdicts: list[Verdict] = []
        for one in upkeep_queries():
            outcome = ready.sandbox.run(one.sql)
            if not outcome.ok:
                wrong.append(
                    error("upkeep.question_fails", "", f"{one.name} in ops/index_upkeep.sql: {outcome.message}")
                )
        status = Status.FAILED if wrong else Status.PASSED
        verdicts.append(told(ready, "index upkeep questions", "", status, "counters of a server in use"))
        return Report(tuple(wrong), tuple(verdicts))

    return tried(subject, as_of, ("schema", "indexes", "views"), trial)
