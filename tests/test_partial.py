"""Partial answers: what is handed out while a text is written is what the whole text turns out to be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

import dbprompt.partial.answer as partial_answer
from dbprompt.evidence import Finding, Severity
from dbprompt.messages import Json
from dbprompt.partial import Item, PartialAnswer, Tail, Unfinished, list_at
from dbprompt.sections import SECTIONS
from dbprompt.shape import parse_json, shape

from answers import answer  # isort: skip


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: list[int] = []


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = "Rex"


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Leaf(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(max_length=60)]
    number: int | None = None
    born: date | None = None

    @field_validator("number")
    @classmethod
    def _half_is_none(cls, value: int | None) -> int | None:
        return None if value == 50 else value


class Node(BaseModel):
    name: str
    kids: list[Node] = []
    first: Node | None = None


class Plan(BaseModel):
    goal: str
    steps: tuple[Leaf, ...] = ()

    @model_validator(mode="after")
    def _has_goal(self) -> Plan:
        assert self.goal is not None, "a validator of the whole never sees half of it"
        return self


class Whole(BaseModel):
    """Every kind of field that is looked into, and some that are not."""

    model_config = ConfigDict(populate_by_name=True)

    title: str
    number: float = 1.5
    leaves: Annotated[list[Leaf], Field(max_length=8)] = []
    words: Sequence[str] = ()
    pets: tuple[Pet, ...] = ()
    pet: Pet | None = None
    by_place: dict[str, list[Leaf]] = {}
    by_number: dict[int, Leaf] = {}
    maybe: list[bool] | None = None
    plan: Plan | None = None
    tree: Node | None = None
    other_name: Annotated[list[str], Field(alias="otherName")] = []
    second_name: Annotated[str | None, Field(validation_alias=AliasChoices("secondName", "second"))] = None
    either: list[int] | dict[str, list[int]] = []
    any_json: Any = None
    unique: frozenset[int] = frozenset()


_texts = st.text(max_size=12)
_leaves = st.fixed_dictionaries(
    {"name": _texts}, optional={"number": st.none() | st.integers(0, 99), "born": st.dates().map(str)}
)
_cats = st.fixed_dictionaries({"kind": st.just("cat")}, optional={"lives": st.lists(st.integers(), max_size=3)})
_dogs = st.fixed_dictionaries({"kind": st.just("dog")}, optional={"name": _texts})
_nodes: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {"name": _texts}, optional={"kids": st.lists(_nodes, max_size=2), "first": st.none() | _nodes}
    )
)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.fixed_dictionaries(
    {"title": _texts},
    optional={
        "number": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "leaves": st.lists(_leaves, max_size=4),
        "words": st.lists(_texts, max_size=4),
        "pets": st.lists(_cats | _dogs, max_size=3),
        "pet": st.none() | _cats | _dogs,
        "by_place": st.dictionaries(_texts, st.lists(_leaves, max_size=2), max_size=3),
        "by_number": st.dictionaries(st.integers().map(str), _leaves, max_size=3),
        "maybe": st.none() | st.lists(st.booleans(), max_size=3),
        "plan": st.none() | st.fixed_dictionaries({"goal": _texts}, optional={"steps": st.lists(_leaves, max_size=3)}),
        "tree": st.none() | _nodes,
        "otherName": st.lists(_texts, max_size=2),
        "second": _texts,
        "either": st.lists(st.integers(), max_size=2) | st.dictionaries(_texts, st.just([1]), max_size=2),
        "any_json": _json,
        "unique": st.lists(st.integers(0, 3), max_size=4),
    },
)


@st.composite
def pieces_of(draw: st.DrawFn, text: str) -> list[str]:
    """The text, cut anywhere."""
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=30)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def written(draw: st.DrawFn, documents: st.SearchStrategy[Any] = DOCUMENTS) -> tuple[str, list[str]]:
    """A document as some model writes it, in pieces: any spacing, escaped or not, with words or a fence around it."""
    document = draw(documents)
    keys = draw(st.permutations(list(document)))
    text = json.dumps(
        {key: document[key] for key in keys}, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.just(1))
    )
    before, after = draw(st.sampled_from([("", ""), ("\n ", "\n"), ("```json\n", "\n```"), ("Here: ", "\nDone.")]))
    whole = before + text + after
    return whole, draw(pieces_of(whole))


def fed(output: type[BaseModel], pieces: Sequence[str]) -> tuple[PartialAnswer[Any], list[Item]]:
    """An answer that was fed these pieces, and its items."""
    answer = PartialAnswer(output)
    return answer, [item for piece in pieces for item in answer.feed(piece)]


def at(value: object, pointer: str) -> object:
    """What stands at a pointer in a typed value."""
    for key in (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]):
        if isinstance(value, BaseModel):
            value = getattr(value, {"otherName": "other_name"}.get(key, key))
        elif isinstance(value, dict):
            value = {str(name): one for name, one in value.items()}[key]
        else:
            value = list(value)[int(key)]  # type: ignore[call-overload]
    return value


def lists_in(document: dict[str, Any], where: str = "") -> Iterator[tuple[str, int]]:
    """The lists that are reached through objects only, each with its length."""
    for key, value in document.items():
        below = f"{where}/{key.replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, list):
            yield below, len(value)
        elif isinstance(value, dict):
            yield from lists_in(value, below)


@settings(max_examples=300, deadline=None)
@given(written())
def test_items_come_in_order_and_are_what_the_whole_has(said: tuple[str, list[str]]) -> None:
    """However a text is cut: every item once, in order, equal to what the whole text is validated to; so is the end."""
    text, pieces = said
    document = parse_json(text)
    assert isinstance(document, dict), document
    whole = Whole.model_validate(document)
    answer, items = fed(Whole, pieces)
    assert answer.value == whole
    assert answer.value.model_fields_set == whole.model_fields_set
    assert not answer.findings
    typed = [item for item in items if not item.where.startswith("/unique")]  # a set has no order
    assert [item.value for item in typed] == [at(whole, item.where) for item in typed]
    late = next(iter(document.get("pet") or {"kind"})) != "kind"
    opaque = ("/either", "/any_json", *(["/pet/"] if late else []))  # what these are is only known at their end
    lists = {where: length for where, length in lists_in(document) if not where.startswith(opaque)}
    by_list: dict[str, list[str]] = {}
    for item in items:
        by_list.setdefault(item.where.rpartition("/")[0], []).append(item.where.rpartition("/")[2])
    assert by_list == {where: [str(n) for n in range(length)] for where, length in lists.items() if length}


@settings(max_examples=150, deadline=None)
@given(written())
def test_what_was_final_stays(said: tuple[str, list[str]]) -> None:
    """A value that was handed out never changes, and what is in it is in every later one."""
    _, pieces = said
    answer, seen = PartialAnswer(Whole), []
    for piece in pieces:
        answer.feed(piece)
        seen.append((answer.value, repr(answer.value), answer.final))
    end = answer.value
    for value, shown, final in seen:
        assert repr(value) == shown
        assert value.leaves == end.leaves[: len(value.leaves)]
        assert value.pets == end.pets[: len(value.pets)]
        assert set(final) <= {*answer.final, *(where for where in final if where.count("/") > 1)}
        for where in final:
            if where not in {"/second", "/secondName"}:
                assert at(value, where) == at(end, where)


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet='{}[]",:\\ \n`tfnulrsae0123456789.-Eé😀', max_size=60).flatmap(pieces_of)
    | written(_json.filter(lambda value: isinstance(value, dict))).map(lambda said: said[1])
)
def test_garbage_neither_crashes_nor_is_believed(pieces: list[str]) -> None:
    """Whatever comes, the partial answer stands; where the whole is an answer, it is that answer."""
    answer, _ = fed(Whole, pieces)
    document = parse_json("".join(pieces))
    if isinstance(document, dict):
        with_all = shape(Whole, document)
        if not isinstance(with_all, tuple) and not with_all.shape_report.findings:
            assert answer.value == with_all.value
    assert isinstance(answer.value, Whole)
    assert answer.tail is None or isinstance(answer.tail, Tail)


@pytest.mark.parametrize("section", ["schema", "indexes", "queries", "security", "backup", "selection", "monitoring"])
def test_a_section_of_a_design_comes_item_by_item(section: str) -> None:
    """Sections of real answers, in pieces of 16 characters: the end is the section, the items are its items."""
    text = json.dumps(answer("marketplace", section))
    whole = SECTIONS[section].model_validate(json.loads(text))
    partial, items = fed(SECTIONS[section], [text[at : at + 16] for at in range(0, len(text), 16)])
    assert partial.value == whole
    assert items
    assert [item.value for item in items] == [at(whole, item.where) for item in items]


def test_each_character_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is parsed once in all, however small its pieces are; its end has the items that were handed out."""
    parsed = []

    def read_json(text: str) -> Json:
        parsed.append(text)
        return json.loads(text)  # type: ignore[no-any-return]

    monkeypatch.setattr(partial_answer, "read_json", read_json)
    text = json.dumps({"title": "t", "leaves": [{"name": "a" * 20}] * 8, "tree": {"name": "b", "first": {"name": "c"}}})
    answer, items = fed(Whole, list(text))
    assert answer.value.tree == Node(name="b", first=Node(name="c"))
    assert len("".join(parsed)) <= len(text)
    assert [id(leaf) for leaf in answer.value.leaves] == [id(item.value) for item in items]


