"""An Endpoint in a process of its own, driven by JSON lines: pjsua2 carries one endpoint per process.

argv[1] is a JSON object: {"settings": {...SipSettings...}, "answer": status or null, "ring": bool}. Events go out as
{"event": class name, ...fields}, and each command {"id": n, "do": name, ...} is answered {"reply": n, "result" or
"error": ...}. What a call hears is kept for two seconds, and `heard` says which tone is in its last half second.
"""

from __future__ import annotations

import array
import dataclasses
import json
import math
import sys
import threading
from typing import Any

import structlog

from telephony.accounts import AccountSettings
from telephony.binding import pj
from telephony.bridge import Bridge
from telephony.endpoint import Endpoint
from telephony.errors import TelephonyError
from telephony.events import CallEnded, IncomingCall
from telephony.settings import SipSettings
from telephony.sip.facts import InviteFacts
from telephony.sip.hand_over import HandOverRules
from telephony.tls import TlsSettings

KEPT_S = 2


class Process:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in options["settings"].items()}
        settings["accounts"] = tuple(
            AccountSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in one.items()})
            for one in settings.get("accounts", ())
        )
        if isinstance(tls := settings.get("tls"), dict):
            settings["tls"] = TlsSettings(**tls)
        self.endpoint = Endpoint(SipSettings(**settings), self.on_event)
        self.lock = threading.Lock()
        self.bridges: dict[str, Bridge] = {}
        self.heard: dict[str, bytearray] = {}
        self.items = 0
        self.started = False
        self.unsaid: list[str] = []

    def say(self, **line: Any) -> None:
        """One line; those before Started wait for it, so that a test never misses one."""
        with self.lock:
            self.unsaid.append(json.dumps(line))
            if self.started or line.get("event") in ("Started", "StartFailed"):
                self.started = True
                self.unsaid.sort(key=lambda text: '"Started"' not in text)
                print("\n".join(self.unsaid), flush=True)
                self.unsaid.clear()

    def on_event(self, event: Any) -> None:
        fields = {f.name: getattr(event, f.name) for f in dataclasses.fields(event) if f.name != "bridge"}
        if isinstance(facts := fields.get("facts"), InviteFacts):
            fields["facts"] = dataclasses.asdict(facts)
        if isinstance(event, IncomingCall):
            self.bridges[event.call_id] = event.bridge
            if self.options.get("ring"):
                self.endpoint.answer(event.call_id, 180)
            if self.options.get("answer"):
                self.endpoint.answer(event.call_id, self.options["answer"])
        self.say(event=type(event).__name__, **fields)
        if isinstance(event, CallEnded):
            self.bridges.pop(event.call_id, None)

    def bridge(self, call_id: str) -> Bridge:
        bridge = self.endpoint.bridge(call_id) or self.bridges.get(call_id)
        assert bridge is not None, f"no call {call_id}"
        return bridge

    # Commands

    def do_answer(self, call_id: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.endpoint.answer(call_id, status, headers=headers).result(5)

    def do_hang_up(self, call_id: str, status: int = 0) -> None:
        self.endpoint.hang_up(call_id, status).result(5)

    def do_invite(
        self,
        uri: str,
        headers: dict[str, str] | None = None,
        account: str | None = None,
        made_for: str | None = None,
    ) -> str:
        return self.endpoint.invite(uri, headers=headers, account=account, made_for=made_for).result(5)

    def do_account_of(self, call_id: str) -> str:
        return self.endpoint.account_of(call_id)

    def do_refer(self, call_id: str, uri: str) -> None:
        self.endpoint.refer(call_id, uri).result(5)

    def do_permit(self, call_id: str, sources: list[str], targets: list[str], replaces: bool) -> None:
        rules = HandOverRules(tuple(sources), tuple(targets), replaces)
        self.endpoint.permit(call_id, rules).result(5)

    def do_join(self, call_id: str, other_id: str) -> None:
        self.endpoint.join(call_id, other_id).result(5)

    def do_send_digits(self, call_id: str, digits: str) -> None:
        self.endpoint.send_digits(call_id, digits).result(5)

    def do_accept(self, accepting: bool) -> None:
        self.endpoint.accepting = accepting

    def do_overload(self, retry_after_s: int | None) -> None:
        self.endpoint.overloaded = lambda: retry_after_s

    def do_unregister(self) -> None:
        self.endpoint.unregister().result(5)

    def do_play(self, call_id: str, hz: int, ms: int) -> None:
        """Queue a tone of that length for the call."""
        self.items += 1
        bridge = self.bridge(call_id)
        rate = bridge.rate_hz
        pcm = array.array("h", (round(8000 * math.sin(math.tau * hz * n / rate)) for n in range(rate * ms // 1000)))
        bridge.play(f"item{self.items}", pcm.tobytes())

    def do_heard(self, call_id: str) -> dict[str, float]:
        """The strongest of the tones a test uses in the last half second heard, and its share of the power."""
        kept, bridge = self.heard.setdefault(call_id, bytearray()), self.bridge(call_id)
        kept += bridge.take()
        rate = bridge.rate_hz
        del kept[: -KEPT_S * rate * 2]
        samples = array.array("h", bytes(kept[-rate:]))
        power = sum(s * s for s in samples) / max(1, len(samples))
        tones = [*range(300, 3300, 100), *([6000] if rate > 12_000 else [])]
        found = max((goertzel(samples, hz, rate), hz) for hz in tones)
        share = found[0] / power if power > 1000 else 0.0
        return {"ms": len(kept) / rate / 2 * 1000, "hz": found[1] if share > 0.8 else 0, "rms": math.sqrt(power)}

    def do_record(self, call_id: str) -> None:
        """Keep both directions from now on."""
        self.bridge(call_id).record(60_000)

    def do_recorded(self, call_id: str) -> dict[str, Any]:
        """What was kept: its length, and the tone that ends each side (the caller, the agent) in its last 200 ms."""
        bridge = self.bridge(call_id)
        samples, _ = bridge.take_record()
        both = array.array("h", samples)
        sides = [both[side::2][-bridge.rate_hz // 5 :] for side in (0, 1)]
        tones = [max((goertzel(side, hz, bridge.rate_hz), hz) for hz in (700, 1100, 6000))[1] for side in sides]
        return {"ms": len(both) / 2 / bridge.rate_hz * 1000, "hz": tones}

    def do_reinvite(self, call_id: str, codec: str | None = None) -> None:
        """Make a new offer, as session timers do; of this codec alone, where one is named."""

        def offer() -> None:
            if codec is not None:
                only_codec(codec)
            self.endpoint._running.call(call_id).reinvite(pj.CallOpParam(True))

        self.endpoint.submit(offer).result(5)

    def do_rate(self, call_id: str) -> int:
        """At what rate the call is carried."""
        return self.bridge(call_id).rate_hz

    def do_counters(self, call_id: str) -> dict[str, int]:
        bridge = self.bridge(call_id)
        return {"pushed": bridge.pushed_frames, "pulled": bridge.pulled_frames, "clock_ms": bridge.clock_ms}

    def do_turned_away(self) -> int:
        """How many refusals are still under way."""
        return self.endpoint.submit(lambda: len(self.endpoint._running._turned_away)).result(5)

    def do_only_codec(self, codec: str) -> None:
        """Let the library speak this codec alone."""
        self.endpoint.submit(lambda: only_codec(codec)).result(5)

    def run(self) -> None:
        try:
            info = self.endpoint.start()
        except TelephonyError as error:
            self.say(event="StartFailed", error=str(error))
            return
        self.say(event="Started", **dataclasses.asdict(info))
        for line in sys.stdin:
            command = json.loads(line)
            number, name = command.pop("id"), command.pop("do")
            if name == "stop":
                self.endpoint.stop()
                self.say(reply=number, result=None)
                return
            try:
                self.say(reply=number, result=getattr(self, f"do_{name}")(**command))
            except (TelephonyError, AssertionError, ValueError) as error:
                self.say(reply=number, error=f"{type(error).__name__}: {error}")
        self.endpoint.stop()


def only_codec(name: str) -> None:
    instance = pj.Endpoint.instance()
    codecs = instance.codecEnum2()
    for codec in codecs:
        instance.codecSetPriority(codec.codecId, 255 if codec.codecId.startswith(name + "/") else 0)


def goertzel(samples: array.array[int], hz: int, rate: int) -> float:
    """Mean power of one frequency in the samples."""
    turn = 2 * math.cos(math.tau * hz / rate)
    one = two = 0.0
    for sample in samples:
        one, two = sample + turn * one - two, one
    size = max(1, len(samples))
    return (one * one + two * two - turn * one * two) * 2 / size / size


if __name__ == "__main__":
    # By a stream of its own: a line of the log would otherwise get into the middle of an event's.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    Process(json.loads(sys.argv[1])).run()
