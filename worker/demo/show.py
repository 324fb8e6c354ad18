"""Shows a call while it happens: columns with colours on a terminal, plain lines elsewhere, nothing with --json."""

from __future__ import annotations

from rich.console import Console

from worker import records

__all__ = ["Show"]

STYLES = {"caller": "bold cyan", "agent": "bold green", "filler": "yellow"}


class Show:
    """Prints the edges of one call's record, and what the caller's own recogniser understood."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._turns: dict[str, records.TurnStarted] = {}
        self._texts: dict[str, str] = {}
        self._printed: set[str] = set()
        self._tools: dict[str, str] = {}

    def step(self, text: str) -> None:
        """Say what is being set up."""
        self._print(None, "", text, "dim")

    def heard(self, text: str) -> None:
        """Say what the caller's recogniser made of the agent's words."""
        self._print(None, "", f"(the caller understood: {text or 'nothing'})", "dim")

    def observe(self, event: records.RecordEvent) -> None:
        """Show one edge."""
        match event:
            case records.Answered():
                self._print(0, "call", f"answered after {event.at_ms} ms", "bold")
            case records.TurnStarted():
                self._turns[event.key] = event
                self._turn_text(event.key)
            case records.TurnText():
                self._texts[event.key] = event.text
            case records.TurnEnded():
                self._turn_text(event.key, ended=True)
            case records.ToolStarted():
                self._tool_started(event)
            case records.ToolEnded():
                self._tool_ended(event)
            case records.BargedIn():
                barge_in = event.barge_in
                self._print(
                    barge_in.at_ms,
                    "barge-in",
                    f"the agent was silent {barge_in.stopped_in_ms} ms later; {barge_in.heard_ms} ms were heard",
                    "bold red",
                )
            case records.Noted():
                self._print(event.at_ms, "note", event.text, "red")
            case records.Ended():
                self._ended(event.record)

    def _turn_text(self, key: str, *, ended: bool = False) -> None:
        """Print a turn as soon as its words are known: the agent's at its beginning, the caller's after it."""
        turn, text = self._turns.get(key), self._texts.get(key, "")
        if turn is None or key in self._printed or not (ended or text):
            return
        if turn.who == "caller" and not text:
            return  # its transcript is still to come
        self._printed.add(key)
        self._print(turn.at_ms, turn.who, text or "…", STYLES[turn.who])

    def text_known(self) -> None:
        """Print the turns whose words came after their end."""
        for key, turn in self._turns.items():
            if turn.who == "caller":
                self._turn_text(key)

    def _tool_started(self, event: records.ToolStarted) -> None:
        label = f"{event.tool} ({event.mode})" + (f", job {event.job_id}" if event.job_id else "")
        if self._tools.get(event.tool_call_id) != label and (event.mode != "queued" or event.job_id):
            self._tools[event.tool_call_id] = label
            self._print(event.at_ms, "tool", label, "magenta")

    def _tool_ended(self, event: records.ToolEnded) -> None:
        call = event.call
        times = f"waited {call.wait_ms} ms, ran {call.run_ms} ms"
        text = f"{call.tool}: {call.status}, {times}, {call.fillers} fillers meanwhile"
        self._print(event.at_ms, "tool", text, "magenta")

    def _ended(self, record: records.CallRecord) -> None:
        self.text_known()
        text = f"{record.outcome} after {record.duration_ms / 1000:.1f} s ({record.reason})"
        self._print(record.duration_ms, "call", text, "bold")

    def _print(self, at_ms: int | None, who: str, text: str, style: str) -> None:
        if self._quiet:
            return
        at = "" if at_ms is None else f"{at_ms / 1000:7.2f} s"
        self._console.print(f"{at:>9}  ", end="", style="dim", highlight=False)
        self._console.print(f"{who:<8}  ", end="", style=style, highlight=False)
        self._console.print(text, style=None if who in STYLES else style, highlight=False, markup=False)
