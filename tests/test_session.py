"""The session: ask, parse, check, repair, with nothing but values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from dbprompt.errors import RenderError
from dbprompt.evidence import Finding, Report, Severity
from dbprompt.messages import Message, Reply, Role, StopReason, Usage
from dbprompt.patch import BrokenItem
from dbprompt.sections import output_schema
from dbprompt.session import Ask, Check, Done, GaveUp, RepairMessages, Session


class Item(BaseModel):
    name: str
    size: int = 0


class Box(BaseModel):
    title: str
    items: Annotated[tuple[Item, ...], Field(min_length=1)]


GOOD = {"title": "t", "items": [{"name": "a", "size": 1}, {"name": "b", "size": 2}, {"name": "c", "size": 3}]}


def session(attempts: int = 3) -> Session[Box]:
    """A session whose repair message is the items' text."""
    return Session(
        Box,
        (Message(Role.USER, "fill the box"),),
        output_schema(Box),
        lambda items: [
            Message(Role.USER, json.dumps([[i.key, i.text, [f.message for f in i.findings]] for i in items]))
        ],
        attempts=attempts,
    )


def narrow(most: int) -> RepairMessages:
    """Repair messages of so many characters at most."""

    def repair(items: Sequence[BrokenItem]) -> tuple[Message, ...]:
        text = "".join(f"{item.key} {item.text} {item.findings[0].message} " for item in items)
        if len(text) + sum(len(f.message) for item in items for f in item.findings[1:]) > most:
            raise RenderError("it outgrew its cap")
        return (Message(Role.USER, text + items[-1].findings[-1].message),)

    return repair


def reply(value: object, stop: StopReason = StopReason.COMPLETE) -> Reply:
    """A reply with this JSON or text."""
    return Reply(value if isinstance(value, str) else json.dumps(value), stop, Usage(1, 10, 5))


def wrong(where: str, message: str = "bad") -> Report:
    """A report with one error."""
    return Report((Finding("x.y", Severity.ERROR, where, message),))


def test_a_good_answer_takes_one_request() -> None:
    """An answer with no errors is done after one ask and one check."""
    box = session()
    assert isinstance(box.begin(), Ask)
    step = box.replied(reply(GOOD))
    assert isinstance(step, Check)
    done = box.checked(Report())
    assert isinstance(done, Done)
    assert done.value == Box.model_validate(GOOD)


def test_repair_holds_only_the_broken_items() -> None:
    """The second request shows and asks for the item that a finding points at, and nothing else of the answer."""
    box = session()
    box.begin()
    box.replied(reply(GOOD))
    step = box.checked(wrong("/items/1/size"))
    assert isinstance(step, Ask)
    asked = step.request.messages[-1].text
    assert '\\"b\\"' in asked and '\\"a\\"' not in asked and '\\"c\\"' not in asked
    assert list(step.request.output.schema["properties"]) == ["items_1"]
    step = box.replied(reply({"items_1": {"name": "b", "size": 20}}))
    assert isinstance(step, Check)
    assert [item.size for item in step.candidate.value.items] == [1, 20, 3]


def test_a_list_is_added_to_and_an_item_dropped() -> None:
    """A finding about the list adds to it, and null in place of an item removes it."""
    box = session()
    box.begin()
    box.replied(reply(GOOD))
    step = box.checked(wrong("/items") + Report((Finding("x.y", Severity.ERROR, "/items/0", "twice", may_drop=True),)))
    assert isinstance(step, Ask)
    assert list(step.request.output.schema["properties"]) == ["items_0", "add_items"]
    step = box.replied(reply({"items_0": None, "add_items": [{"name": "d", "size": 4}]}))
    assert isinstance(step, Check)
    assert [item.name for item in step.candidate.value.items] == ["b", "c", "d"]


def test_misshapen_and_wrong_items_are_repaired_in_one_round() -> None:
    """Items that failed their shape are left out of the check, and go back together with the wrong ones."""
    box = session()
    box.begin()
    broken = {"title": "t", "items": [{"name": "a", "size": "big NOT NULL"}, {"name": "b", "size": 2}]}
    step = box.replied(reply(broken))
    assert isinstance(step, Check)
    assert [item.name for item in step.candidate.value.items] == ["b"]
    assert step.candidate.misshapen == {"a"}
    step = box.checked(wrong("/items/0", "b is wrong"))  # position 0 of the candidate is position 1 of the answer
    assert isinstance(step, Ask)
    assert list(step.request.output.schema["properties"]) == ["items_0", "items_1"]
    assert "big NOT NULL" in step.request.messages[-1].text and "b is wrong" in step.request.messages[-1].text