def test_a_field_that_has_not_come_is_empty_or_none() -> None:
    """Before its time: an empty list, tuple, set or dict where the type is one; None for everything else."""
    answer, _ = fed(Whole, ['{"plan": {"goal": "fas'])
    value = answer.value
    assert (value.title, value.number, value.maybe, value.tree) == (None, None, None, None)
    assert (value.leaves, value.pets, value.by_place, value.unique) == ([], (), {}, frozenset())
    assert value.plan is not None
    assert (value.plan.goal, value.plan.steps) == (None, ())
    assert answer.tail == Tail("/plan/goal", "fas")
    assert answer.value is value


def test_a_misshapen_item_is_told_and_left_out() -> None:
    """An item of the wrong type comes with pydantic's message and its pointer; those around it stay."""
    answer, items = fed(Whole, ['{"leaves": [{"name": "a"}, {"name": 7}, {"name": "c"}], "number": "x", "title"'])
    told = Finding("shape.string_type", Severity.ERROR, "/leaves/1/name", "name: 7: Input should be a valid string")
    assert items[1] == Item("/leaves/1", None, (told,))
    assert [leaf.name for leaf in answer.value.leaves] == ["a", "c"]
    assert [finding.where for finding in answer.findings] == ["/leaves/1/name", "/number"]
    answer.feed(': "t"}')
    assert (answer.value.title, answer.value.number, len(answer.value.leaves)) == ("t", None, 2)
    assert answer.final == ("/title",)


