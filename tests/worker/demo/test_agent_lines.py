"""What the demo's caller understands of the agent, through G.711 as in a call."""

from __future__ import annotations

from functools import lru_cache

import pytest

from telephony.g711 import ulaw_decode, ulaw_encode
from telephony.resample import Resampler
from worker.demo.agent_lines import grammar
from worker.local.speech import Recogniser, synthesize

FILLERS = ("One moment, please.", "Let me look that order up.")
ANSWER = "Order four two seven is shipped with DHL, and arrives on Thursday."
HEARD = "order four two seven is shipped with d h l and arrives on thursday"


@lru_cache(maxsize=1)
def ears() -> Recogniser:
    return Recogniser(grammar(FILLERS))


def on_the_line(text: str) -> bytes:
    pcm, rate_hz = synthesize(text, "en-us+f2", 160)
    telephone = ulaw_decode(ulaw_encode(Resampler(rate_hz, 8000).process(pcm)))
    return Resampler(8000, 16000).process(telephone)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ((ANSWER,), HEARD),
        ((FILLERS[0], ANSWER), f"one moment please {HEARD}"),
        ((FILLERS[1],), "let me look that order up"),
        (("Order four two eight is being packed, and arrives next Tuesday.",), "order four two eight is being packed"),
    ],
    ids=["answer", "filler and answer in one breath", "filler", "another answer"],
)
def test_understands(said: tuple[str, ...], heard: str) -> None:
    assert ears().recognise(b"".join(map(on_the_line, said))).startswith(heard)


def test_needs_no_fillers() -> None:
    assert "order" in grammar()
