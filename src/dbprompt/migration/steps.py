"""From what the engine was seen to do to a typed step: locks with names, work on old tables, safe forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dbprompt.checks.base import Statement
from dbprompt.checks.base_migration import Lock, Sizes, Step, Task, Work, commands
from dbprompt.checks.migration_order import BATCHED
from dbprompt.checks.sql.allow import embedded
from dbprompt.checks.sql.tree import Parsed, nodes, parse
from dbprompt.engines.postgres.observe import Observation, Relations

__all__ = ["StepMaker"]

_TABLES, _INDEXES = "rpm", "iI"
_CHANGING = {"UpdateStmt", "DeleteStmt"}


class StepMaker:
    """Makes steps of one passage.

    Args:
        old: the relations that stood before the migration: others may be using them, and no other counts.
        sizes: of the tables.
    """

    def __init__(self, old: Relations, sizes: Sizes) -> None:
        self._old = old
        self._sizes = sizes
        self._block = -1
        self._held: dict[int, Lock] = {}

    def make(self, number: int, statement: Statement, parsed: Parsed, seen: Observation) -> Step:
        """The step of one observed statement."""
        in_block = seen.setting.in_block
        if not in_block:
            self._held = {}
            self._block += 1
        step = Step(
            number=number,
            where=statement.where,
            title=statement.artefact,
            outcome=seen.outcome,
            locks=self._locks(number, seen),
            in_transaction=seen.in_transaction,
            block=self._block if in_block else None,
            lock_timeout=seen.setting.lock_timeout,
            waits_for_writers=seen.waits_for_writers,
            observed=True,
            parsed=parsed,
        )
        step = self._with_work(step, seen)
        return replace(step, safe_forms=tuple(_safe_forms(step)), blocked_seconds=self._blocked(step))

    def _locks(self, number: int, seen: Observation) -> tuple[Lock, ...]:
        """The locks on old relations; one that an earlier statement of the block took keeps its number."""
        found = []
        for oid, mode in seen.locks.items():
            relation = self._old.get(oid)
            if (
                relation is None
                or relation.kind not in _TABLES + _INDEXES + "vS"
                or relation.name.startswith("pg_toast.")
            ):
                continue
            held = self._held.get(oid)
            since = held.since if held is not None and held.mode == mode else number
            table = self._old.get(relation.table or 0)
            self._held[oid] = Lock(relation.name, mode, since, table.name if table else relation.name)
            found.append(self._held[oid])
        return tuple(sorted(found, key=lambda lock: (-lock.mode, lock.relation != lock.on, lock.relation)))

    def _with_work(self, step: Step, seen: Observation) -> Step:
        """What it did to whole tables: the engine's counters and file numbers, before and after."""
        if not step.ok:
            return step
        truncated = step.parsed is not None and step.parsed.kind == "TruncateStmt"
        rewritten, rebuilt, scanned, changed, built = [], [], [], [], []
        for oid, now in seen.after.items():
            was, table = seen.before.get(oid), self._old.get(now.table or 0)
            if now.kind in _INDEXES:
                is_new = table is not None and (was is None or (was.file != now.file and not truncated))
                if table is not None and is_new and now.file is not None:
                    rebuilt.append(now.name)
                    built.append(table.name)
            elif was is not None and oid in self._old and now.kind in _TABLES:
                name = self._old[oid].name
                if was.file != now.file and not truncated:
                    rewritten.append(name)
                if now.scans > was.scans and not truncated:  # TRUNCATE builds its indexes anew, over nothing
                    scanned.append(name)
                if now.changed > was.changed:
                    changed.append((name, now.changed - was.changed))
        work = [Work(Task.REWRITE, name) for name in rewritten] + [Work(Task.INDEX, name) for name in built]
        work += [Work(Task.CHANGE, name) for name in self._updated(step, dict(changed))]
        busy = {one.table for one in work}
        work += [Work(Task.SCAN, name) for name in scanned if name not in busy]
        return replace(
            step,
            work=tuple(work),
            rewritten=tuple(sorted(rewritten)),
            rebuilt=tuple(sorted(rebuilt)),
            scanned=tuple(sorted(scanned)),
            changed=tuple(sorted(changed)),
        )

    def _updated(self, step: Step, changed: dict[str, int]) -> list[str]:
        """Tables whose rows an UPDATE or DELETE was seen to change, or would if it found any here."""
        if step.parsed is None or not (_changes(step.parsed) or changed):
            return []
        old = {relation.name for relation in self._old.values() if relation.kind in _TABLES}
        named = {
            str(node.get("relname"))
            for statement in _inside(step.parsed)
            if statement.kind in _CHANGING
            for key, node in [("relation", statement.body.get("relation"))]
            if isinstance(node, dict)
        }
        return sorted((set(changed) | named) & old)

    def _blocked(self, step: Step) -> float | None:
        """Seconds for which others wait; None if they do not, or if no size is known."""
        if not step.blocks:
            return None
        known = [
            seconds
            for work in step.work
            if step.stops(work.table) and (seconds := self._sizes.seconds(work)) is not None
        ]
        if known:
            return sum(known)
        unknown = any(step.stops(work.table) for work in step.work)
        return None if unknown else 0.0


