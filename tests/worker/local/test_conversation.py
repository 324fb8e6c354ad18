from __future__ import annotations

import pytest

from worker.local.conversation import Conversation, Item
from worker.local.errors import RequestError


def call(number: int, status: str = "completed") -> Item:
    return Item(f"f{number}", "function_call", name="x", call_id=f"c{number}", status=status)


def output(number: int) -> Item:
    return Item(f"o{number}", "function_call_output", call_id=f"c{number}")


def test_calls_are_open_until_their_output() -> None:
    conversation = Conversation()
    for item in (call(1), call(2), call(3, "incomplete"), output(1)):
        conversation.add(item)
    assert [item.call_id for item in conversation.open_calls()] == ["c2"]
    conversation.delete("o1")
    assert [item.call_id for item in conversation.open_calls()] == ["c1", "c2"]


def test_an_item_after_one_that_is_not_there_is_refused_and_not_added() -> None:
    conversation = Conversation()
    with pytest.raises(RequestError) as refused:
        conversation.add(call(1), "nobody")
    assert (refused.value.code, refused.value.param) == ("item_create_invalid_previous_item_id", "previous_item_id")
    assert conversation.items == []


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (call(1), {"type": "function_call", "name": "x", "call_id": "c1", "arguments": ""}),
        (output(1), {"type": "function_call_output", "call_id": "c1", "output": ""}),
        (Item("m", "message", "user"), {"type": "message", "role": "user", "content": []}),
    ],
)
def test_items_on_the_wire(item: Item, shown: dict[str, object]) -> None:
    wire = item.wire()
    assert {key: wire[key] for key in shown} == shown
    assert wire.keys() == {"id", "object", "status", *shown}


def test_audio_that_a_client_puts_into_an_item_is_not_kept() -> None:
    given = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_audio", "audio": "AAAA", "transcript": "hi"}],
    }
    item = Item.of_client(given, "new", "call")
    assert (item.id, item.text, item.content) == ("new", "hi", [{"type": "input_audio", "transcript": "hi"}])
    assert "audio" in str(given)
