"""The offer to tell it later, in the turn machine: when it is made, once for each tool call, and never over anybody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.worker.turns.scene import FILLERS, Scene, start_filler
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.filler_voice import Offer
from worker.turns.machine import TurnConfig, TurnMachine

WORDS = "Shall I call you back?"


def made(after_s: float = 12.0, possible: bool = True, usual_s: float | None = None) -> Scene:
    scene = Scene()
    offer = Offer(text=WORDS, after_s=after_s, possible=lambda tool: possible, expected_s=lambda tool: usual_s)
    scene.machine = TurnMachine(TurnConfig(fillers=replace(FILLERS, offer=offer)))
    scene.connect()
    return scene


def said(scene: Scene, seconds: float) -> list[str]:
    """Let time pass, with every sentence spoken and played at once; returns them."""
    texts = []
    end = scene.now + seconds
    while scene.now < end:
        for command in scene.wait(0.1):
            if isinstance(command, turn.PlayTone):
                scene.played()
            elif isinstance(command, turn.SpeakFiller):
                texts.append(command.text)
                speak(scene, command)
    return texts


def speak(scene: Scene, command: turn.SpeakFiller) -> list[turn.Command]:
    """The provider speaks a filler, and all of it is played."""
    response = f"f{command.metadata['number']}"
    commands = scene.feed(realtime.ResponseStarted(response, command.metadata))
    commands += scene.feed(turn.AudioStarted(response, f"item-{response}"))
    commands += scene.feed(realtime.ResponseDone(response, "completed", metadata=command.metadata))
    return commands + scene.played()


def test_the_next_sentence_past_the_limit_is_the_offer_and_then_it_goes_on_as_before() -> None:
    scene = made(after_s=12.0)
    scene.turn_with_tool()
    texts = said(scene, 60)
    assert texts[:2] == ["Let me look.", "One moment."]
    assert texts.count(WORDS) == 1 and 2 <= texts.index(WORDS) < len(texts) - 1
    assert turn.OfferSpoken(WORDS) in scene.commands


@pytest.mark.parametrize("scene", [made(possible=False), made(after_s=100.0)], ids=["not possible", "not yet"])
def test_nothing_is_offered_before_its_time_or_for_what_can_not_be_told_later(scene: Scene) -> None:
    scene.turn_with_tool()
    assert WORDS not in said(scene, 60)


def test_a_tool_that_is_known_to_take_long_is_offered_after_its_own_first_words() -> None:
    scene = made(after_s=30.0, usual_s=120.0)
    scene.turn_with_tool()
    assert said(scene, 8)[:2] == ["Let me look.", WORDS]


def test_each_tool_call_once_and_those_that_run_together_together() -> None:
    scene = made(after_s=12.0)
    scene.turn_with_tool()
    scene.call_tool(call="t2")
    assert said(scene, 40).count(WORDS) == 1
    scene.call_tool(call="t3")
    assert said(scene, 11).count(WORDS) == 0
    assert said(scene, 40).count(WORDS) == 1


def test_an_offer_that_was_not_heard_is_made_again() -> None:
    scene = made(after_s=0.1)
    scene.turn_with_tool()
    [asked] = [c for c in scene.wait(0.6) if isinstance(c, turn.SpeakFiller)]
    assert asked.text == WORDS
    scene.caller_speaks()  # before a sound of it
    scene.caller_stops()
    scene.respond("r2")
    scene.played()
    assert turn.OfferSpoken(WORDS) not in scene.commands
    assert said(scene, 6)[0] == WORDS
    assert scene.commands.count(turn.OfferSpoken(WORDS)) == 1


def test_who_was_promised_it_is_not_asked() -> None:
    scene = made(after_s=5.0)
    scene.turn_with_tool()
    for tool in scene.machine.pending.running():
        tool.offered = True
    assert WORDS not in said(scene, 40)


def test_other_fillers_are_no_offers() -> None:
    scene = made(after_s=30.0)
    scene.turn_with_tool()
    scene.wait(0.6)
    start_filler(scene)
    assert not any(isinstance(command, turn.OfferSpoken) for command in scene.commands)
