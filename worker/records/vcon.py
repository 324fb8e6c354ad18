"""A call as a vCon: parties, recording, transcript, tool calls, in one JSON document for others' systems. Pure.

The form is the unsigned one of draft-ietf-vcon-vcon-core-04 (the successor of draft-ietf-vcon-vcon-container), whose
syntax version is 0.4.0. What is in it comes from the call's story, so that a caller who wants to be anonymous is so
here, and keys that were pressed are nowhere. Errors, arguments and the journal's edges stay out: they are the
operator's, and a vCon is handed on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from telephony.sip.number import is_number
from telephony.sip.uri import parse
from worker.records.record import CallRecord, ToolCallRecord, TransferRecord
from worker.records.story import Story

__all__ = ["Recording", "VConError", "vcon_of"]

SYNTAX = "0.4.0"
"""The draft has deprecated it; readers of its earlier versions ask for it."""
VENDOR = "offhook"
WAV = "audio/x-wav"
"""By the draft's list of media types (section 4.3.8)."""
CALLER, AGENT = 0, 1
"""Their places among the parties, and their channels in the recording."""

UNANSWERED = {"abandoned": "hung-up", "rejected": "congestion"}
"""The disposition of a call without an answer, by its outcome (section 4.3.11)."""
STATUSES = {"486": "busy", "600": "busy", "408": "no-answer", "480": "no-answer", "503": "congestion"}
"""And of a call that we made, by the SIP status that ended it."""
NOT_TAKEN = {"busy": "busy", "no_answer": "no-answer", "voicemail": "voicemail-no-message", "hung_up": "hung-up"}
"""And of a transfer that came to nothing, by its outcome; "failed" for others."""
ABOUT: set[str] = {
    "answered_ms",
    "duration_ms",
    "barge_ins",
    "withdrawn",
    "longest_tool_silence_ms",
    "answered_by",
    "dialling",
    "usage",
    "transcription",
    "cost",
    "calls_back",
    "second_line_of",
    "started_at",
    "ended_at",
    "sip_call_id",
    "agent",
    "route",
    "provider",
    "model",
}
"""What the record says of the call itself."""


class VConError(ValueError):
    """Of this call no vCon can be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The call's recording: a WAV file, the caller on its left channel and the agent on its right."""

    audio: bytes
    filename: str
    url: str | None = None
    """https: where it can be had. It is referred to by its hash then; None: it is in the vCon."""


def vcon_of(story: Story, created_at: str, recording: Recording | None = None, *, words: bool = True) -> dict[str, Any]:
    """Return a call's vCon, JSON-ready. created_at: now (RFC 3339).

    words: False leaves out what was said and what came of tools. The uuid is made of the content: the same call
    exported again has the same, and one of which more is known has another. Raises `VConError` for a call that goes
    on, or of which there is no record.
    """
    if story.live:
        raise VConError(f"call {story.call_id} is not over: a vCon is made of a whole call")
    record = story.record
    if record is None:
        raise VConError(f"there is no record of call {story.call_id} that can be read: a vCon is made of it")
    zero = _zero(story, record)
    content: dict[str, Any] = {
        "subject": f"call {story.call_id}",
        "parties": [*_parties(record), *(_unproved({"name": label}) for label in _targets(record))],
        "dialog": [_conversation(record, zero, recording), *_transfers(record, zero)],
        "analysis": list(_analysis(story, record, zero, words)),
        "attachments": list(_attachments(record, zero, created_at, words)),
    }
    return {"vcon": SYNTAX, "uuid": _uuid(story.call_id, content), "created_at": created_at, **content}


def _uuid(call_id: str, content: dict[str, Any]) -> str:
    """A UUID of version 8 (RFC 9562 section 5.8), out of a hash."""
    text = json.dumps([call_id, content], sort_keys=True)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
    number = number & ~(0xF << 76) | 0x8 << 76
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


# --- when ---------------------------------------------------------------------------------------------------------


def _zero(story: Story, record: CallRecord) -> datetime | None:
    """The wall clock at ms 0 of the record; None for one of before there were such times."""
    for text, plus_ms in (
        (story.journal.zero_at if story.journal is not None else "", 0),
        (record.started_at or "", record.answered_ms or 0),
    ):
        try:
            return datetime.fromisoformat(text) + timedelta(milliseconds=plus_ms)
        except ValueError:
            continue
    return None


