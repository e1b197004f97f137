"""What may stand at each place of an answer, read off pydantic's core schema: members, elements, and their validators.

A part can be final before its whole is there only where nothing sees the whole first. A validator of your own that is
given the raw data (`mode="before"`, `"wrap"`, `"plain"`), and a union without a discriminator, are therefore not looked
into: what they stand for is final as a whole. One that runs afterwards (`mode="after"`) has its say at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias, cast

from pydantic import BaseModel, TypeAdapter
from pydantic_core import CoreConfig, CoreSchema, SchemaValidator
from pydantic_core.core_schema import definitions_schema

__all__ = ["Kind", "blank_instance", "kind_of", "list_at"]

_Schema: TypeAlias = "Mapping[str, object]"

_LISTS: Mapping[str, Callable[[list[object]], object]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}
_SEEN_THROUGH = {"nullable": "schema", "default": "schema", "function-after": "schema", "json-or-python": "json_schema"}
_SAME_OBJECT = {"nullable", "default"}


@lru_cache(maxsize=128)
def kind_of(output: type[BaseModel]) -> Kind:
    """The kind of a whole answer, made once for a model."""
    adapter = TypeAdapter(output)
    adapter.rebuild()  # a model may put off its schema until it is used
    schema = cast("_Schema", adapter.core_schema)
    if schema["type"] != "definitions":
        return Kind(schema)
    known = {str(one["ref"]): one for one in cast("list[_Schema]", schema["definitions"])}
    return Kind(cast("_Schema", schema["schema"]), known)


@dataclass(eq=False)
class Kind:
    """What may stand at one place. Everything below it is made when it is first met, and once.

    Args:
        schema: what the core schema says of this place.
        definitions: what its references mean.
        config: of the model that it stands in.
    """

    schema: _Schema
    definitions: Mapping[str, _Schema]
    config: CoreConfig | None

    def __init__(
        self, schema: _Schema, definitions: Mapping[str, _Schema] | None = None, config: CoreConfig | None = None
    ) -> None:
        self.schema, self.definitions, self.config = schema, definitions or {}, config

    @cached_property
    def validate(self) -> Callable[[object], object] | None:
        """Validates what stands here by itself; None where a validator asks for what stands beside it."""
        if _asks_around(self.schema):
            return None
        schema = cast("CoreSchema", self.schema)
        if self.definitions:
            schema = definitions_schema(schema, cast("list[CoreSchema]", list(self.definitions.values())))
        return SchemaValidator(schema, self.config).validate_python

    @cached_property
    def model(self) -> type[BaseModel] | None:
        """The model that stands here, if its members can be looked into."""
        bare = self._bare
        if bare["type"] != "model" or bare.get("root_model") or bare.get("custom_init"):
            return None
        inside = cast("_Schema", bare["schema"])
        return cast("type[BaseModel]", bare["cls"]) if inside["type"] == "model-fields" else None

    @cached_property
    def members(self) -> Mapping[str, tuple[str, Kind]]:
        """By the key in JSON: a member's name and kind. Empty for what is no model."""
        if self.model is None:
            return {}
        bare = self._bare
        config = cast("CoreConfig", bare.get("config") or {})
        fields = cast("Mapping[str, _Schema]", cast("_Schema", bare["schema"])["fields"])
        found: dict[str, tuple[str, Kind]] = {}
        for name, field in fields.items():
            kind = self._below(field["schema"], config)
            for key in _keys(name, field.get("validation_alias"), config):
                found.setdefault(key, (name, kind))
        return found

    @cached_property
    def blanks(self) -> Mapping[str, Kind]:
        """A model's members by name."""
        return dict(self.members.values())

    @cached_property
    def entries(self) -> tuple[Kind, Kind] | None:
        """Of a dict: the kind of its keys and of its values."""
        bare = self._bare
        if bare["type"] != "dict" or "values_schema" not in bare:
            return None
        return self._below(bare.get("keys_schema", {"type": "str"})), self._below(bare["values_schema"])

    @cached_property
    def elements(self) -> Kind | None:
        """Of a list, a set or a tuple of any length: the kind of its elements."""
        bare = self._bare
        inside = bare.get("items_schema")
        if bare["type"] == "tuple":
            inside = cast("list[object]", inside)[0] if bare.get("variadic_item_index") == 0 else None
        elif bare["type"] not in _LISTS:
            return None
        kind = self._below(inside) if isinstance(inside, Mapping) else None
        return kind if kind is not None and kind.validate is not None else None

    @cached_property
    def gathered(self) -> Callable[[list[object]], object]:
        """Makes a list, set or tuple of its elements."""
        return _LISTS[str(self._bare["type"])]

    @cached_property
    def opens(self) -> bool:
        """Whether an object that stands here can be looked into before it is over."""
        return self.model is not None or self.entries is not None or bool(self._choices)

    def told(self, key: str, value: object) -> Kind:
        """The kind after a member of it came: the discriminator of a union says which model it is."""
        chosen = self._choices.get(value) if key == self._bare.get("discriminator") and isinstance(value, str) else None
        return self if chosen is None else self._below(chosen)

    @cached_property
    def _choices(self) -> Mapping[object, object]:
        bare = self._bare
        by_name = bare["type"] == "tagged-union" and isinstance(bare["discriminator"], str)
        return cast("Mapping[object, object]", bare["choices"]) if by_name else {}

    def member(self, key: str) -> tuple[object, Kind | None]:
        """What stands at a key in the finished object: the name of its field, or the key itself of a dict."""
        if self.entries is not None:
            return key, self.entries[1]
        return self.members.get(key, ("", None))

    def made(self, values: Mapping[object, object]) -> object:
        """An object of these members, made without validation; what is not among them is blank."""
        if self.model is None:
            return None if self.entries is None else dict(values)
        told = {name: values[name] if name in values else kind.blank() for name, kind in self.blanks.items()}
        return _instance(self.model, told, {str(name) for name in values})

    def blank(self) -> object:
        """What stands here before anything came: an empty list, set, tuple or dict; None for everything else."""
        if self._may_be_null:
            return None
        return {} if self._bare["type"] == "dict" else self.gathered([]) if self._bare["type"] in _LISTS else None

    @cached_property
    def stays(self) -> bool:
        """Whether an instance that was made of this is taken as it is where its whole is validated.

        A validator of yours would see the instance instead of the data.
        """
        return _stays(self.schema, self.definitions)

    @cached_property
    def _bare(self) -> _Schema:
        return self._seen_through[0]

    @cached_property
    def _may_be_null(self) -> bool:
        return "nullable" in self._seen_through[1]

    @cached_property
    def _seen_through(self) -> tuple[_Schema, frozenset[object]]:
        """What lies under null, defaults and validators that run afterwards; and what lay above."""
        schema, above = self.schema, set()
        while True:
            above.add(schema["type"])
            if schema["type"] == "definition-ref":
                schema = self.definitions[str(schema["schema_ref"])]
            elif inside := _SEEN_THROUGH.get(str(schema["type"])):
                schema = cast("_Schema", schema[inside])
            else:
                return schema, frozenset(above)

    def _below(self, schema: object, config: CoreConfig | None = None) -> Kind:
        return Kind(cast("_Schema", schema), self.definitions, config or self.config)


