"""How one registration or several accounts stand, for /readyz. Pure.

Of several, the worker is ready as long as calls can come in by one of them: who takes it out of service for an account
that is lost ends the calls of those that are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from telephony.accounts import AccountSettings
from telephony.events import RegistrationChanged
from worker.service.http import Part

__all__ = ["part_of_one", "parts_of_accounts"]


def part_of_one(state: RegistrationChanged | None, *, by_proxy: bool) -> Part:
    """Return how the one registration stands. state: its last answer. by_proxy: a proxy gives it, not a registrar."""
    if state is None:
        return Part("registration", False, f"no answer from the {'proxy' if by_proxy else 'registrar'} yet")
    return Part("registration", state.registered, f"{state.status} {state.reason}")


def parts_of_accounts(
    accounts: Sequence[AccountSettings], states: Mapping[str, RegistrationChanged]
) -> tuple[Part, Part]:
    """Return registration, without which no calls come, and accounts, which says how each stands."""
    up = {one.name: not one.registers or ((s := states.get(one.name)) is not None and s.registered) for one in accounts}
    count = Part("registration", any(up.values()), f"{sum(up.values())} of {len(accounts)} accounts")
    words = "; ".join(f"{one.name}: {_words(one, states.get(one.name))}" for one in accounts)
    return count, Part("accounts", all(up.values()), words, needed=False)


def _words(one: AccountSettings, state: RegistrationChanged | None) -> str:
    if not one.registers:
        return "is not registered with"
    return "no answer from the registrar yet" if state is None else f"{state.status} {state.reason}"
