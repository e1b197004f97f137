"""The tables and indexes that a script leaves behind, as the typed design that the design rules read.

So each rule is written once: `price double precision` is found by the same lines in a model's typed schema and in a
person's DDL. What has no place in the typed sections (a policy, a view, `money`) is left to the rules over trees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from dbprompt.checks.base_trees import Node, function_name, words
from dbprompt.checks.sql.base_script import Seen, inside, parts, relation_name
from dbprompt.sections.indexes import Index, IndexKey
from dbprompt.sections.schema import (
    Check,
    Column,
    ColumnType,
    Default,
    DefaultKind,
    EnumType,
    ForeignKey,
    Partitioning,
    Schema,
    Table,
    Unique,
)

__all__ = ["Made", "Outline", "outline", "type_name"]

_OTHER = ColumnType.POINT
"""For a type that the design does not have: no rule has a word about points."""

_TYPES = {
    "int2": ColumnType.SMALLINT, "serial2": ColumnType.SMALLINT, "smallserial": ColumnType.SMALLINT,
    "int4": ColumnType.INTEGER, "serial4": ColumnType.INTEGER, "serial": ColumnType.INTEGER,
    "int8": ColumnType.BIGINT, "serial8": ColumnType.BIGINT, "bigserial": ColumnType.BIGINT,
    "numeric": ColumnType.DECIMAL, "float4": ColumnType.REAL, "float8": ColumnType.DOUBLE,
    "bool": ColumnType.BOOLEAN, "jsonb": ColumnType.JSON, "bytea": ColumnType.BINARY, "bpchar": ColumnType.CHAR,
}  # fmt: skip
_LOGICAL = {one.value: one for one in ColumnType}
_ON_DELETE = {"a": "no_action", "r": "restrict", "c": "cascade", "n": "set_null", "d": "set_default"}


@dataclass(slots=True)
class Made:
    """A table while it is being put together, and the statements that made it and its parts."""

    table: Table
    where: str
    columns: dict[str, str] = field(default_factory=dict)
    keys: list[tuple[ForeignKey, str]] = field(default_factory=list)
    temporary: bool = False


@dataclass(slots=True)
class Outline:
    """What stands after a script.

    Args:
        tables: by name, in the order in which they were made; without partitions.
        indexes: each with the statement that made it.
        enums: each with the statement that made it.
    """

    tables: dict[str, Made] = field(default_factory=dict)
    indexes: list[tuple[Index, str]] = field(default_factory=list)
    enums: dict[str, tuple[EnumType, str]] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        """Everything as the section `schema`."""
        tables = tuple(made.table for made in self.tables.values())
        enums = tuple(enum for enum, _ in self.enums.values())
        return Schema.model_construct(tables=tables, enums=enums)


def outline(script: Iterable[Seen]) -> Outline:
    """Reads a script, statement by statement."""
    found = Outline()
    for one in script:
        _take(found, one)
    return found


def _take(found: Outline, one: Seen) -> None:
    tree = one.tree
    match one.kind:
        case "CreateStmt" if not tree.has("partbound"):
            _create(found, one)
        case "AlterTableStmt":
            made = found.tables.get(relation_name(tree.node("relation")))
            for command in tree.nodes("cmds") if made else ():
                _alter(found, made, one, command) if made else None
        case "IndexStmt":
            name = relation_name(tree.node("relation"))
            found.indexes.append((_index(one, name), one.where))
        case "CreateEnumStmt":
            name, values = words(tree.nodes("typeName"))[-1], words(tree.nodes("vals"))
            found.enums[name] = (EnumType.model_construct(name=name, values=values), one.where)
        case "DropStmt":
            for names in tree.nodes("objects"):
                gone = "".join(words(names.nodes("items"))[-1:])
                found.tables.pop(gone, None)
                found.indexes = [pair for pair in found.indexes if pair[0].name != gone]
        case "CommentStmt" if tree.text("objtype") == "OBJECT_COLUMN" and (named := tree.node("object")):
            _comment(found, words(named.nodes("items")), tree.text("comment"))
        case "RenameStmt" if tree.text("renameType") == "OBJECT_TABLE":
            if made := found.tables.pop(relation_name(tree.node("relation")), None):
                made.table = made.table.model_copy(update={"name": tree.text("newname")})
                found.tables[made.table.name] = made


def _create(found: Outline, one: Seen) -> None:
    relation = one.tree.node("relation")
    name = relation_name(relation)
    split = one.tree.node("partspec")
    table = Table.model_construct(name=name, columns=(), partitioning=_partitioning(split) if split else None)
    temporary = relation is not None and relation.text("relpersistence") == "t"
    made = found.tables[name] = Made(table, one.where, temporary=temporary)
    for element in one.tree.nodes("tableElts"):
        if element.kind == "ColumnDef":
            _add_column(found, made, one, element)
        elif element.kind == "Constraint":
            _constrain(made, one, element)
        elif element.kind == "TableLikeClause" and (like := found.tables.get(relation_name(element.node("relation")))):
            _copy(found, made, one, like, element.number("options"))


_CONSTRAINTS, _INDEXES = 1 << 2, 1 << 6  # INCLUDING, as the grammar counts; ALL is every bit


def _copy(found: Outline, made: Made, one: Seen, like: Made, including: int) -> None:
    """What CREATE TABLE (LIKE ...) takes over."""
    known = {column.name for column in made.table.columns}
    fresh = tuple(column for column in like.table.columns if column.name not in known)
    if not fresh:  # the same again: the engine refuses it, and copies of copies would have no end
        return
    update: dict[str, object] = {"columns": made.table.columns + fresh}
    if including & _CONSTRAINTS:
        update["checks"] = (*made.table.checks, *like.table.checks)
    if including & _INDEXES:
        update |= {"primary_key": like.table.primary_key, "uniques": (*made.table.uniques, *like.table.uniques)}
        own = [index for index, _ in found.indexes if index.table == like.table.name]
        found.indexes += [(index.model_copy(update={"table": made.table.name}), one.where) for index in own]
    made.table = made.table.model_copy(update=update)


def _partitioning(split: Node) -> Partitioning:
    strategy = split.text("strategy").removeprefix("PARTITION_STRATEGY_").lower()
    keys = [element.text("name") for element in split.nodes("partParams")]
    return Partitioning.model_construct(strategy=strategy, column=keys[0] if keys else "")


def _alter(found: Outline, made: Made, one: Seen, command: Node) -> None:
    name, new = command.text("name"), command.node("def")
    match command.text("subtype"):
        case "AT_AddColumn" if new:
            _add_column(found, made, one, new)
        case "AT_AddConstraint" if new:
            _constrain(made, one, new)
        case "AT_AlterColumnType" if new:
            kind, details = _type(found, new.node("typeName"))
            _change(made, name, one, type=kind, **details)
        case "AT_SetNotNull":
            _change(made, name, one, nullable=False)
        case "AT_DropNotNull":
            _change(made, name, one, nullable=True)
        case "AT_DropColumn":
            left = tuple(column for column in made.table.columns if column.name != name)
            made.table = made.table.model_copy(update={"columns": left})
            made.keys = [pair for pair in made.keys if name not in pair[0].columns]


def _change(made: Made, name: str, one: Seen, **update: object) -> None:
    columns = tuple(
        column.model_copy(update=update) if column.name == name else column for column in made.table.columns
    )
    made.table = made.table.model_copy(update={"columns": columns})
    made.columns[name] = one.where


def _comment(found: Outline, names: tuple[str, ...], comment: str) -> None:
    if len(names) > 1 and (made := found.tables.get(names[-2])):
        columns = tuple(
            column.model_copy(update={"comment": comment}) if column.name == names[-1] else column
            for column in made.table.columns
        )
        made.table = made.table.model_copy(update={"columns": columns})


def _add_column(found: Outline, made: Made, one: Seen, definition: Node) -> None:
    name = definition.text("colname")
    kind, details = _type(found, definition.node("typeName"))
    kinds = {constraint.text("contype"): constraint for constraint in definition.nodes("constraints")}
    column = Column.model_construct(
        None,
        name=name,
        type=kind,
        nullable=not kinds.keys() & {"CONSTR_NOTNULL", "CONSTR_PRIMARY", "CONSTR_IDENTITY"}
        and "serial" not in type_name(definition.node("typeName")),
        identity="CONSTR_IDENTITY" in kinds,
        generated="(as written)" if "CONSTR_GENERATED" in kinds else None,
        default=_default(kinds["CONSTR_DEFAULT"].node("raw_expr")) if "CONSTR_DEFAULT" in kinds else None,
        **details,
    )
    made.table = made.table.model_copy(update={"columns": (*made.table.columns, column)})
    made.columns[name] = one.where
    for constraint in definition.nodes("constraints"):
        _constrain(made, one, constraint, column=name)


def type_name(kind: Node | None) -> str:
    """The last word of a type's name, as the grammar has it: `int4` for integer."""
    return words(kind.nodes("names"))[-1] if kind and kind.nodes("names") else ""


