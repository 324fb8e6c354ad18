"""The structure of an unsigned vCon (draft-ietf-vcon-vcon-core-04, section 4) as a JSON schema, as strict as the text.

Beyond the draft it lets nothing through that the draft does not name: what `offhook` writes needs no extension.
"""

from __future__ import annotations

from typing import Any

INDEX = {"type": "integer", "minimum": 0}
DATE = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
TEXT = {"type": "string", "minLength": 1}
MEDIA_TYPE = {"type": "string", "pattern": "^[a-z]+/[a-z0-9.+-]+$"}
BASE64URL = {"type": "string", "pattern": "^[A-Za-z0-9_-]*$"}
FILE = {
    "mediatype": MEDIA_TYPE,
    "filename": TEXT,
    "encoding": {"enum": ["base64url", "json", "none"]},
    "body": True,
    "url": {"type": "string", "pattern": "^https://."},
    "content_hash": {"type": "string", "pattern": "^sha512-[A-Za-z0-9_-]{86}$"},
}
FILE_RULES = [
    {"not": {"required": ["body", "url"]}},
    {"if": {"required": ["body"]}, "then": {"required": ["encoding", "mediatype"]}},
    {
        "if": {"required": ["url"]},
        "then": {"required": ["content_hash"]},
        "else": {"not": {"required": ["content_hash"]}},
    },
    {
        "if": {"properties": {"encoding": {"const": "base64url"}}, "required": ["encoding"]},
        "then": {"properties": {"body": BASE64URL}},
    },
]
COMMON = {"start": DATE, "duration": {"type": "number", "minimum": 0}}
WHO = {"parties": {"type": "array", "items": INDEX, "minItems": 2}, "originator": INDEX}

PARTY = {
    "type": "object",
    "properties": {
        "tel": {"type": "string", "pattern": r"^(tel:)?[+0-9*#]+$"},
        "sip": {"type": "string", "pattern": r"^sips?:[^?]+$"},
        "name": TEXT,
        "validation": TEXT,
        "type": {"enum": ["person", "bot", "organization"]},
    },
    "dependentRequired": {"name": ["validation"]},
    "additionalProperties": False,
}
RECORDING = {
    "properties": {"type": {"const": "recording"}, **COMMON, **WHO, **FILE},
    "required": ["parties"],
    "allOf": FILE_RULES,
    "additionalProperties": False,
}
INCOMPLETE = {
    "properties": {
        "type": {"const": "incomplete"},
        **COMMON,
        **WHO,
        "disposition": {"enum": ["no-answer", "congestion", "failed", "busy", "hung-up", "voicemail-no-message"]},
    },
    "required": ["disposition"],
    "additionalProperties": False,
}
TRANSFER = {
    "properties": {
        "type": {"const": "transfer"},
        "start": DATE,
        **dict.fromkeys(("transferee", "transferor", "transfer_target", "original", "target_dialog"), INDEX),
    },
    "additionalProperties": False,
}
ANALYSIS = {
    "type": "object",
    "properties": {
        "type": {"enum": ["report", "sentiment", "summary", "transcript", "translation", "tts"]},
        "dialog": INDEX,
        "vendor": TEXT,
        "product": TEXT,
        "schema": TEXT,
        **FILE,
    },
    "required": ["type", "vendor", "dialog"],
    "allOf": FILE_RULES,
    "additionalProperties": False,
}
ATTACHMENT = {
    "type": "object",
    "properties": {"purpose": TEXT, "start": DATE, "party": INDEX, "dialog": INDEX, **FILE},
    "required": ["start", "party", "dialog"],
    "allOf": FILE_RULES,
    "additionalProperties": False,
}
VCON: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "vcon": {"const": "0.4.0"},
        "uuid": {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"},
        "created_at": DATE,
        "subject": TEXT,
        "parties": {"type": "array", "items": PARTY},
        "dialog": {
            "type": "array",
            "items": {"type": "object", "required": ["type"], "oneOf": [RECORDING, INCOMPLETE, TRANSFER]},
        },
        "analysis": {"type": "array", "items": ANALYSIS},
        "attachments": {"type": "array", "items": ATTACHMENT},
    },
    "required": ["uuid", "created_at", "parties"],
    "additionalProperties": False,
}


def wrong_indices(vcon: dict[str, Any]) -> list[str]:
    """References to parties and dialogs that are not there."""
    parties, dialogs = len(vcon["parties"]), len(vcon["dialog"])
    found = []
    for place, dialog in enumerate(vcon["dialog"]):
        people = [
            *dialog.get("parties", []),
            *(dialog.get(n, 0) for n in ("transferee", "transferor", "transfer_target")),
        ]
        found += [f"dialog {place}: party {one}" for one in people if one >= parties]
        found += [f"dialog {place}: {n}" for n in ("original", "target_dialog") if dialog.get(n, 0) >= dialogs]
    found += [f"attachment: party {one['party']}" for one in vcon["attachments"] if one["party"] >= parties]
    parts = [*vcon["attachments"], *vcon["analysis"]]
    return found + [f"dialog {one['dialog']}" for one in parts if one["dialog"] >= dialogs]
