"""Rules about what a migration leaves: the rows, those who read them, and the way back.

Poor: `ALTER TABLE users DROP COLUMN phone` with a `down` that adds an empty column of that name.
Better: copy the values to where they will live, move the readers, and drop the column in a later migration, as a loss
that is declared.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_migration import Loss, Lost, Passage, Step, commands, name_of
from dbprompt.checks.sql.tree import Node, strings
from dbprompt.engines.postgres.catalogue import Difference
from dbprompt.evidence import Finding, Severity
from dbprompt.messages import Json

__all__ = ["migration_outcome"]

_DESTRUCTIVE = {"DropStmt", "TruncateStmt", "DeleteStmt"}
_SHOWN = 8


def migration_outcome(passage: Passage) -> Iterator[Finding]:
    """Lost data, broken readers, second runs and the way back."""
    for loss in passage.losses:
        yield from _loss(passage, loss)
    for step in passage.steps:
        if step.ok:
            yield from _readers(passage, step)
    yield from _again(passage)
    yield from _down(passage)
    if passage.invalid:
        message = f"It leaves {', '.join(passage.invalid)} behind, invalid: drop it before the next try."
        yield Finding("migration.invalid_index", Severity.ERROR, "/up", message)


def _loss(passage: Passage, loss: Loss) -> Iterator[Finding]:
    step = _culprit(passage.steps, loss)
    where = step.where if step is not None else "/up"
    meant = bool({loss.name, loss.table} & passage.losing)
    if loss.what is Lost.VALUES:
        if not meant:
            yield _not_restored(loss) if loss.updated else _changed(loss, where)
        return
    if loss.lives_on:
        message = f"{_subject(loss)} goes, and every value of it was found again in {loss.lives_on}."
        yield Finding("migration.data_moved", Severity.ADVICE, where, message)
        return
    destructive = step is not None and step.parsed is not None and step.parsed.kind in _DESTRUCTIVE
    code = "migration.destructive" if destructive and loss.what is not Lost.COLUMN else "migration.data_lost"
    chosen = loss.what is Lost.ROWS and destructive and _has_where(step)
    severity = Severity.ADVICE if meant else Severity.WARNING if chosen else Severity.ERROR
    yield Finding(code, severity, where, _lost(loss, meant=meant))


def _lost(loss: Loss, *, meant: bool) -> str:
    back = " The down migration does not bring them back." if loss.after_down else ""
    if meant:
        return f"{_subject(loss)} is lost with its values, as declared.{back}"
    if loss.what is Lost.ROWS:
        return (
            f"{loss.count} of the rows of {loss.table} made up here are gone.{back} Keep them, or name {loss.table} "
            "in `losing` if they are meant to go."
        )
    return (
        f"{_subject(loss)} is lost, and its values were found nowhere else ({loss.count} rows here held one).{back} "
        f"Copy them first, rename instead of dropping, or name {loss.name} in `losing` if they are meant to go."
    )


def _changed(loss: Loss, where: str) -> Finding:
    message = (
        f"{loss.count} values of {loss.name} are others than before, or read otherwise. If no statement is meant to "
        "change them, look for a cast that rounds or cuts, or a trigger."
    )
    return Finding("migration.data_changed", Severity.WARNING, where, message)


def _not_restored(loss: Loss) -> Finding:
    """Of an UPDATE, which changes values on purpose: NULLs that were filled are less than values that are gone."""
    blank = f", {loss.blank} of them NULL before" if loss.blank else ""
    message = (
        f"After up and down {loss.count} values of {loss.name} in the rows made up here are others than before{blank}: "
        "an UPDATE sets them, and the down migration does not bring the old ones back. Keep these in a column or table "
        f"of their own that down reads, or name {loss.name} in `losing` if they are meant to go."
    )
    severity = Severity.ADVICE if loss.blank == loss.count else Severity.WARNING
    return Finding("migration.data_changed", severity, "/down", message)


def _subject(loss: Loss) -> str:
    return f"{loss.what.value.capitalize()} {loss.name}" if loss.what is not Lost.ROWS else f"Rows of {loss.table}"


def _culprit(steps: tuple[Step, ...], loss: Loss) -> Step | None:
    """The statement that names what was lost."""
    for step in steps:
        if not step.ok or step.parsed is None:
            continue
        body = step.parsed.body
        if step.parsed.kind == "DropStmt" and loss.what is Lost.TABLE:
            if loss.table in _dropped(body) or body.get("removeType") == "OBJECT_SCHEMA":
                return step
        elif step.parsed.kind in {"TruncateStmt", "DeleteStmt"} and loss.what is Lost.ROWS:
            relation: Json = {"RangeVar": body.get("relation")}
            relations = body.get("relations") if step.parsed.kind == "TruncateStmt" else [relation]
            if loss.table in _names(relations):
                return step
        elif loss.column and _alters(step, loss):
            return step
    return None


def _alters(step: Step, loss: Loss) -> bool:
    if step.parsed is None or name_of(step.parsed.body.get("relation")) != loss.table:
        return False
    return any(name == loss.column and kind in {"DropColumn", "AlterColumnType"} for kind, name, _ in commands(step))


def _dropped(body: Node) -> set[str]:
    """The names in a DROP."""
    found = set()
    objects = body.get("objects")
    for item in objects if isinstance(objects, list) else ():
        inside = item.get("List") if isinstance(item, dict) else None
        parts = strings(inside.get("items")) if isinstance(inside, dict) else ()
        found.add(".".join(part for part in parts if part != "public"))
    return found


def _names(relations: Json) -> set[str]:
    return {
        name_of(item.get("RangeVar"))
        for item in (relations if isinstance(relations, list) else ())
        if isinstance(item, dict)
    }


def _has_where(step: Step | None) -> bool:
    return step is not None and step.parsed is not None and "whereClause" in step.parsed.body


def _readers(passage: Passage, step: Step) -> Iterator[Finding]:
    """Names that running programs still use."""
    if step.parsed is None:
        return
    body, gone = step.parsed.body, ""
    old = {lock.relation for lock in step.locks}
    if step.parsed.kind == "RenameStmt" and (table := name_of(body.get("relation"))) in old:
        new = str(body.get("newname", ""))
        if body.get("renameType") == "OBJECT_COLUMN":
            gone = f"column {table}.{body.get('subname')} is called {new}"
        elif body.get("renameType") == "OBJECT_TABLE":
            gone = "" if table in passage.relations else f"table {table} is called {new}"
    elif step.parsed.kind == "AlterEnumStmt" and "oldVal" in body:
        gone = f"enum value '{body['oldVal']}' is called '{body.get('newVal')}'"
    elif step.parsed.kind == "DropStmt" and body.get("removeType") in {"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW"}:
        names = sorted(_dropped(body) & old - passage.relations)
        gone = f"{', '.join(names)} is gone" if names else ""
    else:
        dropped = [name for kind, name, _ in commands(step) if kind == "DropColumn"]
        table = name_of(body.get("relation"))
        gone = f"column {table}.{', '.join(dropped)} is gone" if dropped and table in old else ""
    if gone:
        message = (
            f"From here on {gone}: programs that still run with the old name fail. First ship a version that does "
            "not use it (or leave a view under the old name), then change it in a later migration."
        )
        yield Finding("migration.drop_or_rename_breaks_readers", Severity.WARNING, step.where, message)


def _again(passage: Passage) -> Iterator[Finding]:
    if passage.again:
        number, outcome = passage.again[0]
        more = f" ({len(passage.again)} statements fail)" if len(passage.again) > 1 else ""
        message = (
            f"The script does not run a second time: {outcome.message}{more}. If it can be left half done (it is not "
            "one transaction), write IF NOT EXISTS, IF EXISTS or ON CONFLICT DO NOTHING, or test the catalogue "
            "first."
        )
        yield Finding("migration.not_rerunnable", Severity.ADVICE, passage.steps[number].where, message)
    elif passage.drift:
        message = f"A second run goes through and changes things again: {'; '.join(passage.drift[:_SHOWN])}."
        yield Finding("migration.not_rerunnable", Severity.WARNING, "/up", message)


def _down(passage: Passage) -> Iterator[Finding]:
    if not passage.has_down:
        message = "There is no way back: give a down migration, or say in the change how to go forward instead."
        yield Finding("migration.no_down", Severity.ADVICE, "", message)
        return
    serious = [one for one in passage.undone if one.kind not in {"column order", "enum"}]
    orders = [one for one in passage.undone if one.kind == "column order"]
    enums = [one for one in passage.undone if one.kind == "enum"]
    if serious:
        listed = "; ".join(map(str, serious[:_SHOWN])) + (
            f"; and {len(serious) - _SHOWN} more" if len(serious) > _SHOWN else ""
        )
        yield _undone(Severity.ERROR, f"After up and down the schema is not what it was: {listed}. Undo these too")
    if enums:
        yield _undone(Severity.WARNING, _enums(enums))
    if orders:
        listed = "; ".join(map(str, orders))
        advice = "a dropped column comes back at the end, which matters to INSERT without column names and to SELECT *"
        yield _undone(Severity.ADVICE, f"After up and down {listed}: {advice}")


def _undone(severity: Severity, message: str) -> Finding:
    return Finding("migration.down_incomplete", severity, "/down", f"{message}.")


def _enums(differences: list[Difference]) -> str:
    listed = "; ".join(map(str, differences))
    return (
        f"After up and down {listed}: PostgreSQL cannot remove an enum value. Make the type anew under another name "
        "and convert the columns, or leave the value unused"
    )
