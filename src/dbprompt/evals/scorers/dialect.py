"""The scorer of the DDL itself: does it parse in the target's dialect, and does it run (`dialect_valid`)?"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base import Statement
from dbprompt.checks.engine import target_major
from dbprompt.evals.expectations import WholeDesign
from dbprompt.evals.scorers.base import Look, Scene, Scorer, bad, good, scorer
from dbprompt.evidence import Status, Tier
from dbprompt.ladder import climb
from dbprompt.render.postgres import UnsafeSqlError, ddl_statements

__all__ = ["SCORERS"]

_PROVEN = {Tier.ENGINE, Tier.VENDOR}


def _dialect_valid(expectation: WholeDesign, scene: Scene) -> Iterator[Look]:
    """From the evidence, if there is one; else the DDL is run."""
    schema, indexes = scene.schema, scene.design.indexes
    wanted = [f"/schema/tables/{at}" for at in range(len(schema.tables))]
    wanted += [f"/schema/enums/{at}" for at in range(len(schema.enums))]
    wanted += [f"/indexes/indexes/{at}" for at in range(len(indexes.indexes if indexes else ()))]
    if scene.evidence is None:
        yield from _run(scene)
        return
    for where in wanted:
        verdicts = [one for one in scene.evidence.of_artefact(where) if one.tier in _PROVEN]
        failed = [one for one in verdicts if one.status is Status.FAILED]
        passed = [one for one in verdicts if one.status is Status.PASSED]
        if failed:
            yield bad(where, f"{failed[0].artefact}: refused by {failed[0].checker}")
        elif passed:
            yield good(where, f"{passed[0].artefact}: taken by {passed[0].checker}")
        else:
            yield bad(where, "no grammar and no engine has a verdict of it")


def _run(scene: Scene) -> Iterator[Look]:
    major = target_major(scene.brief)
    try:
        written = ddl_statements(scene.design, as_of=scene.as_of, version=major)
    except UnsafeSqlError as unsafe:
        yield bad("/schema", f"the DDL cannot be written: {unsafe.reason}")
        return
    report = climb([Statement(one.pointer, one.artefact, one.sql) for one in written], version=major)
    for verdict in report.verdicts:
        if verdict.tier in _PROVEN:
            said = f"{verdict.artefact}: {verdict.status} by {verdict.checker}"
            yield Look(verdict.where, verdict.status is Status.PASSED, said)


SCORERS: dict[str, Scorer] = {"dialect_valid": scorer(WholeDesign, _dialect_valid, ("schema",))}
