"""Digits that a caller types for a tool: the tool has them, and nobody else."""

from __future__ import annotations

import array
import json
import math
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
from pydantic import SecretStr

from telephony import events as phone
from telephony.recording import StereoRecorder
from tests.worker.call.rig import SPEECH, Rig
from tools import Digits, ToolContext, ToolError, tool
from worker.call_tools.entries import LATE_KEYS_S, TAIL_S
from worker.records.metrics import EntryOutcome

CARD = "4111111111111111"
ASK = "Please type your card number. Press the hash key at the end."

Start = Callable[..., Any]


class Till:
    """A tool that takes a card, and says too much."""

    def __init__(self) -> None:
        self.got: list[str] = []

        @tool(mode="inline")
        def pay(
            order: str, card: Annotated[SecretStr, Digits(13, 19, ask="Please type your card number.", show="last4")]
        ) -> dict[str, str]:
            """Pay an order by card."""
            self.got.append(card.get_secret_value())
            return {"order": order, "card": card.get_secret_value(), "shown": str(card)}

        @tool(mode="inline")
        def refuses(pin: Annotated[SecretStr, Digits(4, 4)], context: ToolContext) -> None:
            """Refuse a PIN."""
            context.progress(f"looking at {pin.get_secret_value()}")
            raise ToolError(f"The PIN {pin.get_secret_value()} is wrong.")

        @tool(mode="inline")
        def crashes(pin: Annotated[SecretStr, Digits(4, 4)]) -> None:
            """Crash."""
            raise RuntimeError(f"no such PIN: {pin.get_secret_value()}")

        self.specs = [one.__tool__ for one in (pay, refuses, crashes)]  # type: ignore[attr-defined]


@pytest.fixture
async def till(make: Any, tmp_path: Path) -> AsyncIterator[tuple[Rig, Till]]:
    shop = Till()
    rig: Rig = make(more=shop.specs, recordings=True)
    file = StereoRecorder(tmp_path / "call.wav", rig.bridge)
    rig.session.recording.use(file)
    await rig.answer()
    yield rig, shop
    rig.shop.gate.set()
    await rig.session.close()
    await rig.inline.aclose()
    assert rig.faults == []
    everything = json.dumps(await_free(rig)) + rig.session.recorder.so_far(rig.now * 1000).model_dump_json()
    for value in (CARD, CARD[:8], "8642"):
        assert value not in everything


def await_free(rig: Rig) -> list[Any]:
    """All that the provider was sent, and the journal."""
    return [rig.service.peer.received, repr(rig.session.journal.taken())]


async def pays(rig: Rig, name: str = "pay", **arguments: Any) -> None:
    await rig.asks("r1", "t1", name, **arguments)
    await rig.until(lambda: rig.session.machine.state.asking, "the caller is asked")


async def hears(rig: Rig, number: int = 1, text: str = ASK) -> None:
    await rig.speaks(f"q{number}", 200, "approval", text)
    rig.run(400)


def types(rig: Rig, keys: str) -> None:
    for key in keys:
        event = phone.DigitReceived("c0ffee", key, "rtp")
        rig.session.journal.phoned(event)
        rig.session.digit(event.digit)
        rig.run(40, SPEECH)


async def questions(rig: Rig) -> list[str]:
    sent = [one["response"] for one in await rig.arrived() if one["type"] == "response.create"]
    asked = [one for one in sent if one.get("metadata", {}).get("purpose") == "approval"]
    return [one["instructions"].removeprefix("Say exactly: ") for one in asked]


def came_of_it(rig: Rig) -> dict[str, float]:
    """How often a key entry came to what, by the metric."""
    found = {one: rig.metrics.key_entries_total.labels(one)._value.get() for one in get_args(EntryOutcome)}
    return {one: count for one, count in found.items() if count}


async def test_the_tool_has_them_and_the_model_is_told_what_the_tool_allows(till: tuple[Rig, Till]) -> None:
    rig, shop = till
    await pays(rig, order="427")
    assert await questions(rig) == [ASK]
    await hears(rig)
    types(rig, CARD + "#")
    output = json.loads(await rig.output("t1"))
    assert shop.got == [CARD]
    assert output == {
        "entered": {"card": "entered, 16 digits, ending in 1111"},
        "order": "427",
        "card": "[typed digits]",
        "shown": "**********",
    }
    assert [one.why for one in rig.record().pauses] == ["digits"]
    assert came_of_it(rig) == {"entered": 1}


async def test_the_session_hears_silence_while_they_are_typed_and_a_moment_longer(till: tuple[Rig, Till]) -> None:
    rig, _ = till
    await pays(rig, order="427")
    await hears(rig)
    rig.run(40, SPEECH)
    rig.bridge.push(SPEECH)
    assert rig.session.take() == bytes(320)
    types(rig, CARD + "#")
    await rig.output("t1")
    rig.bridge.push(SPEECH)
    assert rig.session.take() == bytes(320)
    rig.run(round(TAIL_S * 1000) + 100, SPEECH)
    rig.bridge.push(SPEECH)
    assert rig.session.take().endswith(SPEECH)