def _type(found: Outline, kind: Node | None) -> tuple[ColumnType, dict[str, object]]:
    """The logical type, with length and the like."""
    name = type_name(kind)
    sizes = [
        number.number("ival")
        for modifier in (kind.nodes("typmods") if kind else ())
        if (number := modifier.node("ival"))
    ]
    details: dict[str, object] = {"array": bool(kind and kind.has("arrayBounds"))}
    if name in found.enums:
        return ColumnType.ENUM, details | {"enum": name}
    if name == "bpchar" and not sizes:
        return ColumnType.TEXT, details
    logical = _TYPES.get(name) or _LOGICAL.get(name) or _OTHER
    if logical in {ColumnType.VARCHAR, ColumnType.CHAR} and sizes:
        details["length"] = sizes[0]
    return logical, details


def _default(value: Node | None) -> Default | None:
    """Only the default that a rule speaks of."""
    if value and value.kind == "FuncCall" and function_name(value) in {"gen_random_uuid", "uuid_generate_v4", "uuidv4"}:
        return Default.model_construct(kind=DefaultKind.RANDOM_UUID, value=None)
    return None


def _constrain(made: Made, one: Seen, constraint: Node, *, column: str = "") -> None:
    table = made.table
    own = (column,) if column else words(constraint.nodes("keys"))
    match constraint.text("contype"):
        case "CONSTR_PRIMARY":
            made.table = table.model_copy(update={"primary_key": own or ("(index)",)})
            _require(made, own)
        case "CONSTR_NOTNULL":
            _require(made, own)
        case "CONSTR_UNIQUE" if own:
            made.table = table.model_copy(update={"uniques": (*table.uniques, Unique.model_construct(columns=own))})
        case "CONSTR_CHECK":
            name = constraint.text("conname") or f"{table.name}_check"
            text = inside(one.after(constraint.number("location")))
            check = Check.model_construct(name=name, expression=text)
            made.table = table.model_copy(update={"checks": (*table.checks, check)})
        case "CONSTR_FOREIGN":
            key = ForeignKey.model_construct(
                columns=(column,) if column else words(constraint.nodes("fk_attrs")),
                references=relation_name(constraint.node("pktable")),
                referenced_columns=words(constraint.nodes("pk_attrs")),
                on_delete=_ON_DELETE.get(constraint.text("fk_del_action"), "no_action"),
            )
            made.keys.append((key, one.where))
            made.table = table.model_copy(update={"foreign_keys": (*table.foreign_keys, key)})


