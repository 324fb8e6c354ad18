"""How a call ends: by the agent, by its limit, by a drain."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.worker.call.rig import AGENT, Rig, goodbye


async def test_end_call_hangs_up_once_and_after_the_last_word(rig: Rig) -> None:
    await goodbye(rig, 2000)
    rig.run(2000)
    assert rig.hang_ups == []
    rig.run(5000)
    assert rig.hang_ups == ["agent"]
    await rig.speaks("r10", 300)  # whatever still comes
    rig.run(1000)
    assert rig.hang_ups == ["agent"]
    rig.session.hung_up("agent", "200 Normal")
    assert rig.record().outcome == "completed"


async def test_a_goodbye_of_half_a_minute_is_not_cut_off(rig: Rig) -> None:
    await goodbye(rig, 30_000)
    rig.run(29_900)
    assert rig.hang_ups == []
    rig.run(2000)
    assert rig.hang_ups == ["agent"]


async def test_end_call_of_a_discarded_generation_hangs_up_on_nobody(rig: Rig) -> None:
    await rig.created("r9")
    await rig.audio("r9", 500)
    rig.run(100)
    await rig.caller_starts()
    await rig.calls("r9", "t9", "end_call")
    await rig.done("r9", "cancelled")
    assert json.loads(await rig.output("t9"))["status"] == "not_started"
    await rig.caller_stops()
    await rig.speaks("r10", 200)
    rig.run(30_000)
    assert rig.hang_ups == []


async def test_the_drains_goodbye_is_spoken_and_then_hung_up(rig: Rig) -> None:
    rig.session.say_goodbye("drain")
    request = await rig.service.got("response.create")
    assert request["response"]["instructions"] == "Say exactly: We close now."
    await rig.speaks("r1", 400, "goodbye")
    rig.run(380)
    assert rig.hang_ups == []
    rig.run(1000)
    assert rig.hang_ups == ["drain"]
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "drained"


async def test_the_time_limit_says_goodbye_once(make: Any) -> None:
    rig = make(agent=AGENT.model_copy(update={"limits": AGENT.limits.model_copy(update={"max_call_seconds": 5.0})}))
    await rig.answer()
    rig.run(4900)
    assert await rig.kinds() == []
    rig.run(400)
    assert await rig.kinds() == ["response.create"]
    await rig.speaks("r1", 200, "goodbye")
    rig.run(1000)
    assert rig.hang_ups == ["limit"]
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "limit"
    await rig.session.close()


@pytest.mark.parametrize(
    ("answered", "by", "outcome"),
    [
        (True, "caller", "completed"),
        (False, "caller", "abandoned"),
        (True, "network", "failed"),
        (False, "error", "failed"),
    ],
)
async def test_how_a_call_ended(make: Any, answered: bool, by: str, outcome: str) -> None:
    rig = make()
    if answered:
        rig.session.answered()
    rig.session.hung_up(by, "200 OK")
    assert rig.session.ended.is_set()
    record = rig.record()
    assert (record.outcome, record.reason) == (outcome, f"{by}: 200 OK")
    await rig.session.close()


async def test_a_call_that_goes_on_elsewhere_is_counted_whether_it_did_or_not(rig: Rig) -> None:
    counted = rig.metrics.hand_overs_total
    rig.session.handed_over("refer", 486)
    rig.session.handed_over("replaces", 200)
    found = {
        (means, outcome): counted.labels(means, outcome)._value.get()
        for means in ("refer", "replaces")
        for outcome in ("done", "refused")
    }
    assert found == {("refer", "done"): 0, ("refer", "refused"): 1, ("replaces", "done"): 1, ("replaces", "refused"): 0}
