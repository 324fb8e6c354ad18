"""Whatever a client sends, in whatever order: the session holds its promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SENTENCES = (
    "what is the status of order four two seven",
    "both",
    "tell me a story",
    "goodbye",
    "hang",
    "fail",
    "",
    None,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KINDS = (
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
)
FIELDS = (
    "session",
    "audio",
    "item",
    "item_id",
    "response",
    "response_id",
    "previous_item_id",
    "content_index",
    "event_id",
)
STEPS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(SENTENCES)),
    st.tuples(st.just("run"), st.floats(0, 2)),
    st.tuples(st.just("respond"), st.sampled_from(["auto", "none"])),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("cancel"), st.none()),
    st.tuples(st.just("answer"), st.sampled_from(["{}", '{"status": "sent", "order": "427"}', "x"])),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("truncate"), st.integers(0, 3000)),
    st.tuples(st.just("interrupts"), st.booleans()),
)


def hold(scene: Any, value: bool) -> None:
    scene.hold = value
    if not value:
        scene.release()


def answer(scene: Any, value: str) -> None:
    for call in scene.session.conversation.open_calls():
        item = {"type": "function_call_output", "call_id": call.call_id, "output": value}
        scene.send("conversation.item.create", item=item)


def delete(scene: Any, value: int) -> None:
    if items := scene.session.conversation.items:
        scene.send("conversation.item.delete", item_id=items[value % len(items)].id)


def truncate(scene: Any, value: int) -> None:
    if items := scene.session.conversation.items:
        scene.send("conversation.item.truncate", item_id=items[-1].id, content_index=0, audio_end_ms=value)


def interrupts(scene: Any, value: bool) -> None:
    scene.update(audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": value}}})


DO: dict[str, Callable[[Any, Any], Any]] = {
    "say": lambda scene, value: scene.say(value, 200),
    "run": lambda scene, value: scene.run(value),
    "respond": lambda scene, value: scene.send("response.create", response={"conversation": value}),
    "cancel": lambda scene, _: scene.send("response.cancel"),
    "hold": hold,
    "answer": answer,
    "delete": delete,
    "truncate": truncate,
    "interrupts": interrupts,
}


@given(steps=st.lists(STEPS, max_size=30))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_order_of_events_the_promises_hold(make_scene: Callable[..., Any], steps: list[tuple[str, Any]]) -> None:
    scene = make_scene()
    scene.tools("order_status", "current_time", "end_call")
    for what, value in steps:
        DO[what](scene, value)
    scene.release()
    scene.run()
    scene.send("response.cancel")  # the one that hangs on purpose
    scene.run()
    active: set[str] = set()
    items: set[str] = set()
    for event in scene.events:
        kind = event["type"]
        if kind == "response.created" and event["response"]["conversation_id"] is not None:
            assert not active, "two responses in the conversation at one time"
            active.add(event["response"]["id"])
        elif kind == "response.done":
            active.discard(event["response"]["id"])
        elif kind == "conversation.item.added":
            assert event["item"]["id"] not in items, "an item was added twice"
            items.add(event["item"]["id"])
    assert not active, "a response never ended"
    created = [event["response"]["id"] for event in scene.events.of("response.created")]
    done = [event["response"]["id"] for event in scene.events.of("response.done")]
    left = [response.id for response in scene.session.responder.responses]
    assert sorted(created) == sorted(done + left)
    assert scene.session._unheard == {}


@given(kind=st.sampled_from(KINDS), fields=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nonsense_is_an_error_and_never_the_end(make_scene: Callable[..., Any], kind: str, fields: Any) -> None:
    scene = make_scene()
    scene.said.append("goodbye")
    scene.send(kind, **fields)
    scene.run()
    assert scene.update(instructions="still here").types == ["session.updated"]
