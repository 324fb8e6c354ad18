"""One response at a time, whoever asks for it."""

from __future__ import annotations

from telephony.pcm import level_dbfs
from tests.worker.call.rig import Rig


async def test_an_active_response_of_somebody_else_delays_the_answer_and_loses_nothing(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.shop.gate.set()
    await rig.output("t1")
    request = await rig.service.got("response.create")
    error = {
        "type": "invalid_request_error",
        "code": "conversation_already_has_active_response",
        "message": "Conversation already has an active response in progress: other.",
        "event_id": request["event_id"],
    }
    await rig.tell("error", error=error)
    rig.run(1000)
    await rig.arrived()
    assert len(rig.service.sent("response.create")) == 1, "not asked again into a slot that is taken"
    assert rig.hang_ups == []
    await rig.done("other")
    again = await rig.service.got("response.create", 2)
    assert again["response"]["metadata"] == {"purpose": "tool_result"}
    await rig.speaks("r2", 200, "tool_result")
    assert level_dbfs(rig.run(200)) > -20


async def test_never_a_response_asked_for_while_one_is_active(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.caller_starts("c2")
    await rig.caller_stops("c2")
    await rig.created("r2")
    rig.shop.gate.set()
    await rig.output("t1")
    rig.run(3000)
    await rig.arrived()
    assert rig.service.sent("response.create") == []
    await rig.done("r2")
    await rig.service.got("response.create")
