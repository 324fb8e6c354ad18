"""How well the local server's ears understand espeak's voices after the telephone: 8 kHz, G.711.

    python tests/bench/recognition.py [--orders 40] [--rate 150] [--voices en-us,en-us+m5]

For each voice: how many of the shipped dialogue's sentences and of random orders are understood word for word, how
many sentences that are not in the dialogue are refused, and the time (ms) that an utterance takes.
"""

from __future__ import annotations

import argparse
import random
import time

from worker.local.dialogue import load_dialogue
from worker.local.sound import decode, encode, resample
from worker.local.speech import Recogniser, jsgf, synthesize
from worker.local.words import digits_words

VOICES = "en-us,en-us+m1,en-us+m3,en-us+m5,en-us+edward,en-us+klatt4,en-gb-x-rp,en,en-us+f2,en-us+f3,en-us+f5"
SENTENCES = (
    "tell me about your delivery terms",
    "what are your delivery terms",
    "what time is it",
    "i want to speak to a human",
    "i would like to talk to a person",
    "what can you do",
    "are you still there",
    "yes please",
    "no thank you",
    "thank you very much",
    "thank you goodbye",
    "that is all thank you",
)
OTHERS = (
    "the weather is nice today",
    "how much does it cost",
    "can i bring my dog with me",
    "my cat is sleeping on the sofa",
    "please transfer me some money",
    "do you have any vegetarian food",
    "she sells sea shells",
    "i don't think so",
    "what is your name",
)


def on_the_phone(text: str, voice: str, rate_wpm: int) -> bytes:
    """A sentence as 16 kHz PCM after mu-law at 8 kHz."""
    pcm, rate_hz = synthesize(text, voice=voice, rate_wpm=rate_wpm)
    return resample(decode(encode(pcm, rate_hz, "audio/pcmu"), "audio/pcmu"), 8000, 16000)


def main() -> None:
    """Print a line for each voice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=40)
    parser.add_argument("--rate", type=int, default=150)
    parser.add_argument("--voices", default=VOICES)
    options = parser.parse_args()
    ears = Recogniser(jsgf(load_dialogue().patterns))
    draw = random.Random(1)
    orders = ["".join(draw.choices("0123456789", k=3)) for _ in range(options.orders)]
    asked = [f"what is the status of order {digits_words(order)}" for order in orders]
    print(f"{'voice':16} sentences    orders    others refused    ms")
    for voice in options.voices.split(","):
        began = time.perf_counter()
        right, digits = (
            sum(ears.recognise(on_the_phone(text, voice, options.rate)) == text for text in texts)
            for texts in (SENTENCES, asked)
        )
        refused = sum(ears.recognise(on_the_phone(text, voice, options.rate)) == "" for text in OTHERS)
        ms = (time.perf_counter() - began) * 1000 / (len(SENTENCES) + len(asked) + len(OTHERS))
        print(
            f"{voice:16} {right:3}/{len(SENTENCES):<7} {digits:3}/{len(asked):<7}"
            f" {refused:3}/{len(OTHERS):<12} {ms:4.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
