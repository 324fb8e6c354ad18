"""The agent presses keys: what the model may ask for, in what order it goes out, and that nobody writes it down."""

from __future__ import annotations

import json
from typing import Any

import pytest

from telephony.errors import NoSuchCall
from tests.worker.call.rig import AGENT
from tests.worker.call.test_transfer import Telephone

AGENT_OUT = AGENT.model_copy(update={"tools": AGENT.tools.model_copy(update={"send_digits": True})})


@pytest.fixture
async def rig(make: Any) -> Any:
    made = make(agent=AGENT_OUT)
    made.telephone = Telephone()
    made.session.use_lines(made.telephone)
    await made.answer()
    yield made
    await made.session.close()
    assert made.faults == []


async def pressed(rig: Any, **arguments: Any) -> dict[str, Any]:
    await rig.asks("r1", "t1", "send_digits", **arguments)
    found: dict[str, Any] = json.loads(await rig.output("t1"))
    return found


async def test_keys_go_out_with_the_pauses_between_them(rig: Any) -> None:
    assert await pressed(rig, digits="12,,7#") == {"status": "sent"}
    assert rig.telephone.asked == [("keys", "12"), ("keys", "7#")]


@pytest.mark.parametrize("digits", ["", "12 34", "1" * 33, "*x", 7, None])
async def test_what_is_no_key_is_told_to_the_model(rig: Any, digits: Any) -> None:
    answer = await pressed(rig, digits=digits)
    assert answer["status"] == "invalid" and "0-9" in answer["error"] and rig.telephone.asked == []


async def test_a_line_that_is_gone_is_told_too(rig: Any) -> None:
    rig.telephone.fault = NoSuchCall("c0ffee")
    assert (await pressed(rig, digits="1"))["status"] == "failed"


async def test_what_was_pressed_stands_nowhere(rig: Any, caplog: Any, capsys: Any) -> None:
    await pressed(rig, digits="48151623")
    written = rig.record().model_dump_json() + caplog.text + "".join(capsys.readouterr())
    assert "keys_sent" in written and "48151623" not in written


async def test_it_is_offered_only_where_the_agent_file_says_so(make: Any, rig: Any) -> None:
    def offered(session: Any) -> list[str]:
        return [one["name"] for one in session._link._config.tools]

    assert "send_digits" in offered(rig.session)
    plain = make()
    assert "send_digits" not in offered(plain.session)
    await plain.session.close()
