"""An agent tried without a telephone: the demo, the console, an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.start import AgentOption, Protocol, start


def demo(
    out: Annotated[Path, typer.Option(help="The folder for call.wav and call.json.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print the call's record alone, as JSON.")] = False,
    protocol: Annotated[Protocol, typer.Option(help="What the local realtime server speaks.")] = "openai",
) -> None:
    """Play one whole spoken call on this machine, with nothing configured.

    A caller with a voice of its own dials the worker over real SIP and RTP, asks for something that takes a slow
    tool, hears the answer and says goodbye. Exit code 0 only if the caller understood the answer.
    """
    from worker.demo.run import run_demo

    raise typer.Exit(run_demo(out, as_json, protocol))


def console(
    agent: AgentOption = None,
    dialled: Annotated[str, typer.Option(help="The number that was dialled, for the file's routes.")] = "agent",
    caller: Annotated[str, typer.Option(help="Who calls.")] = "console",
    microphone: Annotated[bool, typer.Option("--microphone", help="Speak and listen (needs sounddevice).")] = False,
) -> None:
    """Talk with the agent by typing, without a telephone: the prompt and the tools are those of a call.

    /keys 427# types on the keypad, /hangup or Ctrl-D hangs up.
    """
    settings = start("console", quiet=True, agent=agent)
    from worker.console.run import run_console

    record = run_console(settings, caller=caller, dialled=dialled, microphone=microphone)
    raise typer.Exit(1 if record.outcome == "failed" else 0)


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The evaluation (TOML); see worker/eval/example.toml.")],
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.", dir_okay=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page and the recordings here.", file_okay=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="In place of the file's.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, max=100, help="Calls at once, in place of the file's.")] = None,
    scenario: Annotated[str | None, typer.Option(help="The calls of this scenario alone.")] = None,
) -> None:
    """Let simulated callers call an agent over real SIP, and judge each call. Exit code 0 only if all passed.

    The file says what they say, how bad their line is, what is broken meanwhile, and what is expected. Redis, tool
    worker and worker are started for it, and the local realtime server where no provider is set: nothing in use is
    touched.
    """
    settings = start("eval", quiet=True)
    from worker.eval.run import run_eval

    raise typer.Exit(run_eval(settings, file, junit=junit, out=out, seed=seed, at_once=at_once, only=scenario))