def test_one_that_never_learns_ends_after_the_attempts() -> None:
    """After `attempts` repairs the session gives up and keeps the last answer and its findings."""
    box = session(attempts=2)
    step: object = box.begin()
    requests = 0
    while isinstance(step, Ask):
        requests += 1
        step = box.replied(reply(GOOD if requests == 1 else {"items_1": {"name": "b", "size": 2}}))
        if isinstance(step, Check):
            step = box.checked(wrong("/items/1", "still bad"))
    assert isinstance(step, GaveUp)
    assert (requests, step.reason, step.value) == (3, "unproven", Box.model_validate(GOOD))
    assert step.report.findings[0].message == "still bad"
    assert [turn.kind for turn in box.turns] == ["ask", "repair", "repair"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "answer.empty"), ("Sure! Here it is", "answer.malformed"), ('{"title": NaN}', "answer.malformed")],
)
def test_an_answer_that_is_no_json_is_asked_for_again(text: str, code: str) -> None:
    """Empty and malformed answers go back once with the parse finding, and the whole answer is asked for."""
    box = session()
    box.begin()
    step = box.replied(reply(text))
    assert isinstance(step, Ask)
    assert [finding.code for finding in step.findings] == [code]
    assert step.request.output == output_schema(Box)
    assert isinstance(box.replied(reply(GOOD)), Check)


def test_a_malformed_repair_asks_for_the_same_items() -> None:
    """A repair that is not JSON does not lose the answer: the same items are asked for once more."""
    box = session()
    box.begin()
    box.replied(reply(GOOD))
    box.checked(wrong("/items/1"))
    step = box.replied(reply("oops"))
    assert isinstance(step, Ask)
    assert list(step.request.output.schema["properties"]) == ["items_1"]
    told = step.request.messages[-1].text
    assert "not JSON" in told and "repeated this item unchanged" not in told
    step = box.replied(reply({"items_1": {"name": "b", "size": 7}}))
    assert isinstance(step, Check)
    assert step.candidate.value.items[1].size == 7


def test_a_list_of_broken_items_is_not_called_empty() -> None:
    """Each broken item is asked for by itself; that nothing is left of the list only follows."""
    box = session()
    box.begin()
    step = box.replied(reply({"title": "t", "items": [{"name": 1}, {"name": 2}]}))
    assert isinstance(step, Ask)
    assert [finding.where for finding in step.findings] == ["/items/0/name", "/items/1/name"]
    assert list(step.request.output.schema["properties"]) == ["items_0", "items_1"]
    step = box.replied(reply({"items_0": {"name": "a"}, "items_1": {"name": "b"}}))
    assert isinstance(step, Check)
    empty = session()
    empty.begin()
    step = empty.replied(reply({"title": "t", "items": []}))
    assert isinstance(step, Ask) and [finding.where for finding in step.findings] == ["/items"]


def test_a_fence_around_the_json_is_taken_off() -> None:
    """JSON in a code fence is the JSON."""
    box = session()
    box.begin()
    assert isinstance(box.replied(reply("```json\n" + json.dumps(GOOD) + "\n```")), Check)


@pytest.mark.parametrize(("stop", "reason"), [(StopReason.REFUSED, "refused"), (StopReason.TRUNCATED, "truncated")])
def test_refused_and_truncated_answers_end_at_once(stop: StopReason, reason: str) -> None:
    """A refusal or a cut-off answer is never parsed in part, even if its text happens to be JSON."""
    box = session()
    box.begin()
    step = box.replied(reply(GOOD, stop))
    assert isinstance(step, GaveUp)
    assert (step.reason, step.value) == (reason, None)


def test_a_draft_is_checked_before_anything_is_asked() -> None:
    """A session with a draft starts with a check, and asks only for what is wrong with it."""
    box = session()
    box.draft = Box.model_validate(GOOD)
    assert isinstance(box.begin(), Check)
    step = box.checked(wrong("/items/2"))
    assert isinstance(step, Ask)
    assert list(step.request.output.schema["properties"]) == ["items_2"]