def _inside(parsed: Parsed) -> Iterator[Parsed]:
    """The statement and those in its DO body; the body of a routine that it only creates does not run."""
    yield parsed
    for text in embedded(parsed) if parsed.kind == "DoStmt" else ():
        found = parse(text)
        yield from found if isinstance(found, tuple) else ()


def _changes(parsed: Parsed) -> bool:
    return any(one.kind in _CHANGING for one in _inside(parsed))


def _safe_forms(step: Step) -> Iterator[str]:
    """What a statement does right, as far as the engine bears it out."""
    parsed = step.parsed
    if parsed is None or not step.ok:
        return
    body = parsed.body
    if step.in_transaction is False and step.waits_for_writers and not step.blocks:
        yield "CONCURRENTLY: it waits for writers, they do not wait for it"
    if parsed.kind == "VariableSetStmt" and body.get("name") == "lock_timeout":
        yield "lock_timeout"
    if (_changes(parsed) or step.changed) and _batched(step):
        yield BATCHED
    for kind, name, definition in commands(step):
        yield from _safe_command(step, kind, name, definition)
    if step.blocks and step.lock_timeout:
        yield "under a lock_timeout"


def _safe_command(step: Step, kind: str, name: str, definition: object) -> Iterator[str]:
    node = definition if isinstance(definition, dict) else {}
    match kind:
        case "AddConstraint" if node.get("indexname"):
            if not step.rebuilt:
                yield "USING INDEX: the index was built before"
        case "AddConstraint" if node.get("skip_validation"):
            if not step.scanned:
                yield "NOT VALID: nothing is read"
        case "ValidateConstraint" if not step.blocks:
            yield "VALIDATE: others read and write meanwhile"
        case "SetNotNull" if not step.scanned:
            yield f"SET NOT NULL after a validated check of {name}: nothing is read"
        case "AddColumn" if not step.rewritten and _has_default(node):
            yield "default kept in the catalogue: nothing is rewritten"
        case "AlterColumnType" if not (step.rewritten or step.rebuilt or step.scanned):
            yield "type change without a rewrite"
        case "AttachPartition" if not step.scanned:
            yield "ATTACH PARTITION with its bounds checked before: nothing is read"


def _has_default(definition: object) -> bool:
    tree = definition if isinstance(definition, dict) else {}
    return any(key == "Constraint" and node.get("contype") == "CONSTR_DEFAULT" for key, node in nodes(tree))


def _batched(step: Step) -> bool:
    """Whether its changes are bounded: a LIMIT, a range of keys, or a loop that commits."""
    if step.parsed is None:
        return False
    for statement in _inside(step.parsed):
        if statement.kind in _CHANGING and not _bounded(statement):
            return False
    return step.parsed.kind not in {"DoStmt", "CallStmt"} or step.in_transaction is False


def _bounded(statement: Parsed) -> bool:
    where = statement.body.get("whereClause")
    if any(key == "SelectStmt" and "limitCount" in node for key, node in nodes(statement.body)):
        return True
    operators = [
        (node.get("kind"), str(node.get("name")))
        for key, node in nodes({"W": where} if where else {})
        if key == "A_Expr"
    ]
    if any(kind == "AEXPR_BETWEEN" for kind, _ in operators):
        return True
    below = any("'<" in name for _, name in operators)
    above = any("'>" in name for _, name in operators)
    equal = any(key == "A_Expr" and _one_row(node) for key, node in nodes({"W": where} if where else {}))
    return (below and above) or equal


def _one_row(node: object) -> bool:
    """`id = 17`: an equality with the column that is called id."""
    tree = node if isinstance(node, dict) else {}
    left = str(tree.get("lexpr"))
    return "'='" in str(tree.get("name")) and "'sval': 'id'" in left and "A_Const" in str(tree.get("rexpr"))
