"""What a call may ask of the telephone beside its own line: to refer it, to dial another, to connect the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from telephony.endpoint import Endpoint
from telephony.transfer import SECOND_LINE
from worker.call.session import CallSession
from worker.call.transfer import MakeSecond

__all__ = ["CallLines", "DialLine"]

DialLine = Callable[[str, MakeSecond, Mapping[str, str]], Awaitable[CallSession]]
"""Dials a URI, with what makes the session and headers of the INVITE."""


@dataclass(frozen=True, slots=True)
class CallLines:
    """A `worker.call.transfer.Lines` of one call. Each raises TelephonyError where it can't be done."""

    call_id: str
    endpoint: Endpoint
    dial_line: DialLine
    end_line: Callable[[str], None]
    takes_refer: bool

    async def refer(self, uri: str) -> None:
        """Send REFER."""
        await asyncio.wrap_future(self.endpoint.refer(self.call_id, uri))

    async def dial(self, uri: str, make: MakeSecond) -> CallSession:
        """Dial on a second line, marked as one: where it leads back to us it is refused there."""
        return await self.dial_line(uri, make, {SECOND_LINE: self.call_id})

    async def join(self, line_id: str) -> None:
        """Connect the second line with this call."""
        await asyncio.wrap_future(self.endpoint.join(self.call_id, line_id))

    async def send_digits(self, digits: str) -> None:
        """Press keys on this call's line (RFC 4733)."""
        await asyncio.wrap_future(self.endpoint.send_digits(self.call_id, digits))

    def hang_up(self, line_id: str) -> None:
        """End the second line, if it is up."""
        self.end_line(line_id)