def test_an_item_that_came_back_unchanged_is_told_so() -> None:
    """A repair that repeats the item as it was is not asked for with the same words: they would get the same answer."""
    box = session()
    box.begin()
    box.replied(reply(GOOD))
    first = box.checked(wrong("/items/1", "too small"))
    box.replied(reply({"items_1": GOOD["items"][1]}))
    second = box.checked(wrong("/items/1", "too small"))
    assert isinstance(first, Ask) and isinstance(second, Ask)
    assert "unchanged" not in first.request.messages[-1].text
    assert "unchanged; it is still wrong: too small" in second.request.messages[-1].text
    box.replied(reply({"items_1": {"name": "b", "size": 5}}))
    third = box.checked(wrong("/items/1", "too small"))
    assert isinstance(third, Ask) and "unchanged" not in third.request.messages[-1].text


def test_an_item_is_not_dropped_unless_a_finding_allows_it() -> None:
    """A model that answers null instead of a better item changes nothing; the schema does not even offer it."""
    box = session()
    box.begin()
    box.replied(reply(GOOD))
    step = box.checked(wrong("/items/1"))
    assert isinstance(step, Ask)
    assert step.request.output.schema["properties"] == {"items_1": {"$ref": "#/$defs/Item"}}
    step = box.replied(reply({"items_1": None}))
    assert isinstance(step, Check)
    assert step.candidate.value == Box.model_validate(GOOD)


def test_an_empty_addition_adds_nothing() -> None:
    """Null in place of a list to add, or in it, leaves the answer as it was: the next round can still mend it."""
    box = session()
    box.begin()
    box.replied(reply(GOOD))
    box.checked(wrong("/items"))
    for nothing in (None, [None]):
        step = box.replied(reply({"add_items": nothing}))
        assert isinstance(step, Check)
        assert step.candidate.value == Box.model_validate(GOOD)
        box.checked(wrong("/items"))


def test_more_that_is_wrong_than_a_message_has_room_for() -> None:
    """As many items as fit are asked for, and the last says that there is more; never an error of the template."""
    box = session()
    box.repair = narrow(1_000)
    box.begin()
    step = box.replied(reply({"title": "t", "items": [{"nam": f"i{at}"} for at in range(100)]}))
    assert isinstance(step, Ask)
    asked, said = list(step.request.output.schema["properties"]), step.request.messages[0].text
    assert asked == [f"items_{at}" for at in range(12)] and len(step.findings) == 12
    assert "(88 more that is wrong is not listed here" in said
    box.replied(reply({key: {"name": "good"} for key in asked}))
    step = box.checked(Report())
    assert isinstance(step, Ask) and next(iter(step.request.output.schema["properties"])) == "items_12"


def test_one_item_or_one_answer_that_is_too_long_to_show() -> None:
    """An item is asked for by its place then, and of a whole answer's faults the first ones are told."""
    box = session()
    box.repair = narrow(1_000)
    box.begin()
    box.replied(reply({**GOOD, "items": [{"name": "x" * 5_000}]}))
    step = box.checked(wrong("/items/0", "no " * 1_000))
    assert isinstance(step, Ask) and "items_0" in step.request.messages[0].text
    box.begin()
    step = box.checked(Report(tuple(Finding("x.y", Severity.ERROR, "/nowhere", f"bad {at}") for at in range(200))))
    assert isinstance(step, Ask) and "bad 0" in step.request.messages[0].text


def test_a_repair_template_that_fails_is_its_authors_error() -> None:
    """Nothing that is left out of the request would help."""
    box = session()
    box.repair = narrow(0)
    box.begin()
    box.replied(reply(GOOD))
    with pytest.raises(RenderError):
        box.checked(wrong("/items/1"))


def test_a_strange_pointer_of_a_check_is_no_crash() -> None:
    """A finding whose `where` names no place of the answer concerns the list it starts with."""
    box = session()
    box.begin()
    box.replied(reply(GOOD))
    step = box.checked(wrong("/items/\u00b2"))
    assert isinstance(step, Ask)
    assert list(step.request.output.schema["properties"]) == ["add_items"]