def _require(made: Made, names: tuple[str, ...]) -> None:
    """Columns that a constraint makes NOT NULL."""
    columns = tuple(
        column.model_copy(update={"nullable": False}) if column.name in names else column
        for column in made.table.columns
    )
    made.table = made.table.model_copy(update={"columns": columns})


def _index(one: Seen, table: str) -> Index:
    tree = one.tree
    elements = tree.nodes("indexParams")
    relation = tree.node("relation")
    written = parts(inside(one.after(relation.number("location") if relation else 0)))
    keys = tuple(
        IndexKey.model_construct(
            column=element.text("name") or None,
            expression=None if element.text("name") else _bare(text, element),
            order="desc" if element.text("ordering") == "SORTBY_DESC" else "asc",
            nulls=element.text("nulls_ordering").removeprefix("SORTBY_NULLS_").lower().replace("default", "") or None,
            operator_class=_operator_class(element),
        )
        for element, text in zip(elements, written, strict=False)
    )
    return Index.model_construct(
        name=tree.text("idxname") or f"{table}_idx",
        table=table,
        method=tree.text("accessMethod") or "btree",
        keys=keys,
        include=tuple(element.text("name") for element in tree.nodes("indexIncludingParams")),
        unique=bool(tree.fields.get("unique")),
        where=_predicate(one.sql) if tree.has("whereClause") else None,
    )


_ORDER = re.compile(r"\s+(asc|desc)?(\s*nulls\s+(first|last))?\s*$", re.IGNORECASE)


def _bare(text: str, element: Node) -> str:
    """An index key's expression without its order and operator class."""
    text = _ORDER.sub("", f"{text} ").strip()
    for word in words(element.nodes("opclass"))[-1:]:
        text = text.removesuffix(word).strip()
    return text


def _operator_class(element: Node) -> str | None:
    name = "".join(words(element.nodes("opclass"))[-1:])
    return "trigram" if name.endswith("trgm_ops") else name or None


def _predicate(sql: str) -> str:
    """What stands after the last WHERE: nothing follows it in CREATE INDEX."""
    return sql[sql.lower().rindex("where") + len("where") :].strip()
