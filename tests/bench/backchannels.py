"""Barge-ins that may be withdrawn: how soon the voice pauses and goes on, and how often the verdict is wrong each way.

    uv run python tests/bench/backchannels.py [--noise -55] [--words 300]

Coughs, words of listening and interruptions are synthesised, coded as mu-law with a line's noise, and heard in pieces
of 40 ms, as in a call, by our own ears, by the local server's turn detection and by the turn machine, in virtual time.
The words come so long after the provider has heard the end of the speech, as they were said; or not at all.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from rig.figures import again, machine
from rig.listeners import Listener, listeners

from worker.call.ears import CloseEars
from worker.local.config import VadSettings
from worker.local.vad import Vad
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.machine import TurnConfig, TurnMachine

RATE_HZ, PIECE_MS = 8000, 40
WIRE_MS = 60
"""To the provider and back."""


@dataclass(slots=True)
class Course:
    """What became of one: ms from the beginning of the sound."""

    paused: int | None = None
    resumed: int | None = None
    cut: int | None = None


def course(one: Listener, words_ms: int | None) -> Course:
    """Play it to an agent in mid sentence. words_ms: from the provider's end of speech to its transcript."""
    agent = TurnMachine(
        TurnConfig(server_responds=False, server_interrupts=False, reversible=True, language=one.language)
    )
    for event in (realtime.SessionReady("s", "pcm24k", "pcm24k"), turn.MediaReady(), realtime.ResponseStarted("r", {})):
        agent.handle(event, 0.0)
    agent.handle(turn.AudioStarted("r", "i"), 0.0)
    ears, theirs = CloseEars(RATE_HZ), Vad(RATE_HZ, VadSettings())
    due: list[tuple[int, object]] = []
    found, speeches = Course(), 0
    size = RATE_HZ * PIECE_MS // 1000 * 2
    for at in range(0, len(one.pcm), size):
        piece, now = one.pcm[at : at + size], at // 16 + PIECE_MS
        for edge in theirs.feed(piece):
            speeches += edge.started
            item = f"c{speeches}"
            due.append(
                (now + WIRE_MS, realtime.SpeechStarted(item, 0) if edge.started else realtime.SpeechStopped(item, 0))
            )
            if not edge.started and words_ms is not None:
                text = "" if one.kind == "cough" else one.text
                due.append((now + WIRE_MS + words_ms, realtime.CallerTranscript(item, text)))
        due += [(now, event) for event in ears.hear(piece)]
        for ms in range(now - PIECE_MS + 20, now + 1, 20):
            ready = [event for when, event in due if when <= ms]
            due = [(when, event) for when, event in due if when > ms]
            if agent.wake is not None and agent.wake <= ms / 1000:
                ready.append(turn.Tick())
            for event in ready:
                for command in agent.handle(event, ms / 1000):
                    _note(found, command, ms - one.began_ms)
    return found


def _note(found: Course, command: object, ms: int) -> None:
    if isinstance(command, turn.PausePlayout):
        found.paused = ms if found.paused is None else found.paused
    elif isinstance(command, turn.ResumePlayout):
        found.resumed = ms
    elif isinstance(command, turn.StopPlayout):
        found.cut = ms


def middle(values: Iterable[float]) -> str:
    """Median and extremes."""
    found = sorted(values)
    return f"p50 {statistics.median(found):.0f}, from {found[0]:.0f} to {found[-1]:.0f} ms" if found else "-"


def show(all_of_them: list[Listener], words_ms: int | None) -> None:
    """Print the figures."""
    print(f"\nwords {'not at all' if words_ms is None else f'{words_ms} ms after the end of the speech'}")
    for kind in ("cough", "listening", "interrupting"):
        courses = [(one, course(one, words_ms)) for one in all_of_them if one.kind == kind]
        felt = [(one, how) for one, how in courses if how.paused is not None]
        cut = [how for _, how in felt if how.cut is not None]
        on = [how for _, how in felt if how.cut is None and how.resumed is not None]
        wrong = cut if kind != "interrupting" else on
        print(f"{kind} {len(courses)}: voice paused for {len(felt)}; wrong verdicts {len(wrong)}")
        print(f"  pause after the sound's beginning: {middle(how.paused or 0 for _, how in felt)}")
        if kind == "interrupting":
            late = [how for how in cut if how.resumed is not None]
            print(f"  cut after the pause: {middle((how.cut or 0) - (how.paused or 0) for how in cut)};", end=" ")
            print(f"of these after the voice had gone on {len(late)}")
        else:
            print(f"  goes on after the pause: {middle((how.resumed or 0) - (how.paused or 0) for how in on)}")
        names = {f"{one.text} ({one.lasted_ms})" for one, how in felt if how in wrong}
        if names:
            print("  wrong:", "; ".join(sorted(names)))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=float, default=-55.0, help="of the line, in dBFS")
    parser.add_argument("--words", type=int, default=300, help="ms from the end of speech to its transcript")
    options = parser.parse_args()
    print(again("backchannels.py"), machine(), sep="\n")
    all_of_them = list(listeners(options.noise))
    for words_ms in (options.words, None):
        show(all_of_them, words_ms)


if __name__ == "__main__":
    main()