def _at(zero: datetime | None, ms: int) -> str | None:
    if zero is None:
        return None
    return (zero + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dated(zero: datetime | None, ms: int) -> dict[str, Any]:
    """`start`, where it is known."""
    at = _at(zero, ms)
    return {} if at is None else {"start": at}


# --- who ----------------------------------------------------------------------------------------------------------


def _we_called(record: CallRecord) -> bool:
    return not record.caller or record.calls_back is not None or record.second_line_of is not None


def _parties(record: CallRecord) -> tuple[dict[str, str], dict[str, str]]:
    """The caller (or whom we called) and the agent."""
    theirs = record.caller or record.dialled
    caller = _address(theirs) | ({"name": record.display_name} if record.display_name else {})
    agent = {"name": record.agent or "agent", "type": "bot"}
    if record.caller and is_number(record.dialled):
        agent["tel"] = record.dialled
    return _unproved(caller), _unproved(agent)


def _address(text: str) -> dict[str, str]:
    if is_number(text):
        return {"tel": text}
    if (uri := parse(text)) is None:
        return {"name": text} if text else {}
    if uri.scheme == "tel":
        return {"tel": uri.user}
    host = uri.host if uri.port is None else f"{uri.host}:{uri.port}"
    return {"sip": f"{uri.scheme}:{uri.user}@{host}" if uri.user else f"{uri.scheme}:{host}"}


def _unproved(party: dict[str, str]) -> dict[str, str]:
    """Nobody has looked whether a name is right (section 4.2.6)."""
    return party | ({"validation": "none"} if "name" in party else {})


def _targets(record: CallRecord) -> list[str]:
    """To whom the call was to be handed on, by label, each once."""
    return list(dict.fromkeys(transfer.to for transfer in record.transfers))


# --- the conversation ---------------------------------------------------------------------------------------------


def _conversation(record: CallRecord, zero: datetime | None, recording: Recording | None) -> dict[str, Any]:
    common = {**_dated(zero, 0), "parties": [CALLER, AGENT], **({"originator": AGENT} if _we_called(record) else {})}
    if record.answered_ms is None and not record.duration_ms:
        return {"type": "incomplete", **common, "disposition": _disposition(record)}
    whole = {"type": "recording", **common, "duration": record.duration_ms / 1000}
    return whole if recording is None else {**whole, **_content(recording)}


def _disposition(record: CallRecord) -> str:
    status = re.search(r": (\d{3})\b", record.reason)  # as in "caller: 486 Busy Here"
    return (STATUSES.get(status[1]) if status else None) or UNANSWERED.get(record.outcome, "failed")


def _content(recording: Recording) -> dict[str, str]:
    about = {"mediatype": WAV, "filename": recording.filename}
    if recording.url is None:
        return about | {"encoding": "base64url", "body": _base64url(recording.audio)}
    digest = _base64url(hashlib.sha512(recording.audio).digest())
    return about | {"url": recording.url, "content_hash": f"sha512-{digest}"}


def _base64url(data: bytes) -> str:
    """Without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _transfers(record: CallRecord, zero: datetime | None) -> Iterator[dict[str, Any]]:
    """Each transfer, and after one that came to nothing the call that was not set up."""
    targets, place = _targets(record), 1
    for transfer in record.transfers:
        target = AGENT + 1 + targets.index(transfer.to)
        told = {**_dated(zero, transfer.at_ms), "transferee": CALLER, "transferor": AGENT, "transfer_target": target}
        failed = _not_taken(transfer)
        yield {"type": "transfer", **told, "original": 0, **({"target_dialog": place + 1} if failed else {})}
        place += 1
        if failed:
            yield {"type": "incomplete", **_dated(zero, transfer.at_ms), "parties": [AGENT, target], **failed}
            place += 1


def _not_taken(transfer: TransferRecord) -> dict[str, str]:
    return {} if transfer.outcome == "accepted" else {"disposition": NOT_TAKEN.get(transfer.outcome, "failed")}


# --- what is told of it -------------------------------------------------------------------------------------------


def _analysis(story: Story, record: CallRecord, zero: datetime | None, words: bool) -> Iterator[dict[str, Any]]:
    turns = []
    for turn in record.turns:
        party = CALLER if turn.who == "caller" else AGENT
        said = {"text": turn.text} if words and turn.text else {}
        took = {"start_ms": turn.start_ms, "end_ms": turn.end_ms}
        turns.append({"party": party, "kind": turn.who, **_dated(zero, turn.start_ms), **took, **said})
    if turns:
        spoken = any("text" in turn for turn in turns)
        model = {"product": record.model} if record.model else {}
        yield _json({"type": "transcript" if spoken else "report", **model, "schema": "offhook-turns-1"}, turns)
    report: dict[str, Any] = {"silences": [silence.model_dump(mode="json") for silence in story.silences]}
    if story.quality is not None:
        report["quality"] = story.quality.model_dump(mode="json", exclude={"spans"})
    if any(report.values()):
        yield _json({"type": "report", "schema": "offhook-line-1"}, report)


def _json(about: dict[str, Any], body: Any) -> dict[str, Any]:
    given = {"dialog": 0, "vendor": VENDOR, "mediatype": "application/json", "encoding": "json", "body": body}
    return {**about, **given}


def _attachments(record: CallRecord, zero: datetime | None, created_at: str, words: bool) -> Iterator[dict[str, Any]]:
    def attached(purpose: str, ms: int, body: dict[str, Any]) -> dict[str, Any]:
        given = {"party": AGENT, "dialog": 0, "mediatype": "application/json", "encoding": "json", "body": body}
        return {"purpose": purpose, "start": _at(zero, ms) or created_at, **given}

    about = {
        name: value
        for name, value in record.model_dump(mode="json", include=ABOUT, exclude_defaults=True).items()
        if value not in (None, "", [])
    }
    yield attached("call", 0, {"call_id": record.call_id, "outcome": record.outcome, **about})
    for call in record.tool_calls:
        yield attached("tool-call", call.start_ms, _tool_call(call, words))
    for approval in record.approvals:
        told = approval.model_dump(mode="json", exclude={"why"})
        yield attached("approval", approval.wanted_ms, told)


def _tool_call(call: ToolCallRecord, words: bool) -> dict[str, Any]:
    return call.model_dump(mode="json", exclude_none=True, exclude=None if words else {"result"})
