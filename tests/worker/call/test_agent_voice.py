"""Barge-in: silence at once, and the provider is told what was heard."""

from __future__ import annotations

from telephony.pcm import level_dbfs
from tests.worker.call.rig import SILENCE, Rig


async def test_barge_in_is_silence_at_once_and_truncates_at_what_was_heard(rig: Rig) -> None:
    await rig.created("r1")
    for _ in range(20):
        await rig.audio("r1", 200)  # 4 s, generated at once
    rig.run(700)
    await rig.caller_starts()
    assert rig.run(20) == SILENCE
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("item-r1", 0, 700)
    await rig.audio("r1", 1000)  # what was still on its way
    await rig.done("r1", "cancelled")
    assert level_dbfs(rig.run(300)) < -90
    await rig.caller_stops()
    await rig.audio("r1", 400)  # and later still
    assert level_dbfs(rig.run(300)) < -90
    [barge_in] = rig.record().barge_ins
    assert barge_in.heard_ms == 700


async def test_truncation_counts_what_was_played_and_not_the_time_of_the_call(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 2000)
    rig.run(200)
    rig.now += 30.0  # on hold: time passes, the playout clock stands
    rig.session.poll(rig.now)
    await rig.caller_starts()
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert cut["audio_end_ms"] == 200


async def test_truncation_is_never_past_what_was_received(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 300)
    rig.run(1000)  # ran dry after 300 ms: the provider is late
    assert rig.session.machine.floor.value == "nobody"
    await rig.audio("r1", 100)
    rig.run(20)
    await rig.caller_starts()
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert 300 <= cut["audio_end_ms"] <= 400


async def test_what_was_not_heard_at_all_is_deleted_and_not_truncated_at_nought(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 1000)
    await rig.caller_starts()
    kinds = await rig.kinds()
    assert "conversation.item.truncate" not in kinds
    [gone] = rig.service.sent("conversation.item.delete")
    assert gone["item_id"] == "item-r1"


async def test_audio_that_came_after_the_caller_had_begun_is_taken_out_of_the_conversation(rig: Rig) -> None:
    """The usual barge-in: between response.created and its first audio. Nobody heard it; the model must know."""
    await rig.created("r1")
    await rig.caller_starts()
    await rig.audio("r1", 400)
    await rig.audio("r1", 400)
    assert await rig.kinds() == []
    await rig.tell(
        "response.output_audio_transcript.done", response_id="r1", item_id="item-r1", transcript="Nobody heard this."
    )
    await rig.done("r1", "cancelled")
    [gone] = await rig.arrived()
    assert (gone["type"], gone["item_id"]) == ("conversation.item.delete", "item-r1")
    assert level_dbfs(rig.run(400)) < -90
    assert [entry.text for entry in rig.session._conversation.history.entries()] == []


async def test_late_audio_of_an_item_that_was_heard_in_part_does_not_delete_it(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 1000)
    rig.run(500)
    await rig.caller_starts()
    await rig.audio("r1", 400)
    await rig.done("r1", "cancelled")
    assert "conversation.item.delete" not in await rig.kinds()


async def test_an_item_heard_to_its_end_is_left_alone(rig: Rig) -> None:
    await rig.speaks("r1", 300)
    rig.run(400)
    await rig.caller_starts()
    assert await rig.kinds() == []
    assert rig.record().barge_ins == []


async def test_speech_in_the_moment_after_the_last_frame_is_no_barge_in(rig: Rig) -> None:
    await rig.speaks("r1", 300)
    for _ in range(20):
        rig.bridge.pull()  # all of it is sent; the next poll would notice
    await rig.caller_starts()
    assert await rig.kinds() == [] and rig.record().barge_ins == []
