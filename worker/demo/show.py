"""Shows a call while it happens: columns with colours on a terminal, plain lines elsewhere, nothing with --json."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

from worker.records import record as records

__all__ = ["Show"]

STYLES = {"caller": "bold cyan", "agent": "bold green", "filler": "yellow"}


class Show:
    """Prints the edges of one call's record, and what the caller's own recogniser understood."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._turns: dict[str, records.TurnStarted] = {}
        self._texts: dict[str, str] = {}
        self._final: set[str] = set()
        self._printed: set[str] = set()
        self._tools: dict[str, str] = {}
        self._on: dict[type[Any], Callable[[Any], None]] = {
            records.Answered: self._answered,
            records.TurnStarted: self._turn_started,
            records.TurnText: self._turn_text,
            records.TurnEnded: self._turn_ended,
            records.ToolStarted: self._tool_started,
            records.ToolEnded: self._tool_ended,
            records.ApprovalTold: self._approval,
            records.Transferred: self._transferred,
            records.BargedIn: self._barged_in,
            records.BargeInWithdrawn: self._withdrawn,
            records.ConsentTold: self._consent,
            records.RecordingBegan: lambda event: self._recording(event.at_ms, "begins"),
            records.RecordingPaused: lambda event: self._recording(event.at_ms, "pauses"),
            records.RecordingResumed: lambda event: self._recording(event.at_ms, "goes on"),
            records.Noted: self._noted,
            records.Ended: self._ended,
        }

    def step(self, text: str) -> None:
        """Say what is being set up."""
        self._print(None, "", text, "dim")

    def heard(self, text: str) -> None:
        """Say what the caller's recogniser made of the agent's words."""
        self._print(None, "", f"(the caller understood: {text or 'nothing'})", "dim")

    def observe(self, event: records.RecordEvent) -> None:
        """Show one edge, if it is of a kind that is shown."""
        if (show := self._on.get(type(event))) is not None:
            show(event)

    def _answered(self, event: records.Answered) -> None:
        self._print(0, "call", f"answered after {event.at_ms} ms", "bold")

    def _turn_started(self, event: records.TurnStarted) -> None:
        self._turns[event.key] = event
        self._turn(event.key)

    def _turn_text(self, event: records.TurnText) -> None:
        self._texts[event.key] = event.text
        if event.final:
            self._final.add(event.key)
        self._turn(event.key)

    def _turn_ended(self, event: records.TurnEnded) -> None:
        if event.who != "caller":  # the caller's words are written down after their turn
            self._final.add(event.key)
        self._turn(event.key)

    def _turn(self, key: str) -> None:
        """Print a turn once it is heard and all its words are known."""
        turn = self._turns.get(key)
        if turn is None or key not in self._final or key in self._printed:
            return
        self._printed.add(key)
        self._print(turn.at_ms, turn.who, self._texts.get(key) or "…", STYLES[turn.who])

    def _tool_started(self, event: records.ToolStarted) -> None:
        label = f"{event.tool} ({event.mode})" + (f", job {event.job_id}" if event.job_id else "")
        if self._tools.get(event.tool_call_id) != label and (event.mode != "queued" or event.job_id):
            self._tools[event.tool_call_id] = label
            self._print(event.at_ms, "tool", label, "magenta")

    def _tool_ended(self, event: records.ToolEnded) -> None:
        call = event.call
        times = f"waited {call.wait_ms} ms, ran {call.run_ms} ms"
        fillers = f"{call.fillers} filler{'' if call.fillers == 1 else 's'}"
        text = f"{call.tool}: {call.status}, {times}, {fillers} meanwhile"
        self._print(event.at_ms, "tool", text, "magenta")

    def _approval(self, event: records.ApprovalTold) -> None:
        approval = event.approval
        how = (
            f"approved by {approval.by}" if approval.approved else f"declined by {approval.by} {approval.why}".rstrip()
        )
        text = "has to be approved" if approval.answered_ms is None else how
        self._print(event.at_ms, "tool", f"{approval.tool}: {text}", "magenta")

    def _transferred(self, event: records.Transferred) -> None:
        transfer = event.transfer
        how = f"{transfer.outcome} {transfer.sip_status or ''}".rstrip()
        self._print(event.at_ms, "transfer", f"to {transfer.to} ({transfer.way}, {transfer.means}): {how}", "magenta")

    def _barged_in(self, event: records.BargedIn) -> None:
        barge_in = event.barge_in
        silent = f"the agent was silent {barge_in.stopped_in_ms} ms later"
        self._print(barge_in.at_ms, "barge-in", f"{silent}; {barge_in.heard_ms} ms were heard", "bold red")

    def _withdrawn(self, event: records.BargeInWithdrawn) -> None:
        paused = event.withdrawn
        text = f"nothing, by its {paused.by}: the agent went on after {paused.paused_ms} ms at {paused.heard_ms} ms"
        self._print(paused.at_ms, "barge-in", text, "red")

    def _consent(self, event: records.ConsentTold) -> None:
        consent = event.consent
        answer = f"{'a yes' if consent.given else 'no yes'} by {consent.by}"
        self._recording(event.at_ms, "may the call be recorded?" if consent.answered_ms is None else answer)

    def _recording(self, at_ms: int, text: str) -> None:
        self._print(at_ms, "record", text, "dim")

    def _noted(self, event: records.Noted) -> None:
        self._print(event.at_ms, "note", event.text, "red")

    def _ended(self, event: records.Ended) -> None:
        record = event.record
        text = f"{record.outcome} after {record.duration_ms / 1000:.1f} s ({record.reason})"
        self._print(record.duration_ms, "call", text, "bold")

    def _print(self, at_ms: int | None, who: str, text: str, style: str) -> None:
        if self._quiet:
            return
        at = "" if at_ms is None else f"{at_ms / 1000:7.2f} s"
        self._console.print(f"{at:>9}  ", end="", style="dim", highlight=False)
        self._console.print(f"{who:<8}  ", end="", style=style, highlight=False)
        self._console.print(text, style=None if who in STYLES else style, highlight=False, markup=False)
