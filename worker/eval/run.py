"""Runs an evaluation: callers as processes of their own, so many at once, each call judged as soon as it is over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.agent.agent_file import load_agent_file
from worker.embedded.children import Child, ChildSpec
from worker.errors import EvalFileError, OperatorError
from worker.eval import report
from worker.eval.caller import KEY, Errand
from worker.eval.desk import Desk, find_record, own_settings
from worker.eval.eval_file import EvalFile, Scenario, load_eval_file
from worker.eval.judge import Evidence, Verdict, judge
from worker.eval.judging import question, unjudged, verdicts
from worker.eval.plan import Plan, plans
from worker.eval.text_model import TextModel
from worker.local.speech import Recogniser
from worker.pages import markup
from worker.service.checks.look import load
from worker.settings.environment import child_environment, named_secret
from worker.settings.settings import Settings
from worker.tasks import end_tasks

__all__ = ["run_eval"]

START_S = 60.0
"""What a caller's process may take before it dials, on a busy machine."""
CLEAN_UP_S = 20.0


def run_eval(
    settings: Settings,
    path: Path,
    *,
    junit: Path | None = None,
    out: Path | None = None,
    seed: int | None = None,
    at_once: int | None = None,
    only: str | None = None,
) -> int:
    """Make the file's calls and print how they went; returns the exit code: 0 only if all passed.

    junit: a file for JUnit's XML. out: a folder for the page and the records. seed, at_once: in place of the file's.
    only: the calls of this scenario alone. Raises OffhookError.
    """
    given = {name: value for name, value in (("seed", seed), ("at_once", at_once)) if value is not None}
    file = load_eval_file(path).model_copy(update=given)
    model = _model_of(file, path, only)
    calls = plans(file, only, played=model is not None)
    if not calls:
        names = ", ".join(scenario.name for scenario in file.scenario)
        raise OperatorError(f"{path}: there is no scenario {only}: there are {names}")
    own = own_settings(settings, file.agent.file)
    _check(file, own, path)
    for place in (junit, out and out / "index.html"):
        if place is not None:
            _write(place, "")
    try:
        results = asyncio.run(_Evaluation(file, own, out, model).run(calls))
    except asyncio.CancelledError:  # SIGTERM
        raise KeyboardInterrupt from None
    for line in report.lines(results):
        print(line)
    if junit is not None:
        _write(junit, report.junit(path.stem, results))
    if out is not None:
        style = (Path(markup.__file__).parent / "page.css").read_text("utf-8")
        _write(out / "index.html", report.page_of(path.stem, file.seed, results, style))
    return 0 if all(result.passed for result in results) else 1


@dataclass(frozen=True, slots=True)
class _Model:
    """The text model that plays and judges, with its key."""

    about: TextModel
    key: str | None


def _model_of(file: EvalFile, path: Path, only: str | None) -> _Model | None:
    """Return the file's text model where it can be asked; without its key rules play, and nobody judges."""
    if file.model is None:
        return None
    key = named_secret(file.model.key) if file.model.key is not None else None
    if key is not None or file.model.key is None:
        return _Model(file.model, key)
    for one in file.scenario:
        if only not in (None, one.name):
            continue
        if one.persona is not None and one.persona.who and not one.persona.rules:
            raise OperatorError(f"{path}: {one.name}: {file.model.key} is not set, and its persona has no rules")
        if one.expect.judged:
            print(f"{one.name}: judged by no model ({file.model.key} is not set)", file=sys.stderr)
    return None


def _check(file: EvalFile, settings: Settings, path: Path) -> None:
    """What can be known to be wrong before anything starts."""
    grammar = file.ears.grammar()
    if grammar is not None:
        try:
            Recogniser(grammar)
        except ValueError as error:
            raise EvalFileError(f"{path}: ears: {error}") from None
    if file.agent.uri is not None:
        return
    load(settings, load_agent_file(settings.agent))
    kinds = {fault.kind for scenario in file.scenario for fault in scenario.faults}
    wrong = sorted(kind for kind in kinds if kind.startswith("provider_"))
    if wrong and not settings.needs_local_realtime():
        raise OperatorError(f"{path}: {wrong[0]} is for the local realtime server alone: unset OFFHOOK_REALTIME")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OperatorError(f"{path}: can't be written ({error.strerror or error})") from None


