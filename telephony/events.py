"""What the endpoint tells the application. Frozen, made on the pj thread, safe to hand to any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from telephony.bridge import Bridge
from telephony.dtmf import DigitVia
from telephony.sip.facts import InviteFacts

EndedBy = Literal["caller", "agent", "network", "error"]
RefusedFor = Literal["full", "overload", "draining", "stranger", "malformed", "loop", "insecure", "family", "library"]


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """An INVITE that passed the doors: within the limit, from an allowed source, with a codec in common."""

    call_id: str
    """Ours: 32 hex digits, on every later event of the call."""
    sip_call_id: str
    """The SIP Call-ID, to find the call in the other side's logs."""
    caller: str
    """Who calls, for routing and rules: what a trusted network asserts, else From's user part (a number in its normal
    form, a name), or its host when it has no user."""
    dialled: str
    """User part that was dialled: the Request-URI's, or To's when the Request-URI is our registered contact."""
    source: str
    """Where the INVITE came from, "ip:port"."""
    bridge: Bridge
    """The call's audio, both ways; play() may begin before the media is up."""
    private: bool = False
    """The caller's identity was told in confidence: it is shown to nobody, and stands in no record (RFC 3323)."""
    facts: InviteFacts = field(default_factory=InviteFacts)
    """What else the INVITE said."""
    takes_refer: bool = True
    """False: the INVITE's Allow leaves REFER out."""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """An outbound call got a provisional response (100 to 199)."""

    call_id: str
    status: int
    reason: str
    early_media: bool = False
    """Audio comes with it, before any answer (RFC 3960): an announcement, or the network's own ringing tone."""


@dataclass(frozen=True, slots=True)
class CallConfirmed:
    """The call is up: 200 and ACK have passed."""

    call_id: str


@dataclass(frozen=True, slots=True)
class MediaActive:
    """Audio flows both ways, at first or again after a re-INVITE."""

    call_id: str
    codec: str
    """Name in the SDP: PCMU, PCMA or G722."""
    rate_hz: int
    """The codec's sampling rate; the bridge's is 8000 whatever this is."""


@dataclass(frozen=True, slots=True)
class MediaHeld:
    """The other side put us on hold, or took us off it. While held the playout clock stands."""

    call_id: str
    held: bool


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """A key was pressed. The digit is the caller's secret: it is not in the repr and belongs in no log."""

    call_id: str
    digit: str = field(repr=False)
    """One of 0-9, *, #, A-D."""
    via: DigitVia
    """RTP events (RFC 4733) or SIP INFO."""


@dataclass(frozen=True, slots=True)
class ReferAnswered:
    """Our REFER has its final response (RFC 3515 section 2.4.2)."""

    call_id: str
    status: int
    """408 where there was none."""
    reason: str


@dataclass(frozen=True, slots=True)
class ReferNotified:
    """The other side's call to whom we referred it has come so far: the status line in a NOTIFY's message/sipfrag."""

    call_id: str
    status: int
    reason: str
    final: bool
    """No more will be told."""


@dataclass(frozen=True, slots=True)
class HandOverBegan:
    """The call is about to go on elsewhere, by leave of its `HandOverRules`."""

    call_id: str
    means: Literal["refer", "replaces"]
    """The other side asked us to dial (RFC 3515), or another call takes this one's place (RFC 3891)."""
    target: str
    """Whom we dial; "" where we don't."""


@dataclass(frozen=True, slots=True)
class HandOverEnded:
    """It has: what is said from now on is said to somebody else. Or it has not, and the call stays where it is."""

    call_id: str
    means: Literal["refer", "replaces"]
    status: int
    """200, or the target's final response to our INVITE."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over; the last event of its call_id."""

    call_id: str
    status: int
    """SIP status: 200 for a BYE, 487 for a CANCEL, else the final response."""
    reason: str
    by: EndedBy
    """The other side (also when it refused our INVITE), us, silence on the wire, or a fault of our own."""
    foreign_packets: int = 0
    """RTP and RTCP packets from elsewhere than the call's source, dropped; 0 on a build that can't tell."""
    cause: int | None = None
    """Of ITU-T Q.850, where the other side told one (RFC 3326)."""


@dataclass(frozen=True, slots=True)
class CallRefused:
    """An INVITE was turned away at the door and never became a call."""

    status: int
    """503 with Retry-After full, overloaded or draining; 403 a stranger; 400 and 513 not all of it came; 482 a second
    line of an endpoint like us; 488 insecure: SRTP's keys for all to read; 486, 488, 400 and others the library's."""
    reason: str
    source: str
    """"ip:port", or "" where the library doesn't say."""
    why: RefusedFor = "library"
    """Whose decision it was. The library's own: no codec in common, malformed, or all that the build has is taken."""


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """How we stand with the registrar, after each answer of it."""

    registered: bool
    status: int
    """SIP status of the last answer; 408 or 503 when there was none."""
    reason: str
    expires_s: int
    """Lifetime the registrar granted; 0 when not registered."""
    retry_s: float | None = None
    """Seconds until the next try, when this one failed."""
    account: str = ""
    """Name of the account, where there are several."""


@dataclass(frozen=True, slots=True)
class SipMessage:
    """A SIP message of a call went out or came in; told where `SipSettings.trace` is on. No body.

    The library tells of transactions while it has the call: not of a message that is sent again, nor of what answers
    our own BYE.
    """

    call_id: str
    at_s: float
    """When, by `time.monotonic`."""
    sent: bool
    """By us."""
    line: str
    """Its first line as `telephony.sip.ladder` shows it."""
    method: str
    """The request's, of a response too."""
    sip_call_id: str
    """The SIP Call-ID."""
    head: str = ""
    """Its first line and headers as `telephony.sip.head` has them, where `SipSettings.trace_heads` is on."""
    peer: str = ""
    """The other side's address, as host:port; "" while it is not known."""


@dataclass(frozen=True, slots=True)
class RtpReport:
    """How a call's RTP stands; told every few seconds where `SipSettings.trace` is on. Counts are since the answer."""

    call_id: str
    at_s: float
    """When, by `time.monotonic`."""
    received: int
    """Packets that came in."""
    lost: int
    """Packets that did not, by their sequence numbers (RFC 3550 section 6.4.1)."""
    discarded: int
    """Packets that came too late for the jitter buffer, or did not fit in."""
    jitter_ms: float
    """Interarrival jitter of what came in (RFC 3550 section 6.4.1), as it was last."""
    buffer_ms: float
    """How long what came in waited in the jitter buffer, on average."""
    sent: int
    """Packets that went out."""
    their_lost: int | None
    """Of those, lost on the way by the other side's RTCP; None while it has sent none."""
    their_jitter_ms: float | None
    """The jitter at the other side, by its RTCP."""
    round_trip_ms: float | None
    """By RTCP (RFC 3550 section 6.4.1); None while it is not known."""


CallEvent = (
    IncomingCall
    | CallProgress
    | CallConfirmed
    | MediaActive
    | MediaHeld
    | DigitReceived
    | ReferAnswered
    | ReferNotified
    | HandOverBegan
    | HandOverEnded
    | CallEnded
    | SipMessage
    | RtpReport
    | CallRefused
    | RegistrationChanged
)
