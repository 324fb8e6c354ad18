"""What a client of the Live API may send: every message's fields, in one place. Pure data.

snake_case goes as well as camelCase; what has another name closes the connection, as in the service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from worker.local.checks import Anything, Choice, Flag, Listing, Number, Shape, Table, Text, whole
from worker.local.errors import RequestError

__all__ = ["VOICES", "camel", "check_message"]

VOICES = (
    "Achernar", "Achird", "Algenib", "Algieba", "Alnilam", "Aoede", "Autonoe", "Callirrhoe", "Charon", "Despina",
    "Enceladus", "Erinome", "Fenrir", "Gacrux", "Iapetus", "Kore", "Laomedeia", "Leda", "Orus", "Puck", "Pulcherrima",
    "Rasalgethi", "Sadachbia", "Sadaltager", "Schedar", "Sulafat", "Umbriel", "Vindemiatrix", "Zephyr", "Zubenelgenubi",
)  # fmt: skip
FREE = ("args", "response", "parameters", "parametersJsonSchema", "parameters_json_schema")
"""Objects whose keys are the client's own."""

_PART = Shape({"text": Text()}, required=("text",))
_CONTENT = Shape({"role": Choice(("user", "model")), "parts": Listing(_PART)}, required=("parts",))
_FUNCTION = Shape(
    {
        "name": Text(longest=128, pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]*$"),
        "description": Text(),
        "parameters": Table(),
        "parametersJsonSchema": Table(),
        "behavior": Choice(("BLOCKING", "NON_BLOCKING")),
    },
    required=("name",),
)
_TOOLS = Listing(Shape({"functionDeclarations": Listing(_FUNCTION)}))
_TRANSCRIPTION = Shape({"languageCodes": Listing(Text())})
_VOICE = Shape({"prebuiltVoiceConfig": Shape({"voiceName": Choice(VOICES)})})
_GENERATION = Shape(
    {
        "responseModalities": Listing(Choice(("AUDIO",)), most=1),
        "temperature": Number(0.0, 2.0),
        "topP": Number(0.0, 1.0),
        "topK": Number(0.0, 1000.0),
        "maxOutputTokens": whole(1, 2**31),
        "seed": whole(0, 2**31),
        "speechConfig": Shape({"voiceConfig": _VOICE, "languageCode": Text()}),
        "thinkingConfig": Shape(
            {"thinkingBudget": whole(-1, 2**20), "includeThoughts": Flag(), "thinkingLevel": Text()}
        ),
        "enableAffectiveDialog": Flag(),
        "mediaResolution": Text(),
    }
)
_DETECTION = Shape(
    {
        "disabled": Flag(),
        "startOfSpeechSensitivity": Choice(("START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW")),
        "endOfSpeechSensitivity": Choice(("END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW")),
        "prefixPaddingMs": whole(0, 5000),
        "silenceDurationMs": whole(0, 10000),
    }
)
_REALTIME = Shape(
    {
        "automaticActivityDetection": _DETECTION,
        "activityHandling": Choice(("START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION")),
        "turnCoverage": Choice(
            (
                "TURN_INCLUDES_ONLY_ACTIVITY",
                "TURN_INCLUDES_ALL_INPUT",
                "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
            )
        ),
    }
)
_SETUP = Shape(
    {
        "model": Text(),
        "generationConfig": _GENERATION,
        "systemInstruction": _CONTENT,
        "tools": _TOOLS,
        "sessionResumption": Shape({"handle": Text()}),
        "contextWindowCompression": Shape(
            {"slidingWindow": Shape({"targetTokens": Anything()}), "triggerTokens": Anything()}
        ),
        "realtimeInputConfig": _REALTIME,
        "inputAudioTranscription": _TRANSCRIPTION,
        "outputAudioTranscription": _TRANSCRIPTION,
        "historyConfig": Shape({"initialHistoryInClientContent": Flag()}),
        "proactivity": Shape({"proactiveAudio": Flag()}),
    },
    required=("model",),
)
_BLOB = Shape({"data": Text(), "mimeType": Text(pattern=r"^audio/pcm(;rate=\d+)?$")}, required=("data", "mimeType"))
_EMPTY = Shape({})
_RESPONSE = Shape(
    {
        "id": Text(),
        "name": Text(),
        "response": Table(),
        "scheduling": Choice(("SILENT", "WHEN_IDLE", "INTERRUPT")),
        "willContinue": Flag(),
    },
    required=("name", "response"),
)
_MESSAGE = Shape(
    {
        "setup": _SETUP,
        "clientContent": Shape({"turns": Listing(_CONTENT), "turnComplete": Flag()}),
        "realtimeInput": Shape(
            {
                "audio": _BLOB,
                "text": Text(),
                "activityStart": _EMPTY,
                "activityEnd": _EMPTY,
                "audioStreamEnd": Flag(),
            }
        ),
        "toolResponse": Shape({"functionResponses": Listing(_RESPONSE)}, required=("functionResponses",)),
        "contextUpdate": Shape({"systemInstruction": _CONTENT, "tools": Shape({"tools": _TOOLS})}),
    }
)


def camel(value: Any) -> Any:
    """Return a message with its keys in camelCase; objects whose keys are the client's own stay."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_([a-z])", lambda found: found[1].upper(), key): child if key in FREE else camel(child)
        for key, child in value.items()
    }


def check_message(message: Any) -> Mapping[str, Any]:
    """Return a client's message in camelCase. Raises RequestError unless it is one, with one thing in it."""
    found = camel(message)
    _MESSAGE.check(found, "")
    if len(found) != 1:
        raise RequestError("A message has exactly one field.", code="invalid_value")
    checked: Mapping[str, Any] = found
    return checked
