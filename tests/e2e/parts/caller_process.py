"""A caller: an endpoint in a process of its own (see tests/telephony/endpoint_process.py) that keeps what it hears."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
import threading
from pathlib import Path
from typing import Any

from telephony.binding import pj


def _endpoint_process() -> Any:
    path = Path(__file__).parents[2] / "telephony" / "endpoint_process.py"
    spec = importlib.util.spec_from_file_location("endpoint_process", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tape:
    """Both directions of a call in step, as its clock thread moves them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.heard = bytearray()
        self.spoken = bytearray()

    def received(self, frame: bytes) -> None:
        with self.lock:
            self.heard += frame

    def sent(self, frame: bytes) -> None:
        with self.lock:
            self.spoken += frame


class Caller(_endpoint_process().Process):  # type: ignore[misc]
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.tapes: dict[str, Tape] = {}

    def do_invite(self, uri: str) -> str:
        call_id = str(super().do_invite(uri))
        self.tapes[call_id] = self.bridge(call_id).tap = Tape()
        return call_id

    def do_answer(self, call_id: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        if status == 200:
            self.tapes[call_id] = self.bridge(call_id).tap = Tape()
        super().do_answer(call_id, status, headers)

    def do_listen(self, call_id: str, since: int) -> dict[str, Any]:
        """What was heard and said since that byte, and whether something is still to be said."""
        tape, bridge = self.tapes[call_id], self.endpoint.bridge(call_id)
        with tape.lock:
            heard, spoken = bytes(tape.heard[since:]), bytes(tape.spoken[since : len(tape.heard)])
        spoken += bytes(len(heard) - len(spoken))
        speaking = bridge is not None and bridge.playing() is not None
        return {"heard": base64.b64encode(heard).decode(), "spoken": base64.b64encode(spoken).decode(), "on": speaking}

    def do_say(self, call_id: str, path: str) -> None:
        """Play a file of 16-bit PCM at 8 kHz."""
        self.items += 1
        bridge = self.bridge(call_id)
        bridge.play(f"item{self.items}", Path(path).read_bytes())
        bridge.end_item(f"item{self.items}")

    def do_hold(self, call_id: str, on: bool) -> None:
        """Put the other side on hold, or take it off."""

        def offer() -> None:
            call, how = self.endpoint._running.call(call_id), pj.CallOpParam(True)
            if on:
                call.setHold(how)
            else:
                how.opt.flag = pj.PJSUA_CALL_UNHOLD
                call.reinvite(how)

        self.endpoint.submit(offer).result(5)

    def do_hush(self, call_id: str) -> None:
        """Stop speaking."""
        self.bridge(call_id).flush()


if __name__ == "__main__":
    Caller(json.loads(sys.argv[1])).run()
