"""The worker that is called: as `offhook serve`, and tells on stdout of each tool call with its arguments.

No record has arguments: they may be a caller's secrets. Here the callers are simulated, and their judge wants these.
"""

from __future__ import annotations

import asyncio
import json

from worker.agent.agent_file import load_agent_file
from worker.call.session import CallSession
from worker.log import setup_logging
from worker.records.record import Observer, RecordEvent, ToolStarted
from worker.service.app import App
from worker.service.checks.look import load
from worker.service.run import run_loop, until_stopped
from worker.settings.load import load_settings

__all__ = ["main"]


def _observe(session: CallSession) -> Observer:
    told: set[str] = set()

    def observer(event: RecordEvent) -> None:
        if not isinstance(event, ToolStarted) or event.tool_call_id in told:
            return
        told.add(event.tool_call_id)
        pending = session.machine.pending.get(event.tool_call_id)
        arguments = pending.arguments if pending is not None else None
        call_id = session.info.call_id
        line = {"event": "tool", "call_id": call_id, "tool": event.tool, "arguments": arguments}
        print(json.dumps(line), flush=True)

    return observer


def main() -> None:
    """Run the worker until a signal: `python -m worker.eval.answering`, its settings in the environment."""
    settings = load_settings()
    setup_logging(settings.log_level, settings.log_format, secrets=settings.secret_values(), process="worker")
    app = App(settings, load(settings, load_agent_file(settings.agent)), observe=_observe)

    async def work(app: App) -> None:
        assert app.info is not None
        print(f"answers at {app.info.host}:{app.info.port}", flush=True)
        await asyncio.Event().wait()

    run_loop(until_stopped(app, work))


if __name__ == "__main__":
    main()
