"""The scorer of migrations: what the script of the planned changes does while the application works.

The statements are read in their order; `verify_migration` is what watches them on an engine. A table that the script
itself has made is nobody's yet, and may be treated as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dbprompt.checks.base_trees import Broken, Node, column_names, find, function_name, statements, words
from dbprompt.checks.engine import target_major
from dbprompt.evals.expectations import MigrationSafe
from dbprompt.evals.scorers.base import Look, Scene, Scorer, bad, scorer
from dbprompt.render.migrations.plan import planned_changes
from dbprompt.render.migrations.steps import Step

__all__ = ["SCORERS", "Reading"]

_VOLATILE = {
    "clock_timestamp", "gen_random_uuid", "nextval", "random", "timeofday", "uuid_generate_v4", "uuidv4", "uuidv7",
}  # fmt: skip
_FILLED = {"CONSTR_GENERATED", "CONSTR_IDENTITY"}
_SERIAL = {"smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"}


@dataclass
class Reading:
    """What the statements of a script do, in the words of the format.

    Attributes:
        partitioned: tables that hold no rows themselves: an index ON ONLY one of them is built over nothing.
        does: everything that was seen, wanted or not.
        unread: statements that could not be read, and why: nobody knows what they do.
    """

    partitioned: frozenset[str] = frozenset()
    does: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    _made: set[str] = field(default_factory=set)
    _not_valid: dict[str, tuple[str, str]] = field(default_factory=dict)
    _known_not_null: set[tuple[str, str]] = field(default_factory=set)

    def read(self, sql: str, *, deprecated: bool = False) -> None:
        """One statement. `deprecated`: what it drops was said to go, and nothing that runs needs it any more."""
        parsed = statements(sql)
        if isinstance(parsed, Broken):
            self.unread.append(f"{' '.join(sql.split())[:60]!r} ({parsed})")
            return
        for statement in parsed:
            self._statement(statement, deprecated)

    def _statement(self, node: Node, deprecated: bool) -> None:
        if node.kind == "CreateStmt":
            self._made.add(_name(node))
        elif node.kind == "IndexStmt":
            if node.fields.get("concurrent"):
                self.does.add("concurrent_index")
            elif _name(node) not in self._made and not self._holds_nothing(node):
                self.does.add("blocking_index")
        elif node.kind == "VariableSetStmt" and node.text("name") == "lock_timeout":
            self.does.add("lock_timeout")
        elif node.kind == "DropStmt":
            self._drop(node, deprecated)
        elif (
            node.kind == "RenameStmt"
            and not deprecated
            and node.text("renameType") in {"OBJECT_TABLE", "OBJECT_COLUMN"}
        ):
            self.does.add("drop_without_deprecation")
        elif node.kind in {"ClusterStmt"} or (node.kind == "VacuumStmt" and "full" in _options(node)):
            self.does.add("table_rewrite")
        elif node.kind == "ReindexStmt" and "concurrently" not in _options(node):
            self.does.add("blocking_index")
        elif node.kind == "AlterTableStmt" and _name(node) not in self._made:
            for command in node.nodes("cmds"):
                self._command(command, _name(node), deprecated)

    def _holds_nothing(self, node: Node) -> bool:
        """ON ONLY a partitioned table; the grammar says `inh` where the partitions are meant too."""
        relation = node.node("relation")
        return relation is not None and not relation.has("inh") and _name(node) in self.partitioned

    def _drop(self, node: Node, deprecated: bool) -> None:
        names = {words(one.nodes("items"))[-1] for one in node.nodes("objects") if one.kind == "List"}
        if node.text("removeType") == "OBJECT_TABLE" and not deprecated and not names <= self._made:
            self.does.add("drop_without_deprecation")

    def _command(self, command: Node, table: str, deprecated: bool) -> None:
        kind, column, definition = command.text("subtype"), command.text("name"), command.node("def")
        if kind == "AT_SetNotNull" and (table, column) not in self._known_not_null:
            self.does.add("set_not_null_full_scan")
        elif kind == "AT_DropColumn" and not deprecated:
            self.does.add("drop_without_deprecation")
        elif kind == "AT_AlterColumnType":
            self.does.add("table_rewrite")
        elif kind == "AT_AddColumn" and definition is not None:
            called = {function_name(call) for call in find(definition, "FuncCall")}
            stored = any(one.text("contype") in _FILLED for one in find(definition, "Constraint"))
            kind_of = definition.node("typeName")
            numbered = kind_of is not None and words(kind_of.nodes("names"))[-1] in _SERIAL
            if stored or numbered or called & _VOLATILE:
                self.does.add("table_rewrite")
        elif kind == "AT_AddConstraint" and definition is not None:
            self._constraint(definition, table)
        elif kind == "AT_ValidateConstraint" and column in self._not_valid:
            self.does.add("not_valid_then_validate")
            self._known_not_null.add(self._not_valid[column])

    def _constraint(self, definition: Node, table: str) -> None:
        kind = definition.text("contype")
        if kind in {"CONSTR_UNIQUE", "CONSTR_PRIMARY", "CONSTR_EXCLUSION"} and not definition.text("indexname"):
            self.does.add("blocking_index")
        if not definition.fields.get("skip_validation"):
            return
        test = definition.node("raw_expr")
        is_test = test is not None and test.kind == "NullTest" and test.text("nulltesttype") == "IS_NOT_NULL"
        names = column_names(test) if test is not None and is_test else ()
        self._not_valid[definition.text("conname")] = (table, names[0][-1] if names else "")


def _name(node: Node) -> str:
    relation = node.node("relation")
    return relation.text("relname") if relation else ""


def _options(node: Node) -> set[str]:
    return {one.text("defname").lower() for one in find(node, "DefElem")}


def read_steps(steps: Iterable[Step], partitioned: Iterable[str] = ()) -> Reading:
    """What the steps of a migration do. A step that waits for a release drops what nothing needs any more."""
    reading = Reading(frozenset(partitioned))
    for step in steps:
        for sql in step.up:
            reading.read(sql, deprecated=bool(step.after))
        if step.batch is not None:
            reading.does.add("batched_backfill")
    return reading


def _migration_safe(expectation: MigrationSafe, scene: Scene) -> Iterator[Look]:
    scene.need(scene.design.migrations, "migrations")
    partitioned = {table.name for table in scene.schema.tables if table.partitioning}
    planned = planned_changes(scene.design, as_of=scene.as_of, version=target_major(scene.brief))
    steps: list[Step] = []
    for one in planned:
        where = f"/migrations{one.where}"
        if one.obstacles:
            yield bad(where, f"{one.change.name} cannot be written: {one.obstacles[0].message}")
        steps += one.steps
    if not steps:
        return
    reading = read_steps(steps, partitioned)
    does = reading.does
    for text in reading.unread:
        yield bad("/migrations/changes", f"a statement of the script cannot be read: {text}")
    wrong = [what for what in expectation.forbid_all if what in does]
    met = [what for what in expectation.require_any if what in does]
    said = f"the script does {', '.join(sorted(does)) or 'nothing of note'}"
    yield Look("/migrations/changes", not wrong, f"{said}; forbidden: {', '.join(wrong)}" if wrong else said)
    if expectation.require_any:
        lacks = f"{said}; none of {', '.join(expectation.require_any)}"
        yield Look("/migrations/changes", bool(met), said if met else lacks)


SCORERS: dict[str, Scorer] = {
    "migration_safe": scorer(MigrationSafe, _migration_safe, ("schema", "migrations"), reads_sql=True)
}
