"""A provider that stalls, lies and vanishes at random points, in real calls over SIP: what the caller hears of it.

    uv run python tests/bench/provider_faults.py [--calls 40] [--at-once 4] [--seconds 40] [--seed N]

The provider has the caller ask something, one question after the other; each answer is well or goes wrong, by the seed.
So a caller waits nearly all the time, and a silence over 5 s is one of the worker's. A call that the worker ends has to
have said its apology. Each tool call has to have one output in a session, or be told to the next; its tool runs once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "e2e"), str(Path(__file__).parents[2])]

from parts import provider as provider_module  # noqa: E402
from parts import sound  # noqa: E402
from parts.caller import Phone  # noqa: E402
from parts.provider import ANSWER_HZ, ANSWER_MS, Opening, Provider, Session  # noqa: E402
from parts.services import OwnDesk  # noqa: E402

SHOP = Path(__file__).parents[1] / "e2e" / "parts" / "shop.py"
AGENT = 'goodbye = "Goodbye."\ngreeting = "Hello."\n[tools]\nmodules = ["{shop}"]\n'
SILENCE_S = 5.0
SLACK_S = 0.6
"""Between two looks at a loaded machine's audio, and before the first answer."""
PAUSE_S = 1.0
IMPATIENT_S = 4.5
"""A caller who is not answered, and whom nobody asks for, asks again."""
SORRY = "something went wrong on our side"


class Chance:
    """The dice of all sessions, and what they came to."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.calls: dict[str, str] = {}
        """The tool calls that were made: the word that is to be said again, by call id."""
        self.words = itertools.count(1)
        self.enough = False


class Unruly(Session):
    """A session that answers by itself, well or not."""

    chance: Chance

    def __init__(self, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(connection, loop)
        self.answers = False
        self.dead = False
        self._free_at = loop.time() + 2.0
        self._turns = loop.create_task(self._ask())

    async def _ask(self) -> None:
        """The caller's questions."""
        while self.open and not self.chance.enough:
            await asyncio.sleep(0.1)
            if not self.dead and self._loop.time() >= self._free_at:
                self._free_at = self._loop.time() + IMPATIENT_S
                self.caller_says("and what about this?")
                self._respond({})

    def take(self, message: dict[str, Any]) -> None:
        """What the client asks for is answered well or not, too."""
        super().take(message)
        if message["type"] == "response.create" and not self.dead:
            self._free_at = self._loop.time() + IMPATIENT_S
            self._respond(message)

    def _respond(self, request: dict[str, Any]) -> None:
        chance = self.chance
        faults: dict[str, Callable[[dict[str, Any]], None]] = {
            "ignored": lambda request: None,
            "created": lambda request: self.begin(self._metadata(request)) and None,
            "half": self._half,
            "never ends": self._never_ends,
            "empty": lambda request: self._done(request, "completed"),
            "cancelled": lambda request: self._done(request, "cancelled"),
            "incomplete": lambda request: self._done(request, "incomplete"),
            "failed": lambda request: self._done(request, "failed", code="server_error"),
            "rate limit": lambda request: self._done(request, "failed", code="rate_limit_exceeded"),
            "taken": lambda request: self._error(request, "conversation_already_has_active_response"),
            "spurious error": self._spurious,
            "speech without end": lambda request: self.caller_starts() and None,
            "cut": lambda request: self.cut(),
            "dead": self._die,
        }
        if chance.random.random() < 0.4:
            name = chance.random.choice(list(faults))
            chance.faults[name] += 1
            faults[name](request)
        elif chance.random.random() < 0.3 and not request:
            self._call()
        else:
            self._well(request)

    def _well(self, request: dict[str, Any]) -> None:
        self.answer(request, ANSWER_HZ, ANSWER_MS)
        self._free_at = self._loop.time() + ANSWER_MS / 1000 + PAUSE_S

    def _call(self) -> None:
        word = f"word{next(self.chance.words)}"
        self.chance.calls[self.calls("here", {"word": word})] = word

    def _metadata(self, request: dict[str, Any]) -> dict[str, str]:
        return dict(request.get("response", {}).get("metadata", {}))

    def _half(self, request: dict[str, Any]) -> None:
        self.speak(self.begin(self._metadata(request)), ANSWER_HZ, ANSWER_MS, end=False)

    def _never_ends(self, request: dict[str, Any]) -> None:
        self.speak(self.begin(self._metadata(request)), ANSWER_HZ, ANSWER_MS)
        self._free_at = self._loop.time() + ANSWER_MS / 1000 + PAUSE_S  # it was heard

    def _done(self, request: dict[str, Any], status: str, code: str = "") -> None:
        response_id = self.begin(self._metadata(request))
        error = {"error": {"code": code, "message": "Please try again in 2.5s."}} if code else {}
        response = {"id": response_id, "status": status, "metadata": self._metadata(request), "output": []}
        self.send("response.done", response={**response, "status_details": {"type": status, **error}})

    def _error(self, request: dict[str, Any], code: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "no", "event_id": request.get("event_id")}
        self.send("error", error=error)

    def _spurious(self, request: dict[str, Any]) -> None:
        self._error(request, "server_error")
        self._well(request)

    def _die(self, request: dict[str, Any]) -> None:
        self.dead = True


