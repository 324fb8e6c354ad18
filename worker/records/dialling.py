"""How a call that we make came about, or did not: it rang, somebody's announcement was heard, who refused, and why.

Ringing (180) and audio before the answer (183 with SDP: an announcement, or the network's own ringing tone) are no
answer: nothing of that audio goes to the model, and no answering machine is listened for before the 200. Pure.
"""

from __future__ import annotations

from telephony import events as phone
from telephony.transfer import outcome_of
from worker.records.record import DialRecord

__all__ = ["Dialling"]


class Dialling:
    """One call of ours, from the INVITE on. Times in ms since then."""

    def __init__(self) -> None:
        self.record = DialRecord()

    def take(self, event: phone.CallEvent, now_ms: float) -> None:
        """Take an event of the call."""
        record = self.record
        if isinstance(event, phone.CallProgress) and record.outcome is None:
            if event.status == 180 and record.rang_ms is None:
                record.rang_ms = round(now_ms)
            record.early_media = record.early_media or event.early_media
        elif isinstance(event, phone.CallConfirmed):
            record.outcome, record.sip_status = "answered", 200
        elif isinstance(event, phone.CallEnded) and record.outcome is None:
            record.cause = event.cause
            if event.by == "agent":  # we did not wait any longer
                record.outcome = "no_answer"
                return
            found = outcome_of(event.status, event.cause)
            record.outcome, record.sip_status = "failed" if found == "accepted" else found, event.status
