"""What a caller is promised where nobody took their transfer.

The catalog stands in: tests/tools/queue/test_promises.py has the real one, tests/e2e/test_later.py all of it.
"""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tools.queue.store.late import Orphan
from tools.run.catalog import Catalog
from tools.tool_call.outcome import Outcome
from worker.call.transfer_promise import TransferPromises
from worker.call_tools.transfer import OFFERS, PROMISE_TRANSFER, Target, Wanted, not_accepted
from worker.records.metrics import Metrics
from worker.records.telemetry import CallInfo, Telemetry
from worker.turns.events import StartTool

SALES = Target(label="sales", uri="sip:200@pbx.example", unanswered="call_back", call_back_s=60)
NOTE = Target(label="office", uri="sip:201@pbx.example", unanswered="send")
PLAIN = Target(label="boss", uri="sip:202@pbx.example")
WAYS = {"call_back": "call_back", "send": "sms"}


class Kept:
    """Stands in for the catalog: it notes what is promised."""

    def __init__(self) -> None:
        self.promised: dict[str, tuple[Orphan, Outcome]] = {}
        self.there = True

    async def promise_known(self, orphan: Orphan, outcome: Outcome) -> bool:
        if self.there:
            self.promised[orphan.job_id] = orphan, outcome
        return self.there

    async def unpromise(self, job_id: str) -> None:
        del self.promised[job_id]


@pytest.fixture
def kept() -> Kept:
    return Kept()


def promises(kept: Kept, ways: dict[Any, str] | None = None) -> TransferPromises:
    call = Telemetry.of_call(CallInfo("c1", "+4930123", "427"), Metrics(), lambda: 0.0, None)
    return TransferPromises(call, cast(Catalog, kept), WAYS if ways is None else ways)


def miss(made: TransferPromises, target: Target, tool_call_id: str = "t1") -> dict[str, Any]:
    output = not_accepted("busy", target.label, 486)
    return made.missed(tool_call_id, Wanted(target, "blind", "wants shoes"), output)


async def ask(made: TransferPromises, to: object) -> dict[str, Any]:
    return await made.answer(StartTool("p1", PROMISE_TRANSFER, json.dumps({"to": to})))


async def test_the_model_may_offer_what_the_agent_file_says(kept: Kept) -> None:
    made = promises(kept)
    assert miss(made, SALES)["note"].endswith(OFFERS["call_back"])
    assert miss(made, NOTE, "t2")["note"].endswith(OFFERS["send"])
    assert miss(made, PLAIN, "t3") == not_accepted("busy", "boss", 486)
    assert kept.promised == {}, "nothing before the caller wants it"


async def test_it_is_written_down_once_with_all_that_is_needed_later(kept: Kept) -> None:
    made = promises(kept)
    miss(made, SALES)
    assert (await ask(made, "sales"))["status"] == "promised"
    assert (await ask(made, "sales"))["status"] == "promised"
    assert miss(made, SALES, "t9") == not_accepted("busy", "sales", 486), "it is not offered twice"
    ((orphan, outcome),) = kept.promised.values()
    assert (orphan.caller, orphan.dialled, orphan.channel) == ("+4930123", "427", "call_back")
    assert orphan.not_before == pytest.approx(orphan.hung_up_at + 60)
    assert json.loads(orphan.arguments) == {"to": "sales", "summary": "wants shoes"}
    found = json.loads(outcome.output)
    assert (found["status"], found["summary"]) == ("busy", "wants shoes")


async def test_a_note_goes_out_at_once_and_says_no_more_than_it_has_to(kept: Kept) -> None:
    made = promises(kept)
    miss(made, NOTE)
    assert (await ask(made, "office"))["how"] == "send"
    ((orphan, _),) = kept.promised.values()
    assert (orphan.channel, orphan.not_before) == ("sms", 0.0)


@pytest.mark.parametrize("to", ["boss", "sales", None, 5, ["sales"], "nobody"])
async def test_what_was_not_tried_in_vain_is_not_promised(kept: Kept, to: object) -> None:
    made = promises(kept)
    miss(made, PLAIN)
    assert (await ask(made, to))["status"] == "invalid"
    assert kept.promised == {}


async def test_who_is_put_through_after_all_is_owed_nothing(kept: Kept) -> None:
    made = promises(kept)
    miss(made, SALES)
    await ask(made, "sales")
    await made.taken()
    assert kept.promised == {}
    assert (await ask(made, "sales"))["status"] == "invalid"


async def test_where_it_can_t_be_written_down_nothing_is_promised(kept: Kept) -> None:
    made = promises(kept)
    miss(made, SALES)
    kept.there = False
    assert (await ask(made, "sales"))["status"] == "unavailable"
    kept.there = True
    assert (await ask(made, "sales"))["status"] == "promised"


def test_a_caller_who_can_t_be_called_back_is_offered_nothing(kept: Kept) -> None:
    made = promises(kept, {"send": "sms"})
    assert not made.offers_for(SALES) and made.offers_for(NOTE) and not made.offers_for(PLAIN)
    assert miss(made, SALES) == not_accepted("busy", "sales", 486)
