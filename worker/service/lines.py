"""What a call may ask of the telephone beside its own line: to refer it, to dial another, to connect the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from telephony.endpoint import Endpoint
from telephony.transfer import SECOND_LINE
from worker.call.session import CallSession
from worker.call.transfer import MakeSecond

__all__ = ["CallLines", "DialLine"]


class DialLine(Protocol):
    """Dials a URI, with what makes the session and headers of the INVITE, as `Switchboard.dial` does."""

    def __call__(
        self,
        uri: str,
        make: MakeSecond,
        headers: Mapping[str, str],
        *,
        account: str | None = None,
        made_for: str | None = None,
    ) -> Awaitable[CallSession]:
        """Dial."""


@dataclass(frozen=True, slots=True)
class CallLines:
    """A `worker.call.transfer.Lines` of one call. Each raises TelephonyError where it can't be done."""

    call_id: str
    endpoint: Endpoint
    dial_line: DialLine
    end_line: Callable[[str], None]
    takes_refer: bool
    account: str | None = None
    """The call's: second lines go out by it, too, where nothing else is said."""

    async def refer(self, uri: str) -> None:
        """Send REFER."""
        await asyncio.wrap_future(self.endpoint.refer(self.call_id, uri))

    async def dial(self, uri: str, make: MakeSecond, account: str | None = None) -> CallSession:
        """Dial on a second line, marked as one: where it leads back to us it is refused there."""
        headers = {SECOND_LINE: self.call_id}
        return await self.dial_line(uri, make, headers, account=account, made_for=self.account)

    async def join(self, line_id: str) -> None:
        """Connect the second line with this call."""
        await asyncio.wrap_future(self.endpoint.join(self.call_id, line_id))

    async def send_digits(self, digits: str) -> None:
        """Press keys on this call's line (RFC 4733)."""
        await asyncio.wrap_future(self.endpoint.send_digits(self.call_id, digits))

    def hang_up(self, line_id: str) -> None:
        """End the second line, if it is up."""
        self.end_line(line_id)