async def test_tones_in_the_audio_are_no_keys_and_nobody_has_them(make: Any, tmp_path: Path) -> None:
    """In-band DTMF: the caller is asked three times, the tool call comes to nothing, and the tones are kept nowhere."""
    shop = Till()
    rig: Rig = make(more=shop.specs, recordings=True)
    file = StereoRecorder(tmp_path / "call.wav", rig.bridge)
    rig.session.recording.use(file)
    await rig.answer()
    five = array.array("h", (round(6000 * (math.sin(n * 0.605) + math.sin(n * 1.049)) / 2) for n in range(160)))
    await pays(rig, order="427")
    heard = bytearray()
    for number in range(1, 4):
        await hears(rig, number, (await questions(rig))[-1])
        for _ in range(10_700 // 20):
            if rig.session.machine.state.asking:
                rig.bridge.push(five.tobytes())
                heard += rig.session.take()
            rig.bridge.pull()
            rig.now += 0.02
            rig.session.poll(rig.now)
    output = json.loads(await rig.output("t1"))
    assert (output["status"], shop.got) == ("declined", [])
    assert len(heard) > 20 * 16000 and not any(heard), "the session had silence meanwhile"
    file.drain()
    file.close()
    with wave.open(str(tmp_path / "call.wav")) as kept:
        samples = array.array("h", kept.readframes(kept.getnframes()))
    assert len(samples) > 20 * 16000 and not any(samples[::2]), "so has the recording, on the caller's side"
    await rig.session.close()
    await rig.inline.aclose()
    assert rig.faults == []


async def test_who_types_early_interrupts_the_question(till: tuple[Rig, Till]) -> None:
    rig, shop = till
    await pays(rig, order="427")
    await rig.created("q1", "approval")
    await rig.audio("q1", 4000)
    rig.run(200)
    types(rig, CARD)
    assert rig.bridge.queued_ms == 0
    types(rig, "#")
    await rig.output("t1")
    assert shop.got == [CARD]


async def test_what_was_typed_before_the_question_counts_and_is_no_word_to_the_model(till: tuple[Rig, Till]) -> None:
    rig, shop = till
    await rig.asks("r1", "t1", "pay", order="427")
    types(rig, CARD[:4])
    await rig.until(lambda: rig.session.machine.state.asking, "the caller is asked")
    types(rig, CARD[4:] + "#")
    await rig.until(lambda: shop.got == [CARD], "the tool has it")
    await rig.created("q1", "approval")  # too late for it
    await rig.done("q1", "cancelled")
    await rig.output("t1")


async def test_a_wrong_length_is_asked_again_and_then_given_up(till: tuple[Rig, Till]) -> None:
    rig, shop = till
    await pays(rig, order="427")
    await hears(rig)
    for number, wrong in enumerate(("8642#", "86428642864286428642864286428642#"), 2):
        types(rig, wrong)
        again = (await questions(rig))[-1]
        assert again.startswith("Those were too few digits." if number == 2 else "Those were too many digits.")
        await hears(rig, number, again)
    rig.run(10_700)  # behind a tone that has begun
    output = json.loads(await rig.output("t1"))
    assert output["status"] == "declined" and "card" in output["error"] and shop.got == []
    assert came_of_it(rig) == {"nothing": 1}


async def test_keys_after_the_end_are_no_word_to_the_model(till: tuple[Rig, Till]) -> None:
    rig, _ = till
    await pays(rig, order="427")
    await hears(rig)
    types(rig, CARD + "#")
    await rig.output("t1")
    types(rig, "8642#")
    rig.run(round(LATE_KEYS_S * 1000) + 100)
    types(rig, "77#")
    said = [m for m in await rig.arrived() if "keypad" in json.dumps(m) and m["type"] == "conversation.item.create"]
    assert len(said) == 1 and "77" in json.dumps(said)


async def test_a_hang_up_in_the_middle_ends_it(till: tuple[Rig, Till]) -> None:
    rig, shop = till
    await pays(rig, order="427")
    await hears(rig)
    types(rig, CARD)
    rig.session.hung_up("caller", "200")
    await rig.session.end_tools()
    assert shop.got == [] and [one.status for one in rig.record().tool_calls] == ["cancelled"]
    assert came_of_it(rig) == {"hung_up": 1}


@pytest.mark.parametrize(("name", "status"), [("refuses", "failed"), ("crashes", "failed")])
async def test_a_tool_that_fails_tells_nobody(
    till: tuple[Rig, Till], name: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rig, _ = till
    await pays(rig, name)
    await hears(rig, text="Please type your pin on the keypad. Press the hash key at the end.")
    types(rig, "8642#")
    output = json.loads(await rig.output("t1"))
    assert output["status"] == status and output["entered"] == {"pin": "entered"}
    assert "8642" not in json.dumps(output) + "".join(capsys.readouterr())