def list_at(output: type[BaseModel], pointer: str) -> tuple[object, ...]:
    """The way through an answer's fields and keys to the list at a JSON pointer whose elements are items.

    Raises:
        ValueError: there is no such list, or it cannot be looked into.
    """
    way: list[object] = []
    kind: Kind | None = kind_of(output)
    for key in pointer.split("/")[1:]:
        name, kind = kind.member(key.replace("~1", "/").replace("~0", "~")) if kind else ("", None)
        way.append(name)
    if not way or kind is None or kind.elements is None:
        lists = [f"/{key}" for key, (_, member) in kind_of(output).members.items() if member.elements]
        there = ", ".join(lists) or "none at its top"
        raise ValueError(f"{output.__name__} has no list of items at {pointer!r}; lists: {there}")
    return tuple(way)


def blank_instance(output: type[BaseModel]) -> BaseModel:
    """An instance of which nothing has come; no member of it can be looked into."""
    return _instance(output, dict.fromkeys(output.model_fields), set())


def _instance(model: type[BaseModel], values: dict[str, object], given: set[str]) -> BaseModel:
    """As `model_construct` does, but as unpickling does it: `model_post_init` is not called on what is half there."""
    made = model.__new__(model)
    private = {name: one.get_default() for name, one in model.__private_attributes__.items()}
    BaseModel.__setstate__(
        made,
        {
            "__dict__": values,
            "__pydantic_fields_set__": given,
            "__pydantic_extra__": {} if model.model_config.get("extra") == "allow" else None,
            "__pydantic_private__": private or None,
        },
    )
    return made


def _keys(name: str, alias: object, config: CoreConfig) -> Iterator[str]:
    """The keys of one member; a path that leads deeper is left to the validation of the whole."""
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, list):
        paths = alias if alias and isinstance(alias[0], list) else [alias]
        yield from (str(path[0]) for path in paths if len(path) == 1)
    if alias is None or config.get("validate_by_name"):
        yield name


def _stays(schema: _Schema, definitions: Mapping[str, _Schema]) -> bool:
    if schema["type"] == "definition-ref":
        return _stays(definitions[str(schema["schema_ref"])], definitions)
    if schema["type"] in _SAME_OBJECT:
        return _stays(cast("_Schema", schema["schema"]), definitions)
    if schema["type"] == "tagged-union":
        choices = cast("Mapping[object, _Schema]", schema["choices"])
        return all(_stays(choice, definitions) for choice in choices.values())
    config = cast("_Schema", schema.get("config") or {})
    settings = (schema.get("revalidate_instances"), config.get("revalidate_instances"))
    return schema["type"] == "model" and not schema.get("root_model") and set(settings) <= {None, "never"}


_WHOLES = {"model", "dataclass", "typed-dict", "definition-ref"}


def _asks_around(schema: object) -> bool:
    """Whether a validator here is given the fields before it. Inside a model of its own it gets them there."""
    if isinstance(schema, list | tuple):
        return any(_asks_around(one) for one in schema)
    if not isinstance(schema, Mapping):
        return False
    function = schema.get("function")
    if isinstance(function, Mapping) and function.get("type") == "with-info":
        return True
    if schema.get("type") in _WHOLES:
        return False
    return any(_asks_around(inside) for key, inside in schema.items() if key not in {"metadata", "serialization"})
