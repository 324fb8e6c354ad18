"""Who answered: how often a person is taken for a machine and a machine for a person, by sound alone, and when.

    uv run python tests/bench/screening.py [--noise -55]

Greetings of people and of machines are synthesised with several voices, coded as mu-law with a line's noise, and heard
in pieces of 20 ms, as a call has them. What a transcript would add is in the second figure.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable

from rig.figures import again, machine
from rig.greetings import Greeting, greetings

from worker.call.screening import BeepHeard, GreetingEnded, Judged, Screening, is_machine_talk

PIECE = 320


def heard(greeting: Greeting) -> list[Judged | BeepHeard | GreetingEnded]:
    """All that is known of it, in order."""
    screening = Screening()
    pieces = (greeting.pcm[at : at + PIECE] for at in range(0, len(greeting.pcm), PIECE))
    return [one for piece in pieces for one in screening.hear(piece)]


def middle(values: Iterable[float]) -> str:
    """Median and extremes."""
    found = sorted(values)
    return f"p50 {statistics.median(found):.0f}, from {found[0]:.0f} to {found[-1]:.0f} ms" if found else "-"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=float, default=-55.0, help="of the line, in dBFS")
    options = parser.parse_args()
    print(again("screening.py"), machine(), sep="\n")
    wrong: dict[bool, list[str]] = {True: [], False: []}
    count = {True: 0, False: 0}
    first_ms: dict[bool, list[float]] = {True: [], False: []}
    by_words, beeps, ends_ms = 0, [], []
    for one in greetings(options.noise):
        known = heard(one)
        judged = [fact for fact in known if isinstance(fact, Judged) and fact.answerer != "silence"]
        count[one.machine] += 1
        kind = "machine" if one.machine else "person"
        if not judged or judged[0].answerer != kind:
            wrong[one.machine].append(
                f"{one.text[:60]!r}: {[(fact.answerer, fact.at_ms, fact.why) for fact in judged]}"
            )
            by_words += one.machine and is_machine_talk(one.text)
        else:
            after = judged[0].at_ms - (0 if one.machine else one.spoken_ms)
            first_ms[one.machine].append(after)
        tones = [fact.at_ms for fact in known if isinstance(fact, BeepHeard)]
        if one.beep_ms is not None or tones:
            off = abs(tones[0] - (one.beep_ms or 0)) if tones else None
            beeps.append(off is not None and one.beep_ms is not None and off <= 100 and len(tones) == 1)
        ends_ms += [fact.at_ms - one.spoken_ms for fact in known if isinstance(fact, GreetingEnded)]
    print(
        f"people {count[False]}: taken for a machine {len(wrong[False])};"
        f" told so long after their last word: {middle(first_ms[False])}"
    )
    print(
        f"machines {count[True]}: taken for a person at first {len(wrong[True])}, of which their words tell {by_words};"
        f" told from the answer on: {middle(first_ms[True])}"
    )
    print(f"beeps: {sum(beeps)} of {len(beeps)} found within 100 ms, and none besides")
    print(f"machines without a beep: the greeting counts as over after {middle(ends_ms)}")
    for text in (*wrong[False], *wrong[True]):
        print("  wrong:", text)


if __name__ == "__main__":
    main()