@pytest.mark.parametrize(
    "text",
    [
        '{"leaves": [{"name": "a"}], "leaves": [{"name": "b"}], "title": "t"}',
        '{"leaves": [{"name": "a"}, {"name": "b", "name": "c"}]}',
        '{"leaves": [{"name": "a"}, NaN]}',
        '{"leaves": [{"name": "a"} {"name": "b"}]}',
        '{"leaves": [{"name": "a"}, {"name": ]}]}',
        '{"leaves": [{"name": "a"}, ' + "[" * 100_000,
        '{"leaves": [{"name": "a"}], "tree": ' + '{"first": ' * 3_000 + "1" + "}" * 3_000,
    ],
    ids=["key twice", "key twice inside", "nan", "no comma", "no value", "deep", "deep objects"],
)
def test_from_what_is_no_json_on_nothing_is_final(text: str) -> None:
    """What stood before keeps standing, and nothing behind it is believed."""
    answer, items = fed(Whole, [text[at : at + 1000] for at in range(0, len(text), 1000)])
    assert [item.value for item in items] == [Leaf(name="a")]
    assert answer.value.leaves == [Leaf(name="a")]
    assert answer.value.title is None


def test_words_before_the_answer_are_passed_over_as_in_the_end() -> None:
    """Words do not hide the answer from the stream; words with a brace do, as `parse_json` refuses them too."""
    answer, _ = fed(Whole, ["Here you ", "are: ", '{"title": "t", ', '"words": ["a"]}'])
    assert answer.value == Whole(title="t", words=["a"])
    text = 'Use {these}: {"title": "t", "words": ["a"]}'
    answer, items = fed(Whole, [text])
    assert (items, answer.value.title, answer.final) == ([], None, ())
    assert isinstance(parse_json(text), Finding)


