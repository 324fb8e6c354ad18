"""The audio of a call without a telephone: somebody has to take the agent's frames, or it would never be heard."""

from __future__ import annotations

import asyncio

from telephony.bridge import Bridge

__all__ = ["TAKEN_FASTER", "take_all"]

TAKEN_FASTER = 25
"""Who reads does not wait for the sound; and the model is to know that all of it was heard."""


async def take_all(bridge: Bridge, faster: int = TAKEN_FASTER) -> None:
    """Take the agent's audio so many times as fast as it sounds, until cancelled."""
    while True:
        for _ in range(faster):
            bridge.pull()
        await asyncio.sleep(bridge.ptime_ms / 1000)
