from __future__ import annotations

from telephony.accounts import AccountSettings
from telephony.events import RegistrationChanged
from worker.records.metrics import Metrics
from worker.service.account_parts import parts_of_accounts

BERLIN = AccountSettings(name="berlin", registrar="a.example", username="u")
MUNICH = AccountSettings(name="munich", registrar="b.example", username="u")
TRUNK = AccountSettings(name="trunk", registrar="c.example", username="u", registers=False)
UP = RegistrationChanged(True, 200, "OK", 60, account="berlin")
DOWN = RegistrationChanged(False, 403, "Forbidden", 0, account="munich")


def test_one_is_enough_to_be_ready() -> None:
    registration, accounts = parts_of_accounts((BERLIN, MUNICH), {"berlin": UP, "munich": DOWN})
    assert (registration.ok, registration.needed, registration.detail) == (True, True, "1 of 2 accounts")
    assert (accounts.ok, accounts.needed) == (False, False)
    assert accounts.detail == "berlin: 200 OK; munich: 403 Forbidden"
    assert not parts_of_accounts((BERLIN, MUNICH), {"munich": DOWN})[0].ok
    registration, accounts = parts_of_accounts((MUNICH, TRUNK), {})
    assert registration.ok and accounts.detail.endswith("registrar yet; trunk: is not registered with")


def test_the_gauge_of_all_is_0_until_each_has_us() -> None:
    metrics = Metrics()
    metrics.expect_accounts(["berlin", "munich"])
    for name, has_us, both in (("berlin", True, 0), ("munich", True, 1), ("berlin", False, 0)):
        metrics.registered(name, has_us)
        assert metrics.registry.get_sample_value("offhook_sip_registered") == both
    assert metrics.registry.get_sample_value("offhook_sip_account_registered", {"account": "munich"}) == 1
