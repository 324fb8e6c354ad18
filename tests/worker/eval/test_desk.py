"""What an evaluation takes of the operator's settings: the provider and the tools, and nothing that is in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.eval.desk import find_record, own_settings, worker_environment
from worker.records.record import CallRecord, write_record
from worker.settings.load import load_settings

IN_USE = {
    "REDIS_URL": "redis://redis.example.com",
    "OFFHOOK_SIP_REGISTRAR": "pbx.example.com",
    "OFFHOOK_SIP_USERNAME": "desk",
    "OFFHOOK_SIP_PASSWORD": "secret",
    "OFFHOOK_SIP_PORT": "5070",
    "OFFHOOK_NOTIFY_URL": "https://shop.example.com/hook",
    "OFFHOOK_NOTIFY_SECRET": "secret",
    "OFFHOOK_CALL_BACK_URI": "sip:{caller}@trunk.example.com",
    "OFFHOOK_MAX_CALLS": "1",
}
TAKEN = {
    "OFFHOOK_REALTIME": "openai",
    "OPENAI_API_KEY": "sk-test",
    "OFFHOOK_TOOL_SECRETS": "SHOP_KEY",
    "SHOP_KEY": "word",
}


@pytest.fixture(autouse=True)
def operators_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OFFHOOK_", "OPENAI_", "REDIS_")):
            monkeypatch.delenv(name)
    for name, value in {**IN_USE, **TAKEN}.items():
        monkeypatch.setenv(name, value)


def test_nothing_in_use_is_touched(tmp_path: Path) -> None:
    settings = own_settings(load_settings(), None)
    environment = worker_environment(settings, tmp_path, "unix:///own.sock", None)
    assert settings.needs_embedded_redis() and settings.sip_registrar is None
    assert not [name for name, value in IN_USE.items() if environment.get(name) == value]
    assert environment["REDIS_URL"] == "unix:///own.sock"
    assert (environment["OFFHOOK_SIP_HOST"], environment["OFFHOOK_SIP_PORT"]) == ("127.0.0.1", "0")


def test_provider_and_secrets_of_the_tools_are_the_operators(tmp_path: Path) -> None:
    settings = own_settings(load_settings(), tmp_path / "agent.toml")
    environment = worker_environment(settings, tmp_path, "unix:///own.sock", None)
    assert {name: environment[name] for name in TAKEN} == TAKEN
    assert environment["OFFHOOK_AGENT"] == str(tmp_path / "agent.toml")


async def test_a_record_is_found_by_who_called_beside_others_and_half_written_ones(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"call_id": ')
    for name in ("eval-1", "eval-2"):
        write_record(CallRecord(call_id=name * 2, display_name=name), tmp_path / f"{name}.json")
    found = await find_record(tmp_path, "eval-2")
    assert found is not None and found.call_id == "eval-2eval-2"
