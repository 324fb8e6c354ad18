"""A call's journal as a real session writes it: edges of all kinds, the silences' reasons, and no secret."""

from __future__ import annotations

import json

from telephony.events import DigitReceived
from tests.worker.call.rig import SPEECH, Rig
from worker.records.edges import journal_of
from worker.records.silence_reasons import Why
from worker.records.story import Story, story_of


def told(rig: Rig) -> Story:
    taken = rig.session.journal.taken()
    return story_of("c0ffee", rig.session.recorder.so_far(rig.now * 1000), journal_of("c0ffee", taken), live=True)


async def test_a_turn_with_a_slow_tool_and_why_the_caller_heard_nothing(rig: Rig) -> None:
    await rig.speaks("r0", 400, text="Hello.")
    rig.run(500)
    await rig.caller_starts()
    rig.run(1000, SPEECH)
    await rig.caller_stops()
    await rig.created("r1")
    rig.run(1600)  # a model that thinks
    await rig.calls("r1", "t1", "order_status", order="my-secret-order")
    await rig.done("r1")
    rig.run(300)
    rig.shop.gate.set()
    await rig.output("t1")
    story = told(rig)
    assert story.journal is not None
    found = {(edge.kind, edge.what) for edge in story.journal.edges}
    assert {
        ("record", "Answered"),
        ("turn", "MediaReady"),
        ("provider", "SessionReady"),
        ("provider", "ResponseStarted"),
        ("record", "TurnStarted"),
        ("turn", "SpeechStopped"),
        ("turn", "ToolCallRequested"),
        ("record", "ToolStarted"),
        ("record", "ToolEnded"),
    } <= found
    assert story.journal.counted["AudioDelta"] >= 1
    [silence] = [one for one in story.silences if one.end_ms - one.start_ms > 1500]
    assert silence.why is Why.FIRST_AUDIO
    [asked] = [edge for edge in story.journal.edges if (edge.kind, edge.what) == ("turn", "ToolCallRequested")]
    assert asked.data["commands"][0] == {  # type: ignore[index, call-overload]
        "command": "StartTool",
        "tool_call_id": "t1",
        "name": "order_status",
    }
    assert "my-secret-order" not in story.journal.model_dump_json()


async def test_digits_and_words_stay_out_of_the_journal(rig: Rig) -> None:
    for digit in "4711#":
        rig.session.journal.phoned(DigitReceived("c0ffee", digit, "rtp"))
        rig.session.digit(digit)
    rig.run(3000)
    await rig.speaks("r0", 200, text="Your PIN is 4711, thank you.")
    rig.run(300)
    journal = told(rig).journal
    assert journal is not None
    edges = [edge for edge in journal.edges if edge.what not in ("Answered",)]
    assert any(edge.what == "CallerTyped" for edge in edges)
    assert not any("4711" in json.dumps(edge.data) or "PIN" in json.dumps(edge.data) for edge in edges)
