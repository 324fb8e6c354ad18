"""A call's transfers in its session: what becomes of the agent, the model's answer, the record.

The telephone stands in at the boundary: it notes what it is asked. Those over real SIP are in tests/e2e.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from telephony import events as phone
from telephony.bridge import Bridge
from telephony.errors import SipRequestError
from tests.worker.call.rig import AGENT, SPEECH, Rig
from worker.agent.transfer import AgentTransfer
from worker.call.session import CallSession
from worker.call.transfer import MakeSecond
from worker.records.telemetry import CallInfo

HANDED_ON = AGENT.model_copy(
    update={"transfer": (AgentTransfer(label="sales", uri="sip:200@pbx.example.com"),), "language": "de"}
)


class Telephone:
    """Stands in for the endpoint and the switchboard."""

    def __init__(self) -> None:
        self.takes_refer = False
        self.asked: list[tuple[str, str]] = []
        self.fault: Exception | None = None
        self.second: CallSession | None = None
        self.bridge = Bridge(8000)

    async def refer(self, uri: str) -> None:
        self.asked.append(("refer", uri))
        self._fail()

    async def dial(self, uri: str, make: MakeSecond, account: str | None = None) -> CallSession:
        self.asked.append(("dial", uri))
        self._fail()
        self.second = made = make(CallInfo("5ec0", "", uri), self.bridge, lambda reason: None)
        return made  # type: ignore[no-any-return]

    async def join(self, line_id: str) -> None:
        self.asked.append(("join", line_id))
        self._fail()

    def hang_up(self, line_id: str) -> None:
        self.asked.append(("hang_up", line_id))

    async def send_digits(self, digits: str) -> None:
        self.asked.append(("keys", digits))
        self._fail()

    def _fail(self) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault

    def tells(self, *events: Callable[[str], phone.CallEvent]) -> None:
        """The second line's events."""
        assert self.second is not None
        for event in events:
            self.second.watch(event("5ec0"))


@pytest.fixture
async def rig(make: Callable[..., Rig]) -> AsyncIterator[Rig]:
    made = make(agent=HANDED_ON)
    await made.answer()
    yield made
    await made.session.end_tools()
    await made.session.close()
    await made.inline.aclose()
    assert made.faults == []


@pytest.fixture
def telephone(rig: Rig) -> Telephone:
    found = Telephone()
    rig.session.use_lines(found)
    return found


async def asks(rig: Rig, **arguments: Any) -> None:
    """The caller's turn, words of the model's and a transfer; heard to their end."""
    await rig.created("r1")
    await rig.audio("r1", 500)
    await rig.calls("r1", "t1", "transfer_call", **{"to": "sales", "summary": "wants shoes", **arguments})
    await rig.done("r1")
    rig.run(500 + 460)
    await asyncio.sleep(0)


async def dialled(rig: Rig, telephone: Telephone) -> None:
    await asks(rig)
    await rig.until(lambda: telephone.second, "a second line")


def outcome(rig: Rig) -> tuple[str, str]:
    (found,) = rig.record().transfers
    return found.means, found.outcome


async def test_nothing_is_dialled_before_the_last_word(rig: Rig, telephone: Telephone) -> None:
    await rig.created("r1")
    await rig.audio("r1", 3000)
    await rig.calls("r1", "t1", "transfer_call", to="sales", summary="")
    await rig.done("r1")
    rig.run(3000)
    await asyncio.sleep(0.05)
    assert telephone.asked == []
    rig.run(500)
    await rig.until(lambda: telephone.asked, "it is dialled")


async def test_the_agent_leaves_two_people_alone(rig: Rig, telephone: Telephone) -> None:
    await dialled(rig, telephone)
    telephone.tells(lambda c: phone.CallConfirmed(c), lambda c: phone.MediaActive(c, "PCMU", 8000))
    await rig.until(lambda: rig.session._aside, "the agent has left")
    assert telephone.asked == [("dial", "sip:200@pbx.example.com"), ("join", "5ec0")]
    await rig.until(lambda: not rig.service.heard[-1] or rig.link._closed, "its session is closed")
    before = len(rig.service.sent("input_audio_buffer.append"))
    heard = rig.run(60_000, SPEECH)
    assert heard == bytes(len(heard)), "not a sound of ours"
    assert len(rig.service.sent("input_audio_buffer.append")) == before and rig.hang_ups == []
    rig.session.digit("4")
    rig.session.notice("We have one more minute.")
    rig.session.fail("whatever happens to the provider")
    assert rig.run(2000) == bytes(2 * 16000) and rig.hang_ups == []
    rig.session.hung_up("agent", "200 OK")
    assert outcome(rig) == ("bridge", "accepted")
    assert rig.record().reason == "transferred to sales" and rig.record().outcome == "completed"
    second = telephone.second.recorder.ended(0, "completed")  # type: ignore[union-attr]
    assert (second.second_line_of, second.dialled) == ("c0ffee", "sip:200@pbx.example.com")


