"""An API of the tables as OpenAPI 3.1: schemas, and paths for each collection and item. Derived, so every name exists.

What a client may see and send is decided by the columns: numbered and computed ones are never sent, secrets are sent
and never seen, hashes are neither, and the tenant is that of the caller. Pages start after the last key of the one
before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbprompt.brief import AttributeRole, Brief, Entity
from dbprompt.messages import Json
from dbprompt.render.dictionary import entity_of
from dbprompt.render.json_types import value_schema
from dbprompt.render.markdown import text
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.names import name_matches
from dbprompt.sections.schema import Column, ColumnType, Default, DefaultKind, Schema, Table

__all__ = ["openapi", "openapi_json"]

_HASH = re.compile(r"(^|_)(hash|digest|salt|password|passwd|pwd)(_|$)")
_SECRET = re.compile(r"(^|_)(secret|token|api_key|private_key|pin_code|access_key)(_|$)")
_PERSONAL = {AttributeRole.PII, AttributeRole.PHI}
_PROBLEM: dict[str, Json] = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {"type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                   "detail": {"type": "string"}},
}  # fmt: skip
_MOST = 200


def openapi_json(design: DatabaseDesign, *, brief: Brief | None = None, title: str = "Entities") -> str:
    """The document as a file. `<` is escaped, so that it can also stand in a page."""
    document = openapi(design, brief=brief, title=title)
    return json.dumps(document, indent=2, ensure_ascii=True).replace("<", "\\u003c") + "\n"


def openapi(design: DatabaseDesign, *, brief: Brief | None = None, title: str = "Entities") -> dict[str, Json]:
    """The document."""
    schema = design.schema
    names = _Names()
    enums = {enum.name: names.take(enum.name) for enum in schema.enums} if schema else {}
    resources = [_resource(table, schema, brief, enums, names) for table in schema.tables] if schema else []
    components: dict[str, Json] = {"Problem": _PROBLEM} if resources else {}
    for enum in schema.enums if schema else ():
        components[enums[enum.name]] = {"type": "string", "enum": list(enum.values)}
    paths: dict[str, Json] = {}
    for resource in resources:
        components |= resource.schemas()
        paths |= resource.paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": "1.0.0",
            "description": "Derived from the tables. Who may call what is for the application to decide.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


class _Names:
    """Names of schemas, each given once: tables and enums may share one, and `a_b` and `ab` are both `Ab...`."""

    def __init__(self) -> None:
        self._taken = {"Problem"}

    def take(self, name: str, ending: str = "") -> str:
        base = "".join(word[:1].upper() + word[1:] for word in name.split("_") if word) or "Name"
        found, number = base + ending, 2
        while found in self._taken:
            found, number = f"{base}{number}{ending}", number + 1
        self._taken.add(found)
        return found


@dataclass(frozen=True, slots=True)
class _Field:
    """A column that the API knows, and who may name it."""

    column: Column
    schema: dict[str, Json]
    seen: bool
    sent: bool
    in_key: bool
    optional: bool


@dataclass(frozen=True, slots=True)
class _Resource:
    """A table as a collection with items."""

    table: Table
    fields: tuple[_Field, ...]
    read: str
    new: str
    change: str
    referred: bool
    tenant: str = ""

    @property
    def key(self) -> tuple[_Field, ...]:
        """The columns that an item is found by, in the key's order; the tenant is the caller's."""
        by_name = {one.column.name: one for one in self.fields}
        return tuple(by_name[name] for name in self.table.primary_key if name in by_name and name != self.tenant)

    @property
    def changeable(self) -> tuple[_Field, ...]:
        return tuple(one for one in self.fields if one.sent and not one.in_key)

    def schemas(self) -> dict[str, Json]:
        """What is seen of a row, what is sent for a new one, and what can be changed."""
        seen = [one for one in self.fields if one.seen]
        sent = [one for one in self.fields if one.sent]
        made: dict[str, Json] = {self.read: self._object(seen, [one.column.name for one in seen], self.table.comment)}
        made[self.new] = self._object(sent, [one.column.name for one in sent if not one.optional])
        if self.changeable and self.key:
            made[self.change] = {**self._object(self.changeable, []), "minProperties": 1}
        return made

    def _object(
        self, fields: list[_Field] | tuple[_Field, ...], required: list[str], comment: str = ""
    ) -> dict[str, Json]:
        body: dict[str, Json] = {"type": "object", "additionalProperties": False}
        if comment:
            body["description"] = text(comment)
        properties: dict[str, Json] = {one.column.name: one.schema for one in fields}
        body["properties"] = properties
        if required:
            listed: list[Json] = [*required]
            body["required"] = listed
        return body

    def paths(self) -> dict[str, Json]:
        """The collection, and its items if the table has a key besides the tenant."""
        name = self.table.name
        collection: dict[str, Json] = {"get": self._list(), "post": self._create()}
        found: dict[str, Json] = {f"/{name}": collection}
        if self.key:
            place = "/".join(f"{{{one.column.name}}}" for one in self.key)
            parameters: list[Json] = [_path_parameter(one) for one in self.key]
            item: dict[str, Json] = {"parameters": parameters, "get": self._get()}
            if self.changeable:
                item["patch"] = self._patch()
            item["delete"] = self._delete()
            found[f"/{name}/{place}"] = item
        return found

    def _list(self) -> dict[str, Json]:
        order = ", ".join(self.table.primary_key)
        page: dict[str, Json] = {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": _ref(self.read)},
                "next": {"type": ["string", "null"], "description": "for `after` of the next page; null at the end"},
            },
            "required": ["items", "next"],
        }
        parameters: list[Json] = [
            {"name": "after", "in": "query", "schema": {"type": "string"},
             "description": "`next` of the page before, which holds the key of its last row"},
            {"name": "limit", "in": "query",
             "schema": {"type": "integer", "minimum": 1, "maximum": _MOST, "default": 50}},
        ]  # fmt: skip
        if len(self.key) > 1:
            leading = self.key[0]
            parameters.insert(0, {"name": leading.column.name, "in": "query", "schema": _plain(leading)})
        said = (
            "A page" + (f" in the order of {order}" if order else "") + ". It starts after a key, never at an offset."
        )
        responses: dict[str, Json] = {"200": _answer("A page", page), "400": _problem("A wrong `after` or `limit`")}
        return self._operation("list", said, responses, parameters=parameters)

    def _create(self) -> dict[str, Json]:
        clash = {"409": _problem("A row with this key or these unique values is there")} if self._may_clash() else {}
        responses: dict[str, Json] = {
            "201": _answer("The new row", _ref(self.read)), **clash, "422": _problem("A rule of the table is broken")
        }  # fmt: skip
        return self._operation("create", "Writes a row.", responses, body=self.new)

    def _get(self) -> dict[str, Json]:
        responses: dict[str, Json] = {"200": _answer("The row", _ref(self.read)), "404": _problem("No such row")}
        return self._operation("read", "Reads a row.", responses)

    def _patch(self) -> dict[str, Json]:
        clash = {"409": _problem("Another row has these unique values")} if self.table.uniques else {}
        responses: dict[str, Json] = {
            "200": _answer("The changed row", _ref(self.read)), "404": _problem("No such row"), **clash,
            "422": _problem("A rule of the table is broken"),
        }  # fmt: skip
        return self._operation("change", "Changes what is given, and nothing else.", responses, body=self.change)

    def _delete(self) -> dict[str, Json]:
        held = {"409": _problem("Other rows refer to it")} if self.referred else {}
        responses: dict[str, Json] = {"204": {"description": "Gone"}, "404": _problem("No such row"), **held}
        return self._operation("remove", "Takes a row away.", responses)

    def _may_clash(self) -> bool:
        natural = any(one.sent and one.in_key for one in self.fields)
        return natural or bool(self.table.uniques) or bool(self.table.exclusions)

    def _operation(
        self, verb: str, said: str, responses: dict[str, Json], *, body: str = "", parameters: list[Json] | None = None
    ) -> dict[str, Json]:
        made: dict[str, Json] = {
            "operationId": f"{verb}_{self.table.name}", "tags": [self.table.name], "summary": said,
        }  # fmt: skip
        if parameters:
            made["parameters"] = parameters
        if body:
            made["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
        return made | {"responses": responses}


def _resource(
    table: Table, schema: Schema | None, brief: Brief | None, enums: Mapping[str, str], names: _Names
) -> _Resource:
    entity = entity_of(table, brief)
    keys = [key for other in (schema.tables if schema else ()) for key in other.foreign_keys]
    referred = any(key.references == table.name and key.on_delete in {"restrict", "no_action"} for key in keys)
    tenant = next((c.name for c in table.columns if AttributeRole.TENANT in _roles(c, entity)), "")
    if not tenant and brief is not None:
        tenants = {a.name for e in brief.entities for a in e.attributes if a.role is AttributeRole.TENANT}
        tenant = next((column.name for column in table.columns if column.name in tenants), "")
    return _Resource(
        table,
        tuple(_fields(table, entity, enums, tenant)),
        read=names.take(table.name),
        new=names.take(table.name, "New"),
        change=names.take(table.name, "Change"),
        referred=referred,
        tenant=tenant,
    )


def _fields(table: Table, entity: Entity | None, enums: Mapping[str, str], tenant: str) -> Iterator[_Field]:
    for column in table.columns:
        roles = _roles(column, entity)
        if _HASH.search(column.name) or column.type is ColumnType.TSVECTOR:
            continue  # made by the application or the database, and of no use to a client
        secret = AttributeRole.SECRET in roles or bool(_SECRET.search(column.name))
        made = column.identity or column.generated is not None or column.name == tenant
        value = value_schema(column, table, enum_ref=lambda name: _where(enums.get(name, name)))
        said = _said(column, table, personal=bool(roles & _PERSONAL), secret=secret)
        default = _default(column) if not secret else {}
        optional = column.nullable or column.default is not None
        in_key = column.name in table.primary_key
        yield _Field(column, {**value, **default, **said}, not secret, not made, in_key, optional)


def _roles(column: Column, entity: Entity | None) -> frozenset[AttributeRole]:
    attributes = entity.attributes if entity else ()
    named = [a for a in attributes if entity and name_matches(column.name, a.name, (), entity.name)]
    other = [a for a in attributes if entity and name_matches(column.name, a.name, a.aliases, entity.name)]
    return frozenset(attribute.role for attribute in named or other)


def _said(column: Column, table: Table, *, personal: bool, secret: bool) -> dict[str, Json]:
    """What is said of a column beside its type."""
    targets = [
        f"{key.references}.{theirs}"
        for key in table.foreign_keys
        for ours, theirs in zip(key.columns, key.referenced_columns, strict=True)
        if ours == column.name
    ]
    said: dict[str, Json] = {"description": text(column.comment)} if column.comment else {}
    said |= {"x-references": [*targets]} if targets else {}
    said |= {"x-personal-data": True} if personal else {}
    return said | ({"writeOnly": True} if secret else {})


def _default(column: Column) -> dict[str, Json]:
    """A default that JSON can say; times and computed ones are the database's."""
    given: Default | None = column.default
    if given is None or column.array:
        return {}
    if given.kind is DefaultKind.EMPTY_OBJECT:
        return {"default": {}}
    if given.kind is not DefaultKind.LITERAL or given.value is None:
        return {}
    value = given.value.strip()
    if column.type in {ColumnType.SMALLINT, ColumnType.INTEGER, ColumnType.BIGINT}:
        return {"default": int(value)} if re.fullmatch(r"-?\d{1,18}", value) else {}
    if column.type is ColumnType.BOOLEAN:
        return {"default": value.lower() == "true"} if value.lower() in {"true", "false"} else {}
    texts = {ColumnType.TEXT, ColumnType.VARCHAR, ColumnType.CHAR, ColumnType.CITEXT, ColumnType.ENUM}
    return {"default": given.value} if column.type in {*texts, ColumnType.DECIMAL} else {}


def _path_parameter(one: _Field) -> dict[str, Json]:
    return {"name": one.column.name, "in": "path", "required": True, "schema": _plain(one)}


def _plain(one: _Field) -> dict[str, Json]:
    """The value alone, without what is said of it."""
    return {name: value for name, value in one.schema.items() if name not in {"description", "default", "writeOnly"}}


def _where(name: str) -> str:
    return f"#/components/schemas/{name}"


def _ref(name: str) -> dict[str, Json]:
    return {"$ref": _where(name)}


def _answer(said: str, schema: Mapping[str, Json]) -> dict[str, Json]:
    return {"description": said, "content": {"application/json": {"schema": dict(schema)}}}


def _problem(said: str) -> dict[str, Json]:
    return {"description": said, "content": {"application/problem+json": {"schema": _ref("Problem")}}}
