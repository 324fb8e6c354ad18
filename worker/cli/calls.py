"""The calls of all workers, and the story of one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.start import start
from worker.errors import OperatorError, SettingsError

if TYPE_CHECKING:
    from worker.records.story import Story


def calls(
    call_id: Annotated[str | None, typer.Argument(metavar="[CALL]", help="One call's id; left out: all.")] = None,
    past: Annotated[bool, typer.Option("--past", help="Those that are over, too, the latest first.")] = False,
    caller: Annotated[str, typer.Option(help="Those of this caller, or of a part of the number.")] = "",
    since: Annotated[str, typer.Option(help="Begun then or later: 2026-11-26, 2026-11-26T07:24 (UTC).")] = "",
    until: Annotated[str, typer.Option(help="Begun then or before.")] = "",
    outcome: Annotated[str, typer.Option(help="Those that ended so: completed, failed, ...")] = "",
) -> None:
    """Print the calls in progress of all workers that share REDIS_URL: one JSON object a line, with its worker.

    With --past, or anything that is searched by, those that are over, too. `offhook call ID` tells all of one.
    """
    import asyncio

    settings = start("calls")
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: set it to the Redis that the workers use (not the embedded one)")
    from worker.calls import calls_of_all, find_calls, found_lines, lines
    from worker.records.search import Query
    from worker.settings.values import reveal

    token = reveal(settings.http_token)
    query = Query(caller, since, until, outcome)
    if past or query != Query():
        if call_id is not None:
            raise OperatorError(f"a call's id and a search exclude each other: offhook call {call_id} tells all of it")
        for line in found_lines(asyncio.run(find_calls(settings.queue_settings(), query, token))):
            print(line)
        return
    for line in lines(asyncio.run(calls_of_all(settings.queue_settings(), token)), call_id):
        print(line)


def call(
    call_id: Annotated[str, typer.Argument(metavar="ID", help="The call's id, as the log has it, or its beginning.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that is known of it, as JSON.")] = False,
    as_vcon: Annotated[bool, typer.Option("--vcon", help="Print it as a vCon, with its recording.")] = False,
    recording: Annotated[
        str,
        typer.Option(help="With --vcon: inline, none, or an https: URL at which the recording can be had."),
    ] = "inline",
) -> None:
    """Tell a call's whole story: what was said, why it was silent, its tools, SIP messages and line.

    It comes from the files (OFFHOOK_JOURNAL, OFFHOOK_RECORDINGS), else from the workers that share REDIS_URL, or from
    the one at OFFHOOK_HTTP: a call in progress, or one of their last.
    """
    import asyncio

    from worker.calls import find_recording, find_story
    from worker.records.archive import Archive

    if recording not in ("inline", "none") and not recording.startswith("https://"):
        raise OperatorError(f"--recording {recording}: it takes inline, none, or a URL that begins with https://")
    settings = start("call")
    from worker.settings.values import reveal

    archive = Archive(settings.records_folder(), settings.journal_folder(), settings.recordings)
    queue = settings.queue_settings() if settings.redis_url is not None else None
    http, token = settings.own_url(), reveal(settings.http_token)
    story = asyncio.run(find_story(call_id, archive, queue, http, token))
    if as_json:
        print(story.model_dump_json(indent=2))
        return
    if as_vcon:
        wanted = recording != "none" and story.recorded and not story.live
        wav = asyncio.run(find_recording(story.call_id, archive, queue, http, token)) if wanted else None
        if wanted and wav is None:
            why = "is encrypted (`offhook decrypt` opens it)" if story.sealed else "can't be had"
            print(f"offhook: the recording {why}; the vCon is without it", file=sys.stderr)
        _print_vcon(story, wav, recording, settings.told().words)
        return
    from rich.console import Console

    from worker.pages.terminal import print_story

    print_story(story, Console(soft_wrap=True))


def _print_vcon(story: Story, wav: bytes | None, recording: str, words: bool) -> None:
    import time

    from worker.records.record import wall
    from worker.records.vcon import Recording, VConError, vcon_of

    url = None if recording == "inline" else recording
    part = Recording(wav, f"{story.call_id}.wav", url) if wav is not None else None
    try:
        print(json.dumps(vcon_of(story, wall(time.time()), part, words=words), ensure_ascii=False))
    except VConError as error:
        raise OperatorError(str(error)) from None
