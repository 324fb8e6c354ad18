"""Google's own client talks to the local server: TLS, a spoken turn, a tool, resumption, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google import genai
    from google.genai import errors, types

from worker.local.dialogue import load_dialogue
from worker.local.protocol import Transcribe
from worker.local.server import RealtimeServer, ServerSettings

MODEL = "gemini-3.8-live"
KEY = "any-key-of-ai-studio"
DIALOGUE = """
greeting = "Good day."
[[turn]]
hears = ["where is my order"]
say = "Let me see."
[[turn.call]]
tool = "look_up"
arguments = {}
[[turn.call.answer]]
when = { status = "shipped" }
say = "It is on its way."
"""
LOOK_UP = {"function_declarations": [{"name": "look_up", "description": "Looks.", "behavior": "NON_BLOCKING"}]}


class Mouth:
    """A second of sound for each text."""

    def speak(self, text: str, voice: str, speed: float) -> tuple[bytes, int]:
        return bytes(2 * 24_000), 24_000


def hear(job: Transcribe) -> str:
    assert len(job.pcm) > 0 and job.rate_hz == 16_000
    return "where is my order"


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[tuple[RealtimeServer, genai.Client]]:
    """A server with a certificate of its own, and the SDK's client that trusts it."""
    dialogue = folder / "dialogue.toml"
    dialogue.write_text(DIALOGUE)
    found = ServerSettings(port=0, protocol="gemini", tls=folder / "tls", api_key=KEY, dialogue=dialogue, **settings)
    async with RealtimeServer(found, load_dialogue(dialogue), hear=hear, mouth=Mouth()) as server:
        yield server, client(server)


def client(server: RealtimeServer, key: str = KEY) -> genai.Client:
    assert server.settings.tls is not None
    trust = ssl.create_default_context(cafile=str(server.settings.tls / "certificate.pem"))
    options = types.HttpOptions(
        base_url=f"https://127.0.0.1:{server.port}", api_version="v1beta", async_client_args={"ssl": trust}
    )
    return genai.Client(api_key=key, http_options=options)


def config(**more: Any) -> types.LiveConnectConfig:
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        output_audio_transcription=types.AudioTranscriptionConfig(),
        input_audio_transcription=types.AudioTranscriptionConfig(),
        session_resumption=types.SessionResumptionConfig(),
        context_window_compression=types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow()),
        **more,
    )


async def turn(session: Any) -> list[types.LiveServerMessage]:
    """The messages up to the end of the turn."""
    async with asyncio.timeout(20):
        return [message async for message in session.receive()]


def words(messages: list[types.LiveServerMessage]) -> str:
    contents = [message.server_content for message in messages if message.server_content]
    return "".join(c.output_transcription.text or "" for c in contents if c.output_transcription)


async def test_a_spoken_turn_with_a_tool(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, sdk):
        by_hand = types.RealtimeInputConfig(automatic_activity_detection={"disabled": True})
        own = config(tools=[LOOK_UP], realtime_input_config=by_hand)
        async with sdk.aio.live.connect(model=MODEL, config=own) as session:
            await session.send_realtime_input(activity_start=types.ActivityStart())
            audio = types.Blob(data=bytes(32_000), mime_type="audio/pcm;rate=16000")
            await session.send_realtime_input(audio=audio)
            await session.send_realtime_input(activity_end=types.ActivityEnd())
            messages = await turn(session)
            assert words(messages) == "Let me see."
            assert sum(len(message.data or b"") for message in messages) == 2 * 24_000
            (call,) = [c for m in messages if m.tool_call for c in m.tool_call.function_calls or ()]
            assert call.name == "look_up"
            answer = types.FunctionResponse(
                id=call.id,
                name=call.name,
                response={"output": {"status": "shipped"}},
                scheduling=types.FunctionResponseScheduling.WHEN_IDLE,
            )
            await session.send_tool_response(function_responses=[answer])
            told = await turn(session)
            assert words(told) == "It is on its way."
            assert any(message.usage_metadata for message in told)


async def test_written_words_and_a_session_that_is_resumed(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, sdk):
        async with sdk.aio.live.connect(model=MODEL, config=config()) as session:
            content = types.Content(role="user", parts=[types.Part(text="Say exactly: Hello.")])
            await session.send_client_content(turns=content, turn_complete=True)
            assert words(await turn(session)) == "Hello."
            async with asyncio.timeout(5):
                update = (await session._receive()).session_resumption_update
            assert update is not None and update.resumable
        again = config()
        again.session_resumption = types.SessionResumptionConfig(handle=update.new_handle)
        async with sdk.aio.live.connect(model=MODEL, config=again) as session:
            content = types.Content(role="user", parts=[types.Part(text="Say exactly: Still here.")])
            await session.send_client_content(turns=content, turn_complete=True)
            assert words(await turn(session)) == "Still here."


async def test_a_wrong_key_and_an_unknown_model_close(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, sdk):
        with pytest.raises(errors.APIError, match="1007.*API key not valid"):
            async with client(server, "wrong").aio.live.connect(model=MODEL, config=config()):
                pass
        with pytest.raises(errors.APIError, match="1008.*not found"):
            async with sdk.aio.live.connect(model="gemini-0.1", config=config()):
                pass