class Span(BaseModel):
    first: int
    last: int

    @field_validator("last")
    @classmethod
    def _not_before(cls, value: int, info: ValidationInfo) -> int:
        return max(value, info.data["first"])


class Careful(BaseModel):
    """Validators that see the raw data, or their neighbours, keep what they see together."""

    _secret: int = PrivateAttr(default=3)
    low: int
    high: int
    sizes: Annotated[list[int], BeforeValidator(sorted)] = []
    plain: list[int] = []
    spans: list[Span] = []

    @field_validator("high")
    @classmethod
    def _above(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data["low"]:
            raise ValueError("high is below low")
        return value

    def model_post_init(self, context: object) -> None:
        """Looks at a field."""
        assert self.low is not None, "never called on half of it"


def test_what_a_validator_sees_whole_is_final_as_a_whole() -> None:
    """A list under a validator of raw data has no items of its own; a field that asks for others waits for the end."""
    answer, items = fed(Careful, ['{"low": 1, "high": 2, "sizes": [3, 1], "plain": [5, 4]'])
    assert [item.where for item in items] == ["/plain/0", "/plain/1"]
    assert (answer.value.low, answer.value.high, answer.value.sizes) == (1, None, [1, 3])
    answer.feed("}")
    assert answer.value == Careful(low=1, high=2, sizes=[1, 3], plain=[5, 4])
    assert answer.value._secret == 3


def test_a_validator_that_asks_around_within_its_item_holds_up_nothing() -> None:
    """An element has all its own fields when it is complete, and is an item then."""
    _, items = fed(Careful, ['{"spans": [{"first": 3, "last": 1}'])
    assert items == [Item("/spans/0", Span(first=3, last=3))]


class Renamed(BaseModel):
    items: list[int]

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, raw: dict[str, object]) -> object:
        return {"items": raw.get("old")}


def test_an_answer_that_is_rewritten_before_it_is_validated_comes_at_its_end() -> None:
    """A model that changes the raw data has nothing final before all of it is there; then it has what it makes."""
    answer, items = fed(Renamed, ['{"old": [1, 2', "]}"])
    assert items == []
    assert answer.value == Renamed(old=[1, 2])  # type: ignore[call-arg]


def test_a_union_is_looked_into_once_its_discriminator_has_come() -> None:
    """Which model it is, is known from there on."""
    answer, items = fed(Whole, ['{"pet": {"kind": "cat", "lives": [7, 8'])
    assert (items, answer.value.pet) == ([Item("/pet/lives/0", 7)], Cat(kind="cat", lives=[7]))
    answer, items = fed(Whole, ['{"pet": {"lives": [7, 8], "kind": "cat"}'])
    assert (items, answer.value.pet) == ([], Cat(kind="cat", lives=[7, 8]))


def test_unfinished_says_what_is_final() -> None:
    """What an error carries of an answer that broke off: the value, what of it is final, and that nothing is proven."""
    answer, _ = fed(Whole, ['{"title": "t", "plan": {"goal": "g", "steps": [{"name": "a"}, {"na'])
    cut: Unfinished[Whole] = answer.unfinished()
    assert cut.final == ("/title", "/plan/goal")
    assert cut.value.plan is not None
    assert cut.value.plan.steps == (Leaf(name="a"),)
    assert not cut.evidence.ok
    assert cut.evidence.not_proven


def test_a_list_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    """A pointer to no list of items says which lists there are."""
    assert list_at(Whole, "/otherName") == ("other_name",)
    assert list_at(Whole, "/plan/steps") == ("plan", "steps")
    with pytest.raises(
        ValueError, match=r"no list of items at '/leavse'; lists: /leaves, /words, /pets, /maybe, /other"
    ):
        list_at(Whole, "/leavse")