async def test_it_rings_is_told_to_the_caller(rig: Rig, telephone: Telephone) -> None:
    await dialled(rig, telephone)
    telephone.tells(lambda c: phone.CallProgress(c, 180, "Ringing"))
    await rig.until(lambda: rig.session.machine.pending.get("t1").news, "told")  # type: ignore[union-attr]
    assert rig.session.machine.pending.get("t1").news == "Es klingelt."  # type: ignore[union-attr]


async def test_what_the_model_is_told_where_it_fails(rig: Rig, telephone: Telephone) -> None:
    await dialled(rig, telephone)
    telephone.tells(lambda c: phone.CallEnded(c, 486, "Busy Here", "caller"))
    output = json.loads(await rig.output("t1"))
    assert (output["status"], output["sip_status"], output["to"]) == ("busy", 486, "sales") and output["note"]
    await rig.service.got("response.create")
    assert outcome(rig) == ("bridge", "busy")
    assert rig.metrics.transfers_total.labels("bridge", "busy")._value.get() == 1


async def test_no_line_is_free(rig: Rig, telephone: Telephone) -> None:
    telephone.fault = SipRequestError("all 4 calls are in use")
    await asks(rig)
    assert json.loads(await rig.output("t1"))["status"] == "failed"
    assert outcome(rig) == ("bridge", "failed")


async def test_a_second_line_that_can_t_be_connected_is_hung_up(rig: Rig, telephone: Telephone) -> None:
    await dialled(rig, telephone)
    telephone.fault = SipRequestError("no audio")
    telephone.tells(lambda c: phone.CallConfirmed(c), lambda c: phone.MediaActive(c, "PCMU", 8000))
    assert json.loads(await rig.output("t1"))["status"] == "failed"
    assert ("hang_up", "5ec0") in telephone.asked


async def test_the_caller_hangs_up_meanwhile(rig: Rig, telephone: Telephone) -> None:
    await dialled(rig, telephone)
    rig.session.hung_up("caller", "200 OK")
    rig.session.watch(phone.CallEnded("c0ffee", 200, "OK", "caller"))
    await rig.session.end_tools()
    assert telephone.asked[-1] == ("hang_up", "5ec0")
    assert outcome(rig) == ("bridge", "hung_up")


async def test_a_call_that_is_closed_takes_the_second_line_along(rig: Rig, telephone: Telephone) -> None:
    await dialled(rig, telephone)
    await rig.session.close()
    assert telephone.asked[-1] == ("hang_up", "5ec0")


async def test_refer_ends_our_leg(rig: Rig, telephone: Telephone) -> None:
    telephone.takes_refer = True
    await asks(rig)
    await rig.until(lambda: telephone.asked, "REFER")
    rig.session.watch(phone.ReferAnswered("c0ffee", 202, "Accepted"))
    rig.session.watch(phone.ReferNotified("c0ffee", 100, "Trying", False))
    rig.session.watch(phone.ReferNotified("c0ffee", 200, "OK", True))
    await rig.until(lambda: rig.hang_ups, "BYE")
    assert rig.hang_ups == ["transferred to sales"] and telephone.asked == [("refer", "sip:200@pbx.example.com")]
    rig.session.hung_up("agent", "200 OK")
    assert outcome(rig) == ("refer", "accepted") and rig.record().outcome == "completed"


async def test_who_has_refused_refer_is_not_asked_again(rig: Rig, telephone: Telephone) -> None:
    telephone.takes_refer = True
    await asks(rig)
    await rig.until(lambda: telephone.asked, "REFER")
    rig.session.watch(phone.ReferAnswered("c0ffee", 603, "Decline"))
    await rig.until(lambda: telephone.second, "a second line")
    telephone.tells(lambda c: phone.CallEnded(c, 486, "Busy Here", "caller"))
    await rig.output("t1")
    assert rig.session._transfers._no_refer


async def test_what_the_model_made_up_is_not_dialled(rig: Rig, telephone: Telephone) -> None:
    await asks(rig, to="sip:evil@attacker.example")
    assert json.loads(await rig.output("t1")) == {"status": "invalid", "error": "'to' has to be one of: sales."}
    assert telephone.asked == [] and rig.record().transfers == []


async def test_a_flood_of_notifies_is_no_more_than_one_outcome(rig: Rig, telephone: Telephone) -> None:
    telephone.takes_refer = True
    await asks(rig)
    await rig.until(lambda: telephone.asked, "REFER")
    rig.session.watch(phone.ReferAnswered("c0ffee", 202, "Accepted"))
    for _ in range(1000):
        rig.session.watch(phone.ReferNotified("c0ffee", 180, "Ringing", False))
    await asyncio.sleep(0.05)
    rig.session.watch(phone.ReferNotified("c0ffee", 486, "Busy Here", True))
    assert json.loads(await rig.output("t1"))["status"] == "busy"
