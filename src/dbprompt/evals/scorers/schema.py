"""Scorers of the schema: types, keys, constraints (`briefs/FORMAT.md`, "Schema")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.brief import AttributeRole
from dbprompt.checks.base_access import accesses
from dbprompt.checks.base_matching import Place
from dbprompt.evals.expectations import (
    CheckConstraint,
    ColumnAbsent,
    ColumnType,
    ForeignKey,
    Junction,
    OfAttribute,
    OfAttributes,
    OfEntities,
    PrimaryKey,
)
from dbprompt.evals.scorers.base import Look, NotHeld, Scene, Scorer, bad, column_pointer, good, scorer, table_pointer
from dbprompt.evals.scorers.base_conditions import kinds_of
from dbprompt.evals.scorers.base_keys import is_just_not_null, key_over
from dbprompt.sections import schema as tables

__all__ = ["SCORERS"]

_T = tables.ColumnType
_WHOLE = frozenset({_T.SMALLINT, _T.INTEGER, _T.BIGINT})
_TEXTS = frozenset({_T.TEXT, _T.VARCHAR, _T.CHAR, _T.CITEXT})
_FAMILIES: dict[str, frozenset[tables.ColumnType]] = {
    "exact_numeric": _WHOLE | {_T.DECIMAL},
    "int64": frozenset({_T.BIGINT}),
    "int32": frozenset({_T.INTEGER}),
    "float": frozenset({_T.REAL, _T.DOUBLE}),
    "text": _TEXTS,
    "unicode_text": _TEXTS,
    "date": frozenset({_T.DATE}),
    "timestamp_zoned": frozenset({_T.TIMESTAMPTZ}),
    "boolean": frozenset({_T.BOOLEAN}),
    "json": frozenset({_T.JSON}),
    "uuid": frozenset({_T.UUID}),
    "spatial": frozenset({_T.POINT, _T.GEOMETRY, _T.GEOGRAPHY}),
    "vector": frozenset({_T.VECTOR}),
    "binary": frozenset({_T.BINARY}),
    "range": frozenset({_T.INT4RANGE, _T.INT8RANGE, _T.NUMRANGE, _T.DATERANGE, _T.TSRANGE, _T.TSTZRANGE}),
    "inet": frozenset({_T.INET, _T.CIDR}),
}
_ZONED = frozenset({_T.TIMESTAMPTZ, _T.TSTZRANGE})
_ZONELESS = frozenset({_T.TIMESTAMP, _T.TSRANGE})
_MINOR = re.compile(r"(^|[^a-z])(cents?|minor|pennies|pence|kopecks?|satoshis?|micros?|millis?)([^a-z]|$)", re.I)
_WHOLE_UNITS = re.compile(r"\b(whole|yen|jpy|won|krw)\b", re.I)
_UTC = re.compile(r"\butc\b", re.I)


def _with_role(scene: Scene, entities: tuple[str, ...] | None, role: AttributeRole) -> Iterator[tuple[str, str]]:
    """The (entity, attribute) pairs of a role."""
    named = entities or tuple(entity.name for entity in scene.brief.entities)
    for name in named:
        attributes = [one.name for one in scene.entity(name).attributes if one.role is role]
        if entities and not attributes:
            raise NotHeld(f"{name} has no attribute of role {role} in the brief")
        yield from ((name, attribute) for attribute in attributes)


def _columns(scene: Scene, entity: str, attribute: str) -> Iterator[tuple[Place, tables.Column]]:
    for place in scene.places(entity):
        for column in scene.columns(place, entity, attribute):
            yield place, column


def _typed(place: Place, column: tables.Column) -> str:
    return f"{place.table.name}.{column.name} is {column.type}{'[]' if column.array else ''}"


def _money_exact(expectation: OfEntities, scene: Scene) -> Iterator[Look]:
    for entity, attribute in _with_role(scene, expectation.entities_all, AttributeRole.MONEY):
        for place, column in _columns(scene, entity, attribute):
            where, said = column_pointer(place, column), _typed(place, column)
            texts = (column.name, column.comment, place.table.comment)
            counts = any(_MINOR.search(text) for text in texts) or any(_WHOLE_UNITS.search(text) for text in texts[1:])
            if column.array or column.type not in _WHOLE | {_T.DECIMAL}:
                yield bad(where, f"{said}, no exact decimal")
            elif column.type in _WHOLE and not counts:
                yield bad(where, f"{said}, and nothing says that it counts minor units")
            else:
                yield good(where, said)


def _timestamps_zoned(expectation: OfEntities, scene: Scene) -> Iterator[Look]:
    for entity, attribute in _with_role(scene, expectation.entities_all, AttributeRole.TIMESTAMP):
        for place, column in _columns(scene, entity, attribute):
            says_utc = _UTC.search(column.comment) or _UTC.search(place.table.comment)
            right = column.type in _ZONED or (column.type in _ZONELESS and says_utc)
            yield Look(column_pointer(place, column), bool(right), _typed(place, column))


def _column_type(expectation: ColumnType, scene: Scene) -> Iterator[Look]:
    allowed = frozenset[tables.ColumnType]().union(*(_FAMILIES[family] for family in expectation.family_any))
    for place, column in _columns(scene, expectation.entity, expectation.attribute):
        right = column.type in allowed and not column.array
        yield Look(column_pointer(place, column), right, _typed(place, column))


def _column_absent(expectation: ColumnAbsent, scene: Scene) -> Iterator[Look]:
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in expectation.patterns_all]
    for at, table in enumerate(scene.schema.tables):
        place = Place(at, table)
        found = [column for column in table.columns if any(pattern.search(column.name) for pattern in patterns)]
        for column in found:
            yield bad(column_pointer(place, column), f"{table.name} has a column {column.name}")
        if not found:
            yield good(f"/schema{place.where}", f"{table.name} has no such column")


def _not_null(expectation: OfAttributes, scene: Scene) -> Iterator[Look]:
    for attribute in expectation.attributes_all:
        for place, column in _columns(scene, expectation.entity, attribute):
            required = not column.nullable or column.name in place.table.primary_key
            said = f"{place.table.name}.{column.name} is {'NOT NULL' if required else 'nullable'}"
            yield Look(column_pointer(place, column), required, said)


_CHANGES = {
    AttributeRole.PII, AttributeRole.PHI, AttributeRole.TEXT, AttributeRole.STATUS, AttributeRole.FLAG,
    AttributeRole.MONEY, AttributeRole.QUANTITY, AttributeRole.MEASURE, AttributeRole.JSON,
}  # fmt: skip


def _primary_key(expectation: PrimaryKey, scene: Scene) -> Iterator[Look]:
    for place in scene.places(expectation.entity):
        table, where = place.table, f"/schema{place.where}/primary_key"
        key = table.primary_key
        said = f"the key of {table.name} is ({', '.join(key)})"
        if not key:
            yield bad(where, f"{table.name} has no primary key")
            continue
        for attribute in expectation.contains_all or ():
            held = bool(scene.names(place, expectation.entity, attribute) & set(key))
            yield Look(where, held, said if held else f"{said}, without {attribute}")
        if expectation.first is not None:
            leads = key[0] in scene.names(place, expectation.entity, expectation.first)
            yield Look(where, leads, said if leads else f"{said}, and {expectation.first} does not lead it")
        wrong = [what for what in expectation.forbid_any if _is_kind_of_key(what, scene, place, expectation.entity)]
        yield Look(where, not wrong, f"{said}: {', '.join(wrong)}" if wrong else said)


def _is_kind_of_key(what: str, scene: Scene, place: Place, entity: str) -> bool:
    columns = [column for name in place.table.primary_key if (column := place.table.column(name))]
    if what == "int32":
        return len(columns) == 1 and columns[0].type in {_T.SMALLINT, _T.INTEGER}
    if what == "random_uuid_clustered":
        default = columns[0].default if columns else None
        by_expression = default is not None and re.search(
            r"gen_random_uuid|uuid_generate_v4|uuidv4", default.value or ""
        )
        is_random = default is not None and (default.kind is tables.DefaultKind.RANDOM_UUID or bool(by_expression))
        return bool(columns) and columns[0].type is _T.UUID and is_random
    attributes = [one for one in scene.entity(entity).attributes if one.role in _CHANGES]
    held = {column.name for one in attributes for column in _held(scene, place, entity, one.name)}
    return any(column.name in held for column in columns)


def _held(scene: Scene, place: Place, entity: str, attribute: str) -> tuple[tables.Column, ...]:
    try:
        return scene.columns(place, entity, attribute)
    except NotHeld:
        return ()


def _foreign_key(expectation: ForeignKey, scene: Scene) -> Iterator[Look]:
    parents = scene.tables(expectation.to)
    for place in scene.places(expectation.from_):
        table, where = place.table, f"/schema{place.where}/foreign_keys"
        keys = [key for key in table.foreign_keys if key.references in parents]
        if not keys:
            yield bad(where, f"{table.name} declares no reference to {', '.join(sorted(parents))}")
        for key in keys:
            right = not expectation.on_delete_any or key.on_delete in expectation.on_delete_any
            said = f"{table.name} ({', '.join(key.columns)}) refers to {key.references} on delete {key.on_delete}"
            yield Look(f"{where}/{table.foreign_keys.index(key)}", right, said)


def _fk_indexed(expectation: OfEntities, scene: Scene) -> Iterator[Look]:
    named = [place for entity in expectation.entities_all or () for place in scene.places(entity)]
    every = [Place(at, table) for at, table in enumerate(scene.schema.tables)]
    for place in named if expectation.entities_all else every:
        table = place.table
        for at, key in enumerate(table.foreign_keys):
            where, columns = f"/schema{place.where}/foreign_keys/{at}", ", ".join(key.columns)
            indexed = _is_led_by(scene, table, key.columns)
            if not indexed:
                scene.need(scene.design.indexes, "indexes")
            said = f"({columns}) of {table.name} {'leads' if indexed else 'leads no'} index or key"
            yield Look(where, indexed, said)


def _is_led_by(scene: Scene, table: tables.Table, columns: tuple[str, ...]) -> bool:
    for way in accesses(table, scene.design.indexes):
        leading = {column for key in way.keys[: len(columns)] for column in key.columns if key.plain}
        whole = way.predicate is None or is_just_not_null(way.predicate, frozenset(columns))
        if leading == set(columns) and whole and way.method in {"btree", "hash", "gist"}:
            return True
    return False


def _junction(expectation: Junction, scene: Scene) -> Iterator[Look]:
    left, right = scene.tables(expectation.left), scene.tables(expectation.right)
    schema = scene.schema
    is_joined = False
    for table in schema.tables:
        for one in (key for key in table.foreign_keys if key.references in left):
            for other in (key for key in table.foreign_keys if key.references in right and key is not one):
                is_joined = True
                pair = [frozenset({column}) for column in (*one.columns, *other.columns)]
                if key_over(table, scene.design.indexes, pair):
                    yield good(table_pointer(schema, table), f"{table.name} holds each pair once")
                    return
    if is_joined:
        scene.need(scene.design.indexes, "indexes")
    raise NotHeld(f"no table refers to {expectation.left} and {expectation.right} and holds each pair once")


def _unique(expectation: OfAttributes, scene: Scene) -> Iterator[Look]:
    for place in scene.places(expectation.entity):
        attributes = [scene.names(place, expectation.entity, name) for name in expectation.attributes_all]
        key = key_over(place.table, scene.design.indexes, attributes)
        if key is None:
            scene.need(scene.design.indexes, "indexes")
        said = f"{key} of {place.table.name}" if key else _no_key(place.table, expectation.attributes_all)
        yield Look(f"/schema{place.where}", key is not None, said)


def _no_key(table: tables.Table, attributes: tuple[str, ...]) -> str:
    split = f", which is partitioned by {table.partitioning.column}" if table.partitioning else ""
    return f"nothing keeps ({', '.join(attributes)}) unique in {table.name}{split}"


def _check_constraint(expectation: CheckConstraint, scene: Scene) -> Iterator[Look]:
    wanted = frozenset[str](expectation.kind_any)
    for place in scene.places(expectation.entity):
        found: list[Look] = []
        for attribute in expectation.attributes_any:
            for column in _held(scene, place, expectation.entity, attribute):
                found += _kept(place, column, wanted)
        names = ", ".join(expectation.attributes_any)
        wrong = bad(f"/schema{place.where}/checks", f"{place.table.name} has no such check on {names}")
        yield found[0] if found else wrong


def _kept(place: Place, column: tables.Column, wanted: frozenset[str]) -> Iterator[Look]:
    """The checks of a table that are of a wanted kind for a column."""
    if "enum" in wanted and column.type is _T.ENUM:
        yield good(column_pointer(place, column), f"{place.table.name}.{column.name} is an enum")
    for at, check in enumerate(place.table.checks):
        if wanted & kinds_of(check.expression, column.name, whole=column.type in _WHOLE):
            where = f"/schema{place.where}/checks/{at}"
            yield good(where, f"check {check.name} of {place.table.name}: {check.expression}")


_IN_STEP = {"trigger", "job", "stream", "transaction", "generated_column"}


def _denormal_sync(expectation: OfAttribute, scene: Scene) -> Iterator[Look]:
    for place, column in _columns(scene, expectation.entity, expectation.attribute):
        called = f"{place.table.name}.{column.name}"
        named = [
            (at, one)
            for at, one in enumerate(scene.schema.denormalized)
            if (one.table, one.column) == (place.table.name, column.name)
        ]
        if column.generated is not None:
            yield good(column_pointer(place, column), f"{called} is generated")
            continue
        if not named:
            yield bad(column_pointer(place, column), f"nothing says how {called} is kept in step")
        for at, one in named:
            right = one.sync in _IN_STEP - {"generated_column"}
            yield Look(f"/schema/denormalized/{at}", right, f"{called} is kept in step by {one.sync}")


SCORERS: dict[str, Scorer] = {
    "money_exact": scorer(OfEntities, _money_exact, ("schema",)),
    "timestamps_zoned": scorer(OfEntities, _timestamps_zoned, ("schema",)),
    "column_type": scorer(ColumnType, _column_type, ("schema",)),
    "column_absent": scorer(ColumnAbsent, _column_absent, ("schema",)),
    "not_null": scorer(OfAttributes, _not_null, ("schema",)),
    "primary_key": scorer(PrimaryKey, _primary_key, ("schema",)),
    "foreign_key": scorer(ForeignKey, _foreign_key, ("schema",)),
    "fk_indexed": scorer(OfEntities, _fk_indexed, ("schema", "indexes"), reads_sql=True),
    "junction": scorer(Junction, _junction, ("schema", "indexes"), reads_sql=True),
    "unique": scorer(OfAttributes, _unique, ("schema", "indexes"), reads_sql=True),
    "check_constraint": scorer(CheckConstraint, _check_constraint, ("schema",), reads_sql=True),
    "denormal_sync": scorer(OfAttribute, _denormal_sync, ("schema",)),
}
