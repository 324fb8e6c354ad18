"""Whose RTP is a call's: the filter in front of its media, which our own build has in C++ (native/rtp_source.hpp)."""

from __future__ import annotations

from typing import Protocol

from telephony.access import address_of
from telephony.binding import pj
from telephony.settings import SipSettings

GUARDED = hasattr(pj, "RtpSource")
"""Whether this build can hold a call to its source; without it the library follows whoever sends long enough."""


class RtpSource(Protocol):
    """One call's source. On the pj thread, but for the count."""

    def guard(self, given: pj.OnCreateMediaTransportParam) -> None:
        """Put the filter in front of the media transport that the library is about to use."""

    def reopen(self) -> None:
        """The call was confirmed: a source may be learnt from now on, for as long as the window is."""

    def foreign_packets(self) -> int:
        """RTP and RTCP packets that came from elsewhere, and were dropped."""


def new_source(settings: SipSettings, signalling: str) -> RtpSource | None:
    """A call's filter, None where the build has none. `signalling`: where its INVITE came from, "ip:port", or ""."""
    if not GUARDED:
        return None
    address = address_of(signalling)
    made: RtpSource = pj.RtpSource(settings.rtp_source, int(settings.rtp_learn_s * 1000), str(address or ""))
    return made
