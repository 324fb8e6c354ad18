"""Which calls a route is for: what was dialled, who calls, and what else the INVITE says. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import Field

from telephony.sip.facts import InviteFacts
from telephony.sip.number import matches, normal, normal_pattern
from worker.agent.table import AgentTable

__all__ = ["When"]


class When(AgentTable):
    """The conditions of a `[[route]]`; a call has to meet all of them.

    `*`, `?` and `[...]` match as in file names. Numbers compare without the separators that they may be written with.
    """

    dialled: str = Field(default="*", min_length=1, description="the number or user name as dialled, or a pattern")
    caller: str | None = Field(default=None, min_length=1, description="who calls, or a pattern")
    diverted_from: str | None = Field(
        default=None, min_length=1, description="a number that was dialled before, or a pattern"
    )
    account: str | None = Field(
        default=None, min_length=1, description="the account of OFFHOOK_SIP_ACCOUNTS that the call came by"
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="values, or patterns, of headers that OFFHOOK_SIP_HEADERS names"
    )

    def fits(self, dialled: str, caller: str, facts: InviteFacts) -> bool:
        """Whether a call is one of these."""
        found = {name.lower(): value for name, value in facts.headers.items()}
        return (
            matches(dialled, self.dialled)
            and self.account in (None, facts.account)
            and (self.caller is None or matches(caller, self.caller))
            and (self.diverted_from is None or any(matches(one, self.diverted_from) for one in facts.diverted_from))
            and all(fnmatchcase(found.get(name.lower(), ""), value) for name, value in self.headers.items())
        )

    def names(self, dialled: str) -> bool:
        """Whether it is for this very number, and for no other."""
        return normal(self.dialled) == normal(dialled)

    def same(self, other: When) -> bool:
        """Whether both are for the same calls, as they are written."""
        return self._plain() == other._plain()

    def _plain(self) -> tuple[object, ...]:
        patterns = (normal_pattern(one or "*") for one in (self.dialled, self.caller, self.diverted_from))
        return (*patterns, self.account or "", sorted((name.lower(), value) for name, value in self.headers.items()))
