"""One call's recording: begun once the caller has agreed, paused and gone on with, silent while keys are secret.

A pause is silence of the same length in the file, so that the record's times stay places in it. What decides stands in
`CallRecording`; the frames are kept or left out where they pass (`Bridge.mute_record`), without Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from worker.agent.recording import AgentRecording
from worker.call_tools.approval_words import question_for
from worker.call_tools.functions import OwnFunction
from worker.records.telemetry import Telemetry
from worker.turns.events import ApprovalAnswered, ApprovalAwaited, StartTool

__all__ = ["CONSENT", "PAUSE_RECORDING", "RECORDING_FUNCTIONS", "RESUME_RECORDING", "CallRecording", "Recorded"]

CONSENT: Final = 0
"""The number of the question for it: those of approvals begin with 1."""
PAUSE_RECORDING: Final = "pause_recording"
RESUME_RECORDING: Final = "resume_recording"
AGENT: Final = "agent"


def _function(name: str, description: str) -> Mapping[str, Any]:
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


RECORDING_FUNCTIONS: Final = (
    _function(
        PAUSE_RECORDING,
        "Stop recording the call for now. Call it before the caller says what must not be recorded, or asks for it.",
    ),
    _function(RESUME_RECORDING, "Go on with the recording that you paused, as soon as its reason is over."),
)
"""What the model is told of them."""


class Recorded(Protocol):
    """What records: a `telephony.recording.StereoRecorder`."""

    path: Path

    def begin(self) -> None:
        """Record from now on."""

    def mute(self, muted: bool) -> None:
        """Record silence of the same length, until told otherwise."""

    def beep(self, seconds: float) -> None:
        """Have the beeps in the file, at this interval; 0: no more."""


class CallRecording:
    """One call's."""

    def __init__(
        self,
        call: Telemetry,
        rules: AgentRecording,
        *,
        language: str = "en",
        voice: bool = True,
        beep: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """voice: the provider writes down what the caller says. beep: sounds at this interval from now on (s); 0: no
        more.
        """
        self.begun = False
        self._call = call
        self._rules = rules
        self._feed: Callable[[object], None] = lambda event: None
        self._language = language
        self._voice = voice
        self.beep = beep
        self._file: Recorded | None = None
        self._asked = False
        self._muted: set[str] = set()
        """For what reasons nothing is kept."""

    def attach(self, feed: Callable[[object], None]) -> None:
        """`feed` gives an event to the turn machine, which asks the caller."""
        self._feed = feed

    def use(self, file: Recorded) -> None:
        """This call is to be recorded, into this file, where the caller agrees."""
        self._file = file

    def media(self) -> None:
        """Audio flows: a call for which nobody is asked is recorded from here on."""
        if not self._rules.consent:
            self._begin()

    def talk(self) -> None:
        """The agent has somebody to talk to: they are asked, once."""
        if self._file is None or self._asked or not self._rules.consent:
            return
        self._asked = True
        question = question_for(self._rules.consent, self._language, voice=self._voice)
        self._call.recorder.consent_asked(self._call.now_ms)
        self._feed(ApprovalAwaited(CONSENT, "", question))

    def answered(self, command: ApprovalAnswered) -> None:
        """The caller has agreed, or has not."""
        self._call.recorder.consent_answered(self._call.now_ms, command.approved, command.by, command.why)
        answer = "yes" if command.approved else "no"
        self._call.metrics.recording_consents_total.labels(command.by, answer).inc()
        self._call.log.info("recording_consent", given=command.approved, by=command.by, why=command.why)
        if command.approved:
            self._begin()

    def handed_over(self) -> None:
        """Somebody else is on the line: the yes was not theirs, so that from here on nothing is kept."""
        if self._rules.consent:
            self.mute("hand-over", True)

    def _begin(self) -> None:
        if self._file is None or self.begun:
            return
        self.begun = True
        self._file.begin()
        self._file.mute(bool(self._muted))
        self._call.recorder.recording_begun(self._call.now_ms, str(self._file.path))
        self._beep()

    # --- pauses -------------------------------------------------------------------------------------------------------

    def mute(self, why: str, muted: bool) -> None:
        """Keep nothing for this reason, or no more for it: while there is any, the recording is silent."""
        before = bool(self._muted)
        (self._muted.add if muted else self._muted.discard)(why)
        now = bool(self._muted)
        if self._file is None or not self.begun or before == now:
            return
        self._file.mute(now)
        if now:
            self._call.recorder.recording_paused(self._call.now_ms, why)
        else:
            self._call.recorder.recording_resumed(self._call.now_ms)
        self._call.log.info("recording_paused" if now else "recording_resumed", why=why)
        self._beep()

    def _beep(self) -> None:
        if self._rules.beep_seconds and self._file is not None:
            seconds = 0 if self._muted else self._rules.beep_seconds
            self._file.beep(seconds)
            self.beep(seconds)

    @property
    def functions(self) -> Mapping[str, OwnFunction]:
        """The functions by which the agent pauses it, by name."""
        return {PAUSE_RECORDING: self._pause, RESUME_RECORDING: self._resume}

    async def _pause(self, command: StartTool) -> dict[str, Any]:
        if not self.begun:
            return {"status": "not_recorded", "note": "This call is not recorded: there is nothing to pause."}
        again = AGENT in self._muted
        self.mute(AGENT, True)
        return {"status": "paused_already" if again else "paused"}

    async def _resume(self, command: StartTool) -> dict[str, Any]:
        if not self.begun:
            return {"status": "not_recorded", "note": "This call is not recorded."}
        if AGENT not in self._muted:
            return {"status": "recording"}
        self.mute(AGENT, False)
        return {"status": "recording"}