def openings(provider: Provider, chance: Chance) -> None:
    """Every fifth connection is met badly."""
    bad = [Opening(silent=True), Opening(close=(1011, "no")), Opening(refuse=(503, "no"))]

    def feed() -> None:
        while not chance.enough:
            while len(provider.openings) < 8:
                provider.openings.append(chance.random.choice(bad) if chance.random.random() < 0.2 else Opening())
            time.sleep(0.05)

    threading.Thread(target=feed, daemon=True).start()


def longest_silence_s(pcm: bytes, record: dict[str, Any]) -> tuple[float, float]:
    """The longest span in which a caller hears nothing and says nothing, and when it began (s)."""
    quiet = sound.levels(pcm) <= sound.QUIET_DBFS
    for turn in record["turns"]:
        if turn["who"] == "caller":
            quiet[turn["start_ms"] // sound.FRAME_MS : turn["end_ms"] // sound.FRAME_MS + 1] = False
    edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(int), [0]))))
    lengths, begins = edges[1::2] - edges[::2], edges[::2]
    if not lengths.size:
        return 0.0, 0.0
    which = int(lengths.argmax())
    return lengths[which] * sound.FRAME_MS / 1000, begins[which] * sound.FRAME_MS / 1000


def outputs(session: Session, call_id: str, word: str) -> tuple[int, bool]:
    """How often a session was given a tool call's output, and whether it was told of it in words."""
    told = any(word in text and "tool" in text for role, text in session.texts() if role == "system")
    return session.outputs(call_id), told


def main() -> None:
    """Run the calls, print what became of them."""
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, default=40)
    options.add_argument("--at-once", type=int, default=4)
    options.add_argument("--seconds", type=float, default=40.0)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = options.parse_args()
    chance = Unruly.chance = Chance(given.seed)
    provider_module.Session = Unruly  # type: ignore[misc]
    provider = Provider().start()
    openings(provider, chance)
    silences: list[float] = []
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="pf-") as name:
        folder = Path(name)
        (agent := folder / "agent.toml").write_text(AGENT.format(shop=SHOP))
        desk = OwnDesk(folder, agent, provider.url)
        phone = Phone(folder).ready()
        for first in range(0, given.calls, given.at_once):
            batch = [phone.dial(desk.worker.uri) for _ in range(min(given.at_once, given.calls - first))]
            ids = [desk.worker.next_call() for _ in batch]
            end = time.monotonic() + given.seconds
            while time.monotonic() < end and any(call.up for call in batch):
                time.sleep(0.5)
                for call in batch:
                    call.listen()
            for call, call_id in zip(batch, ids, strict=True):
                call.hang_up()
                records.append(desk.worker.record(call_id))
                seconds, began = longest_silence_s(bytes(call.heard), records[-1])
                silences.append(seconds)
                if seconds > SILENCE_S + SLACK_S:
                    print(f"silent for {seconds:.1f} s from {began:.1f} s on: {story(records[-1])}")
            print(f"{first + len(batch)} calls, longest silences {[f'{one:.1f}' for one in silences[-len(batch) :]]}")
        chance.enough = True
        lines = len(desk.worker.logs)
        phone.stop()
        desk.stop()
    provider.stop()
    told = [[outputs(one, *call) for one in provider.sessions] for call in chance.calls.items()]
    doubled = sum(any(count > 1 for count, _ in some) for some in told)
    lost = sum(not any(count or words for count, words in some) for some in told)
    failed = [one for one in records if one["outcome"] == "failed"]
    over, longest = sum(one > SILENCE_S + SLACK_S for one in silences), max(silences)
    runs = sum(len(one["tool_calls"]) for one in records)
    print(f"\nseed {given.seed}: {sum(chance.faults.values())} faults in {len(records)} calls, {dict(chance.faults)}")
    print(f"told in the records: {sum(len(one['unmet']) for one in records)} unmet; log lines: {lines}")
    print(f"silent over {SILENCE_S:g} s: {over}; the longest {longest:.1f} s")
    print(f"ended by the worker: {len(failed)}, without an apology: {sum(not apologised(one) for one in failed)}")
    print(f"tool calls: {len(told)}, run {runs}; lost {lost} (cut off by the hang-up included), doubled {doubled}")


def story(record: dict[str, Any]) -> str:
    """What a record tells, in one line (s)."""
    found = [(turn["start_ms"], f"{turn['who']} {turn['text'][:20]}") for turn in record["turns"]]
    found += [(one["at_ms"], f"no {one['expected']}: {one['then']}") for one in record["unmet"]]
    return "; ".join(f"{at_ms / 1000:.1f} {what}" for at_ms, what in sorted(found))


def apologised(record: dict[str, Any]) -> bool:
    """Whether a call's last words were the apology."""
    return any(SORRY in turn["text"] for turn in record["turns"] if turn["who"] == "agent")


if __name__ == "__main__":
    main()