class _Evaluation:
    """One run of a file."""

    def __init__(self, file: EvalFile, settings: Settings, out: Path | None, model: _Model | None) -> None:
        self._file = file
        self._model = model
        self._settings = settings
        self._out = out
        self._run_id = uuid.uuid4().hex[:8]
        self._lines = asyncio.Semaphore(file.at_once)
        self._folder = Path()

    async def run(self, calls: Sequence[tuple[Scenario, Plan]]) -> list[report.Result]:
        """Make the calls; returns how each went, in the file's order."""
        if (task := asyncio.current_task()) is not None:  # ends calls and processes; Ctrl-C does so by itself
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="offhook-eval-"))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        try:
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
                bar_task = bar.add_task("calls", total=len(calls))
                return await self._all(calls, lambda: bar.advance(bar_task))
        finally:
            await asyncio.to_thread(self._keep)

    async def _all(self, calls: Sequence[tuple[Scenario, Plan]], done: Callable[[], object]) -> list[report.Result]:
        shared = self._file.agent.uri is None and any(not scenario.faults for scenario, _ in calls)
        async with self._desk("shared") if shared else contextlib.nullcontext() as desk:

            async def one(scenario: Scenario, plan: Plan) -> report.Result:
                async with self._lines:
                    result = await self._call(scenario, plan, desk)
                done()
                return result

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(scenario, plan)) for scenario, plan in calls]
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
            return [task.result() for task in tasks]

    @asynccontextmanager
    async def _desk(self, name: str) -> AsyncIterator[Desk]:
        folder = self._folder / name
        await asyncio.to_thread(folder.mkdir)
        desk = Desk(self._settings, folder)
        await desk.start()
        try:
            yield desk
        finally:
            await desk.stop()

    async def _call(self, scenario: Scenario, plan: Plan, desk: Desk | None) -> report.Result:
        began = time.monotonic()
        if not scenario.faults:
            evidence = await self._made(scenario, plan, desk)
        else:
            async with self._desk(f"{self._file.scenario.index(scenario)}-{plan.number}") as own:
                evidence = await self._made(scenario, plan, own)
        found = [*judge(scenario.expect, evidence), *await self._judged(scenario.expect.judged, evidence, plan.seed)]
        return report.Result(plan, found, time.monotonic() - began, evidence)

    async def _judged(self, rubric: Sequence[str], evidence: Evidence, seed: int) -> list[Verdict]:
        """Have the model judge a call by its rubric."""
        if not rubric or self._model is None:
            return []
        if evidence.record is None:
            return unjudged(rubric, "there is no record of the call")
        from worker.eval.chat import Chat, ChatError

        chat = Chat(self._model.about, self._model.key)
        try:
            return verdicts(rubric, await chat.ask(question(rubric, evidence), seed))
        except ChatError as error:
            return unjudged(rubric, f"the judge can't be asked: {error}")
        finally:
            await chat.close()

    async def _made(self, scenario: Scenario, plan: Plan, desk: Desk | None) -> Evidence:
        """Make one call, break what is to be broken meanwhile, and gather what is known of it."""
        name = f"eval-{self._run_id}-{uuid.uuid4().hex[:8]}"
        uri = self._file.agent.uri or f"sip:{scenario.dialled}@{desk.address if desk else ''}"
        errand = Errand(
            uri=uri,
            caller=scenario.caller,
            display_name=name,
            plan=plan,
            grammar=self._file.ears.grammar() if scenario.listens else None,
            model=self._model.about if self._model is not None and plan.who else None,
            at_most_s=scenario.at_most,
        )
        key = self._model.key if errand.model is not None and self._model is not None else None
        evidence, faults = Evidence(), set[asyncio.Task[None]]()

        def answered() -> None:
            faults.update(asyncio.create_task(desk.breaks(fault)) for fault in scenario.faults if desk is not None)

        await _dial(errand, evidence, answered, key)
        waiting = [task for task in faults if not task.done()]
        if waiting:
            evidence.problems.append(f"{len(waiting)} of {len(faults)} faults had not passed when the call ended")
        broke = [error for task in faults if task.done() and (error := task.exception()) is not None]
        evidence.problems += [f"a fault could not be made: {error}" for error in broke]
        await end_tasks(faults)
        folder = desk.folder if desk is not None else self._file.agent.records
        if folder is not None:
            evidence.record = await find_record(folder, name)
        if desk is not None and evidence.record is not None:
            evidence.tools = desk.tools.get(evidence.record.call_id, [])
        return evidence

    def _keep(self) -> None:
        """Move records and recordings into the folder that was asked for; the rest goes."""
        if self._out is not None:
            calls = self._out / "calls"
            calls.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("*/*"):
                if path.is_file():
                    shutil.move(path, calls / path.name)
        shutil.rmtree(self._folder, ignore_errors=True)


async def _dial(errand: Errand, evidence: Evidence, answered: Callable[[], None], key: str | None = None) -> None:
    """Run a caller's process to its end, and note what it tells. key: the text model's, which only its process gets."""

    def told(name: str, line: str) -> None:
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            print(f"[{name}] {line}", file=sys.stderr)
            return
        if said.get("event") == "answered":
            answered()
        _note(said, evidence)

    command = (sys.executable, "-P", "-m", "worker.eval.caller", errand.model_dump_json())
    environment = child_environment(keep_secrets=False, **({KEY: key} if key is not None else {}))
    child = Child(
        ChildSpec(name="caller", command=command, environment=environment, restart=False),
        sink=told,
    )
    await child.start()
    try:
        async with asyncio.timeout(START_S + errand.at_most_s + CLEAN_UP_S):
            await child.ended()
    except TimeoutError:
        evidence.problems.append("the caller's process did not end")
    finally:
        await child.stop()
    if evidence.status is None and not evidence.problems:
        evidence.problems.append("the caller's process ended without a call")


def _note(said: dict[str, Any], evidence: Evidence) -> None:
    """Take what a caller tells."""
    match said.get("event"):
        case "answered":
            evidence.answered = True
        case "said":
            evidence.said.append(said["text"])
        case "heard":
            evidence.heard.append(said["text"])
        case "gave_up":
            evidence.problems.append(f"the caller gave up: {said['reason']}")
        case "line":
            evidence.late_ms = said["late_ms"]
        case "ended":
            evidence.status = said["status"]
        case _:
            pass
